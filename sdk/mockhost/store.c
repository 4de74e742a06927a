/* SPDX-License-Identifier: MIT */
/* pbay.host.kv/1, .limit/1 and .event/1 in memory. */
#include <patchbay/host_event.h>
#include <patchbay/host_job.h>
#include <patchbay/host_kv.h>
#include <patchbay/host_limit.h>
#include <string.h>

#include "base/arena.h"
#include "base/mem.h"
#include "mockhost/store.h"
#include "plugin/connector_priv.h"
#include "plugin/sources.h"

enum { KEY_MAX = 512, VALUE_MAX = 1 << 20, NAME_MAX_BYTES = 128 };

/* A value; gone when its time is over. */
struct cell {
    char *key;
    struct pb_buf value;
    int64_t expires_ms; /* 0: never */
};

struct window {
    char *name;
    int64_t began_ms;
    uint32_t taken, total;
};

struct event {
    struct pb_buf json, keys; /* the keys, each with a newline behind it */
};

struct pb_mock_store {
    int32_t fails;
    struct cell *cells;
    uint32_t n_cells, cells_cap;
    struct window *windows;
    uint32_t n_windows, windows_cap;
    struct event *events;
    uint32_t n_events, events_cap;
};

static struct pb_mock_store *store(void)
{
    if (!pb_mock->store) pb_mock->store = pb_zalloc(sizeof *pb_mock->store);
    return pb_mock->store;
}

void pb_mock_store_free(struct pbay_mock *m)
{
    struct pb_mock_store *s = m->store;
    if (!s) return;
    for (uint32_t i = 0; i < s->n_cells; i++) {
        pb_free(s->cells[i].key);
        pb_buf_free(&s->cells[i].value);
    }
    for (uint32_t i = 0; i < s->n_windows; i++) pb_free(s->windows[i].name);
    for (uint32_t i = 0; i < s->n_events; i++) {
        pb_buf_free(&s->events[i].json);
        pb_buf_free(&s->events[i].keys);
    }
    pb_free(s->cells);
    pb_free(s->windows);
    pb_free(s->events);
    pb_free(s);
}

void pbay_mock_store_fails(pbay_mock *m, int32_t code)
{
    (void)m;
    store()->fails = code;
}

/* ------------------------------------------------------------------------------------------------ answers */

int pb_mock_store_usable(struct pb_connector *c, const char *service, struct pb_err *err)
{
    if (pb_connector_locked(c, service))
        return pb_fail(err, PBAY_PERMISSION_DENIED, "the request has not been accepted yet");
    if (store()->fails) return pb_fail(err, store()->fails, "the test says that the store fails");
    return 0;
}

static void deliver(struct pb_mock_later *l)
{
    struct pb_mock_answer *a = (struct pb_mock_answer *)(void *)l;
    struct pb_visit v;
    pb_visit_enter(&v, a->connector, "store", NULL);
    a->tell(a);
    pb_visit_leave(&v);
    pb_buf_free(&a->value);
    pb_connector_ended(a->connector);
    pb_free(a);
}

struct pb_mock_answer *pb_mock_answer_new(struct pb_connector *c, void (*tell)(struct pb_mock_answer *a),
                                          void *user)
{
    struct pb_mock_answer *a = pb_zalloc(sizeof *a);
    a->connector = c;
    a->tell = tell;
    a->user = user;
    pb_connector_began(c);
    pb_mock_later(&a->later, 0, deliver);
    return a;
}

/* ------------------------------------------------------------------------------------------------ kv */

static struct cell *cell_of(pbay_str key)
{
    struct pb_mock_store *s = store();
    for (uint32_t i = 0; i < s->n_cells; i++) {
        struct cell *c = &s->cells[i];
        if (!pb_str_is(key, c->key)) continue;
        if (!c->expires_ms || c->expires_ms > pb_mock->utc_ms) return c;
        pb_free(c->key);
        pb_buf_free(&c->value);
        *c = s->cells[--s->n_cells];
        return NULL;
    }
    return NULL;
}

static void cell_put(pbay_str key, pbay_str value, int64_t ttl_ms)
{
    struct pb_mock_store *s = store();
    struct cell *c = cell_of(key);
    if (!value.p) {
        if (!c) return;
        pb_free(c->key);
        pb_buf_free(&c->value);
        *c = s->cells[--s->n_cells];
        return;
    }
    if (!c) {
        PB_GROW(s->cells, s->cells_cap, s->n_cells + 1);
        c = &s->cells[s->n_cells++];
        *c = (struct cell){.key = pb_strndup(key.p, key.n)};
    }
    c->value.n = 0;
    pb_buf_str(&c->value, value);
    c->expires_ms = ttl_ms > 0 ? pb_mock->utc_ms + ttl_ms : 0;
}

const char *pbay_mock_kv(pbay_mock *m, const char *key)
{
    if (m->connector) pbay_mock_run(m);
    const struct cell *c = cell_of(pb_str_c(key));
    if (!c) return NULL;
    struct pb_buf *b = pb_mock_text();
    pb_buf_str(b, pb_buf_view(&c->value));
    return pb_mock_said(b);
}

void pbay_mock_kv_set(pbay_mock *m, const char *key, const char *value)
{
    (void)m;
    cell_put(pb_str_c(key), pb_str_c(value), 0);
}

static void tell_got(struct pb_mock_answer *a)
{
    const pbay_result r = pb_err_result(&a->err);
    a->got(a->user, &r, pb_buf_view(&a->value));
}

static void tell_put(struct pb_mock_answer *a)
{
    const pbay_result r = pb_err_result(&a->err);
    if (a->put) a->put(a->user, &r);
}

static void kv_get(const pbay_host *host, pbay_str key,
                   void (*found)(void *user, const pbay_result *result, pbay_str value), void *user)
{
    struct pb_connector *c = pb_connector_of(host);
    if (!pb_mock_on_loop(PBAY_SVC_KV, "get")) return;
    struct pb_mock_answer *a = pb_mock_answer_new(c, tell_got, user);
    a->got = found;
    if (pb_mock_store_usable(c, PBAY_SVC_KV, &a->err)) return;
    const struct cell *cell = cell_of(key);
    if (cell)
        pb_buf_str(&a->value, pb_buf_view(&cell->value));
    else
        pb_fail(&a->err, PBAY_NOT_FOUND, "there is no value of that key");
}

static void kv_put(const pbay_host *host, pbay_str key, pbay_str value, const pbay_str *expected,
                   int64_t ttl_ms, void (*done)(void *user, const pbay_result *result), void *user)
{
    struct pb_connector *c = pb_connector_of(host);
    if (!pb_mock_on_loop(PBAY_SVC_KV, "put")) return;
    struct pb_mock_answer *a = pb_mock_answer_new(c, tell_put, user);
    a->put = done;
    if (pb_mock_store_usable(c, PBAY_SVC_KV, &a->err)) return;
    const struct cell *cell = cell_of(key);
    const pbay_str now = cell ? pb_buf_view(&cell->value) : pb_str(NULL, 0);
    if (key.n > KEY_MAX || value.n > VALUE_MAX)
        pb_fail(&a->err, PBAY_INVALID_ARGUMENT, "key of %zu bytes, value of %zu: at most %d and %d", key.n,
                value.n, KEY_MAX, VALUE_MAX);
    else if (expected && (expected->n ? !pb_str_eq(*expected, now) : cell != NULL))
        pb_fail(&a->err, PBAY_ABORTED, "there is another value by now");
    else
        cell_put(key, value, ttl_ms);
}

static const pbay_kv_1 kv_service = {sizeof kv_service, 0, kv_get, kv_put};

/* ------------------------------------------------------------------------------------------------ limits */

static struct window *window_of(pbay_str name)
{
    struct pb_mock_store *s = store();
    for (uint32_t i = 0; i < s->n_windows; i++)
        if (pb_str_is(name, s->windows[i].name)) return &s->windows[i];
    PB_GROW(s->windows, s->windows_cap, s->n_windows + 1);
    s->windows[s->n_windows] =
        (struct window){.name = pb_strndup(name.p, name.n), .began_ms = pb_mock->utc_ms};
    return &s->windows[s->n_windows++];
}

uint32_t pbay_mock_taken(pbay_mock *m, const char *window)
{
    if (m->connector) pbay_mock_run(m);
    return window_of(pb_str_c(window))->total;
}

static void tell_taken(struct pb_mock_answer *a)
{
    const pbay_result r = pb_err_result(&a->err);
    a->taken(a->user, &r, a->err.code ? 0 : a->after_ms);
}

static void limit_take(const pbay_host *host, pbay_str name, uint32_t n, uint32_t max, int64_t window_ms,
                       void (*taken)(void *user, const pbay_result *result, int64_t after_ms), void *user)
{
    struct pb_connector *c = pb_connector_of(host);
    if (!pb_mock_on_loop(PBAY_SVC_LIMIT, "take")) return;
    struct pb_mock_answer *a = pb_mock_answer_new(c, tell_taken, user);
    a->taken = taken;
    if (pb_mock_store_usable(c, PBAY_SVC_LIMIT, &a->err)) return;
    if (!name.n || name.n > NAME_MAX_BYTES || !pb_utf8_valid(name) || !n || n > max || window_ms < 1) {
        pb_fail(&a->err, PBAY_INVALID_ARGUMENT,
                "a window of %zu bytes of name, %u of %u in %lld ms; expected 1 to %d, at least 1 of as "
                "many, in 1",
                name.n, n, max, (long long)window_ms, NAME_MAX_BYTES);
        return;
    }
    struct window *w = window_of(name);
    if (pb_mock->utc_ms - w->began_ms >= window_ms) {
        w->began_ms = pb_mock->utc_ms;
        w->taken = 0;
    }
    if (w->taken + n > max) {
        a->after_ms = w->began_ms + window_ms - pb_mock->utc_ms;
        return;
    }
    w->taken += n;
    w->total += n;
}

static const pbay_limit_1 limit_service = {sizeof limit_service, 0, limit_take};

/* ------------------------------------------------------------------------------------------------ events */

void pb_mock_event_json(struct pb_buf *b, const pbay_event *e)
{
    pb_buf_c(b, "{\"type\": ");
    pb_buf_json(b, e->type);
    pb_buf_c(b, ", \"keys\": [");
    for (uint32_t i = 0; i < e->n_keys; i++) {
        if (i) pb_buf_c(b, ", ");
        pb_buf_json(b, e->keys[i]);
    }
    pb_buf_c(b, "], \"id\": ");
    pb_buf_json(b, e->id);
    pb_buf_c(b, ", \"subject\": ");
    pb_buf_json(b, e->subject);
    pb_buf_printf(b, ", \"time_ms\": %lld, \"data\": ", (long long)e->time_ms);
    pb_buf_str(b, e->data.n ? e->data : PB_STR("null"));
    pb_buf_ch(b, '}');
}

uint32_t pbay_mock_events(pbay_mock *m)
{
    if (m->connector) pbay_mock_run(m);
    return store()->n_events;
}

const char *pbay_mock_event(pbay_mock *m, uint32_t i)
{
    if (i >= pbay_mock_events(m)) return NULL;
    return pb_mock_said(&store()->events[i].json);
}

static bool known(const struct event *e, pbay_str key)
{
    pbay_str rest = pb_buf_view(&e->keys), one;
    while (pb_str_split(&rest, '\n', &one))
        if (one.n && pb_str_eq(one, key)) return true;
    return false;
}

static bool is_new(const pbay_event *e)
{
    const struct pb_mock_store *s = store();
    for (uint32_t i = 0; i < s->n_events; i++) {
        if (e->id.n && known(&s->events[i], e->id)) return false;
        for (uint32_t k = 0; k < e->n_keys; k++)
            if (known(&s->events[i], e->keys[k])) return false;
    }
    return true;
}

static void keep(const pbay_event *e)
{
    struct pb_mock_store *s = store();
    PB_GROW(s->events, s->events_cap, s->n_events + 1);
    struct event *to = &s->events[s->n_events++];
    *to = (struct event){0};
    for (uint32_t k = 0; k < e->n_keys; k++) pb_buf_printf(&to->keys, "%.*s\n", PB_FMT(e->keys[k]));
    pb_buf_printf(&to->keys, "%.*s\n", PB_FMT(e->id));
    pb_mock_event_json(&to->json, e);
}

static void tell_stored(struct pb_mock_answer *a)
{
    const pbay_result r = pb_err_result(&a->err);
    if (a->stored) a->stored(a->user, &r, a->n);
}

static void event_put(const pbay_host *host, const pbay_event *events, uint32_t n,
                      void (*stored)(void *user, const pbay_result *result, uint32_t n_new), void *user)
{
    struct pb_connector *c = pb_connector_of(host);
    struct pb_arena mem = {0};
    struct pb_event_put *put;
    if (!pb_mock_on_loop(PBAY_SVC_EVENT, "put")) return;
    struct pb_mock_answer *a = pb_mock_answer_new(c, tell_stored, user);
    a->stored = stored;
    if (pb_mock_store_usable(c, PBAY_SVC_EVENT, &a->err)) return;
    if (pb_events_read(c, events, n, &mem, &put, &a->err)) {
        pb_arena_free(&mem);
        return;
    }
    const char *at = (const char *)events;
    for (uint32_t i = 0; i < n; i++) {
        const pbay_event *e = (const pbay_event *)(const void *)at;
        at += e->struct_size;
        if (!is_new(e)) continue;
        keep(e);
        a->n++;
    }
    pb_arena_free(&mem);
}

static const pbay_event_1 *event_service(void)
{
    static pbay_event_1 table;
    table = (pbay_event_1){sizeof table, 0, event_put, pb_mock_polled};
    return &table;
}

const void *pb_mock_stored(const char *id)
{
    if (!strcmp(id, PBAY_SVC_KV)) return &kv_service;
    if (!strcmp(id, PBAY_SVC_LIMIT)) return &limit_service;
    if (!strcmp(id, PBAY_SVC_EVENT)) return event_service();
    if (!strcmp(id, PBAY_SVC_JOB)) return &pb_mock_job_service;
    return NULL;
}
