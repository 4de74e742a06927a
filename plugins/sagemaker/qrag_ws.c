/* SPDX-License-Identifier: MIT */
/*
 * The WebSocket functions of the older gateway, behind an API Gateway WebSocket API:
 *
 *   ws_single   a message per row, and one answer to each
 *   ws_batch    a message per batch_size rows, then one answer per row, in order
 *
 *   job      one message and the answers it wants
 *   socket   one connection; it has one job at a time, because answers say only by their order what they
 * belong to
 *
 * API Gateway's quotas (https://docs.aws.amazon.com/apigateway/latest/developerguide/limits.html): frames of
 * 32 KB, messages of 128 KB, ten minutes of silence, two hours of life. A message is cut before the second; a
 * socket is not used any more when it is near one of the others, and a job whose socket had served before and
 * closed without a word is sent again on a new one.
 */
#include <patchbay/host_ws.h>

#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "answers.h"
#include "kit/percent.h"
#include "qrag_message.h"
#include "qrag.h"

enum { MESSAGE_MAX = 128 * 1024, FRAME_MAX = 32 * 1024, URL_MAX = 4096, WHO = 300, WHY = 600 };
#define OLD_NS  (110 * 60 * INT64_C(1000000000))
#define IDLE_NS (9 * 60 * INT64_C(1000000000))

#define COMMON                                                                                               \
    {"ws_url", PBAY_OPT_STR, PBAY_OPTF_REQUIRED,                                                             \
     NULL,     NULL,         "wss://HOST/STAGE/...: where to connect; a ws:// URL is allowed here"},         \
        {"ws_route", PBAY_OPT_STR, PBAY_OPTF_REQUIRED,                                                       \
         NULL,       NULL,         "the value of `action`, by which API Gateway chooses the route"},         \
        {"username",                                                                                         \
         PBAY_OPT_STR,                                                                                       \
         0,                                                                                                  \
         NULL,                                                                                               \
         NULL,                                                                                               \
         "makes HOST_ADDRESS_USERNAME_ the end of the URL, by which $connect knows the client; without it "  \
         "nothing is added"},                                                                                \
        {"client_id", PBAY_OPT_STR, 0, NULL, NULL, "to be the end of the URL instead"},                      \
        {"token", PBAY_OPT_STR, PBAY_OPTF_SECRET, NULL, NULL, "not sent; old files have it"},                \
        {"password", PBAY_OPT_STR, PBAY_OPTF_SECRET, NULL, NULL, "not sent; old files have it"},             \
        {"result_key",                                                                                       \
         PBAY_OPT_LIST,                                                                                      \
         0,                                                                                                  \
         "result",                                                                                           \
         NULL,                                                                                               \
         "members of the answer that may hold the result, the first that is there counts"},                  \
        {"reply_timeout", PBAY_OPT_DURATION, 0, "29s", "100ms..1h", "how long the next answer may take"},    \
        {"sockets", PBAY_OPT_INT, 0, "12", "1..500", "connections at once; each has one message at a time"}, \
    {                                                                                                        \
        "header", PBAY_OPT_FAMILY, 0, NULL, NULL, "header.NAME = value: headers of the handshake"            \
    }

const pbay_option ws_single_options[] = {COMMON};
const pbay_option ws_batch_options[] = {
    COMMON, {"batch_size", PBAY_OPT_INT, 0, "70", "1..10000", "rows in one message"}};
const uint32_t ws_single_n_options = sizeof ws_single_options / sizeof *ws_single_options;
const uint32_t ws_batch_n_options = sizeof ws_batch_options / sizeof *ws_batch_options;

struct ws_job {
    struct ws_job *next;
    struct ws_call *call;
    uint32_t from, n; /* rows */
    int again;        /* sent on a second socket */
    struct text message;
};

struct ws_socket {
    struct ws_function *fn; /* NULL: the function is gone */
    struct ws_socket *next;
    pbay_ws ws;
    int open, served, closing;
    int64_t opened_ns, used_ns;
    struct ws_job *job;
    uint32_t got; /* answers of the job */
    pbay_timer patience;
};

struct ws_call {
    struct ws_function *fn;
    struct ws_call *next;
    pbay_call call;
    const pbay_batch *in;
    uint32_t open; /* jobs */
    int ended;
    struct text *answers; /* per row */
    char *nulls;
};

struct ws_function {
    const struct operation *op;
    struct sagemaker *sm;
    const pbay_ws_1 *ws;
    int batch;
    uint32_t batch_size, max_sockets, n_sockets;
    int64_t reply_ms;
    pbay_str route;
    char *url, *keys;
    char who[WHO]; /* without the query, which says who we are */
    pbay_header *headers;
    uint32_t n_headers;
    struct answer_columns columns;
    struct ws_socket *sockets;
    struct ws_job *first, **last;
    struct ws_call *calls;
    int holding; /* no job is given out for now */
    char why[WHY];
};

/* ------------------------------------------------------------------------------------------------ bind */

static void unbind(struct sagemaker *sm, void *bound)
{
    struct ws_function *fn = bound;
    for (struct ws_socket *s = fn->sockets, *next; s; s = next) {
        next = s->next;
        s->fn = NULL; /* freed when it is closed */
        if (!s->closing) fn->ws->close(s->ws, 1000, STR("done"));
    }
    (void)sm;
    answer_columns_free(&fn->columns);
    free(fn->headers);
    free(fn->url);
    free(fn->keys);
    free(fn);
}

/* The host's address as gethostbyname has it, which is how the older gateway found it. */
static void own_address(char *out, size_t n)
{
    struct addrinfo hints = {.ai_family = AF_INET, .ai_socktype = SOCK_STREAM}, *found = NULL;
    char name[256];
    snprintf(out, n, "127.0.0.1");
    if (gethostname(name, sizeof name) || getaddrinfo(name, NULL, &hints, &found)) return;
    getnameinfo(found->ai_addr, found->ai_addrlen, out, (socklen_t)n, NULL, 0, NI_NUMERICHOST);
    freeaddrinfo(found);
}

static void make_url(struct ws_function *fn, const pbay_host *host, const pbay_config *config)
{
    pbay_str url = host->get_str(config, "ws_url"), user = host->get_str(config, "username");
    pbay_str own = host->get_str(config, "client_id");
    struct text t = {NULL, 0, 0};
    char name[256] = "localhost", address[64] = "127.0.0.1", id[1024];
    text_add(&t, url.p, url.n);
    size_t n = 0;
    if (own.n)
        n = (size_t)snprintf(id, sizeof id, "%.*s", (int)(own.n < 900 ? own.n : 900), own.p);
    else if (user.n) {
        gethostname(name, sizeof name - 1);
        if (!host->check_only(host)) own_address(address, sizeof address);
        n = (size_t)snprintf(id, sizeof id, "%s_%s_%.*s_", name, address, (int)(user.n < 500 ? user.n : 500),
                             user.p);
    }
    char *encoded = malloc(PBAY_PERCENT_ROOM(n) + 1);
    if (!encoded) abort();
    text_add(&t, encoded, pbay_percent_encode((pbay_str){id, n}, encoded));
    text_add(&t, "", 1);
    free(encoded);
    fn->url = t.p;
}

static char *join_keys(const pbay_host *host, const pbay_config *config)
{
    struct text t = {NULL, 0, 0};
    for (uint32_t i = 0; i < host->count(config, "result_key"); i++) {
        pbay_str key, one = host->item(config, "result_key", i, &key);
        if (i) text_add(&t, ",", 1);
        text_add(&t, one.p, one.n);
    }
    text_add(&t, "", 1);
    return t.p;
}

static int32_t bind_as(struct sagemaker *sm, const pbay_function_info *info, void **bound, pbay_result *why,
                       const struct operation *op)
{
    const pbay_host *host = sm->host;
    const pbay_config *config = info->config;
    const pbay_ws_1 *ws = host->service(host, PBAY_SVC_WS);
    if (!ws)
        return sagemaker_refuse(sm, why, PBAY_FAILED_PRECONDITION, "this host does not offer %s",
                                PBAY_SVC_WS);
    struct ws_function *fn = calloc(1, sizeof *fn);
    uint32_t n = host->count(config, "header");
    if (fn) fn->headers = calloc(n + 1, sizeof *fn->headers);
    if (!fn || !fn->headers || answer_columns_make(&fn->columns, info->answers, info->n_answers)) abort();
    fn->op = op;
    fn->sm = sm;
    fn->ws = ws;
    fn->last = &fn->first;
    fn->batch = op == &ws_batch_operation;
    fn->batch_size = fn->batch ? (uint32_t)host->get_int(config, "batch_size") : 1;
    fn->max_sockets = (uint32_t)host->get_int(config, "sockets");
    fn->reply_ms = host->get_int(config, "reply_timeout");
    fn->route = host->get_str(config, "ws_route");
    fn->keys = join_keys(host, config);
    make_url(fn, host, config);
    for (uint32_t i = 0; i < n; i++) {
        pbay_header *h = &fn->headers[fn->n_headers++];
        h->value = host->item(config, "header", i, &h->name);
    }
    pbay_str shown = host->get_str(config, "ws_url");
    const char *query = shown.n ? memchr(shown.p, '?', shown.n) : NULL;
    if (query) shown.n = (size_t)(query - shown.p);
    snprintf(fn->who, sizeof fn->who, "%.*s", (int)(shown.n < WHO ? shown.n : WHO - 1),
             shown.n ? shown.p : "");
    const char *wrong = strncmp(fn->who, "wss://", 6) && strncmp(fn->who, "ws://", 5) ? "begins with wss://"
                        : strlen(fn->url) >= URL_MAX ? "has at most 4095 bytes"
                        : fn->columns.n != 1         ? "answers one column per row"
                                                     : NULL;
    if (!wrong) {
        *bound = fn;
        return PBAY_OK;
    }
    pbay_str where = host->where(config, "ws_url");
    int32_t rc = sagemaker_refuse(sm, why, PBAY_INVALID_ARGUMENT, "%.*s: ws_url: a WebSocket function %s",
                                  (int)where.n, where.n ? where.p : "", wrong);
    unbind(sm, fn);
    return rc;
}

static int32_t bind_single(struct sagemaker *sm, const pbay_function_info *info, void **bound,
                           pbay_result *why)
{
    return bind_as(sm, info, bound, why, &ws_single_operation);
}

static int32_t bind_batch(struct sagemaker *sm, const pbay_function_info *info, void **bound,
                          pbay_result *why)
{
    return bind_as(sm, info, bound, why, &ws_batch_operation);
}

static pbay_str lane(void *bound)
{
    (void)bound;
    return (pbay_str){NULL, 0};
}

/* ------------------------------------------------------------------------------------------------ ends of
 * calls */

static void pump(struct ws_function *fn);

static void job_free(struct ws_job *job)
{
    free(job->message.p);
    free(job);
}

static void close_socket(struct ws_socket *s, pbay_str why)
{
    if (s->closing) return;
    s->closing = 1;
    s->open = 0;
    s->fn->ws->close(s->ws, 1000, why);
}

/* Nothing of the call is wanted any more. Sockets that answer to it cannot be used for others. */
static void forget(struct ws_call *c)
{
    struct ws_function *fn = c->fn;
    for (struct ws_job **at = &fn->first; *at;) {
        struct ws_job *job = *at;
        if (job->call != c) {
            at = &job->next;
            continue;
        }
        *at = job->next;
        job_free(job);
    }
    fn->last = &fn->first;
    while (*fn->last) fn->last = &(*fn->last)->next;
    for (struct ws_socket *s = fn->sockets; s; s = s->next) {
        if (!s->job || s->job->call != c) continue;
        job_free(s->job);
        s->job = NULL;
        fn->sm->timer->cancel(s->patience);
        s->patience = 0;
        close_socket(s, STR("the answer is not wanted any more"));
    }
    struct ws_call **at = &fn->calls;
    while (*at != c) at = &(*at)->next;
    *at = c->next;
}

static void call_end(struct ws_call *c, const pbay_result *result)
{
    struct ws_function *fn = c->fn;
    struct sagemaker *sm = fn->sm;
    pbay_builder *out = NULL;
    forget(c);
    if (result->code == PBAY_OK) {
        struct answers a = answers_begin(sm, &fn->columns, fn->who);
        for (uint32_t i = 0; i < c->in->n_rows; i++)
            if (c->nulls[i])
                answers_null(&a, i, 0);
            else
                answers_text(&a, i, 0, (pbay_str){c->answers[i].p, c->answers[i].n});
        out = a.out;
    }
    for (uint32_t i = 0; i < c->in->n_rows; i++) free(c->answers[i].p);
    free(c->answers);
    free(c->nulls);
    sm->call->complete(c->call, result, out);
    free(c);
    pump(fn);
}

static void call_fail(struct ws_call *c, int32_t code, uint32_t advice, const char *text)
{
    struct ws_function *fn = c->fn;
    pbay_result r = PBAY_RESULT_OK;
    snprintf(fn->why, sizeof fn->why, "%s: %s", fn->who, text);
    r.code = code;
    r.advice = advice;
    r.effect = PBAY_EFFECT_MAYBE;
    r.message = (pbay_str){fn->why, strlen(fn->why)};
    call_end(c, &r);
}

/* ------------------------------------------------------------------------------------------------ sockets */

static void out_of_patience(void *user)
{
    struct ws_socket *s = user;
    struct ws_function *fn = s->fn;
    char text[200];
    s->patience = 0;
    if (!fn || !s->job) return;
    snprintf(text, sizeof text, "%u of %u answers came, and the next did not within %lld ms",
             (unsigned)s->got, (unsigned)s->job->n, (long long)fn->reply_ms);
    call_fail(s->job->call, PBAY_DEADLINE_EXCEEDED, PBAY_ADVICE_NONE, text);
}

static void wait_for_answer(struct ws_socket *s)
{
    const pbay_timer_1 *timer = s->fn->sm->timer;
    if (s->patience) timer->cancel(s->patience);
    s->patience = timer->start(s->fn->sm->host, s->fn->reply_ms, 0, out_of_patience, s);
}

static void give_job(struct ws_socket *s)
{
    struct ws_function *fn = s->fn;
    struct ws_job *job = fn->first;
    fn->first = job->next;
    if (!fn->first) fn->last = &fn->first;
    job->next = NULL;
    s->job = job;
    s->got = 0;
    wait_for_answer(s);
    int32_t rc = fn->ws->send(s->ws, PBAY_WS_TEXT, (pbay_str){job->message.p, job->message.n});
    if (rc == PBAY_OK || rc == PBAY_LATER) return;
    call_fail(job->call, rc == PBAY_CANCELLED ? PBAY_UNAVAILABLE : PBAY_INVALID_ARGUMENT,
              rc == PBAY_CANCELLED ? PBAY_ADVICE_RETRY : PBAY_ADVICE_NONE, "the message could not be sent");
}

/* Would API Gateway close it soon? */
static int worn_out(const struct ws_socket *s)
{
    int64_t now = s->fn->sm->timer->monotonic_ns();
    return now - s->opened_ns > OLD_NS || now - s->used_ns > IDLE_NS;
}

static void on_open(void *user, pbay_ws ws, pbay_str protocol)
{
    struct ws_socket *s = user;
    (void)ws;
    (void)protocol;
    if (!s->fn || s->closing) return;
    s->open = 1;
    s->opened_ns = s->used_ns = s->fn->sm->timer->monotonic_ns();
    pump(s->fn);
}

/* What API Gateway says in place of an answer. */
static void said_no(struct ws_call *c, const char *text)
{
    int slow = strstr(text, "Too Many") != NULL || strstr(text, "Limit Exceeded") != NULL;
    int forbidden = strstr(text, "Forbidden") != NULL;
    call_fail(c,
              slow        ? PBAY_RESOURCE_EXHAUSTED
              : forbidden ? PBAY_PERMISSION_DENIED
                          : PBAY_UNAVAILABLE,
              slow        ? PBAY_ADVICE_SLOW
              : forbidden ? PBAY_ADVICE_NONE
                          : PBAY_ADVICE_RETRY,
              text);
}

static void on_message(void *user, pbay_ws ws, uint32_t type, pbay_str message)
{
    struct ws_socket *s = user;
    struct ws_function *fn = s->fn;
    (void)type;
    if (!fn || s->closing) return;
    fn->ws->credit(ws, 1);
    if (!s->job) {
        if (fn->sm->log)
            fn->sm->log->write(fn->sm->host, PBAY_LOG_WARN,
                               STR("an answer came that nothing was asked for; the connection is closed"),
                               NULL, 0);
        close_socket(s, STR("unexpected message"));
        return;
    }
    struct ws_call *c = s->job->call;
    uint32_t row = s->job->from + s->got;
    pbay_str keys = {fn->keys, strlen(fn->keys)};
    int rc = qrag_ws_reply(message, keys, &c->answers[row]);
    if (rc < 0) {
        char text[400];
        snprintf(text, sizeof text, "row %u: %.*s", (unsigned)row + 1, (int)c->answers[row].n,
                 c->answers[row].p);
        said_no(c, text);
        return;
    }
    c->nulls[row] = rc == 1;
    if (++s->got < s->job->n) {
        wait_for_answer(s);
        return;
    }
    fn->sm->timer->cancel(s->patience);
    s->patience = 0;
    job_free(s->job);
    s->job = NULL;
    s->served = 1;
    s->used_ns = fn->sm->timer->monotonic_ns();
    if (--c->open == 0) {
        const pbay_result ok = PBAY_RESULT_OK;
        call_end(c, &ok);
    } else
        pump(fn);
}

/* What waits can only wait for a connection, and there is none to be had. */
static void fail_waiting(struct ws_function *fn, const pbay_result *result)
{
    for (struct ws_socket *s = fn->sockets; s; s = s->next)
        if (!s->closing) return;
    fn->holding++;
    while (fn->first) {
        struct ws_call *c = fn->first->call;
        char text[400];
        snprintf(text, sizeof text, "%.*s", (int)(result->message.n < 380 ? result->message.n : 380),
                 result->message.n ? result->message.p : "");
        call_fail(c, result->code, result->advice, text);
    }
    fn->holding--;
}

static void on_close(void *user, pbay_ws ws, uint32_t close_code, pbay_str reason, const pbay_result *result)
{
    struct ws_socket *s = user;
    struct ws_function *fn = s->fn;
    (void)ws;
    if (!fn) {
        free(s);
        return;
    }
    struct ws_socket **at = &fn->sockets;
    while (*at != s) at = &(*at)->next;
    *at = s->next;
    fn->n_sockets--;
    struct ws_job *job = s->job;
    int opened = s->open, fresh = s->got == 0 && s->served;
    uint32_t got = s->got;
    if (s->patience) fn->sm->timer->cancel(s->patience);
    free(s);
    if (job && fresh && !job->again) {
        /* Those that are as old are no better. */
        for (struct ws_socket *o = fn->sockets; o; o = o->next)
            if (o->open && o->served && !o->job) close_socket(o, STR("another of its age has died"));
        job->again = 1;
        job->next = fn->first;
        fn->first = job;
        if (!job->next) fn->last = &job->next;
        pump(fn);
    } else if (job && result->code == PBAY_CANCELLED) { /* by us, or explained */
        struct ws_call *c = job->call;
        job_free(job);
        call_fail(c, PBAY_CANCELLED, PBAY_ADVICE_NONE, "the connection was given up");
    } else if (job) {
        char text[400];
        struct ws_call *c = job->call;
        snprintf(text, sizeof text, "the connection was closed after %u of %u answers: %u %.*s%s%.*s",
                 (unsigned)got, (unsigned)job->n, (unsigned)close_code,
                 (int)(reason.n < 120 ? reason.n : 120), reason.n ? reason.p : "", close_code ? "" : ": ",
                 close_code ? 0 : (int)(result->message.n < 200 ? result->message.n : 200),
                 result->message.n ? result->message.p : "");
        job_free(job);
        call_fail(c, PBAY_UNAVAILABLE, PBAY_ADVICE_RETRY, text);
    } else if (!opened && result->code != PBAY_OK)
        fail_waiting(fn, result);
    else
        pump(fn);
}

static int open_socket(struct ws_function *fn, pbay_result *why)
{
    static const pbay_ws_events events = {sizeof events, 0, on_open, on_message, NULL, on_close};
    struct ws_socket *s = calloc(1, sizeof *s);
    if (!s) abort();
    const pbay_ws_open_info info = {.struct_size = sizeof info,
                                    .flags = PBAY_HTTP_CONFIGURED,
                                    .url = {fn->url, strlen(fn->url)},
                                    .headers = fn->headers,
                                    .n_headers = fn->n_headers,
                                    .max_frame = FRAME_MAX,
                                    .max_message = 1 << 20,
                                    .max_send = MESSAGE_MAX};
    s->fn = fn;
    s->ws = fn->ws->open(fn->sm->host, &info, &events, s, why);
    if (!s->ws) {
        free(s);
        return -1;
    }
    s->next = fn->sockets;
    fn->sockets = s;
    fn->n_sockets++;
    return 0;
}

/* Jobs to sockets, as far as there are both; more sockets, as far as they may be. */
static void pump(struct ws_function *fn)
{
    uint32_t connecting = 0, waiting = 0;
    if (fn->holding) return;
    for (struct ws_socket *s = fn->sockets, *next; s; s = next) {
        next = s->next;
        if (s->closing) continue;
        if (!s->open) {
            connecting++;
            continue;
        }
        if (s->job || !fn->first) continue;
        if (worn_out(s) || (fn->first->again && s->served))
            close_socket(s, STR("about to be too old"));
        else
            give_job(s);
    }
    for (const struct ws_job *job = fn->first; job; job = job->next) waiting++;
    while (connecting < waiting && fn->n_sockets < fn->max_sockets) {
        pbay_result why = PBAY_RESULT_OK;
        if (open_socket(fn, &why)) {
            fail_waiting(fn, &why);
            return;
        }
        connecting++;
    }
}

/* ------------------------------------------------------------------------------------------------ rows in */

static void put_cell(struct ws_function *fn, struct text *t, const pbay_column *col, uint32_t row, int first)
{
    if (pbay_cell_null(col, row)) {
        qrag_ws_batch_str(t, first, (pbay_str){NULL, 0});
        return;
    }
    switch (col->kind) {
    case PBAY_NUM: qrag_ws_batch_num(t, first, col->num[row]); break;
    case PBAY_DUAL: qrag_ws_batch_dual(t, first, col->num[row], pbay_cell_text(col, row)); break;
    case PBAY_JSON: qrag_ws_batch_str(t, first, fn->sm->batch->json_text(pbay_cell_text(col, row))); break;
    default: qrag_ws_batch_str(t, first, pbay_cell_text(col, row));
    }
}

static void put_single(struct ws_function *fn, struct text *t, const pbay_batch *in, uint32_t row)
{
    char number[40];
    const pbay_column *col = pbay_batch_col(in, 0);
    pbay_str s = {NULL, 0};
    if (pbay_cell_null(col, row))
        s = (pbay_str){"", 0};
    else if (col->kind == PBAY_NUM)
        s = (pbay_str){number, answers_format(col->num[row], number)};
    else
        s = col->kind == PBAY_JSON ? fn->sm->batch->json_text(pbay_cell_text(col, row))
                                   : pbay_cell_text(col, row);
    qrag_ws_single(t, fn->route, s);
}

/* The message for rows from `from` on, as many as fit. Returns how many; 0: not even one. */
static uint32_t make_message(struct ws_function *fn, struct text *t, const pbay_batch *in, uint32_t from)
{
    if (!fn->batch) {
        put_single(fn, t, in, from);
        return t->n <= MESSAGE_MAX;
    }
    uint32_t n = 0;
    qrag_ws_batch_begin(t, fn->route);
    while (n < fn->batch_size && from + n < in->n_rows) {
        size_t before = t->n;
        qrag_ws_batch_open(t, n == 0);
        for (uint32_t c = 0; c < in->n_cols; c++) put_cell(fn, t, pbay_batch_col(in, c), from + n, c == 0);
        qrag_ws_batch_close(t);
        if (t->n + 2 > MESSAGE_MAX) {
            t->n = before;
            break;
        }
        n++;
    }
    qrag_ws_batch_end(t);
    return n;
}

static int32_t submit(struct sagemaker *sm, void *bound, pbay_call call, const pbay_batch *in,
                      pbay_result *why)
{
    struct ws_function *fn = bound;
    struct ws_job *first = NULL, **last = &first;
    if (in->n_cols == 0)
        return sagemaker_refuse(sm, why, PBAY_INVALID_ARGUMENT, "%s: there is no column to send", fn->who);
    struct ws_call *c = calloc(1, sizeof *c);
    if (!c) abort();
    for (uint32_t at = 0; at < in->n_rows;) {
        struct ws_job *job = calloc(1, sizeof *job);
        if (!job) abort();
        job->call = c;
        job->from = at;
        job->n = make_message(fn, &job->message, in, at);
        *last = job;
        last = &job->next;
        at += job->n;
        c->open++;
        if (job->n) continue;
        for (struct ws_job *next; first; first = next) {
            next = first->next;
            job_free(first);
        }
        free(c);
        return sagemaker_refuse(
            sm, why, PBAY_INVALID_ARGUMENT,
            "%s: row %u makes a message of more than %d bytes, which API Gateway does not take", fn->who,
            (unsigned)at + 1, MESSAGE_MAX);
    }
    c->fn = fn;
    c->call = call;
    c->in = in;
    c->answers = calloc(in->n_rows, sizeof *c->answers);
    c->nulls = calloc(in->n_rows, 1);
    if (!c->answers || !c->nulls) abort();
    c->next = fn->calls;
    fn->calls = c;
    *fn->last = first;
    fn->last = last;
    pump(fn);
    return PBAY_OK;
}

static void cancel(struct sagemaker *sm, void *bound, pbay_call call)
{
    struct ws_function *fn = bound;
    (void)sm;
    for (struct ws_call *c = fn->calls; c; c = c->next)
        if (c->call == call) {
            call_fail(c, PBAY_CANCELLED, PBAY_ADVICE_NONE, "cancelled");
            return;
        }
}

const struct operation ws_single_operation = {
    .bind = bind_single, .unbind = unbind, .lane = lane, .submit = submit, .cancel = cancel};
const struct operation ws_batch_operation = {
    .bind = bind_batch, .unbind = unbind, .lane = lane, .submit = submit, .cancel = cancel};
