/* SPDX-License-Identifier: MIT */
/* pbay.host.work/1: blocking work in a pool of the connector's own. */
#include <patchbay/host_work.h>

#include <stdio.h>

#include "base/clock.h"
#include "base/mem.h"
#include "loop/pool.h"
#include "plugin/connector_priv.h"
#include "plugin/services.h"

struct pb_service_works {
    struct pb_pool *pool;
    uint32_t threads;
    bool out; /* the connector was put out because every thread is stuck */
};

struct plugin_work {
    struct pb_work work;
    struct pb_connector *connector;
    void (*fn)(void *user, uint32_t slot);
    void (*done)(void *user, int cancelled);
    void *user;
};

static void in_pool(void *user, uint32_t slot)
{
    struct plugin_work *w = user;
    pb_current = (struct pb_current){w->connector, w->connector->name, "work", NULL, {NULL, 0}};
    w->fn(w->user, slot);
    pb_current = (struct pb_current){0};
}

static void on_done(void *user, bool cancelled)
{
    struct plugin_work *w = user;
    struct pb_connector *c = w->connector;
    if (c->works && c->works->out) {
        c->works->out = false;
        pb_connector_set_state(c, PB_CONNECTOR_UP, "");
    }
    struct pb_visit v;
    pb_visit_enter(&v, c, "work done", NULL);
    w->done(w->user, cancelled);
    pb_visit_leave(&v);
    pb_free(w);
    pb_connector_ended(c);
}

void pb_service_work_check(struct pb_connector *c)
{
    struct pb_service_works *all = c->works;
    if (!all || all->out || c->state == PB_CONNECTOR_OUT) return;
    int64_t stuck = pb_pool_stuck_ns(all->pool);
    if (stuck < c->timeout_ms * PB_MS) return;
    all->out = true;
    char text[PB_STATE_TEXT];
    snprintf(text, sizeof text, "all %u work threads have been stuck for %lld s", all->threads,
             (long long)(stuck / PB_SEC));
    pb_connector_set_state(c, PB_CONNECTOR_OUT, text);
}

static int64_t option(const struct pb_connector *c, const char *name, int64_t dflt)
{
    return c->config ? pb_config_get_int(c->config, name) : dflt;
}

static int32_t work_submit(const pbay_host *host, void (*fn)(void *user, uint32_t slot),
                           void (*done)(void *user, int cancelled), void *user)
{
    struct pb_connector *c = pb_connector_of(host);
    if (pb_connector_locked(c, PBAY_SVC_WORK)) return PBAY_PERMISSION_DENIED;
    if (c->stopped) return PBAY_UNAVAILABLE;
    if (!c->works) {
        c->works = pb_zalloc(sizeof *c->works);
        c->works->threads = (uint32_t)option(c, "work_threads", 4);
        c->works->pool =
            pb_pool_new(c->env->loop, c->name, c->works->threads, (uint32_t)option(c, "work_queue", 1024));
    }
    pb_service_work_check(c);
    struct plugin_work *w = pb_zalloc(sizeof *w);
    w->work.fn = in_pool;
    w->work.done = on_done;
    w->work.user = w;
    w->connector = c;
    w->fn = fn;
    w->done = done;
    w->user = user;
    struct pb_err err;
    if (pb_pool_submit(c->works->pool, &w->work, &err)) {
        pb_free(w);
        return err.code;
    }
    pb_connector_began(c);
    return PBAY_OK;
}

static void pool_closed(void *user)
{
    struct pb_connector *c = user;
    pb_free(c->works);
    c->works = NULL;
    pb_connector_ended(c);
}

void pb_service_work_stop(struct pb_connector *c)
{
    if (!c->works) return;
    pb_connector_began(c); /* the pool's own end */
    pb_pool_close(c->works->pool, pool_closed, c);
}

const pbay_work_1 pb_service_work = {
    .struct_size = sizeof(pbay_work_1),
    .submit = work_submit,
};
