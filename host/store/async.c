/* SPDX-License-Identifier: MIT */
#include "store/async.h"

#include <pthread.h>
#include <string.h>

#include "base/check.h"
#include "base/log.h"
#include "base/mem.h"
#include "store/engine.h"

struct list {
    struct pb_store_op *first, **last;
};

struct pb_store_async {
    struct pb_loop *loop;
    struct pb_store *store; /* the thread's */
    pthread_t thread;
    uint32_t pending;      /* posted, done not yet called [loop] */
    bool started, closing; /* [loop] */
    void (*closed)(void *user);
    void *closed_user;
    struct pb_defer finish;

    pthread_mutex_t lock; /* guards what follows */
    pthread_cond_t more;
    struct list reads, writes, back;
    struct pb_defer deliver;
    bool delivering; /* deliver is posted */
    bool stop;
    struct pb_store_load load;
    int64_t said_ns; /* when a failure was logged [loop] */
};

static void list_init(struct list *l)
{
    l->first = NULL;
    l->last = &l->first;
}

static void list_put(struct list *l, struct pb_store_op *op)
{
    op->next = NULL;
    *l->last = op;
    l->last = &op->next;
}

static struct pb_store_op *list_take(struct list *l)
{
    struct pb_store_op *op = l->first;
    if (op && !(l->first = op->next)) l->last = &l->first;
    return op;
}

/* All of src behind dst. */
static void list_move(struct list *dst, struct list *src)
{
    if (!src->first) return;
    *dst->last = src->first;
    dst->last = src->last;
    list_init(src);
}

/* All of src in front of dst. */
static void list_move_front(struct list *dst, struct list *src)
{
    list_move(src, dst);
    list_move(dst, src);
}

/* ------------------------------------------------------------------------ the store thread */

static void set_err(struct pb_store_op *op, const struct pb_err *err)
{
    if (!err) {
        pb_free(op->err);
        op->err = NULL;
        return;
    }
    if (!op->err) op->err = pb_alloc(sizeof *op->err);
    *op->err = *err;
}

static int run_whole(struct pb_store_async *a, struct pb_store_op *op)
{
    struct pb_err err = {0};
    int rc =
        op->reads ? op->run(a->store, op->user, &err) : pb_store_atomic(a->store, op->run, op->user, &err);
    set_err(op, rc != 0 ? &err : NULL);
    return rc;
}

/*
 * One transaction for as many as the time allows; the rest stays in todo. -1: nothing of it was kept, and all
 * is in todo again. bold: see struct pb_store.
 */
static int run_group(struct pb_store_async *a, struct list *todo, struct list *ran, bool bold)
{
    int64_t end = pb_mono_ns() + PB_STORE_GROUP_MS * PB_MS;
    struct pb_err err = {0};
    a->store->bold = bold;
    if (a->store->engine->begin(a->store, &err) != 0) {
        a->store->bold = false;
        /* Each alone would wait as long and learn no more. */
        for (struct pb_store_op *op; (op = list_take(todo)) != NULL; list_put(ran, op)) set_err(op, &err);
        return 0;
    }
    do {
        struct pb_store_op *op = list_take(todo);
        run_whole(a, op);
        list_put(ran, op);
    } while (todo->first && pb_mono_ns() < end);
    int rc = a->store->engine->end(a->store, 0, &err);
    a->store->bold = false;
    if (rc != 0) list_move_front(todo, ran);
    return rc;
}

static void give_back(struct pb_store_async *a, struct list *ran, uint32_t groups)
{
    int64_t now = pb_mono_ns();
    pthread_mutex_lock(&a->lock);
    for (struct pb_store_op *op = ran->first; op; op = op->next) {
        a->load.ops++;
        if (op->err) a->load.failed++;
        if (now - op->posted_ns > a->load.longest_ns) a->load.longest_ns = now - op->posted_ns;
    }
    a->load.groups += groups;
    list_move(&a->back, ran);
    bool post = !a->delivering;
    a->delivering = true;
    pthread_mutex_unlock(&a->lock);
    if (post) pb_loop_post(a->loop, &a->deliver);
}

/* Alone, each says itself what is wrong; one that is too big for the disk does not take the others with it.
 */
static void run_alone(struct pb_store_async *a, struct list *todo)
{
    for (struct pb_store_op *op; (op = list_take(todo)) != NULL;) {
        struct list ran;
        list_init(&ran);
        run_whole(a, op);
        list_put(&ran, op);
        give_back(a, &ran, 1);
    }
}

static void write_some(struct pb_store_async *a, struct list *todo)
{
    struct list ran;
    list_init(&ran);
    if (todo->first && !todo->first->next) {
        run_alone(a, todo);
        return;
    }
    if (run_group(a, todo, &ran, true) != 0 && run_group(a, todo, &ran, false) != 0)
        run_alone(a, todo);
    else
        give_back(a, &ran, 1);
}

static void *thread_main(void *arg)
{
    struct pb_store_async *a = arg;
    pthread_setname_np(pthread_self(), "store");
    pthread_mutex_lock(&a->lock);
    for (;;) {
        while (!a->reads.first && !a->writes.first && !a->stop) pthread_cond_wait(&a->more, &a->lock);
        if (!a->reads.first && !a->writes.first) break;
        struct list reads, writes, ran;
        list_init(&reads);
        list_init(&writes);
        list_init(&ran);
        list_move(&reads, &a->reads);
        for (int n = 0; n < PB_STORE_GROUP_OPS && a->writes.first; n++)
            list_put(&writes, list_take(&a->writes));
        pthread_mutex_unlock(&a->lock);
        for (struct pb_store_op *op; (op = list_take(&reads)) != NULL;) {
            run_whole(a, op);
            list_put(&ran, op);
        }
        if (ran.first) give_back(a, &ran, 0);
        if (writes.first) write_some(a, &writes);
        pthread_mutex_lock(&a->lock);
        list_move_front(&a->writes, &writes);
    }
    pthread_mutex_unlock(&a->lock);
    pb_store_close(a->store);
    return NULL;
}

/* ------------------------------------------------------------------------ the loop */

static void finish(void *user)
{
    struct pb_store_async *a = user;
    /* `done` of the last one may have posted. */
    if (a->pending) return;
    pthread_mutex_lock(&a->lock);
    a->stop = true;
    pthread_cond_signal(&a->more);
    pthread_mutex_unlock(&a->lock);
    pthread_join(a->thread, NULL);
    void (*closed)(void *) = a->closed;
    void *closed_user = a->closed_user;
    pthread_mutex_destroy(&a->lock);
    pthread_cond_destroy(&a->more);
    pb_free(a);
    if (closed) closed(closed_user);
}

/* What the store itself failed by is for who runs the gateway; callers learn that it is not there for now. */
static void keep_quiet(struct pb_store_async *a, struct pb_err *err)
{
    if (strcmp(err->vendor_code, PB_STORE_FAILURE) != 0) return;
    int64_t now = pb_mono_ns();
    if (!a->said_ns || now - a->said_ns >= PB_SEC) {
        a->said_ns = now;
        pb_log(PB_LOG_ERROR, "store", "the store failed", PB_S("code", pb_code_name(err->code)),
               PB_S("error", err->msg));
    }
    uint32_t advice = err->advice;
    /* INTERNAL stays: the same again would fail again. */
    pb_fail(err, err->code == PBAY_INTERNAL ? PBAY_INTERNAL : PBAY_UNAVAILABLE,
            "the gateway's store does not work at the moment, nothing of this was kept; its log says why");
    err->advice = advice;
}

static void deliver(void *user)
{
    struct pb_store_async *a = user;
    struct list back;
    list_init(&back);
    pthread_mutex_lock(&a->lock);
    list_move(&back, &a->back);
    a->delivering = false;
    pthread_mutex_unlock(&a->lock);
    for (struct pb_store_op *op; (op = list_take(&back)) != NULL;) {
        struct pb_err *err = op->err;
        op->err = NULL;
        a->pending--;
        if (err) keep_quiet(a, err);
        op->done(op->user, err); /* op may be gone now */
        pb_free(err);
    }
    if (a->closing && !a->pending) pb_loop_defer(a->loop, &a->finish);
}

struct pb_store_async *pb_store_async_new_idle(struct pb_loop *loop, struct pb_store *s)
{
    struct pb_store_async *a = pb_zalloc(sizeof *a);
    a->loop = loop;
    a->store = s;
    a->deliver = pb_defer_make(deliver, a);
    a->finish = pb_defer_make(finish, a);
    list_init(&a->reads);
    list_init(&a->writes);
    list_init(&a->back);
    pthread_mutex_init(&a->lock, NULL);
    pthread_cond_init(&a->more, NULL);
    return a;
}

void pb_store_async_start(struct pb_store_async *a)
{
    if (a->started) return;
    a->started = true;
    int rc = pthread_create(&a->thread, NULL, thread_main, a);
    if (rc != 0) pb_fatal("cannot start the store's thread: %s", strerror(rc));
}

struct pb_store_async *pb_store_async_new(struct pb_loop *loop, struct pb_store *s)
{
    struct pb_store_async *a = pb_store_async_new_idle(loop, s);
    pb_store_async_start(a);
    return a;
}

void pb_store_post(struct pb_store_async *a, struct pb_store_op *op)
{
    op->err = NULL;
    op->posted_ns = pb_mono_ns();
    a->pending++;
    pthread_mutex_lock(&a->lock);
    list_put(op->reads ? &a->reads : &a->writes, op);
    pthread_cond_signal(&a->more);
    pthread_mutex_unlock(&a->lock);
}

void pb_store_async_load(struct pb_store_async *a, struct pb_store_load *out)
{
    pthread_mutex_lock(&a->lock);
    *out = a->load;
    a->load.longest_ns = 0;
    pthread_mutex_unlock(&a->lock);
    out->waiting = a->pending;
}

void pb_store_async_close(struct pb_store_async *a, void (*closed)(void *user), void *user)
{
    pb_store_async_start(a);
    a->closing = true;
    a->closed = closed;
    a->closed_user = user;
    if (!a->pending) pb_loop_defer(a->loop, &a->finish);
}
