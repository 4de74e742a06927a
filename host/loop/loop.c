/* SPDX-License-Identifier: MIT */
/* The turn and its queues. Timers are in timer.c, signals and waking in wake.c. */
#include "loop/loop_priv.h"

#include <string.h>

#include "base/check.h"
#include "base/mem.h"

/* A run queue that keeps feeding itself lets sockets in after this many drains of the turn-end queue. */
enum { TURN_END_ROUNDS = 8 };

static void queue_init(struct pb_defer *head)
{
    head->next = head->prev = head;
}

static bool queue_empty(const struct pb_defer *head)
{
    return head->next == head;
}

static void queue_put(struct pb_defer *head, struct pb_defer *d)
{
    d->next = head;
    d->prev = head->prev;
    head->prev->next = d;
    head->prev = d;
}

static struct pb_defer *queue_take(struct pb_defer *head)
{
    struct pb_defer *d = head->next;
    pb_defer_cancel(d);
    return d;
}

void pb_defer_cancel(struct pb_defer *d)
{
    if (!d->next) return;
    d->next->prev = d->prev;
    d->prev->next = d->next;
    d->next = d->prev = NULL;
}

void pb_loop_defer(struct pb_loop *loop, struct pb_defer *d)
{
    if (!d->next) queue_put(&loop->run, d);
}

void pb_loop_at_turn_end(struct pb_loop *loop, struct pb_defer *d)
{
    if (!d->next) queue_put(&loop->turn_end, d);
}

void pb_loop_drain(struct pb_loop *loop)
{
    if (loop->draining) return;
    loop->draining = true;
    for (int n = 0; n < PB_LOOP_DRAIN_MAX && !queue_empty(&loop->run); n++) {
        struct pb_defer *d = queue_take(&loop->run);
        loop->happened = true;
        d->fn(d->user);
    }
    loop->draining = false;
}

void pb__loop_end_turn(struct pb_loop *loop)
{
    pb_loop_drain(loop);
    for (int round = 0; round < TURN_END_ROUNDS && !queue_empty(&loop->turn_end); round++) {
        /* Only what is there now: a node that queues itself again waits for the next round. */
        struct pb_defer batch;
        queue_init(&batch);
        batch.next = loop->turn_end.next;
        batch.prev = loop->turn_end.prev;
        batch.next->prev = batch.prev->next = &batch;
        queue_init(&loop->turn_end);
        while (!queue_empty(&batch)) {
            struct pb_defer *d = queue_take(&batch);
            loop->happened = true;
            d->fn(d->user);
        }
        pb_loop_drain(loop);
    }
    for (struct pb_turn_hook *h = loop->hooks, *next; h; h = next) {
        next = h->next;
        h->fn(h->user);
    }
    /* What is left must not wait for a socket. */
    bool left = !queue_empty(&loop->run) || !queue_empty(&loop->turn_end);
    if (left != loop->spinning) {
        if (left)
            uv_idle_start(&loop->idle, pb__loop_on_idle);
        else
            uv_idle_stop(&loop->idle);
        loop->spinning = left;
    }
}

void pb__loop_on_idle(uv_idle_t *h)
{
    (void)h; /* its being active keeps the loop from blocking */
}

static void on_prepare(uv_prepare_t *h)
{
    struct pb_loop *loop = h->data;
    pb__loop_end_turn(loop);
    pb__timers_arm(loop);
    /* One turn: libuv would block although a timer was due as it began, which may be all that was awaited. */
    if (loop->one_turn && loop->happened) uv_stop(&loop->uv);
    loop->waited = true;
}

static void on_check(uv_check_t *h)
{
    struct pb_loop *loop = h->data;
    loop->now_ns = pb_mono_ns(); /* what this turn ends was not known before it had waited */
    loop->waited = false;
    pb__loop_end_turn(loop);
    loop->now_ns = pb_mono_ns();
}

static void on_post(uv_async_t *h)
{
    struct pb_loop *loop = h->data;
    pthread_mutex_lock(&loop->post_lock);
    struct pb_defer *d = loop->posted;
    loop->posted = NULL;
    loop->posted_tail = &loop->posted;
    pthread_mutex_unlock(&loop->post_lock);
    while (d) {
        struct pb_defer *next = d->next;
        d->next = NULL;
        pb_loop_defer(loop, d);
        d = next;
    }
}

void pb_loop_post(struct pb_loop *loop, struct pb_defer *d)
{
    pthread_mutex_lock(&loop->post_lock);
    d->next = NULL;
    d->prev = NULL;
    bool first = !loop->posted;
    *loop->posted_tail = d;
    loop->posted_tail = &d->next;
    pthread_mutex_unlock(&loop->post_lock);
    if (first) uv_async_send(&loop->async);
}

void pb_loop_hook_add(struct pb_loop *loop, struct pb_turn_hook *hook)
{
    struct pb_turn_hook **at = &loop->hooks;
    while (*at) at = &(*at)->next;
    hook->next = NULL;
    *at = hook;
}

void pb_loop_hook_remove(struct pb_loop *loop, struct pb_turn_hook *hook)
{
    for (struct pb_turn_hook **at = &loop->hooks; *at; at = &(*at)->next)
        if (*at == hook) {
            *at = hook->next;
            return;
        }
}

struct pb_loop *pb_loop_new(struct pb_err *err)
{
    struct pb_loop *loop = pb_zalloc(sizeof *loop);
    int rc = uv_loop_init(&loop->uv);
    if (rc) {
        pb_free(loop);
        pb_fail(err, PBAY_INTERNAL, "cannot create an event loop: %s", uv_strerror(rc));
        return NULL;
    }
    queue_init(&loop->run);
    queue_init(&loop->turn_end);
    loop->posted_tail = &loop->posted;
    pthread_mutex_init(&loop->post_lock, NULL);
    rc = uv_async_init(&loop->uv, &loop->async, on_post);
    if (rc) pb_fatal("uv_async_init: %s", uv_strerror(rc));
    uv_prepare_init(&loop->uv, &loop->prepare);
    uv_check_init(&loop->uv, &loop->check);
    uv_idle_init(&loop->uv, &loop->idle);
    uv_prepare_start(&loop->prepare, on_prepare);
    uv_check_start(&loop->check, on_check);
    loop->async.data = loop->prepare.data = loop->check.data = loop;
    loop->now_ns = pb_mono_ns();
    pb__timers_init(loop);
    return loop;
}

static void name_open_handle(uv_handle_t *h, void *arg)
{
    (void)arg;
    if (!uv_is_closing(h))
        pb_fatal("a %s handle is still open while its loop is freed", uv_handle_type_name(h->type));
}

void pb_loop_free(struct pb_loop *loop)
{
    if (!loop) return;
    pb__loop_end_turn(loop);
    uv_close((uv_handle_t *)&loop->async, NULL);
    uv_close((uv_handle_t *)&loop->prepare, NULL);
    uv_close((uv_handle_t *)&loop->check, NULL);
    uv_close((uv_handle_t *)&loop->idle, NULL);
    pb__timers_close(loop);
    uv_walk(&loop->uv, name_open_handle, NULL);
    uv_run(&loop->uv, UV_RUN_DEFAULT);
    pb_loop_drain(loop); /* close callbacks may have deferred */
    PB_REQUIRE(uv_loop_close(&loop->uv) == 0);
    pthread_mutex_destroy(&loop->post_lock);
    pb__timers_free(loop);
    pb_free(loop);
}

void pb_loop_run(struct pb_loop *loop)
{
    loop->stopped = false;
    while (!loop->stopped) uv_run(&loop->uv, UV_RUN_DEFAULT);
    pb__loop_end_turn(loop);
}

void pb_loop_stop(struct pb_loop *loop)
{
    loop->stopped = true;
    uv_stop(&loop->uv);
}

void pb_loop_turn(struct pb_loop *loop, bool wait)
{
    /* What is queued is something that happens: the queue runs before the loop would block. */
    bool queued = !queue_empty(&loop->run) || !queue_empty(&loop->turn_end);
    loop->happened = false;
    loop->one_turn = true;
    uv_run(&loop->uv, wait && !queued ? UV_RUN_ONCE : UV_RUN_NOWAIT);
    loop->one_turn = false;
    pb__loop_end_turn(loop);
}

struct uv_loop_s *pb_loop_uv(struct pb_loop *loop)
{
    return &loop->uv;
}

int64_t pb_loop_now(struct pb_loop *loop)
{
    if (loop->waited) loop->now_ns = pb_mono_ns();
    loop->waited = false;
    return loop->now_ns;
}
