/* SPDX-License-Identifier: MIT */
#include "store/async.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/check.h"
#include "base/log.h"
#include "base/mem.h"
#include "store/absence.h"
#include "store/engine.h"

struct list {
    struct pb_store_op *first, **last;
};

struct pb_store_async {
    struct pb_loop *loop;
    struct pb_absence door; /* the thread's */
    pthread_t thread;
    uint32_t pending;   /* posted, done not yet called [loop] */
    struct list posted; /* in this turn: one group, and one signal [loop] */
    struct pb_defer hand_over;
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
    struct pb_err *worst; /* what the store itself failed by, of the operations that ran [store thread] */
    bool written;         /* and that one was written */
    bool turned;          /* the health changed; guarded */
    void (*changed)(void *user);
    void *changed_user;
    bool was_up;     /* as logged [loop] */
    int64_t said_ns; /* when the failure was last logged [loop] */
    char said[PB_ERR_TEXT];
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
    int rc = op->reads ? op->run(a->door.store, op->user, &err)
                       : pb_store_atomic(a->door.store, op->run, op->user, &err);
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
    a->door.store->bold = bold;
    if (a->door.store->engine->begin(a->door.store, &err) != 0) {
        a->door.store->bold = false;
        /* Each alone would wait as long and learn no more. */
        for (struct pb_store_op *op; (op = list_take(todo)) != NULL; list_put(ran, op)) set_err(op, &err);
        return 0;
    }
    do {
        struct pb_store_op *op = list_take(todo);
        run_whole(a, op);
        list_put(ran, op);
    } while (todo->first && pb_mono_ns() < end);
    int rc = a->door.store->engine->end(a->door.store, 0, &err);
    a->door.store->bold = false;
    if (rc != 0) list_move_front(todo, ran);
    return rc;
}

static bool is_failure(const struct pb_err *err)
{
    return strcmp(err->vendor_code, PB_STORE_FAILURE) == 0;
}

static void give_back(struct pb_store_async *a, struct list *ran, uint32_t groups)
{
    int64_t now = pb_mono_ns();
    pthread_mutex_lock(&a->lock);
    for (struct pb_store_op *op = ran->first; op; op = op->next) {
        if (op->err && is_failure(op->err) && op->err->code != PBAY_INTERNAL) {
            if (!a->worst) a->worst = pb_alloc(sizeof *a->worst);
            *a->worst = *op->err;
        } else if (!op->err && !op->reads)
            a->written = true;
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

/* The loop hears of the health, also when nothing else is to be told. */
static void tell(struct pb_store_async *a)
{
    pthread_mutex_lock(&a->lock);
    a->turned = true;
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

/* What the operations that have run tell of the store. */
static void settle(struct pb_store_async *a)
{
    bool turned = false;
    if (a->worst)
        turned = pb_absence_note(&a->door, a->worst);
    else if (a->written)
        turned = pb_absence_note(&a->door, NULL);
    pb_free(a->worst);
    a->worst = NULL;
    a->written = false;
    if (turned) tell(a);
}

/* There is no store: none of them can be done. */
static void refuse(struct pb_store_async *a, struct list *todo)
{
    struct pb_store_health health;
    struct list ran;
    pb_absence_health(&a->door, &health);
    snprintf(health.why.vendor_code, sizeof health.why.vendor_code, "%s", PB_STORE_FAILURE);
    list_init(&ran);
    for (struct pb_store_op *op; (op = list_take(todo)) != NULL; list_put(&ran, op)) set_err(op, &health.why);
    give_back(a, &ran, 0);
    pb_free(a->worst);
    a->worst = NULL;
}

/* Until there is something to do, or it is time to look after the store. [a->lock] */
static void wait_for_work(struct pb_store_async *a)
{
    while (!a->reads.first && !a->writes.first && !a->stop) {
        if (a->door.next_ns == INT64_MAX) {
            pthread_cond_wait(&a->more, &a->lock);
            continue;
        }
        const struct timespec until = {a->door.next_ns / PB_SEC, a->door.next_ns % PB_SEC};
        if (pb_mono_ns() >= a->door.next_ns) return;
        pthread_cond_timedwait(&a->more, &a->lock, &until);
    }
}

static void *thread_main(void *arg)
{
    struct pb_store_async *a = arg;
    pthread_setname_np(pthread_self(), "store");
    pthread_mutex_lock(&a->lock);
    for (;;) {
        wait_for_work(a);
        if (!a->reads.first && !a->writes.first && a->stop) break;
        struct list reads, writes, ran;
        list_init(&reads);
        list_init(&writes);
        list_init(&ran);
        list_move(&reads, &a->reads);
        for (int n = 0; n < PB_STORE_GROUP_OPS && a->writes.first; n++)
            list_put(&writes, list_take(&a->writes));
        pthread_mutex_unlock(&a->lock);
        if (pb_mono_ns() >= a->door.next_ns && pb_absence_look(&a->door)) tell(a);
        if (!a->door.store) {
            list_move(&reads, &writes);
            if (reads.first) refuse(a, &reads);
        }
        for (struct pb_store_op *op; (op = list_take(&reads)) != NULL;) {
            run_whole(a, op);
            list_put(&ran, op);
        }
        if (ran.first) give_back(a, &ran, 0);
        if (writes.first) write_some(a, &writes);
        if (a->door.store) settle(a);
        pthread_mutex_lock(&a->lock);
        list_move_front(&a->writes, &writes);
    }
    pthread_mutex_unlock(&a->lock);
    return NULL;
}

/* ------------------------------------------------------------------------ the loop */

static void finish(void *user)
{
    struct pb_store_async *a = user;
    /* `done` of the last one may have posted. */
    if (a->pending) return;
    if (!a->stop) {
        pthread_mutex_lock(&a->lock);
        a->stop = true;
        pthread_cond_signal(&a->more);
        pthread_mutex_unlock(&a->lock);
        pthread_join(a->thread, NULL);
    }
    /* Posted, for the health alone: it comes back here. */
    if (a->delivering) return;
    pb_absence_free(&a->door);
    void (*closed)(void *) = a->closed;
    void *closed_user = a->closed_user;
    pthread_mutex_destroy(&a->lock);
    pthread_cond_destroy(&a->more);
    pb_free(a);
    if (closed) closed(closed_user);
}

enum { REMIND_MS = 60 * 1000 };

static const char *kind_of(const struct pb_err *err)
{
    switch (err->code) {
    case PBAY_DATA_LOSS: return " (its file is damaged)";
    case PBAY_RESOURCE_EXHAUSTED: return " (its disk is full)";
    case PBAY_FAILED_PRECONDITION: return " (it cannot be written)";
    case PBAY_PERMISSION_DENIED:
    case PBAY_NOT_FOUND: return " (it cannot be opened)";
    default: return "";
    }
}

/* What the store itself failed by is for who runs the gateway; callers learn that it is not there for now. */
static void keep_quiet(struct pb_store_async *a, struct pb_err *err)
{
    if (!is_failure(err)) return;
    int64_t now = pb_mono_ns();
    bool other = strcmp(a->said, err->msg) != 0;
    if (!a->said_ns || now - a->said_ns >= (other ? PB_SEC : REMIND_MS * PB_MS)) {
        a->said_ns = now;
        snprintf(a->said, sizeof a->said, "%s", err->msg);
        pb_log(PB_LOG_ERROR, "store", "the store failed; what is durable is refused, the rest goes on",
               PB_S("code", pb_code_name(err->code)), PB_S("error", err->msg));
    }
    uint32_t advice = err->advice;
    const char *kind = kind_of(err);
    /* INTERNAL stays: the same again would fail again. */
    pb_fail(err, err->code == PBAY_INTERNAL ? PBAY_INTERNAL : PBAY_UNAVAILABLE,
            "the gateway's store does not work at the moment%s, nothing of this was kept; try again later; "
            "the gateway's log and /readyz say what is wrong",
            kind);
    err->advice = advice;
    snprintf(err->vendor_code, sizeof err->vendor_code, "%s", PB_STORE_FAILURE);
}

bool pb_store_is_away(const struct pb_err *err)
{
    return is_failure(err);
}

static void say_health(struct pb_store_async *a)
{
    struct pb_store_health h;
    pb_absence_health(&a->door, &h);
    if (h.up && !a->was_up) {
        a->said_ns = 0;
        pb_log0(PB_LOG_INFO, "store", "the store works again");
    } else if (!h.up && (a->was_up || strcmp(a->said, h.why.msg) != 0)) {
        struct pb_err why = h.why;
        snprintf(why.vendor_code, sizeof why.vendor_code, "%s", PB_STORE_FAILURE);
        keep_quiet(a, &why);
    }
    bool differs = h.up != a->was_up;
    a->was_up = h.up;
    if (differs && a->changed) a->changed(a->changed_user);
}

static void hand_over(void *user)
{
    struct pb_store_async *a = user;
    pthread_mutex_lock(&a->lock);
    for (struct pb_store_op *op; (op = list_take(&a->posted)) != NULL;)
        list_put(op->reads ? &a->reads : &a->writes, op);
    pthread_cond_signal(&a->more);
    pthread_mutex_unlock(&a->lock);
}

static void deliver(void *user)
{
    struct pb_store_async *a = user;
    struct list back;
    list_init(&back);
    pthread_mutex_lock(&a->lock);
    list_move(&back, &a->back);
    a->delivering = false;
    bool turned = a->turned;
    a->turned = false;
    pthread_mutex_unlock(&a->lock);
    if (turned) say_health(a);
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
    pb_absence_init(&a->door, s);
    a->was_up = s != NULL;
    a->deliver = pb_defer_make(deliver, a);
    a->finish = pb_defer_make(finish, a);
    a->hand_over = pb_defer_make(hand_over, a);
    list_init(&a->posted);
    list_init(&a->reads);
    list_init(&a->writes);
    list_init(&a->back);
    pthread_mutex_init(&a->lock, NULL);
    pthread_condattr_t attr;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&a->more, &attr);
    pthread_condattr_destroy(&attr);
    return a;
}

void pb_store_async_keep(struct pb_store_async *a, const char *url, const struct pb_err *why,
                         void (*opened)(struct pb_store *s, void *user), void (*changed)(void *user),
                         void *user)
{
    PB_REQUIRE(!a->started);
    a->door.opened = opened;
    a->door.user = user;
    a->changed = changed;
    a->changed_user = user;
    pb_absence_keep(&a->door, url, why);
    if (!a->door.store) tell(a);
}

void pb_store_async_health(struct pb_store_async *a, struct pb_store_health *out)
{
    pb_absence_health(&a->door, out);
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
    list_put(&a->posted, op);
    pb_loop_at_turn_end(a->loop, &a->hand_over);
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
