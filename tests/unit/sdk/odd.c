/* SPDX-License-Identifier: MIT */
#include "sdk/odd.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <patchbay/actions.h>
#include <patchbay/commands.h>
#include <patchbay/events.h>
#include <patchbay/functions.h>
#include <patchbay/health.h>
#include <patchbay/host_call.h>
#include <patchbay/host_event.h>
#include <patchbay/host_http.h>
#include <patchbay/host_invoke.h>
#include <patchbay/host_job.h>
#include <patchbay/host_limit.h>
#include <patchbay/host_log.h>
#include <patchbay/host_metric.h>
#include <patchbay/host_secret.h>
#include <patchbay/host_stream.h>
#include <patchbay/host_timer.h>
#include <patchbay/host_work.h>
#include <patchbay/host_ws.h>
#include <patchbay/routes.h>
#include <patchbay/secrets.h>

struct odd {
    const pbay_host *host;
    const pbay_config *config;
    const pbay_batch_1 *batch;
    const pbay_call_1 *call;
    const pbay_http_1 *http;
    char how[32];
    pbay_call kept;
    pbay_builder *builder;
    uint64_t handle;
    pbay_request request;
    pbay_metric seen;
};

static const pbay_result fine = PBAY_RESULT_OK;

static pbay_str text(const char *s)
{
    return (pbay_str){s, strlen(s)};
}

static int is(const struct odd *o, const char *how)
{
    return !strcmp(o->how, how);
}

static const void *service(const struct odd *o, const char *id)
{
    return o->host->service(o->host, id);
}

static pbay_builder *rows(const struct odd *o, uint32_t n, const char *cell)
{
    pbay_builder *b = o->batch->create(o->host);
    o->batch->add_column(b, text("answer"), PBAY_STR);
    for (uint32_t i = 0; i < n; i++) o->batch->text(b, 0, text(cell));
    return b;
}

static void answer(struct odd *o, const char *cell)
{
    o->call->complete(o->kept, &fine, rows(o, 1, cell));
}

/* ------------------------------------------------------------------------------------------------ outside */

static void on_http(void *user, pbay_http exchange, const pbay_http_reply *reply)
{
    struct odd *o = user;
    char said[64];
    (void)exchange;
    snprintf(said, sizeof said, "%d %.*s", reply->result.code ? -reply->result.code : reply->status,
             (int)reply->body.n, reply->body.n ? reply->body.p : "");
    answer(o, said);
}

static void on_piece(void *user, pbay_http exchange, pbay_str piece)
{
    struct odd *o = user;
    o->handle += piece.n;
    o->http->credit(exchange, piece.n);
}

static void on_streamed(void *user, pbay_http exchange, const pbay_http_reply *reply)
{
    struct odd *o = user;
    char said[64];
    (void)exchange;
    snprintf(said, sizeof said, "%d after %d", reply->status, (int)o->handle);
    answer(o, said);
}

static void ask(struct odd *o, const char *url)
{
    const int streamed = is(o, "streamed");
    const pbay_http_events events = {.struct_size = sizeof events,
                                     .on_data = streamed ? on_piece : NULL,
                                     .on_done = streamed ? on_streamed : on_http};
    pbay_http_request rq = {.struct_size = sizeof rq,
                            .flags = streamed ? PBAY_HTTP_STREAM_REPLY | PBAY_HTTP_STREAM_BODY : 0,
                            .method = text("POST"),
                            .url = text(url),
                            .body = text("whole"),
                            .body_length = -1};
    pbay_result why = PBAY_RESULT_OK;
    static char body[8];
    memcpy(body, "whole", 6);
    if (is(o, "hasty")) rq.body = text(body);
    if (is(o, "sizeless")) rq.struct_size = sizeof(void *);
    const pbay_http x = o->http->send(o->host, &rq, &events, o, &why);
    if (is(o, "hasty")) memset(body, '?', 5); /* as whoever uses the memory next does */
    if (!x) {
        o->call->complete(o->kept, &why, NULL);
    } else if (streamed) {
        o->http->write(x, text("in "));
        o->http->write(x, text("pieces"));
        o->http->finish(x);
    }
}

static void ws_opened(void *user, pbay_ws ws, pbay_str protocol)
{
    struct odd *o = user;
    (void)protocol;
    ((const pbay_ws_1 *)service(o, PBAY_SVC_WS))->send(ws, PBAY_WS_TEXT, text("hello"));
}

static void ws_message(void *user, pbay_ws ws, uint32_t type, pbay_str message)
{
    struct odd *o = user;
    char said[64];
    (void)type;
    snprintf(said, sizeof said, "%.*s", (int)message.n, message.p);
    ((const pbay_ws_1 *)service(o, PBAY_SVC_WS))->close(ws, 1000, text(""));
    answer(o, said);
}

static void ws_closed(void *user, pbay_ws ws, uint32_t code, pbay_str reason, const pbay_result *result)
{
    (void)ws, (void)code, (void)reason;
    if (result->code) answer(user, "lost");
}

static void s_opened(void *user, pbay_stream s)
{
    ((const pbay_stream_1 *)service(user, PBAY_SVC_STREAM))->write(s, text("ping"));
}

static void s_data(void *user, pbay_stream s, pbay_str piece)
{
    struct odd *o = user;
    const pbay_stream_1 *stream = service(o, PBAY_SVC_STREAM);
    char said[64];
    snprintf(said, sizeof said, "%.*s", (int)piece.n, piece.p);
    stream->credit(s, piece.n);
    stream->close(s);
    answer(o, said);
}

static void s_closed(void *user, pbay_stream s, const pbay_result *result)
{
    (void)user, (void)s, (void)result;
}

static void connect_to(struct odd *o)
{
    pbay_result why = PBAY_RESULT_OK;
    if (is(o, "ws")) {
        const pbay_ws_events events = {sizeof events, 0, ws_opened, ws_message, NULL, ws_closed};
        const pbay_ws_open_info info = {.struct_size = sizeof info, .url = text("wss://engine.example/app")};
        ((const pbay_ws_1 *)service(o, PBAY_SVC_WS))->open(o->host, &info, &events, o, &why);
    } else {
        const pbay_stream_events events = {sizeof events, 0, s_opened, s_data, NULL, NULL, s_closed};
        const pbay_stream_open_info info = {
            .struct_size = sizeof info, .flags = PBAY_STREAM_TLS, .host = text("db.example"), .port = 99};
        ((const pbay_stream_1 *)service(o, PBAY_SVC_STREAM))->open(o->host, &info, &events, o, &why);
    }
}

static void invoked_rows(void *user, pbay_invoke call, const pbay_batch *got)
{
    struct odd *o = user;
    (void)call;
    o->handle = (uint64_t)pbay_batch_col(got, 0)->num[0];
}

static void invoked_done(void *user, pbay_invoke call, const pbay_result *result, pbay_str json)
{
    struct odd *o = user;
    char said[64];
    (void)call;
    snprintf(said, sizeof said, "%d %d %.*s", result->code, (int)o->handle, (int)json.n,
             json.n ? json.p : "");
    answer(o, said);
}

static void invoke(struct odd *o, const pbay_batch *in)
{
    static const pbay_invoke_events heard = {sizeof heard, 0, NULL, NULL, invoked_rows, invoked_done};
    const pbay_invoke_1 *service_invoke = service(o, PBAY_SVC_INVOKE);
    const pbay_header option = {text("limit"), text("3")};
    const int action = is(o, "invoke_action");
    const pbay_invoke_info info = {.struct_size = sizeof info,
                                   .kind = action ? PBAY_INVOKE_ACTION : PBAY_INVOKE_FUNCTION,
                                   .target = text(action ? "other.start" : "score"),
                                   .options = &option,
                                   .n_options = 1,
                                   .parent_call = o->kept};
    pbay_result why = PBAY_RESULT_OK;
    const pbay_invoke call =
        service_invoke->open(o->host, &info, text(action ? "{\"a\": 1}" : ""), &heard, o, &why);
    if (!call) {
        o->call->complete(o->kept, &why, NULL);
    } else if (!action) {
        service_invoke->push(call, in);
        service_invoke->end(call);
    }
}

static void in_work(void *user, uint32_t slot)
{
    struct odd *o = user;
    (void)slot;
    if (is(o, "thread")) answer(o, "from work");
}

static void after_work(void *user, int cancelled)
{
    if (!cancelled) answer(user, "worked");
}

static void later(void *user)
{
    answer(user, "later");
}

static void taken(void *user, const pbay_result *result, int64_t after_ms)
{
    char said[64];
    snprintf(said, sizeof said, "%d %d", result->code, (int)after_ms);
    answer(user, said);
}

/* ------------------------------------------------------------------------------------------------ functions
 */

static int32_t submit(void *self, void *bound, pbay_call call, const pbay_batch *in, pbay_result *why)
{
    struct odd *o = self;
    const pbay_metric_1 *metric = service(o, PBAY_SVC_METRIC);
    (void)bound;
    o->kept = call;
    metric->add(o->host, o->seen, in->n_rows);
    if (is(o, "never")) return PBAY_OK;
    if (is(o, "crash")) *(volatile int *)(uintptr_t)64 = 1;
    if (is(o, "mute")) return PBAY_UNAVAILABLE;
    if (is(o, "another type")) {
        if (o->host->get_num(o->config, "how") != 0 || o->host->get_int(o->config, "key") ||
            o->host->count(o->config, "timeout"))
            return pbay_fail(why, PBAY_INTERNAL, "something was read");
        answer(o, "x");
        return PBAY_OK;
    }
    if (is(o, "another name")) {
        answer(o, o->host->is_set(o->config, "who") || o->host->get_str(o->config, "who").n ? "read" : "x");
        return PBAY_OK;
    }
    if (is(o, "refused")) {
        why->message = text("not today");
        return PBAY_UNAVAILABLE;
    }
    if (is(o, "twice")) answer(o, "x");
    if (is(o, "leaks")) o->builder = rows(o, 1, "kept");
    if (is(o, "freed")) {
        pbay_builder *b = rows(o, 1, "x");
        o->batch->free(b);
        o->call->complete(call, &fine, b);
        return PBAY_OK;
    }
    if (is(o, "http") || is(o, "streamed") || is(o, "hasty") || is(o, "sizeless")) {
        ask(o, "https://api.example/do");
    } else if (is(o, "plain")) {
        ask(o, "http://api.example/do");
    } else if (is(o, "ws") || is(o, "stream")) {
        connect_to(o);
    } else if (is(o, "thread") || is(o, "work")) {
        ((const pbay_work_1 *)service(o, PBAY_SVC_WORK))->submit(o->host, in_work, after_work, o);
    } else if (is(o, "invoke") || is(o, "invoke_action")) {
        invoke(o, in);
    } else if (is(o, "timer")) {
        ((const pbay_timer_1 *)service(o, PBAY_SVC_TIMER))->start(o->host, 3600000, 0, later, o);
    } else if (is(o, "limit")) {
        ((const pbay_limit_1 *)service(o, PBAY_SVC_LIMIT))->take(o->host, text("w"), 1, 2, 60000, taken, o);
    } else if (is(o, "who")) {
        char said[64];
        const pbay_identity *who = o->call->identity(call);
        snprintf(said, sizeof said, "%.*s", (int)who->user.n, who->user.p);
        answer(o, said);
    } else {
        o->call->complete(call, &fine, rows(o, is(o, "rows") ? in->n_rows + 1 : in->n_rows, "x"));
    }
    return PBAY_OK;
}

static const pbay_operation operations[] = {{"do", "Does it.", PBAY_SHAPE_MAP, 0, {NULL, 0, 0}}};
static const pbay_functions_1 functions = {.struct_size = sizeof functions,
                                           .n_operations = 1,
                                           .operations = operations,
                                           .operation_stride = sizeof(pbay_operation),
                                           .submit = submit};

/* ------------------------------------------------------------------------------------------------ actions */

static int32_t run(void *self, uint32_t action, pbay_action_run attempt, const pbay_action_info *info,
                   pbay_result *why)
{
    const struct odd *o = self;
    const pbay_action_1 *a = service(o, PBAY_SVC_ACTION);
    (void)action, (void)info, (void)why;
    if (is(o, "never")) return PBAY_OK;
    if (is(o, "twice")) a->done(attempt, text("1"));
    if (is(o, "json"))
        a->done(attempt, text("{not json"));
    else
        a->started(attempt, text("handle-1"), 2000);
    return PBAY_OK;
}

static int32_t poll_action(void *self, uint32_t action, pbay_action_run attempt, const pbay_action_info *info,
                           pbay_result *why)
{
    (void)action, (void)why;
    char said[64];
    snprintf(said, sizeof said, "\"%.*s is done\"", (int)info->handle.n, info->handle.p);
    ((const pbay_action_1 *)service(self, PBAY_SVC_ACTION))->done(attempt, text(said));
    return PBAY_OK;
}

static int32_t lookup(void *self, uint32_t action, pbay_action_run attempt, const pbay_action_info *info,
                      pbay_result *why)
{
    const pbay_result r = {.struct_size = sizeof r, .code = PBAY_NOT_FOUND, .message = {"it was not", 10}};
    (void)action, (void)info, (void)why;
    ((const pbay_action_1 *)service(self, PBAY_SVC_ACTION))->failed(attempt, &r);
    return PBAY_OK;
}

static const pbay_action action_list[] = {
    {"start", "Starts.", PBAY_REPEAT_CHECK, PBAY_ACTF_MORE, {NULL, 0, 0}}};
static const pbay_actions_1 actions = {.struct_size = sizeof actions,
                                       .n_actions = 1,
                                       .actions = action_list,
                                       .action_stride = sizeof(pbay_action),
                                       .run = run,
                                       .poll = poll_action,
                                       .lookup = lookup};

/* ------------------------------------------------------------------------------------------------ the rest
 */

static void poll_source(void *self, uint32_t source, pbay_poll poll, pbay_str cursor)
{
    const struct odd *o = self;
    const pbay_str key = text("e1");
    const pbay_event e = {.struct_size = sizeof e,
                          .n_keys = is(o, "keyless") ? 0 : 1,
                          .keys = &key,
                          .type = text("seen"),
                          .time_ms = 5,
                          .data = text("{}")};
    (void)source, (void)cursor;
    if (is(o, "never")) return;
    ((const pbay_event_1 *)service(o, PBAY_SVC_EVENT))->polled(poll, &fine, &e, 1, text("after e1"), 0);
}

static const pbay_source sources[] = {{"things", "What happens.", 60000, 0, 0}};
static const pbay_events_1 events = {sizeof events, 1, sources, sizeof(pbay_source), 0, poll_source, NULL};

static void handle(void *self, uint32_t route, pbay_request request, const pbay_request_info *info)
{
    struct odd *o = self;
    const pbay_request_1 *r = service(o, PBAY_SVC_REQUEST);
    const pbay_header header = {text("Content-Type"), text("text/plain")};
    (void)route;
    if (is(o, "never")) return;
    if (is(o, "early")) ((const pbay_timer_1 *)service(o, PBAY_SVC_TIMER))->start(o->host, 1, 0, later, o);
    if (!info->principal.n && r->accept(request, text("me"))) return;
    r->respond(request, 201, &header, 1, info->body);
    if (is(o, "twice")) r->respond(request, 201, &header, 1, info->body);
}

static const pbay_route routes_list[] = {{"POST", "/hook", "Takes.", PBAY_AUTH_OWN, PBAY_BODY_RAW, 100},
                                         {"GET|PUT", "/files/*", "Shows.", PBAY_AUTH_HOST, PBAY_BODY_RAW, 0}};
static const pbay_routes_1 routes = {sizeof routes, 2, routes_list, sizeof(pbay_route), 0, handle, NULL};

static void command(void *self, uint32_t index, pbay_command_run r, const pbay_config *arguments)
{
    const struct odd *o = self;
    const pbay_command_1 *c = service(o, PBAY_SVC_COMMAND);
    const pbay_result bad = {.struct_size = sizeof bad, .code = PBAY_NOT_FOUND, .message = {"nobody", 6}};
    (void)index;
    c->print(r, text("looking for "));
    c->print(r, o->host->get_str(arguments, "who"));
    c->done(r, is(o, "nobody") ? &bad : &fine);
}

static const pbay_option command_options[] = {{"who", PBAY_OPT_STR, PBAY_OPTF_REQUIRED, NULL, NULL, "Whom."}};
static const pbay_command command_list[] = {
    {"look for", "Looks.", 0, 0, {command_options, 1, sizeof(pbay_option)}}};
static const pbay_commands_1 commands = {sizeof commands, 1,   command_list, sizeof(pbay_command), 0,
                                         command,         NULL};

static void resolve(void *self, uint32_t scheme, pbay_resolve question, pbay_str rest)
{
    const pbay_resolve_1 *r = service(self, PBAY_SVC_RESOLVE);
    char said[64];
    (void)scheme;
    if (is(self, "never")) return;
    snprintf(said, sizeof said, "the %.*s", (int)rest.n, rest.p);
    r->resolved(question, &fine, text(said), 60000);
}

static const char *const schemes[] = {"vault"};
static const pbay_secrets_1 secrets = {sizeof secrets, 1, schemes, resolve};

static uint32_t state(void *self, pbay_str *sentence)
{
    *sentence = text("a bit odd");
    return is(self, "health") ? 7 : PBAY_DEGRADED;
}

static const pbay_health_1 health = {sizeof health, 0, state};

static const void *extension(const char *id)
{
    static const struct {
        const char *id;
        const void *table;
    } all[] = {{PBAY_EXT_FUNCTIONS, &functions}, {PBAY_EXT_ACTIONS, &actions},   {PBAY_EXT_EVENTS, &events},
               {PBAY_EXT_ROUTES, &routes},       {PBAY_EXT_COMMANDS, &commands}, {PBAY_EXT_SECRETS, &secrets},
               {PBAY_EXT_HEALTH, &health}};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        if (!strcmp(id, all[i].id)) return all[i].table;
    return NULL;
}

static void resume(void *user, pbay_str id, pbay_str key, pbay_str input)
{
    struct odd *o = user;
    (void)key;
    if (!is(o, "never"))
        ((const pbay_job_1 *)service(o, PBAY_SVC_JOB))->finish(o->host, id, &fine, text("text/plain"), input);
}

static const pbay_job_runner runner = {sizeof runner, 0, resume, NULL};

static int32_t create(const pbay_host *host, const pbay_config *config, void **self, pbay_result *why)
{
    struct odd *o = calloc(1, sizeof *o);
    (void)why;
    if (!o) return PBAY_RESOURCE_EXHAUSTED;
    o->host = host;
    o->config = config;
    o->batch = host->service(host, PBAY_SVC_BATCH);
    o->call = host->service(host, PBAY_SVC_CALL);
    o->http = host->service(host, PBAY_SVC_HTTP);
    const pbay_str how = host->get_str(config, "how");
    snprintf(o->how, sizeof o->how, "%.*s", (int)how.n, how.p);
    const pbay_metric_1 *metric = service(o, PBAY_SVC_METRIC);
    const pbay_job_1 *job = service(o, PBAY_SVC_JOB);
    o->seen = metric->slot(host, PBAY_METRIC_COUNTER, "seen", "kind=\"row\"", "rows seen");
    job->on_resume(host, &runner, o);
    *self = o;
    return PBAY_OK;
}

static int32_t start(void *self, pbay_result *why)
{
    const struct odd *o = self;
    const pbay_header field = {text("how"), text(o->how)};
    ((const pbay_log_1 *)service(o, PBAY_SVC_LOG))
        ->write(o->host, PBAY_LOG_WARN, text("it begins"), &field, 1);
    if (is(o, "park"))
        ((const pbay_job_1 *)service(o, PBAY_SVC_JOB))
            ->park(o->host, text("batch 1"), text("input"), 0, NULL, NULL);
    if (is(o, "secret")) {
        const pbay_secret_1 *s = service(o, PBAY_SVC_SECRET);
        pbay_str value;
        if (s->get(o->host, "key", &value, why) || value.n != 6) return PBAY_INTERNAL;
        s->refused(o->host, "key");
    }
    return PBAY_OK;
}

static void destroy(void *self)
{
    free(self);
}

const pbay_entry *odd_entry(void)
{
    static const pbay_option options[] = {{"how", PBAY_OPT_STR, 0, "well", NULL, "What it does."},
                                          {"key", PBAY_OPT_STR, PBAY_OPTF_SECRET, NULL, NULL, "A secret."}};
    static const pbay_descriptor descriptor = {.struct_size = sizeof descriptor,
                                               .name = "odd",
                                               .version = "1.0.0",
                                               .vendor = "Patchbay",
                                               .license = "MIT",
                                               .summary = "Does what it is told",
                                               .options = {options, 2, sizeof(pbay_option)}};
    static const pbay_entry entry = {PBAY_MAGIC, sizeof entry, PBAY_ABI_MAJOR, PBAY_ABI_MINOR,
                                     0,          &descriptor,  create,         start,
                                     NULL,       destroy,      extension};
    return &entry;
}
