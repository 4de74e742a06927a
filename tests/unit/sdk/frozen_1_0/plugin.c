/* SPDX-License-Identifier: MIT */
/*
 * A plugin of ABI 1.0: a map in the work pool, a table with back-pressure, an action, routes of both kinds, a
 * source, a command, health; it uses kv, events, timers, crypto, metrics, secrets and the log. It is never
 * changed.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <patchbay/actions.h>
#include <patchbay/commands.h>
#include <patchbay/events.h>
#include <patchbay/functions.h>
#include <patchbay/health.h>
#include <patchbay/host_call.h>
#include <patchbay/host_crypto.h>
#include <patchbay/host_event.h>
#include <patchbay/host_kv.h>
#include <patchbay/host_log.h>
#include <patchbay/host_metric.h>
#include <patchbay/host_secret.h>
#include <patchbay/host_timer.h>
#include <patchbay/host_work.h>
#include <patchbay/routes.h>

struct frozen {
    const pbay_host *host;
    const pbay_batch_1 *batch;
    const pbay_call_1 *call;
    const pbay_action_1 *action;
    const pbay_request_1 *request;
    const pbay_event_1 *event;
    const pbay_command_1 *command;
    const pbay_kv_1 *kv;
    const pbay_timer_1 *timer;
    const pbay_crypto_1 *crypto;
    const pbay_metric_1 *metric;
    const pbay_secret_1 *secret;
    const pbay_log_1 *log;
    const pbay_work_1 *work;
    pbay_metric calls;
    pbay_str suffix;
};

/* ---------------------------------------------------------------------------------------- a map, in the pool
 */

struct job {
    struct frozen *f;
    pbay_call call;
    const pbay_batch *in;
    pbay_builder *out;
};

static void shout(void *user, uint32_t slot)
{
    struct job *j = user;
    const pbay_column *col = pbay_batch_col(j->in, 0);
    (void)slot;
    for (uint32_t i = 0; i < j->in->n_rows; i++) {
        char text[128];
        const pbay_str s = pbay_cell_text(col, i);
        if (pbay_cell_null(col, i)) {
            j->f->batch->null(j->out, 0);
            continue;
        }
        const int n = snprintf(text, sizeof text, "%.*s%.*s", (int)(s.n < 60 ? s.n : 60), s.p,
                               (int)j->f->suffix.n, j->f->suffix.p);
        j->f->batch->text(j->out, 0, (pbay_str){text, (size_t)n});
    }
    j->f->metric->add(j->f->host, j->f->calls, 1);
}

static void shouted(void *user, int cancelled)
{
    struct job *j = user;
    pbay_result r = PBAY_RESULT_OK;
    if (cancelled) pbay_fail(&r, PBAY_CANCELLED, "the connector stops");
    if (cancelled) j->f->batch->free(j->out);
    j->f->call->complete(j->call, &r, cancelled ? NULL : j->out);
    free(j);
}

static int32_t submit(void *self, void *bound, pbay_call call, const pbay_batch *in, pbay_result *why)
{
    struct frozen *f = self;
    struct job *j = malloc(sizeof *j);
    (void)bound;
    if (!j) return pbay_fail(why, PBAY_RESOURCE_EXHAUSTED, "no memory");
    *j = (struct job){f, call, in, f->batch->create(f->host)};
    f->batch->add_column(j->out, pbay_str_c("loud"), PBAY_STR);
    const int32_t rc = f->work->submit(f->host, shout, shouted, j);
    if (rc == PBAY_OK) return rc;
    f->batch->free(j->out);
    free(j);
    return pbay_fail(why, rc, "too much waits already");
}

/* ------------------------------------------------------------- a table: the row numbers beside what came in
 */

struct numbered {
    double next;
    int full, waits, ended;
};

static int32_t open_call(void *self, void *bound, pbay_call call, pbay_result *why)
{
    static const pbay_field fields[] = {{{"n", 1}, PBAY_NUM, 0}, {{"x", 1}, PBAY_NUM, 0}};
    const struct frozen *f = self;
    struct numbered *t = calloc(1, sizeof *t);
    (void)bound;
    if (!t) return pbay_fail(why, PBAY_RESOURCE_EXHAUSTED, "no memory");
    f->call->set_user(call, t);
    f->call->describe(call, pbay_str_c("numbered"), fields, 2);
    return PBAY_OK;
}

static int32_t push(void *self, void *bound, pbay_call call, const pbay_batch *in, pbay_result *why)
{
    const struct frozen *f = self;
    struct numbered *t = f->call->user(call);
    (void)bound;
    (void)why;
    if (t->full) {
        t->waits = 1;
        return PBAY_LATER;
    }
    pbay_builder *out = f->batch->create(f->host);
    f->batch->add_column(out, pbay_str_c("n"), PBAY_NUM);
    f->batch->add_column(out, pbay_str_c("x"), PBAY_NUM);
    double *n = f->batch->nums(out, 0, in->n_rows);
    for (uint32_t i = 0; i < in->n_rows; i++) n[i] = t->next++;
    f->batch->copy(out, 1, pbay_batch_col(in, 0), 0, in->n_rows);
    t->full = f->call->emit(call, out) == PBAY_LATER;
    return PBAY_OK;
}

static void finish(const struct frozen *f, pbay_call call, int32_t code)
{
    pbay_result r = PBAY_RESULT_OK;
    r.code = code;
    free(f->call->user(call));
    f->call->complete(call, &r, NULL);
}

static void end(void *self, void *bound, pbay_call call)
{
    const struct frozen *f = self;
    struct numbered *t = f->call->user(call);
    (void)bound;
    t->ended = 1;
    if (!t->full) finish(f, call, PBAY_OK);
}

static void writable(void *self, void *bound, pbay_call call)
{
    const struct frozen *f = self;
    struct numbered *t = f->call->user(call);
    (void)bound;
    t->full = 0;
    if (t->ended) {
        finish(f, call, PBAY_OK);
    } else if (t->waits) {
        t->waits = 0;
        f->call->ready(call);
    }
}

static void cancel(void *self, void *bound, pbay_call call)
{
    const struct frozen *f = self;
    (void)bound;
    if (f->call->user(call)) finish(f, call, PBAY_CANCELLED); /* a map's work ends by itself */
}

/* ------------------------------------------------------------------ an action that takes two steps, in the
 * kv */

struct step {
    struct frozen *f;
    pbay_action_run run;
    char text[64];
};

static void stored(void *user, const pbay_result *result)
{
    struct step *s = user;
    if (result->code == PBAY_OK)
        s->f->action->started(s->run, pbay_str_c(s->text), 1);
    else
        s->f->action->failed(s->run, result);
    free(s);
}

static int32_t run(void *self, uint32_t action, pbay_action_run r, const pbay_action_info *info,
                   pbay_result *why)
{
    struct frozen *f = self;
    struct step *s = calloc(1, sizeof *s);
    const pbay_str name = f->host->get_str(info->arguments, "name");
    (void)action;
    if (!s) return pbay_fail(why, PBAY_RESOURCE_EXHAUSTED, "no memory");
    s->f = f;
    s->run = r;
    snprintf(s->text, sizeof s->text, "%.*s", (int)name.n, name.p);
    f->kv->put(f->host, pbay_str_c("name"), pbay_str_c(s->text), NULL, 0, stored, s);
    return PBAY_OK;
}

static void found(void *user, const pbay_result *result, pbay_str value)
{
    struct step *s = user;
    char json[96];
    if (result->code == PBAY_OK) {
        snprintf(json, sizeof json, "{\"kept\": \"%.*s\"}", (int)value.n, value.p);
        s->f->action->done(s->run, pbay_str_c(json));
    } else {
        s->f->action->failed(s->run, result);
    }
    free(s);
}

static int32_t poll_action(void *self, uint32_t action, pbay_action_run r, const pbay_action_info *info,
                           pbay_result *why)
{
    struct step *s = calloc(1, sizeof *s);
    (void)action;
    (void)info;
    if (!s) return pbay_fail(why, PBAY_RESOURCE_EXHAUSTED, "no memory");
    *s = (struct step){.f = self, .run = r};
    s->f->kv->get(s->f->host, pbay_str_c("name"), found, s);
    return PBAY_OK;
}

/* ------------------------------------------------------------- routes: one of the host's callers, one of its
 * own */

struct caught {
    struct frozen *f;
    pbay_request request;
};

static void event_stored(void *user, const pbay_result *result, uint32_t n_new)
{
    struct caught *c = user;
    char text[32];
    snprintf(text, sizeof text, "%u new", n_new);
    c->f->request->respond(c->request, result->code == PBAY_OK ? 202 : 503, NULL, 0, pbay_str_c(text));
    free(c);
}

static void handle(void *self, uint32_t route, pbay_request request, const pbay_request_info *info)
{
    struct frozen *f = self;
    pbay_result why = PBAY_RESULT_OK;
    pbay_str key = {NULL, 0}, shown = {NULL, 0};
    if (route == 1) { /* signed: x-mac is the HMAC of the body, in hex */
        static const char digits[] = "0123456789abcdef";
        uint8_t mac[32];
        char hex[64];
        for (uint32_t i = 0; i < info->n_headers; i++)
            if (info->headers[i].name.n == 5 && !memcmp(info->headers[i].name.p, "x-mac", 5))
                shown = info->headers[i].value;
        if (f->secret->get(f->host, "secret", &key, &why) != PBAY_OK ||
            f->crypto->hmac(PBAY_HASH_SHA256, key, &info->body, 1, mac)) {
            f->request->respond(request, 500, NULL, 0, why.message);
            return;
        }
        for (int i = 0; i < 32; i++) hex[2 * i] = digits[mac[i] >> 4], hex[2 * i + 1] = digits[mac[i] & 15];
        if (!f->crypto->equal(shown, (pbay_str){hex, 64}) ||
            f->request->accept(request, pbay_str_c("signer")) != PBAY_OK) {
            f->request->respond(request, 403, NULL, 0, pbay_str_c("not signed"));
            return;
        }
    }
    struct caught *c = malloc(sizeof *c);
    if (!c) abort();
    *c = (struct caught){f, request};
    const pbay_event e = {.struct_size = sizeof e,
                          .type = pbay_str_c("caught"),
                          .id = info->body,
                          .subject = info->body,
                          .data = pbay_str_c("{}")};
    f->event->put(f->host, &e, 1, event_stored, c);
}

/* ------------------------------------------------------------------------------- a source, a command, health
 */

static void poll_source(void *self, uint32_t source, pbay_poll poll, pbay_str cursor)
{
    const struct frozen *f = self;
    const pbay_result ok = PBAY_RESULT_OK;
    char text[16];
    (void)source;
    snprintf(text, sizeof text, "%d", cursor.n ? cursor.p[0] - '0' + 1 : 1);
    const pbay_str key = pbay_str_c(text);
    const pbay_event e = {.struct_size = sizeof e,
                          .n_keys = 1,
                          .keys = &key,
                          .type = pbay_str_c("tick"),
                          .subject = key,
                          .time_ms = f->timer->now_ms(),
                          .data = pbay_str_c("{\"tick\": true}")};
    const int more = text[0] <= '3';
    f->event->polled(poll, &ok, &e, more ? 1 : 0, more ? key : cursor, 0);
}

static void command(void *self, uint32_t which, pbay_command_run r, const pbay_config *arguments)
{
    const struct frozen *f = self;
    const pbay_result ok = PBAY_RESULT_OK;
    (void)which;
    f->command->print(r, pbay_str_c("hello "));
    f->command->print(r, f->host->get_str(arguments, "whom"));
    f->command->print(r, pbay_str_c("\n"));
    f->command->done(r, &ok);
}

static uint32_t state(void *self, pbay_str *sentence)
{
    (void)self;
    *sentence = pbay_str_c("as on the first day");
    return PBAY_DEGRADED;
}

/* ------------------------------------------------------------------------------------------------ the tables
 */

static const void *extension(const char *id)
{
    static const pbay_operation operations[] = {
        {"shout", "Louder.", PBAY_SHAPE_MAP, 0, {NULL, 0, 0}},
        {"number", "Numbers its rows.", PBAY_SHAPE_TABLE, 0, {NULL, 0, 0}}};
    static const pbay_functions_1 functions = {
        sizeof functions, 2,    operations, sizeof *operations, 0,     NULL, NULL, NULL, submit,
        open_call,        push, end,        writable,           cancel};
    static const pbay_option arguments[] = {
        {"name", PBAY_OPT_STR, PBAY_OPTF_REQUIRED, NULL, NULL, "What is kept."}};
    static const pbay_action all[] = {
        {"keep", "Keeps a name.", PBAY_REPEAT_SAFE, 0, {arguments, 1, sizeof *arguments}}};
    static const pbay_actions_1 actions = {sizeof actions, 1,    all, sizeof *all, 0, run,
                                           poll_action,    NULL, NULL};
    static const pbay_route routes_[] = {
        {"POST", "/hook", "Of the host's callers.", PBAY_AUTH_HOST, PBAY_BODY_RAW, 4096},
        {"POST", "/signed", "Signed.", PBAY_AUTH_OWN, PBAY_BODY_RAW, 4096}};
    static const pbay_routes_1 routes = {sizeof routes, 2, routes_, sizeof *routes_, 0, handle, NULL};
    static const pbay_source sources[] = {{"ticks", "Three ticks.", 100, PBAY_SRCF_ON, 0}};
    static const pbay_events_1 events = {sizeof events, 1, sources, sizeof *sources, 0, poll_source, NULL};
    static const pbay_option whom[] = {
        {"whom", PBAY_OPT_STR, PBAY_OPTF_REQUIRED, NULL, NULL, "Whom it greets."}};
    static const pbay_command verbs[] = {{"greet", "Greets.", 0, 0, {whom, 1, sizeof *whom}}};
    static const pbay_commands_1 commands = {sizeof commands, 1, verbs, sizeof *verbs, 0, command, NULL};
    static const pbay_health_1 health = {sizeof health, 0, state};
    return !strcmp(id, PBAY_EXT_FUNCTIONS)  ? &functions
           : !strcmp(id, PBAY_EXT_ACTIONS)  ? &actions
           : !strcmp(id, PBAY_EXT_ROUTES)   ? &routes
           : !strcmp(id, PBAY_EXT_EVENTS)   ? &events
           : !strcmp(id, PBAY_EXT_COMMANDS) ? &commands
           : !strcmp(id, PBAY_EXT_HEALTH)   ? (const void *)&health
                                            : NULL;
}

static int32_t create(const pbay_host *host, const pbay_config *config, void **self, pbay_result *why)
{
    struct frozen *f = calloc(1, sizeof *f);
    if (!f) return pbay_fail(why, PBAY_RESOURCE_EXHAUSTED, "no memory");
    f->host = host;
    f->batch = host->service(host, PBAY_SVC_BATCH);
    f->call = host->service(host, PBAY_SVC_CALL);
    f->action = host->service(host, PBAY_SVC_ACTION);
    f->request = host->service(host, PBAY_SVC_REQUEST);
    f->event = host->service(host, PBAY_SVC_EVENT);
    f->command = host->service(host, PBAY_SVC_COMMAND);
    f->kv = host->service(host, PBAY_SVC_KV);
    f->timer = host->service(host, PBAY_SVC_TIMER);
    f->crypto = host->service(host, PBAY_SVC_CRYPTO);
    f->metric = host->service(host, PBAY_SVC_METRIC);
    f->secret = host->service(host, PBAY_SVC_SECRET);
    f->log = host->service(host, PBAY_SVC_LOG);
    f->work = host->service(host, PBAY_SVC_WORK);
    f->suffix = host->get_str(config, "suffix");
    if (f->metric)
        f->calls =
            f->metric->slot(host, PBAY_METRIC_COUNTER, "shouts_total", "", "Batches that were shouted.");
    *self = f;
    if (f->batch && f->call && f->action && f->event && f->kv && f->timer && f->crypto && f->secret &&
        f->log && f->work && f->suffix.n <= 60) {
        f->log->write(host, PBAY_LOG_INFO, pbay_str_c("thawed"), NULL, 0);
        return PBAY_OK;
    }
    free(f);
    return pbay_fail(why, PBAY_UNIMPLEMENTED, "this host is no host of ABI 1");
}

PBAY_EXPORT const pbay_entry *pbay_plugin_entry(void)
{
    static const pbay_option options[] = {
        {"suffix", PBAY_OPT_STR, 0, "!", NULL, "What makes it louder."},
        {"secret", PBAY_OPT_STR, PBAY_OPTF_SECRET, NULL, NULL, "What signs."},
    };
    static const pbay_descriptor descriptor = {sizeof descriptor,
                                               0,
                                               "frozen_1_0",
                                               "1.0.0",
                                               "Patchbay",
                                               "MIT",
                                               "A plugin of ABI 1.0",
                                               NULL,
                                               {options, 2, sizeof *options}};
    static const pbay_entry entry = {PBAY_MAGIC, sizeof entry, PBAY_ABI_MAJOR, PBAY_ABI_MINOR,
                                     0,          &descriptor,  create,         NULL,
                                     NULL,       free,         extension};
    return &entry;
}
