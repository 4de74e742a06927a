/* SPDX-License-Identifier: MIT */
/* pbay.host.timer/1 over the loop's timers. */
#include <patchbay/host_timer.h>

#include "base/clock.h"
#include "base/handle.h"
#include "base/mem.h"
#include "plugin/connector_priv.h"
#include "plugin/services.h"

struct plugin_timer {
    struct pb_timer timer;
    struct plugin_timer *next, *prev; /* of the connector */
    struct pb_connector *connector;
    uint64_t handle;
    int64_t period_ms;
    void (*fn)(void *user);
    void *user;
};

struct pb_service_timers {
    struct plugin_timer *first;
};

static _Thread_local struct pb_handles timers;

static void end_timer(struct plugin_timer *t)
{
    struct pb_service_timers *all = t->connector->timers;
    if (t->next) t->next->prev = t->prev;
    *(t->prev ? &t->prev->next : &all->first) = t->next;
    pb_timer_cancel(&t->timer);
    pb_handle_release(&timers, t->handle);
    if (!timers.live) pb_handles_free(&timers);
    pb_free(t);
}

static void fire(void *user)
{
    struct plugin_timer *t = user;
    struct pb_connector *c = t->connector;
    void (*fn)(void *) = t->fn;
    void *arg = t->user;
    if (t->period_ms)
        pb_timer_set(c->env->loop, &t->timer, t->period_ms);
    else
        end_timer(t);
    struct pb_visit v;
    pb_visit_enter(&v, c, "timer", NULL);
    fn(arg); /* may cancel it */
    pb_visit_leave(&v);
}

static pbay_timer timer_start(const pbay_host *host, int64_t delay_ms, int64_t period_ms,
                              void (*fn)(void *user), void *user)
{
    struct pb_connector *c = pb_connector_of(host);
    if (pb_connector_locked(c, PBAY_SVC_TIMER)) return 0;
    if (!c->timers) c->timers = pb_zalloc(sizeof *c->timers);
    struct plugin_timer *t = pb_zalloc(sizeof *t);
    t->timer.fn = fire;
    t->timer.user = t;
    t->connector = c;
    t->period_ms = period_ms > 0 ? period_ms : 0;
    t->fn = fn;
    t->user = user;
    t->next = c->timers->first;
    if (t->next) t->next->prev = t;
    c->timers->first = t;
    t->handle = pb_handle_new(&timers, t);
    pb_timer_set(c->env->loop, &t->timer, delay_ms > 0 ? delay_ms : 0);
    return t->handle;
}

static void timer_cancel(pbay_timer timer)
{
    struct plugin_timer *t = pb_handle_get(&timers, timer);
    if (t) end_timer(t);
}

void pb_service_timer_stop(struct pb_connector *c)
{
    while (c->timers && c->timers->first) end_timer(c->timers->first);
    pb_free(c->timers);
    c->timers = NULL;
}

const pbay_timer_1 pb_service_timer = {
    .struct_size = sizeof(pbay_timer_1),
    .monotonic_ns = pb_mono_ns,
    .now_ms = pb_now_ms,
    .start = timer_start,
    .cancel = timer_cancel,
};
