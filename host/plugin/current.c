/* SPDX-License-Identifier: MIT */
#include "plugin/current.h"

#include <stdatomic.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/log.h"
#include "plugin/connector_priv.h"

enum { SLOW_MS = 5, LOG_EVERY_S = 60 };

_Thread_local struct pb_current pb_current;
_Thread_local struct pb_page_mark *pb_current_mark;

static void put(char *to, size_t cap, const char *from)
{
    if (!from) from = "";
    size_t n = strnlen(from, cap - 1);
    memcpy(to, from, n);
    to[n] = 0;
}

/* The supervisor reads it only when this process is gone, so its parts need no order among themselves. */
static void mark(const struct pb_current *now)
{
    struct pb_page_mark *m = pb_current_mark;
    if (now->connector) {
        put(m->connector, sizeof m->connector, now->name);
        put(m->function, sizeof m->function, now->function);
        put(m->what, sizeof m->what, now->what);
    }
    atomic_store_explicit(&m->inside, now->connector != NULL, memory_order_release);
}

void pb_visit_enter(struct pb_visit *v, struct pb_connector *c, const char *what, const char *function)
{
    v->before = pb_current;
    pb_current = (struct pb_current){c, c->name, what, function, {NULL, 0}};
    if (pb_current_mark) mark(&pb_current);
    v->start_ns = pb_mono_coarse_ns();
}

static int64_t tick_ns(void)
{
    static _Atomic int64_t tick;
    int64_t t = atomic_load_explicit(&tick, memory_order_relaxed);
    if (t) return t;
    struct timespec r = {0, 4 * PB_MS};
    clock_getres(CLOCK_MONOTONIC_COARSE, &r);
    t = r.tv_nsec;
    atomic_store_explicit(&tick, t, memory_order_relaxed);
    return t;
}

static void slow(struct pb_connector *c, const char *what, int64_t now, int64_t took)
{
    if (pb_connector_apart(c)) return; /* waiting for its process, which says so itself */
    if (c->slow_logged_ns && now - c->slow_logged_ns < LOG_EVERY_S * PB_SEC) return;
    c->slow_logged_ns = now;
    pb_log(PB_LOG_WARN, "plugin", "a plugin blocked the loop", PB_S("plugin", c->plugin->name),
           PB_S("connector", c->name), PB_S("in", what), PB_F("ms", (double)took / (double)PB_MS));
}

void pb_visit_leave(struct pb_visit *v)
{
    int64_t now = pb_mono_coarse_ns(), took = now - v->start_ns;
    /* Between two ticks lies up to one tick less. */
    if (PB_UNLIKELY(took > SLOW_MS * PB_MS + tick_ns()))
        slow(pb_current.connector, pb_current.what, now, took);
    pb_current = v->before;
    if (pb_current_mark) mark(&pb_current);
}
