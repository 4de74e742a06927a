/* SPDX-License-Identifier: MIT */
#include "app/leash.h"

#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "app/channel.h"
#include "base/mem.h"
#include "loop/loop.h"
#include "loop/watch.h"
#include "plugin/current.h"

/* New connections in one turn: who has one already waits for so many at most. */
enum { BEAT_MS = 1000, AT_ONCE = 8 };

struct pb_leash {
    struct pb_page *page;
    struct pb_page_row *row;
    struct pb_loop *loop;
    struct pb_watch *watch;
    struct pb_timer beat;
    const struct pb_leash_ops *ops;
    void *user;
};

struct pb_leash *pb_leash_new(uint32_t slot, uint32_t generation, struct pb_err *err)
{
    if (slot >= PB_PAGE_ROWS) {
        pb_fail(err, PBAY_INVALID_ARGUMENT, "there is no worker slot %u", slot);
        return NULL;
    }
    struct pb_page *page = pb_page_map(PB_LEASH_PAGE, err);
    if (!page) return NULL;
    close(PB_LEASH_PAGE);
    fcntl(PB_LEASH_CHANNEL, F_SETFD, FD_CLOEXEC); /* not for the children that try plugins */
    struct pb_leash *l = pb_zalloc(sizeof *l);
    l->page = page;
    l->row = &page->rows[slot];
    atomic_store(&l->row->generation, generation);
    atomic_store(&l->row->heartbeat_ns, pb_mono_ns());
    atomic_store(&l->row->pid, (int32_t)getpid());
    pb_current_mark = &l->row->mark;
    return l;
}

struct pb_page *pb_leash_page(const struct pb_leash *l)
{
    return l->page;
}

uint32_t pb_leash_slot(const struct pb_leash *l)
{
    return (uint32_t)(l->row - l->page->rows);
}

int pb_leash_listen(struct pb_leash *l, const char *name, const char *address, char out[PB_BOUND_NAME],
                    struct pb_err *err)
{
    struct pb_msg m = {.type = PB_MSG_OUTS};
    (void)l;
    int rc = pb_msg_send(PB_LEASH_CHANNEL, PB_MSG_LISTEN, name, address, -1, true);
    while (!rc && m.type == PB_MSG_OUTS) rc = pb_msg_receive(PB_LEASH_CHANNEL, &m, true) < 0;
    if (rc) return pb_fail(err, PBAY_UNAVAILABLE, "the supervisor is gone");
    if (m.type == PB_MSG_REFUSED) return pb_fail(err, PBAY_UNAVAILABLE, "%s", m.text);
    if (m.type != PB_MSG_LISTENING) return pb_fail(err, PBAY_CANCELLED, "told to stop before it had started");
    memcpy(out, m.text, PB_BOUND_NAME - 1);
    out[PB_BOUND_NAME - 1] = 0;
    return 0;
}

static void beat(void *user)
{
    struct pb_leash *l = user;
    atomic_store_explicit(&l->row->heartbeat_ns, pb_loop_now(l->loop), memory_order_relaxed);
    pb_timer_set(l->loop, &l->beat, BEAT_MS);
}

static void hear(struct pb_leash *l, const struct pb_msg *m)
{
    switch (m->type) {
    case PB_MSG_CONN:
        /* First: what is told so and lost dies with this process, what is not is given to another. */
        pb_msg_send(PB_LEASH_CHANNEL, PB_MSG_TAKEN, NULL, NULL, -1, true);
        l->ops->conn(l->user, m->name, m->fd);
        return;
    case PB_MSG_OUTS: l->ops->outs(l->user); return;
    case PB_MSG_DRAIN: l->ops->drain(l->user, m->text); return;
    case PB_MSG_STOP: l->ops->stop(l->user, m->text); return;
    default: return;
    }
}

static void on_readable(void *user)
{
    struct pb_leash *l = user;
    struct pb_msg m;
    for (int i = 0; i < AT_ONCE && l->watch; i++) {
        int rc = pb_msg_receive(PB_LEASH_CHANNEL, &m, false);
        if (rc == 0) return;
        if (rc < 0) {
            pb_watch_close(l->watch);
            l->watch = NULL;
            l->ops->drain(l->user, "the supervisor has ended, or is another program now");
            return;
        }
        hear(l, &m);
    }
}

int pb_leash_start(struct pb_leash *l, struct pb_loop *loop, const struct pb_leash_ops *ops, void *user,
                   struct pb_err *err)
{
    l->loop = loop;
    l->ops = ops;
    l->user = user;
    l->watch = pb_watch_open(loop, PB_LEASH_CHANNEL, on_readable, l, err);
    if (!l->watch) return -1;
    l->beat.fn = beat;
    l->beat.user = l;
    beat(l);
    return 0;
}

void pb_leash_ready(struct pb_leash *l, const char *text)
{
    (void)l;
    pb_msg_send(PB_LEASH_CHANNEL, PB_MSG_READY, NULL, text, -1, true);
}

void pb_leash_failed(struct pb_leash *l, const char *why)
{
    (void)l;
    pb_msg_send(PB_LEASH_CHANNEL, PB_MSG_FAILED, NULL, why, -1, true);
}

void pb_leash_leave(struct pb_leash *l)
{
    if (!l->watch || pb_msg_send(PB_LEASH_CHANNEL, PB_MSG_LEAVE, NULL, NULL, -1, true))
        l->ops->drain(l->user, "SIGTERM, and the supervisor is gone");
}

void pb_leash_conn_gone(void *user)
{
    struct pb_leash *l = user;
    atomic_fetch_add_explicit(&l->row->conns_ended, 1, memory_order_relaxed);
}

void pb_leash_stop(struct pb_leash *l)
{
    pb_watch_close(l->watch);
    l->watch = NULL;
    pb_timer_cancel(&l->beat);
}

void pb_leash_free(struct pb_leash *l)
{
    if (!l) return;
    pb_current_mark = NULL;
    pb_page_unmap(l->page);
    close(PB_LEASH_CHANNEL);
    pb_free(l);
}
