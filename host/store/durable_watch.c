/* SPDX-License-Identifier: MIT */
/* What the loop wants to know of the store without asking it each time: ends of jobs, pauses. */
#include <string.h>

#include "base/attr.h"
#include "base/check.h"
#include "base/log.h"
#include "base/mem.h"
#include "store/durable_priv.h"

/* In any case, when nobody rang: another machine may have changed something. */
/* Bells are rung within a gateway; a process beside it only looks. */
enum { WATCH_MS = 1000, WATCH_ASIDE_MS = 50, PAUSE_MS = 5000 };

/* ------------------------------------------------------------------------ ends of jobs */

/* [store thread] */
static int read_round(struct pb_store *s, void *user, struct pb_err *err)
{
    struct pb_durable *d = user;
    for (size_t i = 0; i < d->n_round; i++) {
        struct watch_round *r = &d->round[i];
        pb_free(r->job);
        pb_free(r->err);
        r->job = NULL;
        r->err = NULL;
        if (pb_store_job_get(s, pb_str_c(r->id), PB_STR(""), &r->job, err) == 0) continue;
        if (err->code != PBAY_NOT_FOUND) return -1;
        r->err = pb_alloc(sizeof *r->err);
        *r->err = *err;
    }
    return 0;
}

static bool over(const struct pb_job *job)
{
    return job->state != PB_JOB_WAITING && job->state != PB_JOB_RUNNING;
}

static void unlink_watch(struct pb_durable *d, struct pb_job_watch *w)
{
    w->next->prev = w->prev;
    w->prev->next = w->next;
    w->next = w->prev = NULL;
    atomic_fetch_sub(d->n_watches, 1);
}

static void round_read(void *user, const struct pb_err *err)
{
    struct pb_durable *d = user;
    if (err && !pb_store_is_away(err))
        pb_log(PB_LOG_WARN, "store", "jobs that are waited for cannot be read", PB_S("error", err->msg));
    for (size_t i = 0; i < d->n_round; i++) {
        struct watch_round *r = &d->round[i];
        struct pb_job_watch *w = r->watch;
        if (w && !err && (r->err || over(r->job))) {
            unlink_watch(d, w);
            r->watch = NULL;
            w->ended(w->user, r->err ? NULL : r->job, r->err);
        }
        pb_free(r->job);
        pb_free(r->err);
    }
    d->n_round = 0;
    d->looking = false;
    if (d->closing || d->watches.next == &d->watches) return;
    if (d->look_again)
        pb_durable_watch_look(d);
    else
        pb_timer_set(d->c.loop, &d->watch_timer, d->c.aside ? WATCH_ASIDE_MS : WATCH_MS);
}

void pb_durable_watch_look(struct pb_durable *d)
{
    if (d->watches.next == &d->watches || d->closing) return;
    d->look_again = d->looking;
    if (d->looking) return;
    d->looking = true;
    pb_timer_cancel(&d->watch_timer);
    for (struct pb_job_watch *w = d->watches.next; w != &d->watches; w = w->next) {
        PB_GROW(d->round, d->round_cap, d->n_round + 1);
        struct watch_round *r = &d->round[d->n_round++];
        *r = (struct watch_round){.watch = w};
        memcpy(r->id, w->id, sizeof r->id);
    }
    pb_store_post(d->async, &d->watch_op);
}

void pb_durable_watch(struct pb_durable *d, struct pb_job_watch *w)
{
    PB_REQUIRE(!w->next);
    w->next = &d->watches;
    w->prev = d->watches.prev;
    w->prev->next = w;
    d->watches.prev = w;
    atomic_fetch_add(d->n_watches, 1);
    pb_durable_watch_look(d);
}

void pb_durable_unwatch(struct pb_durable *d, struct pb_job_watch *w)
{
    if (!w->next) return;
    unlink_watch(d, w);
    for (size_t i = 0; i < d->n_round; i++)
        if (d->round[i].watch == w) d->round[i].watch = NULL;
}

static void watch_timer(void *user)
{
    pb_durable_watch_look(user);
}

/* ------------------------------------------------------------------------ pauses */

/* [store thread] */
static int read_pauses(struct pb_store *s, void *user, struct pb_err *err)
{
    struct pb_durable *d = user;
    pb_pauses_free(&d->read);
    return pb_store_pause_list(s, &d->read, err);
}

static void pauses_read(void *user, const struct pb_err *err)
{
    struct pb_durable *d = user;
    d->pauses_reading = false;
    if (err) {
        pb_pauses_free(&d->read);
        if (!pb_store_is_away(err))
            pb_log(PB_LOG_WARN, "store", "pauses cannot be read", PB_S("error", err->msg));
    } else {
        pb_pauses_free(&d->pauses);
        d->pauses = d->read;
        d->read = (struct pb_pauses){NULL, 0, 0};
    }
    if (d->closing) return;
    pb_timer_set(d->c.loop, &d->pause_timer, PAUSE_MS);
    pb_durable_pauses_look(d, false);
}

void pb_durable_pauses_look(struct pb_durable *d, bool always)
{
    uint32_t now = atomic_load(d->pause_word);
    if (d->closing || d->pauses_reading || (!always && now == d->pauses_seen)) return;
    d->pauses_seen = now;
    d->pauses_reading = true;
    pb_timer_cancel(&d->pause_timer);
    pb_store_post(d->async, &d->pause_op);
}

static void pause_timer(void *user)
{
    pb_durable_pauses_look(user, true);
}

void pb_durable_look(struct pb_durable *d)
{
    atomic_fetch_add(d->pause_word, 1);
    pb_bell_ring(d->bell);
}

const struct pb_pause *pb_durable_paused(const struct pb_durable *d, const char *kind, pbay_str name)
{
    for (size_t i = 0; i < d->pauses.n; i++)
        if (pb_str_is(d->pauses.items[i]->kind, kind) && pb_str_eq(d->pauses.items[i]->name, name))
            return d->pauses.items[i];
    return NULL;
}

/* ------------------------------------------------------------------------ life */

void pb_durable_watch_open(struct pb_durable *d)
{
    struct pb_page *page = d->c.page;
    d->watches.next = d->watches.prev = &d->watches;
    d->n_watches = page ? &page->rows[d->c.row].watching : &d->own_watches;
    d->pause_word = page ? &page->pauses : &d->own_pauses;
    d->watch_op = (struct pb_store_op){.run = read_round, .done = round_read, .user = d, .reads = true};
    d->pause_op = (struct pb_store_op){.run = read_pauses, .done = pauses_read, .user = d, .reads = true};
    d->watch_timer = (struct pb_timer){.fn = watch_timer, .user = d};
    d->pause_timer = (struct pb_timer){.fn = pause_timer, .user = d};
}

void pb_durable_watch_close(struct pb_durable *d)
{
    pb_pauses_free(&d->pauses);
    pb_pauses_free(&d->read);
    pb_free(d->round);
}
