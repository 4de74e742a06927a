/* SPDX-License-Identifier: MIT */
#include "plugin/sources.h"

#include <string.h>

#include "base/clock.h"
#include "base/handle.h"
#include "base/log.h"
#include "base/mem.h"
#include "data/config.h"
#include "plugin/connector_priv.h"
#include "plugin/registry.h"
#include "store/retry.h"

enum { SLACK_MS = 10000, LEAST_MS = 100, CURSOR_MOST = PB_STORE_VALUE_MAX };

enum phase { IDLE, TAKING, POLLING, STORING };

struct source {
    struct source *next;
    struct pb_sources *all;
    struct pb_connector *connector;
    uint32_t index;
    int64_t interval_ms;
    char *lease;
    enum phase phase;
    struct pb_timer timer, limit;
    struct pb_store_op op;
    int64_t fence; /* 0: not ours */
    struct pb_buf cursor;
    uint64_t poll; /* 0: the plugin owes nothing */
    bool overdue;  /* and it is not waited for any more */
    uint32_t failures;

    /* what a poll brought */
    struct pb_arena mem;
    struct pb_event_put *events;
    uint32_t n_events, n_new;
    pbay_str new_cursor;
    bool again;
};

struct pb_sources {
    struct pb_durable *durable;
    struct source *first;
    bool stopped;
};

static _Thread_local struct pb_handles polls;

static const pbay_source *table_of(const struct source *s)
{
    return &s->connector->plugin->source_table[s->index];
}

/* ------------------------------------------------------------------------ configuration */

/* 0: off. */
static int64_t interval_of(const struct pb_connector *c, const pbay_source *source)
{
    int64_t ms = source->flags & PBAY_SRCF_ON ? source->interval_ms : 0, given;
    uint32_t n = c->config ? pb_config_count(c->config, "poll") : 0;
    for (uint32_t i = 0; i < n; i++) {
        pbay_str key, value = pb_config_item(c->config, "poll", i, &key);
        if (!pb_str_is(key, source->name)) continue;
        if (pb_str_is(value, "yes"))
            ms = source->interval_ms;
        else if (pb_str_is(value, "no"))
            ms = 0;
        else if (pb_parse_duration(value, &given))
            ms = given;
    }
    return ms;
}

int pb_sources_check(const struct pb_connector *c, struct pb_err *err)
{
    uint32_t n = c->config ? pb_config_count(c->config, "poll") : 0,
             there = c->plugin->has_events ? c->plugin->events.n_sources : 0;
    for (uint32_t i = 0; i < n; i++) {
        pbay_str key, value = pb_config_item(c->config, "poll", i, &key);
        const char *names[256];
        bool known = false;
        int64_t ms;
        for (uint32_t k = 0; k < there; k++) {
            names[k] = c->plugin->source_table[k].name;
            known |= pb_str_is(key, names[k]);
        }
        if (!known) {
            const char *near = pb_nearest(key, names, there);
            return pb_config_fail(c->config, "poll", err, "plugin %s has no source \"%.*s\"%s%s%s",
                                  c->plugin->name, PB_FMT(key), near ? "; did you mean \"" : "",
                                  near ? near : "", near ? "\"?" : "");
        }
        if (!pb_str_is(value, "yes") && !pb_str_is(value, "no") &&
            (!pb_parse_duration(value, &ms) || ms < LEAST_MS))
            return pb_config_fail(c->config, "poll", err,
                                  "poll.%.*s = %.*s: expected yes, no or a time of at least %d ms",
                                  PB_FMT(key), PB_FMT(value), LEAST_MS);
    }
    return 0;
}

/* ------------------------------------------------------------------------ one round */

static void wait_ms(struct source *s, int64_t ms)
{
    s->phase = IDLE;
    if (!s->all->stopped) pb_timer_set(s->connector->env->loop, &s->timer, ms);
}

/* Again, later after each failure. */
static void failed(struct source *s, const struct pb_err *err)
{
    int64_t ms = pb_job_delay_ms(++s->failures, err->advice == PBAY_ADVICE_SLOW, pb_random_u64());
    if (ms < s->interval_ms) ms = s->interval_ms;
    if (ms < err->retry_after_ms) ms = err->retry_after_ms;
    pb_log(PB_LOG_WARN, "plugin", "a source of events could not be polled",
           PB_S("connector", s->connector->name), PB_S("source", table_of(s)->name), PB_I("again_ms", ms),
           PB_S("error", err->msg));
    wait_ms(s, ms);
}

static int64_t ttl(const struct source *s)
{
    return s->interval_ms + s->connector->timeout_ms + SLACK_MS;
}

/* [store thread] */
static int run_take(struct pb_store *store, void *user, struct pb_err *err)
{
    struct source *s = user;
    pbay_str name = pb_str_c(s->lease);
    if (s->fence && pb_store_lease_renew(store, name, s->fence, ttl(s), err) != 0) {
        if (err->code != PBAY_ABORTED) return -1;
        s->fence = 0;
    }
    if (!s->fence &&
        pb_store_lease_take(store, name, pb_durable_owner(s->all->durable), ttl(s), &s->fence, err) != 0) {
        s->fence = 0;
        return -1;
    }
    s->cursor.n = 0;
    return pb_store_cursor_get(store, pb_str_c(s->connector->name), pb_str_c(table_of(s)->name), &s->cursor,
                               err);
}

struct letting_go {
    struct pb_store_op op;
    char *lease;
    int64_t fence;
};

/* [store thread] */
static int run_let_go(struct pb_store *store, void *user, struct pb_err *err)
{
    struct letting_go *l = user;
    return pb_store_lease_release(store, pb_str_c(l->lease), l->fence, err);
}

static void let_go(void *user, const struct pb_err *err)
{
    struct letting_go *l = user;
    (void)err; /* then it ends by itself */
    pb_free(l->lease);
    pb_free(l);
}

/* Somebody else may poll at once. */
static void release(struct source *s)
{
    if (!s->fence) return;
    struct letting_go *l = pb_zalloc(sizeof *l);
    *l = (struct letting_go){.lease = pb_strdup(s->lease), .fence = s->fence};
    l->op = (struct pb_store_op){.run = run_let_go, .done = let_go, .user = l};
    s->fence = 0;
    pb_store_post(pb_durable_store(s->all->durable), &l->op);
}

static void over_limit(void *user)
{
    struct source *s = user;
    struct pb_connector *c = s->connector;
    struct pb_err err = {0};
    s->overdue = true;
    pb_fail(&err, PBAY_DEADLINE_EXCEEDED, "the plugin did not answer within the timeout of %lld ms",
            (long long)c->timeout_ms);
    if (c->plugin->events.cancel) {
        struct pb_visit v;
        pb_visit_enter(&v, c, "poll cancel", table_of(s)->name);
        c->plugin->events.cancel(c->self, s->index, s->poll);
        pb_visit_leave(&v);
    }
    if (s->phase == POLLING && !s->all->stopped) failed(s, &err);
}

static void taken(void *user, const struct pb_err *err)
{
    struct source *s = user;
    struct pb_connector *c = s->connector;
    s->phase = IDLE;
    if (err) {
        s->fence = 0;
        if (err->code == PBAY_ABORTED)
            wait_ms(s, s->interval_ms < 1000 ? 1000 : s->interval_ms); /* another worker's */
        else
            failed(s, err);
        pb_connector_ended(c);
        return;
    }
    if (s->all->stopped || c->stopped) {
        release(s);
        pb_connector_ended(c);
        return;
    }
    s->phase = POLLING;
    s->overdue = false;
    s->poll = pb_handle_new(&polls, s);
    pb_timer_set(c->env->loop, &s->limit, c->timeout_ms);
    struct pb_visit v;
    pb_visit_enter(&v, c, "poll", table_of(s)->name);
    c->plugin->events.poll(c->self, s->index, s->poll, pb_buf_view(&s->cursor));
    pb_visit_leave(&v);
}

static void begin(void *user)
{
    struct source *s = user;
    struct pb_connector *c = s->connector;
    if (s->all->stopped || c->stopped) return;
    bool paused = pb_durable_paused(s->all->durable, "connector", pb_str_c(c->name)) != NULL;
    if (s->poll || paused || pb_connector_state(c, NULL) == PB_CONNECTOR_OUT) {
        wait_ms(s, s->interval_ms);
        return;
    }
    s->phase = TAKING;
    pb_connector_began(c);
    s->op = (struct pb_store_op){.run = run_take, .done = taken, .user = s};
    pb_store_post(pb_durable_store(s->all->durable), &s->op);
}

/* [store thread] */
static int run_store(struct pb_store *store, void *user, struct pb_err *err)
{
    struct source *s = user;
    /* Whoever lost the lease must not move the cursor. */
    if (pb_store_lease_renew(store, pb_str_c(s->lease), s->fence, ttl(s), err) != 0) return -1;
    s->n_new = 0;
    for (uint32_t i = 0; i < s->n_events; i++) {
        char id[PB_ID_SIZE];
        bool known;
        if (pb_durable_event(s->all->durable, store, &s->events[i], id, &known, err) != 0) return -1;
        s->n_new += !known;
    }
    return pb_store_cursor_put(store, pb_str_c(s->connector->name), pb_str_c(table_of(s)->name),
                               s->new_cursor, err);
}

static void stored(void *user, const struct pb_err *err)
{
    struct source *s = user;
    struct pb_connector *c = s->connector;
    pb_arena_reset(&s->mem);
    if (err) {
        if (err->code == PBAY_ABORTED) s->fence = 0;
        failed(s, err);
    } else {
        s->failures = 0;
        if (s->n_new)
            pb_log(PB_LOG_DEBUG, "plugin", "polled", PB_S("connector", c->name),
                   PB_S("source", table_of(s)->name), PB_I("new", s->n_new));
        wait_ms(s, s->again ? 0 : s->interval_ms);
    }
    if (s->all->stopped) release(s);
    pb_connector_ended(c);
}

/* Copies of what the plugin gave: its memory is its own when it returns. */
static void keep_texts(struct source *s)
{
    for (uint32_t i = 0; i < s->n_events; i++) {
        struct pb_event_put *e = &s->events[i];
        e->type = pb_arena_str(&s->mem, e->type);
        e->subject = pb_arena_str(&s->mem, e->subject);
        e->data = pb_arena_str(&s->mem, e->data);
        pbay_str *keys = pb_arena_alloc(&s->mem, (e->n_keys + 1) * sizeof *keys);
        for (size_t k = 0; k < e->n_keys; k++) keys[k] = pb_arena_str(&s->mem, e->keys[k]);
        e->keys = keys;
    }
}

void pb_source_polled(uint64_t poll, const pbay_result *result, const pbay_event *events, uint32_t n,
                      pbay_str cursor, int again)
{
    struct source *s = pb_handle_get(&polls, poll);
    if (!s) {
        if (pb_current.connector)
            pb_connector_fault(pb_current.connector, "a poll that is over was answered", NULL);
        return;
    }
    struct pb_connector *c = s->connector;
    pb_handle_release(&polls, poll);
    s->poll = 0;
    pb_timer_cancel(&s->limit);
    struct pb_err err = {0};
    int rc = 0;
    if (s->overdue || s->all->stopped) {
        /* Already counted as failed, or nobody's any more. */
        pb_connector_ended(c);
        return;
    }
    if (result && result->code != PBAY_OK) {
        pb_plugin_why(&err, result->code, result, "poll");
        rc = -1;
    } else if (cursor.n > CURSOR_MOST) {
        rc = pb_fail(&err, PBAY_INVALID_ARGUMENT, "a cursor of %zu bytes; expected at most %d", cursor.n,
                     CURSOR_MOST);
    } else {
        rc = pb_events_read(c, events, n, &s->mem, &s->events, &err);
    }
    if (rc) {
        pb_arena_reset(&s->mem);
        failed(s, &err);
        pb_connector_ended(c);
        return;
    }
    s->n_events = n;
    keep_texts(s);
    s->new_cursor = pb_arena_str(&s->mem, cursor);
    s->again = again != 0;
    s->phase = STORING;
    s->op = (struct pb_store_op){.run = run_store, .done = stored, .user = s};
    pb_store_post(pb_durable_store(s->all->durable), &s->op);
}

/* ------------------------------------------------------------------------ life */

static void add(struct pb_sources *all, struct pb_connector *c, uint32_t index, int64_t interval_ms)
{
    struct source *s = pb_zalloc(sizeof *s);
    *s = (struct source){.all = all, .connector = c, .index = index, .interval_ms = interval_ms};
    s->lease = pb_sprintf("source %.100s.%s", c->name, c->plugin->source_table[index].name);
    s->timer = (struct pb_timer){.fn = begin, .user = s};
    s->limit = (struct pb_timer){.fn = over_limit, .user = s};
    s->next = all->first;
    all->first = s;
    pb_timer_set(c->env->loop, &s->timer, 0);
}

struct pb_sources *pb_sources_start(struct pb_registry *r, struct pb_durable *d)
{
    struct pb_sources *all = pb_zalloc(sizeof *all);
    all->durable = d;
    for (size_t i = 0; i < pb_registry_n_connectors(r); i++) {
        struct pb_connector *c = pb_registry_connector_at(r, i);
        if (!c->plugin->has_events || !c->started) continue;
        for (uint32_t k = 0; k < c->plugin->events.n_sources; k++) {
            int64_t ms = interval_of(c, &c->plugin->source_table[k]);
            if (ms) add(all, c, k, ms);
        }
    }
    return all;
}

void pb_sources_stop(struct pb_sources *all)
{
    if (!all || all->stopped) return;
    all->stopped = true;
    for (struct source *s = all->first; s; s = s->next) {
        pb_timer_cancel(&s->timer);
        pb_timer_cancel(&s->limit);
        if (s->poll && !s->overdue) over_limit(s);
        pb_timer_cancel(&s->timer);
        /* Where something is under way with it, its end lets go. */
        if (s->phase != TAKING && s->phase != STORING) release(s);
    }
}

void pb_sources_free(struct pb_sources *all)
{
    if (!all) return;
    for (struct source *s = all->first, *next; s; s = next) {
        next = s->next;
        if (s->poll) pb_handle_release(&polls, s->poll);
        pb_timer_cancel(&s->timer);
        pb_timer_cancel(&s->limit);
        pb_free(s->lease);
        pb_buf_free(&s->cursor);
        pb_arena_free(&s->mem);
        pb_free(s);
    }
    pb_free(all);
    if (!polls.live) pb_handles_free(&polls);
}
