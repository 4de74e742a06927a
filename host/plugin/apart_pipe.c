/* SPDX-License-Identifier: MIT */
#include "plugin/apart_pipe.h"

#include <errno.h>
#include <poll.h>
#include <stdatomic.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/mem.h"
#include "data/batch.h"
#include "loop/watch.h"
#include "plugin/apart_page.h"
#include "plugin/apart_wire.h"

struct head {
    uint32_t n, type;
    uint64_t handle;
};

enum { READ_MIN = 256 * 1024, READ_ROUNDS = 2, KEEP = 2 * 1024 * 1024 };

struct pb_pipe {
    struct pb_loop *loop;
    struct pb_watch *watch;
    int fd;
    struct pb_pipe_fns fns;
    void *user;
    struct pb_buf out;
    size_t out_at, begun_at; /* begun_at: where the message in the making begins */
    uint64_t sent;
    struct pb_buf in, late; /* late: read while somebody stood still; goes on where `in` ends */
    size_t in_at, late_at;
    struct pb_buf reply;
    struct pb_defer flush, go_on, over;
    _Atomic uint64_t *begun;
    struct pb_apart_page *page; /* NULL: all goes by the socket */
    bool worker;
    uint64_t put;   /* bytes that were ever put into the ring to the other side; taken is counted alike */
    uint64_t floor; /* all before was taken, or never used */
    struct pb_buf copy;
    uint32_t depth;
    bool dead, closed, told;
};

/* Where rows are. */
enum { INLINE, BY_RING };
/* Shorter ones are cheaper by the socket. */
enum { RING_LEAST = 2048, RING_ALIGN = 64, ROOM_MORE = 16 };

static void told_end(void *user)
{
    struct pb_pipe *p = user;
    if (p->told || p->closed) return;
    p->told = true;
    p->fns.end(p->user);
}

static void die(struct pb_pipe *p)
{
    if (p->dead) return;
    p->dead = true;
    if (p->watch) pb_watch_pause(p->watch, true);
    p->out.n = p->out_at = 0;
    pb_loop_defer(p->loop, &p->over);
}

/* ------------------------------------------------------------------------------------------------ writing */

struct pb_buf *pb_pipe_begin(struct pb_pipe *p, uint32_t type, uint64_t handle)
{
    const struct head h = {0, type, handle};
    p->begun_at = p->out.n;
    pb_buf_add(&p->out, &h, sizeof h);
    return &p->out;
}

void pb_pipe_abort(struct pb_pipe *p)
{
    p->out.n = p->begun_at;
}

uint64_t pb_pipe_commit(struct pb_pipe *p)
{
    size_t n = p->out.n - p->begun_at - sizeof(struct head);
    PB_REQUIRE(n <= UINT32_MAX);
    const uint32_t n32 = (uint32_t)n;
    memcpy(p->out.p + p->begun_at, &n32, sizeof n32);
    if (p->dead) p->out.n = p->out_at = 0;
    if (!pb_defer_queued(&p->flush)) pb_loop_at_turn_end(p->loop, &p->flush);
    return ++p->sent;
}

uint64_t pb_pipe_send(struct pb_pipe *p, uint32_t type, uint64_t handle)
{
    pb_pipe_begin(p, type, handle);
    return pb_pipe_commit(p);
}

size_t pb_pipe_waiting(const struct pb_pipe *p)
{
    return p->out.n - p->out_at;
}

void pb_pipe_flush(struct pb_pipe *p)
{
    while (!p->dead && p->out_at < p->out.n) {
        ssize_t n = send(p->fd, p->out.p + p->out_at, p->out.n - p->out_at, MSG_NOSIGNAL);
        if (n >= 0)
            p->out_at += (size_t)n;
        else if (errno == EAGAIN)
            break;
        else if (errno != EINTR) {
            /* What it had said before it went is still to be read; then reading tells that it is gone. */
            p->out.n = p->out_at = 0;
            break;
        }
    }
    if (p->out_at == p->out.n) {
        p->out_at = 0;
        pb_buf_reset(&p->out, KEEP);
    } else if (p->out_at > KEEP && p->out_at > p->out.n / 2) {
        pb_buf_drop(&p->out, p->out_at);
        p->out_at = 0;
    }
    if (p->watch && !p->dead) pb_watch_writing(p->watch, p->out.n > 0);
}

static void flush(void *user)
{
    pb_pipe_flush(user);
}

/* ------------------------------------------------------------------------------------------------ rows */

void pb_pipe_share(struct pb_pipe *p, struct pb_apart_page *page, bool worker)
{
    p->page = page;
    p->worker = worker;
}

/* n bytes in one piece of the ring to the other side, or NULL; *at: their number. */
static char *ring_room(struct pb_pipe *p, size_t n, uint64_t *at)
{
    if (!p->page || n > PB_APART_RING) return NULL;
    int way = p->worker ? 0 : 1;
    uint64_t taken = atomic_load_explicit(&p->page->taken[way], memory_order_acquire);
    uint64_t put = (p->put + RING_ALIGN - 1) & ~(uint64_t)(RING_ALIGN - 1);
    /* An empty one is begun anew: memory that was just used is near. */
    bool empty = taken == p->put;
    if (empty || put % PB_APART_RING + n > PB_APART_RING)
        put = (put + PB_APART_RING - 1) / PB_APART_RING * PB_APART_RING;
    if (empty) p->floor = put;
    uint64_t floor = taken > p->floor ? taken : p->floor;
    if (taken > p->put || put + n - floor > PB_APART_RING) return NULL;
    *at = put;
    return p->page->rings[way] + put % PB_APART_RING;
}

size_t pb_pipe_put_rows(struct pb_pipe *p, struct pb_buf *m, const pbay_batch *rows)
{
    uint64_t at = 0;
    size_t most = pb_batch_encoded_most(rows);
    char *room = most < RING_LEAST ? NULL : ring_room(p, most + ROOM_MORE, &at);
    if (!room) {
        pb_put_u32(m, INLINE);
        size_t before = m->n;
        pb_batch_encode(rows, m);
        return m->n - before;
    }
    struct pb_buf fixed = {room, 0, most + ROOM_MORE};
    pb_batch_encode(rows, &fixed);
    PB_REQUIRE(fixed.p == room);
    p->put = at + fixed.n;
    pb_put_u32(m, BY_RING);
    pb_put_u64(m, at);
    pb_put_u64(m, fixed.n);
    return fixed.n;
}

struct pbay_builder *pb_pipe_rows(struct pb_pipe *p, struct pb_in *in, size_t *bytes, struct pb_err *err)
{
    if (pb_in_u32(in) == INLINE) {
        pbay_str flat = pb_in_rest(in);
        *bytes = flat.n;
        return pb_batch_decode(flat, err);
    }
    uint64_t at = pb_in_u64(in), n = pb_in_u64(in);
    *bytes = (size_t)n;
    if (in->bad || !p->page || n > PB_APART_RING || at % PB_APART_RING + n > PB_APART_RING) {
        pb_fail(err, PBAY_INTERNAL, "rows that are nowhere");
        return NULL;
    }
    int way = p->worker ? 1 : 0;
    pbay_str flat = pb_str(p->page->rings[way] + at % PB_APART_RING, (size_t)n);
    if (p->worker) { /* what is looked at must not change meanwhile */
        p->copy.n = 0;
        pb_buf_str(&p->copy, flat);
        flat = pb_buf_view(&p->copy);
    }
    struct pbay_builder *b = pb_batch_decode(flat, err);
    atomic_store_explicit(&p->page->taken[way], at + n, memory_order_release);
    return b;
}

void pb_pipe_skip_rows(struct pb_pipe *p, struct pb_in *in)
{
    if (pb_in_u32(in) == INLINE) return;
    uint64_t at = pb_in_u64(in), n = pb_in_u64(in);
    if (p->page) atomic_store_explicit(&p->page->taken[p->worker ? 1 : 0], at + n, memory_order_release);
}

/* ------------------------------------------------------------------------------------------------ reading */

/* The next message of b from *at, which then stands behind it. */
static bool next(struct pb_pipe *p, const struct pb_buf *b, size_t *at, struct head *h, pbay_str *body)
{
    if (b->n - *at < sizeof *h) return false;
    memcpy(h, b->p + *at, sizeof *h);
    if (h->n > PB_APART_MESSAGE_MAX || !h->type) {
        die(p);
        return false;
    }
    if (b->n - *at - sizeof *h < h->n) return false;
    *body = pb_str(b->p + *at + sizeof *h, h->n);
    *at += sizeof *h + h->n;
    return true;
}

/* Bytes that are missing from the message that b ends in. */
static size_t wanted(const struct pb_buf *b, size_t at)
{
    struct head h;
    if (b->n - at < sizeof h) return READ_MIN;
    memcpy(&h, b->p + at, sizeof h);
    size_t more = h.n <= PB_APART_MESSAGE_MAX ? sizeof h + h.n - (b->n - at) : 0;
    return more > READ_MIN ? more : READ_MIN;
}

/* > 0: so many bytes; 0: there are none now; -1: the end. */
static ssize_t fill(struct pb_pipe *p, struct pb_buf *b, size_t at)
{
    size_t room = wanted(b, at);
    for (;;) {
        ssize_t n = recv(p->fd, pb_buf_room(b, room), room, MSG_DONTWAIT);
        if (n > 0) {
            b->n += (size_t)n;
            return n;
        }
        if (n < 0 && errno == EINTR) continue;
        return n < 0 && errno == EAGAIN ? 0 : -1;
    }
}

static void hand_over(struct pb_pipe *p, const struct head *h, pbay_str body)
{
    if (p->begun) atomic_fetch_add_explicit(p->begun, 1, memory_order_release);
    p->fns.message(p->user, h->type, h->handle, body);
}

/* Messages that are there; those of `late` follow when `in` has ended. */
static void dispatch(struct pb_pipe *p)
{
    struct head h;
    pbay_str body;
    p->depth++;
    for (;;) {
        while (!p->closed && next(p, &p->in, &p->in_at, &h, &body)) hand_over(p, &h, body);
        if (p->closed || !p->late.n) break;
        /* Somebody stood still in the last of them, and took what `in` had left. */
        struct pb_buf b = p->in;
        p->in = p->late;
        p->late = b;
        p->late.n = 0;
        p->in_at = p->late_at = 0;
    }
    p->depth--;
    if (p->closed) return;
    if (p->in_at == p->in.n)
        pb_buf_reset(&p->in, KEEP);
    else
        pb_buf_drop(&p->in, p->in_at);
    p->in_at = 0;
}

static void free_pipe(struct pb_pipe *p)
{
    pb_buf_free(&p->out);
    pb_buf_free(&p->in);
    pb_buf_free(&p->late);
    pb_buf_free(&p->copy);
    if (p->reply.cap) explicit_bzero(p->reply.p, p->reply.cap);
    pb_buf_free(&p->reply);
    pb_free(p);
}

void pb_pipe_read(struct pb_pipe *p)
{
    if (p->depth || p->closed) return;
    p->depth++;
    if (p->late.n) dispatch(p); /* it was read before */
    for (int round = 0; round < READ_ROUNDS && !p->dead && !p->closed; round++) {
        ssize_t n = fill(p, &p->in, p->in_at);
        if (n > 0) dispatch(p);
        if (n < 0) die(p);
        if (n < READ_MIN) break;
    }
    p->depth--;
    if (p->closed) free_pipe(p);
}

void pb_pipe_hang_up(struct pb_pipe *p)
{
    shutdown(p->fd, SHUT_RDWR);
}

static void on_ready(void *user)
{
    struct pb_pipe *p = user;
    if (p->out.n) pb_pipe_flush(p);
    pb_pipe_read(p);
    /* What was answered leaves with this turn, and what others had to do about it. */
}

static void go_on(void *user)
{
    struct pb_pipe *p = user;
    if (p->depth) return;
    p->depth++;
    dispatch(p);
    p->depth--;
    if (p->closed) free_pipe(p);
}

/* The next of `late` that does not keep its turn, out of the row and into `reply`: the reply to `handle`, and
 * what the other side waits for. */
static bool take_out(struct pb_pipe *p, uint64_t handle, uint32_t also, struct head *h)
{
    pbay_str body;
    for (size_t at = p->late_at; next(p, &p->late, &p->late_at, h, &body); at = p->late_at) {
        bool mine = h->type == PB_APART_REPLY && h->handle == handle;
        if (!mine && !pb_apart_urgent(h->type) && h->type != also) continue;
        p->reply.n = 0;
        pb_buf_str(&p->reply, body);
        memmove(p->late.p + at, p->late.p + p->late_at, p->late.n - p->late_at);
        p->late.n -= p->late_at - at;
        p->late_at = at;
        return true;
    }
    return false;
}

static enum pb_pipe_waited wait_for(struct pb_pipe *p, uint64_t handle, uint32_t also, int64_t timeout_ms,
                                    pbay_str *body)
{
    int64_t end = timeout_ms < 0 ? INT64_MAX : pb_mono_ns() + timeout_ms * PB_MS;
    for (;;) {
        struct head h;
        while (!p->closed && take_out(p, handle, also, &h)) {
            if (h.type == PB_APART_REPLY) {
                if (p->begun) atomic_fetch_add_explicit(p->begun, 1, memory_order_release);
                *body = pb_buf_view(&p->reply);
                return PB_PIPE_REPLIED;
            }
            struct pb_buf mine = p->reply; /* it may wait itself */
            p->reply = (struct pb_buf){0};
            hand_over(p, &h, pb_buf_view(&mine));
            pb_buf_free(&mine);
            p->late_at = 0; /* and then has left replies to others where they were */
        }
        if (p->dead) return PB_PIPE_GONE;
        int64_t left = (end - pb_mono_ns()) / PB_MS;
        if (left < 0) return PB_PIPE_LATE;
        /* Both at once: the other side may not read before it has written all that it has. */
        pb_pipe_flush(p);
        struct pollfd f = {p->fd, (short)(pb_pipe_waiting(p) ? POLLIN | POLLOUT : POLLIN), 0};
        poll(&f, 1, left > 1000 ? 1000 : (int)left);
        if (fill(p, &p->late, p->late_at) < 0) {
            die(p);
            return PB_PIPE_GONE;
        }
    }
}

enum pb_pipe_waited pb_pipe_wait(struct pb_pipe *p, uint64_t handle, uint32_t also, int64_t timeout_ms,
                                 pbay_str *body)
{
    /* What of `in` has not been handed over comes after the message that is being handled, so it is put with
     * what is read now. */
    p->late_at = 0;
    if (p->in.n > p->in_at) {
        struct pb_buf all = {0};
        pb_buf_add(&all, p->in.p + p->in_at, p->in.n - p->in_at);
        pb_buf_add(&all, p->late.p, p->late.n);
        pb_buf_free(&p->late);
        p->late = all;
        p->in.n = p->in_at;
    }
    p->depth++;
    enum pb_pipe_waited how = wait_for(p, handle, also, timeout_ms, body);
    p->depth--;
    if (!p->closed)
        pb_loop_defer(p->loop, &p->go_on);
    else if (!p->depth)
        free_pipe(p);
    return how;
}

void pb_pipe_count(struct pb_pipe *p, _Atomic uint64_t *begun)
{
    p->begun = begun;
}

/* ------------------------------------------------------------------------------------------------ life */

struct pb_pipe *pb_pipe_new(struct pb_loop *loop, int fd, const struct pb_pipe_fns *fns, void *user,
                            struct pb_err *err)
{
    struct pb_pipe *p = pb_zalloc(sizeof *p);
    p->loop = loop;
    p->fd = fd;
    p->fns = *fns;
    p->user = user;
    p->flush = pb_defer_make(flush, p);
    p->go_on = pb_defer_make(go_on, p);
    p->over = pb_defer_make(told_end, p);
    p->watch = pb_watch_open(loop, fd, on_ready, p, err);
    if (p->watch) return p;
    close(fd);
    pb_free(p);
    return NULL;
}

void pb_pipe_close(struct pb_pipe *p)
{
    if (!p || p->closed) return;
    p->closed = p->dead = true;
    pb_defer_cancel(&p->flush);
    pb_defer_cancel(&p->go_on);
    pb_defer_cancel(&p->over);
    pb_watch_close(p->watch);
    close(p->fd);
    if (!p->depth) free_pipe(p);
}
