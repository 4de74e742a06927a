/* SPDX-License-Identifier: MIT */
/* pbay.host.event/1: events into the store. The answers of polls are sources.c's. */
#include <patchbay/host_event.h>

#include <string.h>

#include "base/arena.h"
#include "base/clock.h"
#include "base/mem.h"
#include "data/json_scan.h"
#include "plugin/connector_priv.h"
#include "plugin/services.h"
#include "plugin/sources.h"

/* More operations that wait for the store than this: it does not keep up. */
enum { WAITING_MAX = 20000 };

int pb_events_read(const struct pb_connector *c, const pbay_event *events, uint32_t n, struct pb_arena *mem,
                   struct pb_event_put **out, struct pb_err *err)
{
    struct pb_event_put *put = pb_arena_zalloc(mem, (n + 1) * sizeof *put);
    *out = put;
    const char *at = (const char *)events;
    for (uint32_t i = 0; i < n; i++) {
        pbay_event e = {0};
        uint32_t size;
        memcpy(&size, at, sizeof size);
        memcpy(&e, at, size < sizeof e ? size : sizeof e);
        at += size;
        if (size < PB_EVENT_1_0)
            return pb_fail(err, PBAY_INVALID_ARGUMENT, "event %u: struct_size is %u, ABI 1.0 has %d", i + 1,
                           size, PB_EVENT_1_0);
        if (!e.n_keys && !e.id.n) return pb_fail(err, PBAY_INVALID_ARGUMENT, "event %u has no key", i + 1);
        if (e.n_keys > PB_EVENT_KEYS_MAX - 1)
            return pb_fail(err, PBAY_INVALID_ARGUMENT, "event %u has %u keys; expected at most %d", i + 1,
                           e.n_keys, PB_EVENT_KEYS_MAX - 1);
        if (!e.data.n) e.data = PB_STR("null");
        if (!pb_json_valid(e.data, 0))
            return pb_fail(err, PBAY_INVALID_ARGUMENT, "event %u: its data is not JSON", i + 1);
        pbay_str *keys = pb_arena_alloc(mem, (e.n_keys + 1) * sizeof *keys);
        for (uint32_t k = 0; k < e.n_keys; k++) keys[k] = e.keys[k];
        if (e.id.n) keys[e.n_keys] = e.id;
        put[i] = (struct pb_event_put){.connector = pb_str_c(c->name),
                                       .type = e.type,
                                       .subject = e.subject,
                                       .data = e.data,
                                       .time_ms = e.time_ms ? e.time_ms : pb_now_ms(),
                                       .keys = keys,
                                       .n_keys = e.n_keys + (e.id.n > 0)};
    }
    return 0;
}

struct put {
    struct pb_connector *connector;
    struct pb_defer refused;
    struct pb_err err;
    uint32_t n_new;
    void (*stored)(void *user, const pbay_result *result, uint32_t n_new);
    void *user;
};

static void answer(struct put *p, const struct pb_err *err)
{
    struct pb_connector *c = p->connector;
    static const pbay_result fine = PBAY_RESULT_OK;
    pbay_result result = err ? pb_err_result(err) : fine;
    if (p->stored) {
        struct pb_visit v;
        pb_visit_enter(&v, c, "event stored", NULL);
        p->stored(p->user, &result, p->n_new);
        pb_visit_leave(&v);
    }
    pb_free(p);
    pb_connector_ended(c);
}

static void on_stored(void *user, const struct pb_err *err, uint32_t n_new)
{
    struct put *p = user;
    p->n_new = n_new;
    answer(p, err);
}

static void on_refused(void *user)
{
    struct put *p = user;
    answer(p, &p->err);
}

static void event_put(const pbay_host *host, const pbay_event *events, uint32_t n,
                      void (*stored)(void *user, const pbay_result *result, uint32_t n_new), void *user)
{
    struct pb_connector *c = pb_connector_of(host);
    struct pb_durable *d = c->env->durable;
    struct put *p = pb_zalloc(sizeof *p);
    struct pb_arena mem = {0};
    struct pb_event_put *put = NULL;
    *p = (struct put){.connector = c, .stored = stored, .user = user};
    p->refused = pb_defer_make(on_refused, p);
    pb_connector_began(c);
    struct pb_store_load load = {0};
    int rc = -1;
    if (pb_connector_locked(c, PBAY_SVC_EVENT))
        pb_fail(&p->err, PBAY_PERMISSION_DENIED, "the request has not been accepted yet");
    else if (!d)
        pb_fail(&p->err, PBAY_UNAVAILABLE, "there is no store here");
    else if (pb_durable_aside(d))
        pb_fail(&p->err, PBAY_UNAVAILABLE,
                "a command puts no events: what they cause is known to the gateway alone");
    else
        rc = pb_events_read(c, events, n, &mem, &put, &p->err);
    if (rc == 0) {
        pb_store_async_load(pb_durable_store(d), &load);
        if (load.waiting > WAITING_MAX) {
            rc = pb_fail(&p->err, PBAY_RESOURCE_EXHAUSTED, "the store does not keep up; try again");
            p->err.retry_after_ms = 1000;
        }
    }
    if (rc == 0)
        pb_durable_put_events(d, put, n, on_stored, p);
    else
        pb_loop_defer(c->env->loop, &p->refused);
    pb_arena_free(&mem);
}

const pbay_event_1 pb_service_event = {
    .struct_size = sizeof(pbay_event_1),
    .put = event_put,
    .polled = pb_source_polled,
};
