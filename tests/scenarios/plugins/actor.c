/* SPDX-License-Identifier: MIT */
/*
 * A plugin whose actions do as their arguments say, with a source of events and routes that put events, park
 * and look: for tests of durable work. What it does in the outside world are lines of the file `log`.
 */
#define _POSIX_C_SOURCE 200809L
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <patchbay/actions.h>
#include <patchbay/events.h>
#include <patchbay/host_event.h>
#include <patchbay/host_invoke.h>
#include <patchbay/host_job.h>
#include <patchbay/host_limit.h>
#include <patchbay/host_timer.h>
#include <patchbay/routes.h>

#define STR(lit) ((pbay_str){(lit), sizeof(lit) - 1})
#define FMT(s)   (int)(s).n, (s).p

enum { ECHO, FAIL, SLOW, ONCE, NEVER };

struct actor {
    const pbay_host *host;
    const pbay_config *config;
    const pbay_action_1 *action;
    const pbay_event_1 *event;
    const pbay_invoke_1 *invoke;
    const pbay_job_1 *job;
    const pbay_limit_1 *limit;
    const pbay_timer_1 *timer;
    const pbay_request_1 *request;
};

static pbay_str str(const char *s)
{
    return (pbay_str){s, strlen(s)};
}

static void *zalloc(size_t n)
{
    void *p = calloc(1, n);
    if (!p) abort();
    return p;
}

/* One line in one write: several processes append. */
static void note(struct actor *a, const char *what, pbay_str key)
{
    char path[4096], line[600];
    pbay_str log = a->host->get_str(a->config, "log");
    if (!log.n) return;
    snprintf(path, sizeof path, "%.*s", FMT(log));
    int n = snprintf(line, sizeof line, "%s %.*s %d\n", what, FMT(key), (int)getpid());
    int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (fd < 0 || write(fd, line, (size_t)n) != n) abort();
    close(fd);
}

static int noted(struct actor *a, const char *what, pbay_str key)
{
    char path[4096], want[600], line[600];
    pbay_str log = a->host->get_str(a->config, "log");
    snprintf(path, sizeof path, "%.*s", FMT(log));
    snprintf(want, sizeof want, "%s %.*s ", what, FMT(key));
    FILE *f = fopen(path, "r");
    int found = 0;
    while (f && !found && fgets(line, sizeof line, f)) found = !strncmp(line, want, strlen(want));
    if (f) fclose(f);
    return found;
}

static pbay_result failure(int32_t code, uint32_t effect, const char *message)
{
    pbay_result r = PBAY_RESULT_OK;
    r.code = code;
    r.effect = effect;
    r.message = str(message);
    return r;
}

/* ------------------------------------------------------------------------ actions */

struct later {
    struct actor *a;
    pbay_action_run run;
    char *key, *json;
};

static struct later *held; /* by `never` */

static void echo_now(void *user)
{
    struct later *l = user;
    note(l->a, "end", str(l->key));
    l->a->action->done(l->run, str(l->json));
    free(l->key);
    free(l->json);
    free(l);
}

static char *copy(pbay_str s)
{
    char *c = zalloc(s.n + 1);
    if (s.n) memcpy(c, s.p, s.n);
    return c;
}

static int32_t run(void *self, uint32_t action, pbay_action_run run, const pbay_action_info *info,
                   pbay_result *why)
{
    struct actor *a = self;
    const pbay_config *args = info->arguments;
    const pbay_host *h = a->host;
    note(a, "run", info->key);
    switch (action) {
    case ECHO: {
        struct later *l = zalloc(sizeof *l);
        *l = (struct later){a, run, copy(info->key), copy(info->json)};
        int64_t ms = h->get_int(args, "delay");
        if (ms)
            a->timer->start(h, ms, 0, echo_now, l);
        else
            echo_now(l);
        return PBAY_OK;
    }
    case FAIL: {
        int32_t code = (int32_t)h->get_int(args, "Code");
        if ((int64_t)info->attempt > h->get_int(args, "times")) {
            a->action->done(run, STR("\"at last\""));
            return PBAY_OK;
        }
        pbay_result r = failure(code, (uint32_t)h->get_int(args, "effect"), "as you wanted");
        r.vendor_status = 418;
        if (h->get_int(args, "refuse")) {
            *why = r;
            return code;
        }
        a->action->failed(run, &r);
        return PBAY_OK;
    }
    case SLOW: {
        char handle[64];
        snprintf(handle, sizeof handle, "%lld", (long long)h->get_int(args, "polls"));
        a->action->started(run, str(handle), 10);
        return PBAY_OK;
    }
    case ONCE: {
        pbay_result r = failure(PBAY_UNAVAILABLE, PBAY_EFFECT_MAYBE, "the answer was lost");
        int lost = h->get_int(args, "lose_before") && info->attempt == 1;
        if (!lost) note(a, "did", info->key);
        if (h->get_int(args, "lose") || lost)
            a->action->failed(run, &r);
        else
            a->action->done(run, STR("{\"did\":true}"));
        return PBAY_OK;
    }
    default: {
        held = zalloc(sizeof *held);
        *held = (struct later){a, run, NULL, NULL};
        return PBAY_OK;
    }
    }
}

static int32_t poll_action(void *self, uint32_t action, pbay_action_run run, const pbay_action_info *info,
                           pbay_result *why)
{
    struct actor *a = self;
    char handle[64];
    (void)action;
    (void)why;
    snprintf(handle, sizeof handle, "%.*s", FMT(info->handle));
    long left = atol(handle);
    note(a, "poll", info->key);
    snprintf(handle, sizeof handle, "%ld", left - 1);
    if (left > 0)
        a->action->started(run, str(handle), 10);
    else
        a->action->done(run, STR("{\"polled\":true}"));
    return PBAY_OK;
}

static int32_t lookup(void *self, uint32_t action, pbay_action_run run, const pbay_action_info *info,
                      pbay_result *why)
{
    struct actor *a = self;
    (void)action;
    (void)why;
    note(a, "lookup", info->key);
    pbay_result not_done = failure(PBAY_NOT_FOUND, 0, "it was not done"),
                unknown = failure(PBAY_UNKNOWN, 0, "nobody can tell");
    if (a->host->get_int(info->arguments, "blind"))
        a->action->failed(run, &unknown);
    else if (noted(a, "did", info->key))
        a->action->done(run, STR("{\"looked\":true}"));
    else
        a->action->failed(run, &not_done);
    return PBAY_OK;
}

static void cancel(void *self, uint32_t action, pbay_action_run run)
{
    struct actor *a = self;
    (void)action;
    if (!held || held->run != run) return;
    free(held);
    held = NULL;
    pbay_result r = failure(PBAY_CANCELLED, 0, "as you like");
    a->action->failed(run, &r);
}

static const pbay_option echo_args[] = {
    {"value", PBAY_OPT_STR, 0, NULL, NULL, "Anything."},
    {"delay", PBAY_OPT_DURATION, 0, "0", NULL, "Before it is done."},
    {"list", PBAY_OPT_LIST, 0, NULL, NULL, "Texts."},
    {"Tags", PBAY_OPT_FAMILY, 0, NULL, NULL, "Texts by name."},
};
static const pbay_option fail_args[] = {
    {"Code", PBAY_OPT_INT, PBAY_OPTF_REQUIRED, NULL, "1..16", "Of the failure."},
    {"effect", PBAY_OPT_INT, 0, "0", "0..2", "Of the failure."},
    {"times", PBAY_OPT_INT, 0, "1000", NULL, "How often; then it is done."},
    {"refuse", PBAY_OPT_BOOL, 0, "no", NULL, "At once."},
};
static const pbay_option slow_args[] = {
    {"polls", PBAY_OPT_INT, 0, "2", NULL, "How often it is not done yet."}};
static const pbay_option once_args[] = {
    {"lose", PBAY_OPT_BOOL, 0, "no", NULL, "Do it and lose the answer."},
    {"lose_before", PBAY_OPT_BOOL, 0, "no", NULL, "Lose the first request."},
    {"blind", PBAY_OPT_BOOL, 0, "no", NULL, "Nobody can tell."},
};
#define TABLE(list)                                                                                          \
    {                                                                                                        \
        list, sizeof list / sizeof *list, sizeof *list                                                       \
    }
static const pbay_action actions[] = {
    {"echo", "Answers its arguments.", PBAY_REPEAT_SAFE, 0, TABLE(echo_args)},
    {"fail", "Fails.", PBAY_REPEAT_SAFE, 0, TABLE(fail_args)},
    {"slow", "Has to be polled.", PBAY_REPEAT_KEYED, 0, TABLE(slow_args)},
    {"once", "Must not be done twice.", PBAY_REPEAT_CHECK, 0, TABLE(once_args)},
    {"never", "Never ends.", PBAY_REPEAT_SAFE, PBAY_ACTF_MORE, {NULL, 0, 0}},
};
static const pbay_actions_1 action_table = {.struct_size = sizeof action_table,
                                            .n_actions = sizeof actions / sizeof *actions,
                                            .actions = actions,
                                            .action_stride = sizeof *actions,
                                            .run = run,
                                            .poll = poll_action,
                                            .lookup = lookup,
                                            .cancel = cancel};

/* ------------------------------------------------------------------------ a source: two ticks a poll, up to
 * `ticks` */

static void poll_now(struct actor *a, pbay_poll id, pbay_str cursor)
{
    char at[32], keys[2][32];
    snprintf(at, sizeof at, "%.*s", FMT(cursor));
    long n = atol(at), most = (long)a->host->get_int(a->config, "ticks");
    pbay_event events[2];
    pbay_str key[2];
    uint32_t have = 0;
    for (; have < 2 && n < most; have++) {
        snprintf(keys[have], sizeof keys[have], "tick-%ld", ++n);
        key[have] = str(keys[have]);
        events[have] =
            (pbay_event){.struct_size = sizeof *events, .n_keys = 1, .keys = &key[have], .type = STR("tick")};
        events[have].subject = key[have];
    }
    snprintf(at, sizeof at, "%ld", n);
    const pbay_result ok = PBAY_RESULT_OK;
    note(a, "ticks", str(at));
    a->event->polled(id, &ok, events, have, str(at), have == 2);
}

struct slow_poll {
    struct actor *a;
    pbay_poll id;
    char *cursor;
};

static void poll_later(void *user)
{
    struct slow_poll *p = user;
    poll_now(p->a, p->id, str(p->cursor));
    free(p->cursor);
    free(p);
}

static void poll(void *self, uint32_t source, pbay_poll id, pbay_str cursor)
{
    struct actor *a = self;
    int64_t ms = a->host->get_int(a->config, "tick_delay");
    (void)source;
    if (!ms) {
        poll_now(a, id, cursor);
        return;
    }
    struct slow_poll *p = zalloc(sizeof *p);
    *p = (struct slow_poll){a, id, copy(cursor)};
    a->timer->start(a->host, ms, 0, poll_later, p);
}

static const pbay_source sources[] = {{"ticks", "Ticks.", 100, 0, 0}};
static const pbay_events_1 event_table = {.struct_size = sizeof event_table,
                                          .n_sources = 1,
                                          .sources = sources,
                                          .source_stride = sizeof *sources,
                                          .poll = poll};

/* ------------------------------------------------------------------------ routes */

struct ask {
    struct actor *a;
    pbay_request request;
    char *key, *id;
    int parking;
};

static void reply(struct ask *k, int32_t status, const char *text, int over)
{
    if (k->request) k->a->request->respond(k->request, status, NULL, 0, str(text));
    k->request = 0;
    if (!over) return;
    free(k->key);
    free(k->id);
    free(k);
}

static int32_t status_of(int32_t code)
{
    return code == PBAY_OK ? 200 : code == PBAY_NOT_FOUND ? 404 : code == PBAY_INVALID_ARGUMENT ? 400 : 503;
}

static void on_stored(void *user, const pbay_result *result, uint32_t n_new)
{
    char text[700];
    snprintf(text, sizeof text, "new=%u %.*s", n_new, FMT(result->message));
    reply(user, status_of(result->code), text, 1);
}

static void on_taken(void *user, const pbay_result *result, int64_t after_ms)
{
    char text[64];
    snprintf(text, sizeof text, "after=%lld", (long long)after_ms);
    reply(user, status_of(result->code), text, 1);
}

static void say_job(struct ask *k, const pbay_result *result, const pbay_job_state *job)
{
    static const char *const names[] = {"?", "waiting", "running", "done", "failed", "unknown", "cancelled"};
    char text[2000];
    if (result->code != PBAY_OK)
        snprintf(text, sizeof text, "%.*s", FMT(result->message));
    else
        snprintf(text, sizeof text, "%s known=%u id=%.*s type=%.*s result=%.*s error=%.*s", names[job->state],
                 job->known, FMT(job->id), FMT(job->content_type),
                 job->result.n > 1000 ? 1000 : (int)job->result.n, job->result.p, FMT(job->failure.message));
    int32_t status = status_of(result->code);
    reply(k, status == 200 && job->state < PBAY_JOB_DONE ? 202 : status, text, 0);
}

static void on_found(void *user, const pbay_result *result, const pbay_job_state *job)
{
    struct ask *k = user;
    say_job(k, result, job);
    reply(k, 0, "", 1);
}

static void on_invoked(void *user, pbay_invoke call, const pbay_result *result, pbay_str json)
{
    char text[2000];
    (void)call;
    snprintf(text, sizeof text, "code=%d %.*s%.*s", result->code, FMT(json), FMT(result->message));
    reply(user, status_of(result->code), text, 1);
}

static const pbay_invoke_events invoke_events = {.struct_size = sizeof invoke_events, .on_done = on_invoked};

/* What was parked is its key in capitals, after a while. */
static void finish(void *user)
{
    struct ask *k = user;
    const pbay_result ok = PBAY_RESULT_OK;
    for (char *c = k->key; *c; c++)
        if (*c >= 'a' && *c <= 'z') *c = (char)(*c - 'a' + 'A');
    note(k->a, "parked", str(k->key));
    k->a->job->finish(k->a->host, str(k->id), &ok, STR("text/plain"), str(k->key));
    reply(k, 0, "", 1);
}

static void on_parked(void *user, const pbay_result *result, const pbay_job_state *job)
{
    struct ask *k = user;
    say_job(k, result, job);
    if (result->code != PBAY_OK || job->known) {
        reply(k, 0, "", 1);
        return;
    }
    k->id = copy(job->id);
    k->a->timer->start(k->a->host, k->a->host->get_int(k->a->config, "patience"), 0, finish, k);
}

static void resume(void *user, pbay_str id, pbay_str key, pbay_str input)
{
    struct actor *a = user;
    struct ask *k = zalloc(sizeof *k);
    note(a, "resume", key);
    *k = (struct ask){a, 0, copy(input), copy(id), 0};
    a->timer->start(a->host, a->host->get_int(a->config, "patience"), 0, finish, k);
}

static const pbay_job_runner runner = {sizeof runner, 0, resume, NULL};

static pbay_str word(pbay_str *rest, char sep)
{
    size_t n = 0;
    while (n < rest->n && rest->p[n] != sep) n++;
    pbay_str w = {rest->p, n};
    if (n < rest->n) n++;
    rest->p += n;
    rest->n -= n;
    return w;
}

/* One event per line: its key, and what it says. */
static void put_events(struct actor *a, struct ask *k, pbay_str body)
{
    pbay_event events[64];
    pbay_str keys[64];
    uint32_t n = 0;
    while (body.n && n < 64) {
        pbay_str line = word(&body, '\n');
        keys[n] = word(&line, ' ');
        events[n] =
            (pbay_event){.struct_size = sizeof *events, .n_keys = 1, .keys = &keys[n], .type = STR("thing")};
        events[n].subject = keys[n];
        events[n].data = line;
        n++;
    }
    a->event->put(a->host, events, n, on_stored, k);
}

static void handle(void *self, uint32_t route, pbay_request request, const pbay_request_info *info)
{
    struct actor *a = self;
    struct ask *k = zalloc(sizeof *k);
    pbay_str body = info->body;
    *k = (struct ask){.a = a, .request = request};
    if (route == 0) {
        put_events(a, k, body);
    } else if (route == 1) { /* ACTION KEY JSON */
        pbay_str action = word(&body, ' '), key = word(&body, ' ');
        a->job->enqueue(a->host, action, body, key, 0, on_found, k);
    } else if (route == 2) { /* KEY */
        k->key = copy(body);
        a->job->park(a->host, body, body, 0, on_parked, k);
    } else if (route == 3) {
        a->job->find(a->host, info->suffix, on_found, k);
    } else if (route == 4) {
        a->job->cancel(a->host, body);
        reply(k, 200, "", 1);
    } else if (route == 6) { /* TARGET KEY JSON */
        pbay_invoke_info i = {
            .struct_size = sizeof i, .kind = PBAY_INVOKE_ACTION, .target = word(&body, ' ')};
        i.key = word(&body, ' ');
        i.parent_request = request;
        pbay_result why = PBAY_RESULT_OK;
        if (!a->invoke->open(a->host, &i, body, &invoke_events, k, &why)) on_invoked(k, 0, &why, STR(""));
    } else {
        a->limit->take(a->host, STR("w"), 1, 2, 60000, on_taken, k);
    }
}

static const pbay_route routes[] = {
    {"POST", "/events", "Events.", PBAY_AUTH_NONE, PBAY_BODY_RAW, 1u << 20},
    {"POST", "/enqueue", "A job.", PBAY_AUTH_NONE, PBAY_BODY_RAW, 1u << 20},
    {"POST", "/park", "A parked job.", PBAY_AUTH_NONE, PBAY_BODY_RAW, 1u << 20},
    {"GET", "/job/*", "A job by its key.", PBAY_AUTH_NONE, PBAY_BODY_RAW, 0},
    {"POST", "/cancel", "A job.", PBAY_AUTH_NONE, PBAY_BODY_RAW, 1u << 20},
    {"POST", "/limit", "Two a minute.", PBAY_AUTH_NONE, PBAY_BODY_RAW, 0},
    {"POST", "/invoke", "An action.", PBAY_AUTH_NONE, PBAY_BODY_RAW, 1u << 20},
};
static const pbay_routes_1 route_table = {.struct_size = sizeof route_table,
                                          .n_routes = sizeof routes / sizeof *routes,
                                          .routes = routes,
                                          .route_stride = sizeof *routes,
                                          .handle = handle};

/* ------------------------------------------------------------------------ entry */

static int32_t create(const pbay_host *host, const pbay_config *config, void **self, pbay_result *why)
{
    struct actor *a = zalloc(sizeof *a);
    (void)why;
    *a = (struct actor){.host = host,
                        .config = config,
                        .action = host->service(host, PBAY_SVC_ACTION),
                        .event = host->service(host, PBAY_SVC_EVENT),
                        .invoke = host->service(host, PBAY_SVC_INVOKE),
                        .job = host->service(host, PBAY_SVC_JOB),
                        .limit = host->service(host, PBAY_SVC_LIMIT),
                        .timer = host->service(host, PBAY_SVC_TIMER),
                        .request = host->service(host, PBAY_SVC_REQUEST)};
    a->job->on_resume(host, &runner, a);
    *self = a;
    return PBAY_OK;
}

static const void *extension(const char *id)
{
    if (!strcmp(id, PBAY_EXT_ACTIONS)) return &action_table;
    if (!strcmp(id, PBAY_EXT_EVENTS)) return &event_table;
    return strcmp(id, PBAY_EXT_ROUTES) ? NULL : &route_table;
}

PBAY_EXPORT const pbay_entry *pbay_plugin_entry(void)
{
    static const pbay_option options[] = {
        {"log", PBAY_OPT_FILE, 0, NULL, NULL, "A line for each thing done."},
        {"ticks", PBAY_OPT_INT, 0, "10", NULL, "How many ticks there are."},
        {"tick_delay", PBAY_OPT_DURATION, 0, "0", NULL, "How long a poll takes."},
        {"patience", PBAY_OPT_DURATION, 0, "100ms", NULL, "How long what is parked takes."},
    };
    static const pbay_descriptor descriptor = {
        sizeof descriptor, 0, "actor", "1.0.0", "Patchbay", "MIT", "Acts.", NULL, TABLE(options)};
    static const pbay_entry entry = {PBAY_MAGIC, sizeof entry, PBAY_ABI_MAJOR, PBAY_ABI_MINOR,
                                     0,          &descriptor,  create,         NULL,
                                     NULL,       free,         extension};
    return &entry;
}
