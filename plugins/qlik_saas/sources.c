/* SPDX-License-Identifier: MIT */
/*
 * pbay.events/1: what webhooks should have told, looked for. Whether and how often Qlik Cloud repeats a
 * delivery that failed is not documented, so the gateway asks: for reloads that ended (source `reloads`), and
 * for deliveries that Qlik noted as failed (source `deliveries`). An event that was delivered all the same,
 * before or after, is the same event: happening.h.
 *
 * The cursor is the end of the newest reload, or the time of the newest delivery, in ms; a poll looks back a
 * little further, because lists are not promised to be complete at once.
 */
#include <stdlib.h>
#include <string.h>

#include "happening.h"
#include "kit/time.h"
#include "logs.h"
#include "pages.h"

enum { S_RELOADS, S_DELIVERIES, N_SOURCES };
enum { BEHIND_MS = 120000, POLL_TIMEOUT_MS = 60000, PAGES = 20 };

_Static_assert((int)N_SOURCES == (int)QLIK_SOURCES, "one slot per source");

/* One poll. */
struct watch {
    struct qlik *q;
    uint32_t source;
    pbay_poll poll;
    int64_t since, newest, deadline, failed; /* failed: the newest end of one that failed */
    struct pages *pages;
    struct happening *found;
    pbay_event *events;
    uint32_t n, cap;
    struct envelope *envelopes;
    json_t *apps; /* whose reloads are asked for one app after the other; NULL: all at once */
    size_t next_app;
    json_t *lists; /* of apps so far: what was found borrows from them */
};

static pbay_str member(const json_t *o, const char *name)
{
    const json_t *v = json_object_get(o, name);
    return json_is_string(v) ? (pbay_str){json_string_value(v), json_string_length(v)} : (pbay_str){NULL, 0};
}

static void end(struct watch *w, const pbay_result *result, int again)
{
    struct qlik *q = w->q;
    pbay_text cursor = {NULL, 0, 0};
    const pbay_event *events = w->events;
    pbay_text_printf(&cursor, "%lld", (long long)w->newest);
    for (uint32_t i = 0; i < w->n; i++) { /* the array may have moved while it grew */
        w->found[i].event.keys = w->found[i].keys;
        w->found[i].keys[0].p = w->found[i].key;
        w->found[i].event.type.p = w->found[i].type;
        w->events[i] = w->found[i].event;
    }
    q->watches[w->source] = NULL;
    if (w->failed > q->failed_ms) q->failed_ms = w->failed;
    q->event->polled(w->poll, result, result->code == PBAY_OK ? events : NULL,
                     result->code == PBAY_OK ? w->n : 0, pbay_text_view(&cursor), again);
    for (uint32_t i = 0; i < w->n; i++) {
        happening_free(&w->found[i]);
        envelope_free(&w->envelopes[i]);
    }
    pbay_text_free(&cursor);
    free(w->found);
    free(w->events);
    free(w->envelopes);
    json_decref(w->apps);
    json_decref(w->lists);
    free(w);
}

/* e is taken. */
static void add(struct watch *w, const struct envelope *e)
{
    if (w->n == w->cap) {
        w->cap = w->cap ? 2 * w->cap : 64;
        w->found = realloc(w->found, w->cap * sizeof *w->found);
        w->events = realloc(w->events, w->cap * sizeof *w->events);
        w->envelopes = realloc(w->envelopes, w->cap * sizeof *w->envelopes);
        if (!w->found || !w->events || !w->envelopes) abort();
    }
    w->envelopes[w->n] = *e;
    happening_make(&w->envelopes[w->n], &w->found[w->n]);
    w->n++;
}

/* ------------------------------------------------------------------------------------------------ reloads */

/* A reload's record, as the event that should have come. */
static void add_record(struct watch *w, const json_t *r)
{
    struct envelope e = {.kind = EVENT_RELOAD, .duration_ms = -1, .type = STR("com.qlik.v1.reload.finished")};
    int64_t begun = pbay_time_rfc3339(member(r, "startTime"));
    e.raw_status = member(r, "status");
    e.status = status_of(e.raw_status);
    e.time_ms = pbay_time_rfc3339(member(r, "endTime"));
    if (e.status == STATUS_UNKNOWN || e.time_ms < 0) return; /* not over */
    if (e.time_ms > w->newest) w->newest = e.time_ms;
    if (e.time_ms < w->since) return;
    e.app = member(r, "appId");
    e.reload = member(r, "id");
    if (!e.app.n || e.app.n > ENVELOPE_ID_MAX || !e.reload.n || e.reload.n > ENVELOPE_ID_MAX) return;
    e.tenant = member(r, "tenantId");
    e.user = member(r, "userId");
    e.origin = member(r, "type");
    e.error_code = member(r, "errorCode");
    e.error_message = member(r, "errorMessage");
    e.partial = json_is_true(json_object_get(r, "partial"));
    if (begun >= 0 && begun <= e.time_ms) e.duration_ms = e.time_ms - begun;
    /* When nothing else has told of it, nothing else has asked for its log. */
    if (e.status == STATUS_ERROR && e.time_ms > w->q->failed_ms) {
        logs_fetch(w->q, e.app, STR(""), e.reload);
        if (e.time_ms > w->failed) w->failed = e.time_ms;
    }
    add(w, &e);
}

/* Sorted by their ends, newest first; those that run have none. */
static int more_reloads(void *user, const json_t *page)
{
    const struct watch *w = user;
    const json_t *last = json_array_get(page, json_array_size(page) - 1);
    int64_t over = pbay_time_rfc3339(member(last, "endTime"));
    return over < 0 || over >= w->since;
}

static void list_reloads(struct watch *w);
static void ask_for_apps(struct watch *w);

static void on_reloads(void *user, const pbay_result *result, const json_t *all, int cut)
{
    struct watch *w = user;
    const json_t *r;
    size_t i;
    w->pages = NULL;
    if (result->code == PBAY_PERMISSION_DENIED && !w->apps && w->q->chain) {
        ask_for_apps(w);
        return;
    }
    if (result->code == PBAY_OK) json_array_foreach(all, i, r) add_record(w, r);
    if (cut)
        qlik_log(w->q, PBAY_LOG_WARN, "more reloads ended since the last poll than are looked at", NULL,
                 STR(""), NULL, STR(""));
    /* An app that is gone, or not for us, has no reloads. */
    int passes =
        result->code == PBAY_OK || result->code == PBAY_NOT_FOUND || result->code == PBAY_PERMISSION_DENIED;
    if (w->apps && passes && w->next_app < json_array_size(w->apps)) {
        json_array_append(w->lists, (json_t *)(uintptr_t)all);
        list_reloads(w);
        return;
    }
    const pbay_result ok = PBAY_RESULT_OK;
    end(w, w->apps && passes ? &ok : result, 0);
}

/* Of all apps, for who is tenant administrator; else of those that chains know, one after the other. */
static void list_reloads(struct watch *w)
{
    pbay_text path = {NULL, 0, 0};
    pbay_text_c(&path, "/api/v1/reloads?sort=-endTime&limit=100");
    if (w->apps) {
        const json_t *app = json_array_get(w->apps, w->next_app++);
        pbay_text_c(&path, "&appId=");
        pbay_text_percent(&path, (pbay_str){json_string_value(app), json_string_length(app)});
    }
    const struct pages_request request = {
        .path = pbay_text_view(&path), .deadline = w->deadline, .max_pages = PAGES, .more = more_reloads};
    w->pages = pages_get(w->q, &request, on_reloads, w);
    pbay_text_free(&path);
}

static int listed(const json_t *list, const json_t *text)
{
    const json_t *one;
    size_t i;
    json_array_foreach(list, i, one) if (json_equal(one, text)) return 1;
    return 0;
}

/* The graph of chains, row by row: connector and app_id. */
static void on_rows(void *user, const pbay_result *result, pbay_str text)
{
    struct watch *w = user;
    const json_t *row;
    size_t i;
    if (result->code != PBAY_OK) {
        end(w, result, 0);
        return;
    }
    json_t *rows = json_loadb(text.n ? text.p : "", text.n, 0, NULL);
    w->apps = json_array();
    w->lists = json_array();
    json_array_foreach(rows, i, row)
    {
        json_t *app = json_object_get(row, "app_id");
        if (json_string_length(app) && qlik_same(member(row, "connector"), w->q->host->name(w->q->host)) &&
            !listed(w->apps, app))
            json_array_append(w->apps, app);
    }
    json_decref(rows);
    const pbay_result ok = PBAY_RESULT_OK;
    if (json_array_size(w->apps))
        list_reloads(w);
    else
        end(w, &ok, 0);
}

static void ask_for_apps(struct watch *w)
{
    if (!w->q->told_not_admin)
        qlik_log(w->q, PBAY_LOG_INFO,
                 "reloads are listed app by app: only a tenant administrator may list them all", NULL,
                 STR(""), NULL, STR(""));
    w->q->told_not_admin = 1;
    w->q->chain->graph(w->q->host, PBAY_CHAIN_ROWS, STR(""), on_rows, w);
}

/* ------------------------------------------------------------------------------------------------ deliveries
 */

static void add_delivery(struct watch *w, const json_t *d)
{
    struct envelope e;
    char why[ENVELOPE_WHY];
    int64_t when = pbay_time_rfc3339(member(d, "triggeredAt"));
    if (when > w->newest) w->newest = when;
    if (when < w->since) return;
    const json_t *body = json_object_get(json_object_get(d, "request"), "body");
    char *text = json_is_string(body) ? NULL : json_dumps(body, JSON_COMPACT);
    pbay_str raw = text ? (pbay_str){text, strlen(text)} : member(json_object_get(d, "request"), "body");
    /* The event outlives the text that was made here, so it must not borrow from it. */
    int foreign, bad = envelope_read(raw, text ? ENVELOPE_THOROUGH : 0, &e, why);
    e.data.n = text ? 0 : e.data.n;
    free(text);
    if (!bad && !happening_unwanted(w->q, &e, &foreign))
        add(w, &e);
    else
        envelope_free(&e);
}

static void on_deliveries(void *user, const pbay_result *result, const json_t *all, int cut)
{
    struct watch *w = user;
    const json_t *d;
    size_t i;
    (void)cut;
    w->pages = NULL;
    if (result->code == PBAY_OK) json_array_foreach(all, i, d) add_delivery(w, d);
    end(w, result, 0);
}

/* Which webhook is ours? The one that delivers to webhook_url. */
static void on_hooks(void *user, const pbay_result *result, const json_t *all, int cut)
{
    struct watch *w = user;
    struct qlik *q = w->q;
    pbay_str url = q->host->get_str(q->config, "webhook_url"), id = {NULL, 0};
    const json_t *hook;
    size_t i;
    (void)cut;
    w->pages = NULL;
    json_array_foreach(all, i, hook) if (qlik_same(member(hook, "url"), url)) id = member(hook, "id");
    if (result->code != PBAY_OK || !id.n) {
        end(w, result, 0);
        return;
    }
    pbay_text path = {NULL, 0, 0};
    pbay_text_printf(&path, "%s/", hooks_path(q));
    pbay_text_percent(&path, id);
    pbay_text_c(&path, "/deliveries?status=fail&limit=100");
    const struct pages_request request = {
        .path = pbay_text_view(&path), .deadline = w->deadline, .max_pages = PAGES};
    w->pages = pages_get(q, &request, on_deliveries, w);
    pbay_text_free(&path);
}

/* ------------------------------------------------------------------------------------------------ polls */

static int64_t number(pbay_str s)
{
    int64_t v = 0;
    if (!s.n || s.n > 15) return -1;
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] < '0' || s.p[i] > '9') return -1;
        v = v * 10 + (s.p[i] - '0');
    }
    return v;
}

static void poll(void *self, uint32_t source, pbay_poll poll, pbay_str cursor)
{
    struct qlik *q = self;
    struct watch *w = qlik_alloc(sizeof *w);
    const pbay_result ok = PBAY_RESULT_OK;
    int64_t from = number(cursor), now = q->timer->now_ms();
    w->q = q;
    w->source = source;
    w->poll = poll;
    w->newest = from < 0 ? now + BEHIND_MS : from; /* the first time: nothing from before counts */
    w->since = w->newest - BEHIND_MS;
    w->deadline = q->timer->monotonic_ns() + POLL_TIMEOUT_MS * NS_PER_MS;
    q->watches[source] = w;
    if (from < 0 || (source == S_DELIVERIES && !q->host->is_set(q->config, "webhook_url"))) {
        end(w, &ok, 0);
        return;
    }
    if (source == S_DELIVERIES) {
        w->pages = hooks_list(q, w->deadline, on_hooks, w);
        return;
    }
    if (q->told_not_admin && q->chain)
        ask_for_apps(w);
    else
        list_reloads(w);
}

static void cancel(void *self, uint32_t source, pbay_poll poll)
{
    struct qlik *q = self;
    struct watch *w = q->watches[source];
    if (w && w->poll == poll) pages_cancel(w->pages);
}

static const pbay_source SOURCES[] = {
    [S_RELOADS] = {"reloads",
                   "Reloads that ended: all of them with a tenant administrator's key, else those of the "
                   "apps in chains.",
                   300000, PBAY_SRCF_ON, 0},
    [S_DELIVERIES] = {"deliveries", "Deliveries to webhook_url that Qlik Cloud notes as failed.", 300000,
                      PBAY_SRCF_ON, 0},
};

const pbay_events_1 qlik_sources = {
    .struct_size = sizeof qlik_sources,
    .n_sources = COUNT(SOURCES),
    .sources = SOURCES,
    .source_stride = sizeof(pbay_source),
    .poll = poll,
    .cancel = cancel,
};
