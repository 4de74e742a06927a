/* SPDX-License-Identifier: MIT */
/*
 * pbay.actions/1: reloads started, looked at, listed and cancelled; apps and spaces found.
 *
 * POST /api/v1/reloads has no idempotency key, so `reload` is of the kind that is looked up: after an answer
 * that was lost the app's reloads since the first attempt are listed, and one of the kind that the API starts
 * is ours (https://qlik.dev/apis/rest/reloads).
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "envelope.h"
#include "kit/time.h"
#include "logs.h"
#include "names.h"

enum { LOG_MAX = 64 << 20 };
enum { PENDING_JOIN, PENDING_AGAIN, PENDING_FAIL };
#define AFTER "after:" /* in front of a handle: of a reload that is not ours, whose end is waited for */

enum { A_RELOAD, A_GET, A_LIST, A_CANCEL, A_GET_APP, A_FIND_APP, A_FIND_SPACE, A_LOG };

/* One attempt, poll or lookup. */
struct action_run {
    struct qlik *q;
    struct action_run *next, *prev; /* q->runs */
    pbay_action_run id;
    uint32_t action;
    int lookup, poll, wait, asked_names, pages;
    int64_t pending; /* an index into the choices of that argument */
    int64_t first_ms, deadline, tail;
    char *app, *handle;
    char trace[64];
    pbay_text body;
    struct api_call *call;
    struct name_lookup *names;
};

/* ------------------------------------------------------------------------------------------------ ends */

static void run_free(struct action_run *r)
{
    if (r->next) r->next->prev = r->prev;
    *(r->prev ? &r->prev->next : &r->q->runs) = r->next;
    free(r->app);
    free(r->handle);
    pbay_text_free(&r->body);
    free(r);
}

static void done(struct action_run *r, pbay_str json)
{
    r->q->action->done(r->id, json);
    run_free(r);
}

static void fail(struct action_run *r, const pbay_result *result)
{
    r->q->action->failed(r->id, result);
    run_free(r);
}

static void fail_with(struct action_run *r, int32_t code, uint32_t effect, const char *message)
{
    pbay_result result = PBAY_RESULT_OK;
    result.code = code;
    result.effect = effect;
    result.message = pbay_str_c(message);
    fail(r, &result);
}

static pbay_str member(const json_t *o, const char *name)
{
    const json_t *v = json_object_get(o, name);
    return json_is_string(v) ? (pbay_str){json_string_value(v), json_string_length(v)} : (pbay_str){NULL, 0};
}

/* ------------------------------------------------------------------------------------------------ reload */

/* A reload's record: has it ended? */
static int ended(pbay_str status)
{
    static const char *const ends[] = {"SUCCEEDED", "FAILED", "CANCELED", "EXCEEDED_LIMIT"};
    for (size_t i = 0; i < COUNT(ends); i++)
        if (qlik_same(status, pbay_str_c(ends[i]))) return 1;
    return 0; /* QUEUED, RELOADING, CANCELING, and what is not known yet */
}

/* The record of a reload that is ours: the end, or (wait) not yet. */
static void take_record(struct action_run *r, const json_t *record, pbay_str text)
{
    pbay_str id = member(record, "id"), status = member(record, "status");
    if (!id.n) {
        fail_with(r, PBAY_INTERNAL, PBAY_EFFECT_DONE,
                  "the reload was started, but Qlik Cloud's answer has no id");
        return;
    }
    if (!r->wait || ended(status)) {
        if (status_of(status) == STATUS_ERROR) logs_fetch(r->q, member(record, "appId"), STR(""), id);
        done(r, text); /* also of one that failed: that is the reload's end, not ours */
        return;
    }
    r->q->action->started(r->id, id, r->q->host->get_int(r->q->config, "reload_poll"));
    run_free(r);
}

static void list_pending(struct action_run *r);

static void on_started(void *user, const struct api_reply *reply)
{
    struct action_run *r = user;
    r->call = NULL;
    if (reply->result.code == PBAY_ALREADY_EXISTS && r->pending != PENDING_FAIL) {
        list_pending(r);
        return;
    }
    if (reply->result.code != PBAY_OK) {
        /* A name that led to an app that is not there any more. */
        if (r->asked_names && reply->status >= 400 && reply->status < 500)
            names_forget(r->q, pbay_str_c(r->app));
        fail(r, &reply->result);
        return;
    }
    json_t *record = json_loadb(reply->body.n ? reply->body.p : "", reply->body.n, 0, NULL);
    take_record(r, record, reply->body);
    json_decref(record);
}

static void send_get(struct action_run *r, pbay_text *path, api_done fn)
{
    const struct api_request rq = {.method = "GET",
                                   .path = pbay_text_view(path),
                                   .trace = r->trace,
                                   .tier = TIER_READ,
                                   .deadline = r->deadline,
                                   .max_reply = LOG_MAX};
    r->call = api_send(r->q, &rq, fn, r);
    pbay_text_free(path);
}

/* The reload that was pending: ours from now on, or the one whose end is waited for. */
static void on_pending(void *user, const struct api_reply *reply)
{
    struct action_run *r = user;
    r->call = NULL;
    if (reply->result.code != PBAY_OK) {
        pbay_result result = reply->result;
        result.effect = PBAY_EFFECT_NONE;
        fail(r, &result);
        return;
    }
    json_t *root = json_loadb(reply->body.n ? reply->body.p : "", reply->body.n, 0, NULL);
    const json_t *item, *found = NULL;
    size_t i;
    json_array_foreach(json_object_get(root, "data"), i, item)
    {
        if (!found && member(item, "id").n && !ended(member(item, "status"))) found = item;
    }
    if (found && r->pending == PENDING_JOIN) {
        char *text = json_dumps(found, JSON_COMPACT);
        take_record(r, found, pbay_str_c(text));
        free(text);
    } else if (found) {
        pbay_text handle = {NULL, 0, 0};
        pbay_text_printf(&handle, AFTER "%.*s", FMT(member(found, "id")));
        r->q->action->started(r->id, pbay_text_view(&handle),
                              r->q->host->get_int(r->q->config, "reload_poll"));
        pbay_text_free(&handle);
        run_free(r);
    } else {
        pbay_result result = PBAY_RESULT_OK;
        result.code = PBAY_UNAVAILABLE;
        result.advice = PBAY_ADVICE_RETRY;
        result.retry_after_ms = 1000;
        result.message = STR("a reload of the app was pending, and has ended meanwhile");
        fail(r, &result);
    }
    json_decref(root);
}

static void list_pending(struct action_run *r)
{
    pbay_text path = {NULL, 0, 0};
    pbay_text_c(&path, "/api/v1/reloads?sort=-creationTime&limit=10&appId=");
    pbay_text_percent(&path, pbay_str_c(r->app));
    send_get(r, &path, on_pending);
}

static void on_listed(void *user, const struct api_reply *reply);

static void list_for_lookup(struct action_run *r)
{
    pbay_text path = {NULL, 0, 0};
    pbay_text_c(&path, "/api/v1/reloads?sort=-creationTime&limit=100&appId=");
    pbay_text_percent(&path, pbay_str_c(r->app));
    send_get(r, &path, on_listed);
}

/* Newest first: the oldest one that can be ours is. */
static void on_listed(void *user, const struct api_reply *reply)
{
    struct action_run *r = user;
    r->call = NULL;
    if (reply->result.code != PBAY_OK) {
        pbay_result result = reply->result; /* could not ask: ask again */
        if (result.code == PBAY_NOT_FOUND) result.code = PBAY_UNKNOWN;
        result.effect = PBAY_EFFECT_NONE;
        fail(r, &result);
        return;
    }
    json_t *root = json_loadb(reply->body.n ? reply->body.p : "", reply->body.n, 0, NULL);
    const json_t *data = json_object_get(root, "data"), *item, *ours = NULL;
    int64_t since = api_tenant_time(r->q, r->first_ms);
    size_t i;
    json_array_foreach(data, i, item)
    {
        int64_t created = pbay_time_rfc3339(member(item, "creationTime"));
        int64_t over = pbay_time_rfc3339(member(item, "endTime"));
        if (created < since) break;
        /* What people start in the hub and what schedules start is not ours. */
        if (!qlik_same(member(item, "type"), STR("external")) || (over >= 0 && over < since)) continue;
        ours = item;
    }
    if (!json_is_array(data)) {
        fail_with(r, PBAY_UNAVAILABLE, PBAY_EFFECT_NONE, "Qlik Cloud's list of reloads has no array `data`");
    } else if (!ours) {
        fail_with(r, PBAY_NOT_FOUND, PBAY_EFFECT_NONE,
                  "no reload of the app was started by an API since the first attempt");
    } else {
        char *text = json_dumps(ours, JSON_COMPACT);
        take_record(r, ours, pbay_str_c(text));
        free(text);
    }
    json_decref(root);
}

/* The app is known: ask for the reload, or whether it was. */
static void reload_app(struct action_run *r)
{
    if (r->lookup) {
        list_for_lookup(r);
        return;
    }
    pbay_text body = {NULL, 0, 0};
    pbay_text_c(&body, "{\"appId\":");
    pbay_text_json(&body, pbay_str_c(r->app));
    pbay_text_add(&body, pbay_text_view(&r->body));
    pbay_text_c(&body, "}");
    const struct api_request rq = {.method = "POST",
                                   .path = STR("/api/v1/reloads"),
                                   .body = pbay_text_view(&body),
                                   .trace = r->trace,
                                   .tier = TIER_START,
                                   .deadline = r->deadline};
    r->call = api_send(r->q, &rq, on_started, r);
    pbay_text_free(&body);
}

static void on_app(void *user, const pbay_result *result, pbay_str id, pbay_str json)
{
    struct action_run *r = user;
    (void)json;
    r->names = NULL;
    if (result->code == PBAY_OK) {
        r->app = qlik_copy(id);
        reload_app(r);
        return;
    }
    pbay_result mine = *result;
    /* Nothing was asked for yet; and "there is no such app" is not "the reload was not started". */
    mine.effect = PBAY_EFFECT_NONE;
    if (r->lookup && mine.code == PBAY_NOT_FOUND) mine.code = PBAY_UNKNOWN;
    fail(r, &mine);
}

/* The members of the body behind appId, as far as they were given. */
static int32_t reload_options(struct action_run *r, const pbay_config *a, pbay_result *why)
{
    const pbay_host *h = r->q->host;
    pbay_text *b = &r->body;
    if (h->is_set(a, "partial"))
        pbay_text_printf(b, ",\"partial\":%s", h->get_int(a, "partial") ? "true" : "false");
    if (h->is_set(a, "weight")) pbay_text_printf(b, ",\"weight\":%lld", (long long)h->get_int(a, "weight"));
    uint32_t n = h->count(a, "variables");
    if (n > 20)
        return qlik_refuse(r->q, why, PBAY_INVALID_ARGUMENT, "%u variables: a reload takes at most 20", n);
    for (uint32_t i = 0; i < n; i++) {
        pbay_str name, value = h->item(a, "variables", i, &name);
        if (name.n > 256 || value.n > 256)
            return qlik_refuse(r->q, why, PBAY_INVALID_ARGUMENT,
                               "variable \"%.*s\": a name and a value have at most 256 characters",
                               (int)(name.n < 80 ? name.n : 80), name.p);
        pbay_text_c(b, i ? "," : ",\"variables\":{");
        pbay_text_json(b, name);
        pbay_text_c(b, ":");
        pbay_text_json(b, value);
    }
    if (n) pbay_text_c(b, "}");
    static const char *const more[] = {"resourceId", "resourceType"};
    for (size_t i = 0; i < COUNT(more); i++)
        if (h->is_set(a, more[i])) {
            pbay_text_printf(b, ",\"%s\":", more[i]);
            pbay_text_json(b, h->get_str(a, more[i]));
        }
    return PBAY_OK;
}

static int32_t start_reload(struct action_run *r, const pbay_action_info *info, pbay_result *why)
{
    const pbay_host *h = r->q->host;
    const pbay_config *a = info->arguments;
    pbay_str app = h->get_str(a, "appId"), name = h->get_str(a, "name");
    r->wait = (int)h->get_int(a, "wait");
    r->pending = h->get_int(a, "pending");
    if (!app.n == !name.n)
        return qlik_refuse(r->q, why, PBAY_INVALID_ARGUMENT, "reload needs either appId or name%s",
                           app.n ? ", not both" : "");
    int32_t rc = reload_options(r, a, why);
    if (rc) return rc;
    if (app.n) {
        r->app = qlik_copy(app);
        reload_app(r);
    } else {
        r->asked_names = 1;
        r->names = names_app(r->q, name, h->get_str(a, "space"), r->deadline, on_app, r);
    }
    return PBAY_OK;
}

/* ------------------------------------------------------------------------------------------------ the others
 */

static void on_plain(void *user, const struct api_reply *reply)
{
    struct action_run *r = user;
    r->call = NULL;
    if (reply->result.code != PBAY_OK)
        fail(r, &reply->result);
    else if (reply->status == 204 || !reply->body.n)
        done(r, STR("{\"status\":\"CANCELED\"}"));
    else
        done(r, reply->body);
}

static void on_polled(void *user, const struct api_reply *reply)
{
    struct action_run *r = user;
    r->call = NULL;
    if (reply->result.code != PBAY_OK) {
        fail(r, &reply->result);
        return;
    }
    json_t *record = json_loadb(reply->body.n ? reply->body.p : "", reply->body.n, 0, NULL);
    r->wait = 1;
    if (!r->handle)
        take_record(r, record, reply->body);
    else if (ended(member(record, "status")))
        done(r, STR("{\"again\":true}"));
    else {
        r->q->action->started(r->id, pbay_str_c(r->handle), r->q->host->get_int(r->q->config, "reload_poll"));
        run_free(r);
    }
    json_decref(record);
}

/* The end of the log is where the error stands. */
static void on_log(void *user, const struct api_reply *reply)
{
    struct action_run *r = user;
    r->call = NULL;
    if (reply->result.code != PBAY_OK) {
        fail(r, &reply->result);
        return;
    }
    pbay_text out = {NULL, 0, 0};
    pbay_text_c(&out, "{");
    logs_tail(&out, reply->body, (size_t)r->tail);
    pbay_text_c(&out, "}");
    done(r, pbay_text_view(&out));
    pbay_text_free(&out);
}

static void on_name(void *user, const pbay_result *result, pbay_str id, pbay_str json)
{
    struct action_run *r = user;
    (void)id;
    r->names = NULL;
    if (result->code == PBAY_OK)
        done(r, json);
    else
        fail(r, result);
}

static void path_list(const struct action_run *r, const pbay_config *a, pbay_text *path)
{
    const pbay_host *h = r->q->host;
    pbay_text_printf(path, "/api/v1/reloads?sort=-creationTime&limit=%lld",
                     (long long)h->get_int(a, "limit"));
    if (h->is_set(a, "appId")) {
        pbay_text_c(path, "&appId=");
        pbay_text_percent(path, h->get_str(a, "appId"));
    }
    if (h->is_set(a, "status")) {
        pbay_text filter = {NULL, 0, 0};
        pbay_text_printf(&filter, "status eq \"%.*s\"", FMT(h->get_str(a, "status")));
        pbay_text_c(path, "&filter=");
        pbay_text_percent(path, pbay_text_view(&filter));
        pbay_text_free(&filter);
    }
}

static int32_t start_other(struct action_run *r, const pbay_action_info *info)
{
    const pbay_host *h = r->q->host;
    const pbay_config *a = info->arguments;
    pbay_text path = {NULL, 0, 0};
    switch (r->action) {
    case A_GET:
        pbay_text_c(&path, "/api/v1/reloads/");
        pbay_text_percent(&path, h->get_str(a, "id"));
        send_get(r, &path, on_plain);
        break;
    case A_LIST:
        path_list(r, a, &path);
        send_get(r, &path, on_plain);
        break;
    case A_CANCEL: {
        pbay_text_c(&path, "/api/v1/reloads/");
        pbay_text_percent(&path, h->get_str(a, "id"));
        pbay_text_c(&path, "/actions/cancel");
        const struct api_request rq = {.method = "POST",
                                       .path = pbay_text_view(&path),
                                       .trace = r->trace,
                                       .tier = TIER_START,
                                       .deadline = r->deadline,
                                       .repeatable = 1};
        r->call = api_send(r->q, &rq, on_plain, r);
        pbay_text_free(&path);
        break;
    }
    case A_GET_APP:
        pbay_text_c(&path, "/api/v1/apps/");
        pbay_text_percent(&path, h->get_str(a, "appId"));
        send_get(r, &path, on_plain);
        break;
    case A_FIND_APP:
        r->names = names_app(r->q, h->get_str(a, "name"), h->get_str(a, "space"), r->deadline, on_name, r);
        break;
    case A_FIND_SPACE: r->names = names_space(r->q, h->get_str(a, "name"), r->deadline, on_name, r); break;
    default:
        r->tail = h->get_int(a, "tail");
        pbay_text_c(&path, "/api/v1/apps/");
        pbay_text_percent(&path, h->get_str(a, "appId"));
        pbay_text_c(&path, "/reloads/logs/");
        pbay_text_percent(&path, h->get_str(a, "reloadId"));
        send_get(r, &path, on_log);
        break;
    }
    return PBAY_OK;
}

/* ------------------------------------------------------------------------------------------------ table */

static struct action_run *begin(struct qlik *q, uint32_t action, pbay_action_run id,
                                const pbay_action_info *info)
{
    struct action_run *r = qlik_alloc(sizeof *r);
    r->q = q;
    r->id = id;
    r->action = action;
    r->first_ms = info->first_attempt_ms;
    r->deadline = info->deadline;
    snprintf(r->trace, sizeof r->trace, "%.*s", (int)info->traceparent.n,
             info->traceparent.n ? info->traceparent.p : "");
    r->next = q->runs;
    if (r->next) r->next->prev = r;
    q->runs = r;
    return r;
}

static int32_t start(struct qlik *q, uint32_t action, pbay_action_run id, const pbay_action_info *info,
                     int lookup, pbay_result *why)
{
    struct action_run *r = begin(q, action, id, info);
    r->lookup = lookup;
    int32_t rc = action == A_RELOAD ? start_reload(r, info, why) : start_other(r, info);
    if (rc) run_free(r);
    return rc;
}

static int32_t run(void *self, uint32_t action, pbay_action_run id, const pbay_action_info *info,
                   pbay_result *why)
{
    return start(self, action, id, info, 0, why);
}

static int32_t lookup(void *self, uint32_t action, pbay_action_run id, const pbay_action_info *info,
                      pbay_result *why)
{
    return start(self, action, id, info, 1, why);
}

/* Only `reload` takes long; its handle is the reload's id, by which chains know the events that tell of it.
 */
static int32_t poll(void *self, uint32_t action, pbay_action_run id, const pbay_action_info *info,
                    pbay_result *why)
{
    struct action_run *r = begin(self, action, id, info);
    pbay_text path = {NULL, 0, 0};
    pbay_str reload = info->handle;
    (void)why;
    if (reload.n > sizeof AFTER - 1 && !memcmp(reload.p, AFTER, sizeof AFTER - 1)) {
        r->handle = qlik_copy(reload);
        reload = (pbay_str){reload.p + sizeof AFTER - 1, reload.n - (sizeof AFTER - 1)};
    }
    pbay_text_c(&path, "/api/v1/reloads/");
    pbay_text_percent(&path, reload);
    send_get(r, &path, on_polled);
    return PBAY_OK;
}

static void cancel(void *self, uint32_t action, pbay_action_run id)
{
    struct qlik *q = self;
    (void)action;
    for (struct action_run *r = q->runs; r; r = r->next)
        if (r->id == id) {
            api_cancel(r->call);
            names_cancel(r->names);
            return;
        }
}

static const pbay_option RELOAD[] = {
    {"appId", PBAY_OPT_STR, 0, NULL, NULL, "The app, by its id."},
    {"name", PBAY_OPT_STR, 0, NULL, NULL, "The app, by its name: exact but for case, and the only one."},
    {"space", PBAY_OPT_STR, 0, NULL, NULL,
     "With name: the space it is in, \"personal\" for one's own; else anywhere."},
    {"partial", PBAY_OPT_BOOL, 0, NULL, NULL, "A partial reload."},
    {"weight", PBAY_OPT_INT, 0, NULL, "1..10",
     "Its place in the tenant's queue; Qlik takes 1 when nothing is said."},
    {"variables", PBAY_OPT_FAMILY, 0, NULL, NULL,
     "Variables of the load script: at most 20, of at most 256 characters."},
    {"resourceId", PBAY_OPT_STR, 0, NULL, NULL, "Passed on: what the reload is for."},
    {"resourceType", PBAY_OPT_STR, 0, NULL, NULL, "Passed on: api, reload-tasks, tasks, automate."},
    {"wait", PBAY_OPT_BOOL, 0, "yes", NULL,
     "Done when the reload has ended, well or not; no: when it was started."},
    {"pending", PBAY_OPT_ENUM, 0, "join", "join|again|fail",
     "When a reload of the app is pending already. join: its end is the answer; again: the answer, when it "
     "has "
     "ended, is {\"again\": true}, and chains ask once more; fail: ALREADY_EXISTS."},
};
static const pbay_option RELOAD_ID[] = {
    {"id", PBAY_OPT_STR, PBAY_OPTF_REQUIRED, NULL, NULL, "The reload."},
};
static const pbay_option LIST[] = {
    {"appId", PBAY_OPT_STR, 0, NULL, NULL,
     "Of this app; without it of all, which takes a tenant administrator."},
    {"status", PBAY_OPT_ENUM, 0, NULL, "QUEUED|RELOADING|CANCELING|SUCCEEDED|FAILED|CANCELED|EXCEEDED_LIMIT",
     "In this state."},
    {"limit", PBAY_OPT_INT, 0, "10", "1..100", "The newest so many."},
};
static const pbay_option APP_ID[] = {
    {"appId", PBAY_OPT_STR, PBAY_OPTF_REQUIRED, NULL, NULL, "The app."},
};
static const pbay_option APP_NAME[] = {
    {"name", PBAY_OPT_STR, PBAY_OPTF_REQUIRED, NULL, NULL, "Exact but for case."},
    {"space", PBAY_OPT_STR, 0, NULL, NULL, "The space it is in, \"personal\" for one's own; else anywhere."},
};
static const pbay_option SPACE_NAME[] = {
    {"name", PBAY_OPT_STR, PBAY_OPTF_REQUIRED, NULL, NULL, "Exact but for case."},
};
static const pbay_option LOG[] = {
    {"appId", PBAY_OPT_STR, PBAY_OPTF_REQUIRED, NULL, NULL, "The app."},
    {"reloadId", PBAY_OPT_STR, PBAY_OPTF_REQUIRED, NULL, NULL, "The reload."},
    {"tail", PBAY_OPT_SIZE, 0, "16k", "1..1048576", "How much of its end."},
};
#define TABLE(t)                                                                                             \
    {                                                                                                        \
        t, COUNT(t), sizeof(pbay_option)                                                                     \
    }
static const pbay_action ACTIONS[] = {
    [A_RELOAD] = {"reload",
                  "Reload an app (POST /api/v1/reloads); the result is the reload's record, with how it "
                  "ended in `status`.",
                  PBAY_REPEAT_CHECK, 0, TABLE(RELOAD)},
    [A_GET] = {"get_reload", "The record of a reload.", PBAY_REPEAT_SAFE, 0, TABLE(RELOAD_ID)},
    [A_LIST] = {"list_reloads", "The newest reloads: {\"data\": [...]}.", PBAY_REPEAT_SAFE, 0, TABLE(LIST)},
    [A_CANCEL] = {"cancel_reload",
                  "Cancel a reload: {\"status\": ...}; one that has ended is FAILED_PRECONDITION.",
                  PBAY_REPEAT_SAFE, 0, TABLE(RELOAD_ID)},
    [A_GET_APP] = {"get_app", "What Qlik Cloud tells of an app.", PBAY_REPEAT_SAFE, 0, TABLE(APP_ID)},
    [A_FIND_APP] = {"find_app", "An app by its name: {appId, name, spaceId, itemId}.", PBAY_REPEAT_SAFE, 0,
                    TABLE(APP_NAME)},
    [A_FIND_SPACE] = {"find_space", "A space by its name: {id, name, type}.", PBAY_REPEAT_SAFE, 0,
                      TABLE(SPACE_NAME)},
    [A_LOG] = {"script_log", "The end of a reload's script log: {log, cut}.", PBAY_REPEAT_SAFE, 0,
               TABLE(LOG)},
};

const pbay_actions_1 qlik_actions = {
    .struct_size = sizeof qlik_actions,
    .n_actions = COUNT(ACTIONS),
    .actions = ACTIONS,
    .action_stride = sizeof(pbay_action),
    .run = run,
    .poll = poll,
    .lookup = lookup,
    .cancel = cancel,
};
