/* SPDX-License-Identifier: MIT */
#include "loop/watch.h"

#include "base/mem.h"
#include "loop/loop_priv.h"

struct pb_watch {
    uv_poll_t h;
    void (*fn)(void *user);
    void *user;
    bool paused, writing;
};

static void free_handle(uv_handle_t *h)
{
    pb_free(h->data);
}

static void on_ready(uv_poll_t *h, int status, int events)
{
    struct pb_watch *w = h->data;
    (void)status; /* reading tells what is wrong */
    (void)events;
    w->fn(w->user);
}

struct pb_watch *pb_watch_open(struct pb_loop *loop, int fd, void (*fn)(void *user), void *user,
                               struct pb_err *err)
{
    struct pb_watch *w = pb_zalloc(sizeof *w);
    w->fn = fn;
    w->user = user;
    int rc = uv_poll_init(&loop->uv, &w->h, fd);
    if (rc) {
        pb_free(w);
        pb_fail(err, PBAY_INTERNAL, "cannot watch descriptor %d: %s", fd, uv_strerror(rc));
        return NULL;
    }
    w->h.data = w;
    uv_poll_start(&w->h, UV_READABLE, on_ready);
    return w;
}

static void watch(struct pb_watch *w)
{
    int events = (w->paused ? 0 : UV_READABLE) | (w->writing ? UV_WRITABLE : 0);
    if (events)
        uv_poll_start(&w->h, events, on_ready);
    else
        uv_poll_stop(&w->h);
}

void pb_watch_pause(struct pb_watch *w, bool paused)
{
    w->paused = paused;
    watch(w);
}

void pb_watch_writing(struct pb_watch *w, bool writing)
{
    if (w->writing == writing) return;
    w->writing = writing;
    watch(w);
}

void pb_watch_close(struct pb_watch *w)
{
    if (w) uv_close((uv_handle_t *)&w->h, free_handle);
}
