/* SPDX-License-Identifier: MIT */
/* What else the worker hands over: actions, polls, requests, commands, questions; and how they are answered.
 */
#include <string.h>

#include <patchbay/actions.h>
#include <patchbay/commands.h>
#include <patchbay/routes.h>
#include <patchbay/secrets.h>

#include "base/mem.h"
#include "plugin/inside_priv.h"

/* One of them, until it is answered. Texts stand in mem. */
struct given {
    uint64_t handle;
    uint32_t index; /* of the action, source, route, command or scheme */
    struct pb_arena mem;
    struct pbay_config *config; /* the arguments */
    pbay_action_info action;
    pbay_request_info request;
    struct pb_defer gone;
};

static struct pb_inside_table actions, polls, requests, commands, questions;

/* What the plugin was lent stays until it has returned, also when it has answered from inside. */
static void gone(void *user)
{
    struct given *g = user;
    pb_config_free(g->config);
    pb_arena_free(&g->mem);
    pb_free(g);
    pb_connector_ended(pb_inside.c);
}

static struct given *given_new(struct pb_inside_table *t, uint64_t handle, uint32_t index)
{
    struct given *g = pb_zalloc(sizeof *g);
    g->handle = handle;
    g->index = index;
    pb_inside_set(t, handle, g);
    pb_connector_began(pb_inside.c);
    return g;
}

static void given_free(struct pb_inside_table *t, struct given *g)
{
    pb_inside_set(t, g->handle, NULL);
    g->gone = pb_defer_make(gone, g);
    pb_loop_defer(pb_inside.loop, &g->gone);
}

/* ------------------------------------------------------------------------------------------------ actions */

static void act(uint64_t handle, struct pb_in *in)
{
    static const char *const names[] = {"action", "action poll", "action lookup"};
    const struct pb_plugin *p = pb_inside.plugin;
    const pbay_actions_1 *t = &p->actions;
    int32_t (*const fns[])(void *, uint32_t, pbay_action_run, const pbay_action_info *,
                           pbay_result *) = {t->run, t->poll, t->lookup};
    uint32_t what = pb_in_u32(in), index = pb_in_u32(in);
    if (in->bad || what >= PB_COUNTOF(fns) || !fns[what] || !p->has_actions || index >= t->n_actions) return;
    struct given *g = given_new(&actions, handle, index);
    pbay_action_info *info = &g->action;
    info->struct_size = sizeof *info;
    info->attempt = pb_in_u32(in);
    info->fence = pb_in_u64(in);
    info->key = pb_arena_str(&g->mem, pb_in_str(in));
    info->json = pb_arena_str(&g->mem, pb_in_str(in));
    info->first_attempt_ms = pb_in_i64(in);
    info->deadline = pb_in_i64(in);
    info->handle = pb_arena_str(&g->mem, pb_in_str(in));
    info->traceparent = pb_arena_str(&g->mem, pb_in_str(in));
    const pbay_action *a = &p->action_table[index];
    struct pb_err err = {0};
    pbay_result why = PBAY_RESULT_OK;
    int32_t code;
    char *file = pb_sprintf("arguments of %s.%s", pb_inside.c->name, a->name);
    if (pb_config_from_json(file, info->json, &a->arguments, a->flags & PBAY_ACTF_MORE, &g->config, &err)) {
        why = pb_err_result(&err);
        code = err.code;
    } else {
        struct pb_visit v;
        info->arguments = g->config;
        pb_visit_enter(&v, pb_inside.c, names[what], a->name);
        pb_current.trace = info->traceparent;
        code = fns[what](pb_inside.c->self, index, handle, info, &why);
        pb_visit_leave(&v);
    }
    pb_free(file);
    if (code == PBAY_OK) return;
    /* Refused, which for the worker is an answer like others. */
    why.code = pb_plugin_code(code);
    if (pb_inside_get(&actions, handle))
        pb_inside_action.failed(handle, &why);
    else
        pb_connector_fault(pb_inside.c, "an action was answered and refused", a->name);
}

/* The attempt that is answered now; its message has begun. NULL: it is over. */
static struct pb_buf *action_over(pbay_action_run run, uint32_t type, const char *what)
{
    struct given *g = pb_inside_find(&actions, run, "an action that is over was answered", what);
    if (!g) return NULL;
    given_free(&actions, g);
    return pb_inside_begin(type, run);
}

static void action_done(pbay_action_run run, pbay_str json)
{
    struct pb_buf *m = action_over(run, PB_APART_ACTION_DONE, "done");
    if (!m) return;
    pb_put_str(m, json);
    pb_inside_commit();
}

static void action_started(pbay_action_run run, pbay_str handle, int64_t poll_after_ms)
{
    struct pb_buf *m = action_over(run, PB_APART_ACTION_STARTED, "started");
    if (!m) return;
    pb_put_str(m, handle);
    pb_put_i64(m, poll_after_ms);
    pb_inside_commit();
}

static void action_failed(pbay_action_run run, const pbay_result *result)
{
    struct pb_err err;
    pb_plugin_why(&err, result ? result->code : PBAY_UNKNOWN, result, "the action");
    struct pb_buf *m = action_over(run, PB_APART_ACTION_FAILED, "failed");
    if (!m) return;
    pb_put_err(m, &err);
    pb_inside_commit();
}

const pbay_action_1 pb_inside_action = {
    .struct_size = sizeof(pbay_action_1),
    .done = action_done,
    .started = action_started,
    .failed = action_failed,
};

/* ------------------------------------------------------------------------------------------------ sources */

static void poll(uint64_t handle, struct pb_in *in)
{
    const struct pb_plugin *p = pb_inside.plugin;
    uint32_t source = pb_in_u32(in);
    pbay_str cursor = pb_in_str(in);
    if (in->bad || !p->has_events || source >= p->events.n_sources) return;
    struct given *g = given_new(&polls, handle, source);
    struct pb_visit v;
    cursor = pb_arena_str(&g->mem, cursor);
    pb_visit_enter(&v, pb_inside.c, "poll", p->source_table[source].name);
    p->events.poll(pb_inside.c->self, source, handle, cursor);
    pb_visit_leave(&v);
}

void pb_inside_polled(uint64_t poll, const pbay_result *result, const pbay_event *events, uint32_t n,
                      pbay_str cursor, int again)
{
    struct given *g = pb_inside_find(&polls, poll, "a poll that is over was answered", NULL);
    if (!g) return;
    struct pb_buf *m = pb_inside_begin(PB_APART_POLLED, poll);
    pb_put_result(m, result);
    pb_put_events(m, events, n);
    pb_put_str(m, cursor);
    pb_put_u32(m, again != 0);
    pb_inside_commit();
    given_free(&polls, g);
}

/* ----------------------------------------------------------------------------------------------- requests */

static void request(uint64_t handle, struct pb_in *in)
{
    const struct pb_plugin *p = pb_inside.plugin;
    uint32_t route = pb_in_u32(in), unproven = pb_in_u32(in), n;
    if (in->bad || !p->has_routes || route >= p->routes.n_routes) return;
    struct given *g = given_new(&requests, handle, route);
    pbay_request_info *r = &g->request;
    pbay_str *const texts[] = {&r->method, &r->target, &r->path,      &r->suffix,     &r->query,
                               &r->body,   &r->peer,   &r->principal, &r->traceparent};
    r->struct_size = sizeof *r;
    for (size_t i = 0; i < PB_COUNTOF(texts); i++) *texts[i] = pb_arena_str(&g->mem, pb_in_str(in));
    r->deadline = pb_in_i64(in);
    const pbay_header *headers = pb_in_headers(in, &g->mem, &n);
    pbay_header *own = pb_arena_alloc(&g->mem, (n + (size_t)1) * sizeof *own);
    for (uint32_t i = 0; i < n; i++)
        own[i] =
            (pbay_header){pb_arena_str(&g->mem, headers[i].name), pb_arena_str(&g->mem, headers[i].value)};
    r->headers = own;
    r->n_headers = n;
    pb_connector_request(pb_inside.c, route, handle, r, unproven);
}

static int32_t request_accept(pbay_request handle, pbay_str principal)
{
    struct given *g = pb_inside_find(&requests, handle, "a request that is over was used", "accept");
    if (!g) return PBAY_NOT_FOUND;
    g->request.principal = pb_arena_str(&g->mem, principal);
    struct pb_buf *m = pb_inside_question(PB_APART_ACCEPT);
    pb_put_u64(m, handle);
    pb_put_str(m, principal);
    struct pb_in in = pb_inside_ask();
    int32_t code = pb_in_i32(&in);
    if (code == PBAY_OK) pb_connector_proven(pb_inside.c);
    return code;
}

static void request_respond(pbay_request handle, int32_t status, const pbay_header *headers, uint32_t n,
                            pbay_str body)
{
    struct given *g = pb_inside_find(&requests, handle, "a request that is over was used", "respond");
    if (!g) return;
    struct pb_buf *m = pb_inside_begin(PB_APART_RESPOND, handle);
    pb_put_i32(m, status);
    pb_put_headers(m, headers, n);
    pb_put_str(m, body);
    pb_inside_commit();
    given_free(&requests, g);
}

const pbay_request_1 pb_inside_request = {
    .struct_size = sizeof(pbay_request_1), .accept = request_accept, .respond = request_respond};

/* ----------------------------------------------------------------------------------------------- commands */

static void command(uint64_t handle, struct pb_in *in)
{
    const struct pb_plugin *p = pb_inside.plugin;
    struct pb_err err;
    uint32_t index = pb_in_u32(in);
    if (in->bad || !p->has_commands || index >= p->commands.n_commands) return;
    struct given *g = given_new(&commands, handle, index);
    const pbay_option_table *table = &p->command_table[index].arguments;
    if (pb_in_config(in, &table, 1, &g->config, &err)) {
        pbay_result r = pb_err_result(&err);
        pb_inside_command.done(handle, &r);
        return;
    }
    struct pb_visit v;
    pb_visit_enter(&v, pb_inside.c, "command", p->command_table[index].verb);
    p->commands.run(pb_inside.c->self, index, handle, g->config);
    pb_visit_leave(&v);
}

static struct given *command_of(pbay_command_run run, const char *what)
{
    return pb_inside_find(&commands, run, "a command that has ended was used", what);
}

static void command_print(pbay_command_run run, pbay_str text)
{
    if (!command_of(run, "print")) return;
    pb_put_str(pb_inside_begin(PB_APART_COMMAND_PRINT, run), text);
    pb_inside_commit();
}

static void command_progress(pbay_command_run run, uint64_t done, uint64_t total, pbay_str what)
{
    if (!command_of(run, "progress")) return;
    struct pb_buf *m = pb_inside_begin(PB_APART_COMMAND_PROGRESS, run);
    pb_put_u64(m, done);
    pb_put_u64(m, total);
    pb_put_str(m, what);
    pb_inside_commit();
}

static void command_done(pbay_command_run run, const pbay_result *result)
{
    struct given *g = command_of(run, "done");
    if (!g) return;
    pb_put_result(pb_inside_begin(PB_APART_COMMAND_DONE, run), result);
    pb_inside_commit();
    given_free(&commands, g);
}

const pbay_command_1 pb_inside_command = {
    .struct_size = sizeof(pbay_command_1),
    .print = command_print,
    .progress = command_progress,
    .done = command_done,
};

/* ---------------------------------------------------------------------------------------------- questions */

static void resolve(uint64_t handle, struct pb_in *in)
{
    const struct pb_plugin *p = pb_inside.plugin;
    uint32_t scheme = pb_in_u32(in);
    pbay_str rest = pb_in_str(in);
    if (in->bad || !p->has_secrets || scheme >= p->secrets.n_schemes) return;
    struct given *g = given_new(&questions, handle, scheme);
    struct pb_visit v;
    rest = pb_arena_str(&g->mem, rest);
    pb_visit_enter(&v, pb_inside.c, "secrets", NULL);
    p->secrets.resolve(pb_inside.c->self, scheme, handle, rest);
    pb_visit_leave(&v);
}

static void resolved(pbay_resolve question, const pbay_result *result, pbay_str value, int64_t ttl_ms)
{
    struct given *g = pb_inside_find(&questions, question, "a question that is answered was answered", NULL);
    if (!g) return;
    struct pb_buf *m = pb_inside_begin(PB_APART_RESOLVED, question);
    pb_put_result(m, result);
    pb_put_str(m, value);
    pb_put_i64(m, ttl_ms);
    pb_inside_commit();
    given_free(&questions, g);
}

const pbay_resolve_1 pb_inside_resolve = {.struct_size = sizeof(pbay_resolve_1), .resolved = resolved};

/* ------------------------------------------------------------------------------------------------ all */

/* Advice that nobody waits any more. */
static void cancel(uint32_t type, uint64_t handle)
{
    const struct pb_plugin *p = pb_inside.plugin;
    const struct {
        uint32_t type;
        struct pb_inside_table *table;
        void (*fn)(void *self, uint32_t index, uint64_t handle);
        const char *what;
    } all[] = {
        {PB_APART_ACTION_CANCEL, &actions, p->actions.cancel, "action cancel"},
        {PB_APART_POLL_CANCEL, &polls, p->events.cancel, "poll cancel"},
        {PB_APART_REQUEST_CANCEL, &requests, p->routes.cancel, "route cancel"},
        {PB_APART_COMMAND_CANCEL, &commands, p->commands.cancel, "command cancel"},
    };
    for (size_t i = 0; i < PB_COUNTOF(all); i++) {
        const struct given *g = all[i].type == type ? pb_inside_get(all[i].table, handle) : NULL;
        if (!g || !all[i].fn) continue;
        struct pb_visit v;
        pb_visit_enter(&v, pb_inside.c, all[i].what, NULL);
        all[i].fn(pb_inside.c->self, g->index, handle);
        pb_visit_leave(&v);
    }
}

bool pb_inside_given(uint32_t type, uint64_t handle, struct pb_in *in)
{
    switch (type) {
    case PB_APART_ACTION: act(handle, in); return true;
    case PB_APART_POLL: poll(handle, in); return true;
    case PB_APART_REQUEST: request(handle, in); return true;
    case PB_APART_COMMAND: command(handle, in); return true;
    case PB_APART_RESOLVE: resolve(handle, in); return true;
    case PB_APART_ACTION_CANCEL:
    case PB_APART_POLL_CANCEL:
    case PB_APART_REQUEST_CANCEL:
    case PB_APART_COMMAND_CANCEL: cancel(type, handle); return true;
    default: return false;
    }
}
