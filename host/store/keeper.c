/* SPDX-License-Identifier: MIT */
#include "store/keeper.h"

#include "base/log.h"
#include "base/mem.h"

enum { EVERY_MS = 60000, SOON_MS = 50, LEASE_MS = 3 * EVERY_MS };

struct pb_keeper {
    struct pb_loop *loop;
    struct pb_store_async *store;
    pbay_str owner;
    struct pb_retention keep;
    struct pb_store_op op;
    struct pb_timer timer;
    bool busy, stopping, more;
    int64_t fence; /* 0: not ours */
    void (*stopped)(void *user);
    void *stopped_user;
    struct pb_defer finish;
};

/* [store thread] */
static int step(struct pb_store *s, void *user, struct pb_err *err)
{
    struct pb_keeper *k = user;
    const pbay_str name = PB_STR("store.keeper");
    k->more = false;
    if (k->fence && pb_store_lease_renew(s, name, k->fence, LEASE_MS, err) != 0) k->fence = 0;
    if (!k->fence && pb_store_lease_take(s, name, k->owner, LEASE_MS, &k->fence, err) != 0) {
        k->fence = 0;
        return err->code == PBAY_ABORTED ? 0 : -1;
    }
    return pb_store_prune(s, &k->keep, &k->more, err);
}

static void finish(void *user)
{
    struct pb_keeper *k = user;
    void (*stopped)(void *) = k->stopped;
    void *stopped_user = k->stopped_user;
    pb_timer_cancel(&k->timer);
    pb_free((char *)(uintptr_t)k->owner.p);
    pb_free(k);
    if (stopped) stopped(stopped_user);
}

static void stepped(void *user, const struct pb_err *err)
{
    struct pb_keeper *k = user;
    k->busy = false;
    if (err) {
        k->fence = 0; /* what was taken in this transaction was not kept */
        if (!pb_store_is_away(err))
            pb_log(PB_LOG_WARN, "store", "what is old cannot be removed", PB_S("error", err->msg));
    }
    if (k->stopping)
        pb_loop_defer(k->loop, &k->finish);
    else
        pb_timer_set(k->loop, &k->timer, !err && k->more ? SOON_MS : EVERY_MS);
}

static void begin(void *user)
{
    struct pb_keeper *k = user;
    k->busy = true;
    pb_store_post(k->store, &k->op);
}

struct pb_keeper *pb_keeper_new(struct pb_loop *loop, struct pb_store_async *store, pbay_str owner,
                                const struct pb_retention *keep)
{
    struct pb_keeper *k = pb_zalloc(sizeof *k);
    k->loop = loop;
    k->store = store;
    k->owner = pb_str(pb_strndup(owner.p, owner.n), owner.n);
    k->keep = *keep;
    k->op = (struct pb_store_op){.run = step, .done = stepped, .user = k};
    k->timer = (struct pb_timer){.fn = begin, .user = k};
    k->finish = pb_defer_make(finish, k);
    begin(k);
    return k;
}

void pb_keeper_stop(struct pb_keeper *k, void (*stopped)(void *user), void *user)
{
    k->stopping = true;
    k->stopped = stopped;
    k->stopped_user = user;
    pb_timer_cancel(&k->timer);
    if (!k->busy) pb_loop_defer(k->loop, &k->finish);
}
