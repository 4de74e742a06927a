/* SPDX-License-Identifier: MIT */
/* Signals, and waking the loop from other threads: a uv handle each, freed in its close callback. */
#include "loop/loop_priv.h"

#include "base/mem.h"

struct pb_signal {
    uv_signal_t h;
    void (*fn)(void *user, int signum);
    void *user;
};

static void free_handle(uv_handle_t *h)
{
    pb_free(h->data);
}

static void on_signal(uv_signal_t *h, int signum)
{
    struct pb_signal *s = h->data;
    s->fn(s->user, signum);
}

struct pb_signal *pb_signal_open(struct pb_loop *loop, int signum, void (*fn)(void *user, int signum),
                                 void *user, struct pb_err *err)
{
    struct pb_signal *s = pb_zalloc(sizeof *s);
    s->fn = fn;
    s->user = user;
    uv_signal_init(&loop->uv, &s->h);
    s->h.data = s;
    int rc = uv_signal_start(&s->h, on_signal, signum);
    if (rc) {
        uv_close((uv_handle_t *)&s->h, free_handle);
        pb_fail(err, PBAY_INTERNAL, "cannot watch signal %d: %s", signum, uv_strerror(rc));
        return NULL;
    }
    return s;
}

void pb_signal_close(struct pb_signal *s)
{
    if (s) uv_close((uv_handle_t *)&s->h, free_handle);
}

struct pb_wake {
    uv_async_t h;
    void (*fn)(void *user);
    void *user;
};

static void on_wake(uv_async_t *h)
{
    struct pb_wake *w = h->data;
    w->fn(w->user);
}

struct pb_wake *pb_wake_open(struct pb_loop *loop, void (*fn)(void *user), void *user, struct pb_err *err)
{
    struct pb_wake *w = pb_zalloc(sizeof *w);
    w->fn = fn;
    w->user = user;
    int rc = uv_async_init(&loop->uv, &w->h, on_wake);
    if (rc) {
        pb_free(w);
        pb_fail(err, PBAY_INTERNAL, "cannot create a wake-up handle: %s", uv_strerror(rc));
        return NULL;
    }
    w->h.data = w;
    return w;
}

void pb_wake_send(struct pb_wake *w)
{
    uv_async_send(&w->h);
}

void pb_wake_close(struct pb_wake *w)
{
    if (w) uv_close((uv_handle_t *)&w->h, free_handle);
}
