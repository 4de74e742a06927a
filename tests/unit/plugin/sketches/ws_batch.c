/* SPDX-License-Identifier: MIT */
/*
 * QRAG's ws_batch: one WebSocket per connector, a message per batch, then exactly one message per row, in
 * order. Calls wait in line for the socket; a socket that closes fails what is in line, with an advice to
 * retry.
 */
#include <patchbay/host_ws.h>
#include <patchbay/functions.h>
#include <patchbay/host_batch.h>
#include <patchbay/host_call.h>
#include <patchbay/host_http.h>
#include <patchbay/host_timer.h>

#include "sketch.h"

struct waiting {
    struct waiting *next;
    pbay_call call;
    const pbay_batch *in;
    pbay_builder *out;
    uint32_t got;
};

struct qrag {
    const pbay_host *host;
    const pbay_config *config;
    const pbay_batch_1 *batch;
    const pbay_call_1 *call;
    const pbay_ws_1 *ws;
    const pbay_timer_1 *timer;
    pbay_ws socket;
    int open;
    pbay_codec codec;
    struct waiting *first; /* the one that is being answered */
};

static void send_first(struct qrag *q)
{
    pbay_writer *w = q->batch->writer(q->host, &q->codec);
    q->batch->write(w, q->first->in, NULL);
    q->ws->send(q->socket, PBAY_WS_TEXT, q->batch->text_of(w)); /* PBAY_LATER: taken all the same */
    q->batch->writer_free(w);
}

static void finish_first(struct qrag *q, const pbay_result *r)
{
    struct waiting *c = q->first;
    q->first = c->next;
    if (r->code != PBAY_OK) q->batch->free(c->out);
    q->call->complete(c->call, r, r->code == PBAY_OK ? c->out : NULL);
    free(c);
    if (q->first && q->open) send_first(q);
}

static void on_open(void *user, pbay_ws ws, pbay_str protocol)
{
    struct qrag *q = user;
    (void)ws;
    (void)protocol;
    q->open = 1;
    if (q->first) send_first(q);
}

static void on_message(void *user, pbay_ws ws, uint32_t type, pbay_str message)
{
    struct qrag *q = user;
    q->ws->credit(ws, 1);
    if (!q->first || type != PBAY_WS_TEXT) return;
    q->batch->text(q->first->out, 0, message);
    if (++q->first->got < q->first->in->n_rows) return;
    const pbay_result ok = PBAY_RESULT_OK;
    finish_first(q, &ok);
}

static void on_close(void *user, pbay_ws ws, uint32_t close_code, pbay_str reason, const pbay_result *result)
{
    struct qrag *q = user;
    (void)ws;
    q->socket = 0;
    q->open = 0;
    pbay_result r = failed(PBAY_UNAVAILABLE, close_code ? reason : result->message);
    r.effect = PBAY_EFFECT_MAYBE;
    r.advice = PBAY_ADVICE_RETRY;
    r.vendor_status = (int32_t)close_code;
    while (q->first) finish_first(q, &r);
}

static int32_t submit(void *self, void *bound, pbay_call call, const pbay_batch *in, pbay_result *why)
{
    static const pbay_ws_events events = {sizeof events, 0, on_open, on_message, NULL, on_close};
    struct qrag *q = self;
    (void)bound;
    if (!q->socket) {
        pbay_ws_open_info info = {.struct_size = sizeof info, .flags = PBAY_HTTP_CONFIGURED};
        info.url = q->host->get_str(q->config, "ws_url");
        q->socket = q->ws->open(q->host, &info, &events, q, why);
        if (!q->socket) return why->code;
    }
    struct waiting *c = zalloc(sizeof *c), **at = &q->first;
    c->call = call;
    c->in = in;
    c->out = q->batch->create(q->host);
    q->batch->add_column(c->out, STR("result"), PBAY_STR);
    while (*at) at = &(*at)->next;
    *at = c;
    if (q->first == c && q->open) send_first(q);
    return PBAY_OK;
}

static const pbay_operation operations[] = {
    {"ws_batch", "Rows over a WebSocket.", PBAY_SHAPE_MAP, 0, {NULL, 0, 0}},
};
static const pbay_functions_1 functions = {
    .struct_size = sizeof functions,
    .n_operations = 1,
    .operations = operations,
    .operation_stride = sizeof(pbay_operation),
    .submit = submit,
};

static const void *extension(const char *id)
{
    return strcmp(id, PBAY_EXT_FUNCTIONS) ? NULL : &functions;
}

static int32_t create(const pbay_host *host, const pbay_config *config, void **self, pbay_result *why)
{
    struct qrag *q = zalloc(sizeof *q);
    (void)why;
    q->host = host;
    q->config = config;
    q->batch = host->service(host, PBAY_SVC_BATCH);
    q->call = host->service(host, PBAY_SVC_CALL);
    q->ws = host->service(host, PBAY_SVC_WS);
    q->timer = host->service(host, PBAY_SVC_TIMER);
    q->codec =
        (pbay_codec){.struct_size = sizeof q->codec, .format = PBAY_FORMAT_JSON_ROWS, .key = STR("data")};
    *self = q;
    return PBAY_OK;
}

static const pbay_option options[] = {
    {"ws_url", PBAY_OPT_STR, PBAY_OPTF_REQUIRED, NULL, NULL, "Where the WebSocket is."},
};
SKETCH_ENTRY(ws_batch, options)
