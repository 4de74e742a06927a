/* SPDX-License-Identifier: MIT */
/* Calls given up half-way, in four ways in turn: before the first row, after some rows with the request open,
 * at the first reply, and with the whole request sent. Shows what the server has left afterwards, then makes
 * one plain call. Servers may limit resets in a burst, so lost connections are counted and opened anew. */
#include "load.h"
#include "measure.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum way { WAY_HEADERS, WAY_ROWS, WAY_REPLY, WAY_WHOLE, WAY_COUNT };

struct victim {
    struct grpc_call call;
    struct run *run;
    enum way way;
    bool cut, busy;
    uint64_t began;
};

struct run {
    struct load load;
    struct victim *all;
    uint8_t *body;
    size_t body_len;
    uint64_t started, cancelled, answered;
    bool draining; /* the server has said that it takes no more: connect anew */
};

static enum grpc_pull victim_pull(struct grpc_call *call, const uint8_t **data, size_t *len)
{
    struct victim *v = (struct victim *)(void *)call;
    *data = v->run->body;
    *len = v->run->body_len;
    if (v->way == WAY_WHOLE) return GRPC_PULL_LAST;
    if (v->way == WAY_HEADERS || v->cut) return GRPC_PULL_WAIT;
    v->cut = true; /* one message, then the request stays open */
    return GRPC_PULL_MORE;
}

static void victim_message(struct grpc_call *call, const uint8_t *msg, size_t len)
{
    struct victim *v = (struct victim *)(void *)call;
    (void)msg, (void)len;
    if (v->way == WAY_REPLY) grpc_conn_cancel(call->conn, call);
}

static void victim_start(struct victim *v)
{
    struct run *r = v->run;
    v->busy = false;
    if (r->started == r->load.opt->count) return;
    v->way = (enum way)(r->started++ % WAY_COUNT);
    v->cut = false;
    v->busy = true;
    v->began = measure_now_ns();
    size_t i = (size_t)(v - r->all);
    if (load_start(&r->load, &r->load.conns[i % r->load.conn_count], &v->call,
                   (unsigned)(i % r->load.opt->spec_count)))
        v->busy = false;
}

static void victim_done(struct grpc_call *call, int status, uint32_t h2_error)
{
    struct victim *v = (struct victim *)(void *)call;
    if (!v->busy) return;
    v->busy = false;
    if (status < 0 && h2_error != NGHTTP2_CANCEL) {
        v->run->draining = true;
        v->run->started--;
        return;
    }
    if (status >= 0)
        v->run->answered++;
    else
        v->run->cancelled++;
    if (v->run->draining || call->conn->goaway) return;
    victim_start(v);
}

static const struct grpc_call_ops victim_ops = {victim_pull, victim_message, victim_done};

/* After a flush the request bytes are out: give up those that do not wait for a reply, and those that have
 * waited long, as some servers answer nothing before the request has ended. */
static void cancel_sent(struct run *r)
{
    uint64_t long_ago = measure_now_ns() - 200000000u;
    for (unsigned i = 0; i < r->load.opt->streams; i++) {
        struct victim *v = &r->all[i];
        if (v->busy && (v->way != WAY_REPLY || v->began < long_ago)) grpc_conn_cancel(v->call.conn, &v->call);
    }
}

/* Runs until the count is reached or the connection is lost; in flight calls of a lost one are begun again.
 */
static void cancel_all(struct run *r, unsigned *reconnects)
{
    const struct load_options *opt = r->load.opt;
    while (r->cancelled + r->answered < opt->count) {
        bool alive = true;
        for (unsigned i = 0; i < opt->streams; i++)
            if (!r->all[i].busy) victim_start(&r->all[i]);
        r->draining = false;
        while (alive && !r->draining && r->cancelled + r->answered < opt->count) {
            alive = load_turn(&r->load, 100);
            if (alive) cancel_sent(r);
        }
        if ((alive && !r->draining) || ++*reconnects > 1000) return;
        for (unsigned i = 0; i < opt->streams; i++) {
            if (r->all[i].busy) r->started--;
            r->all[i].busy = false;
            r->all[i].call.stream_id = 0;
        }
        load_close(&r->load);
        if (load_open(&r->load, opt) != 0) return;
    }
}

/* Half a second in which the server may take connections and put things away. */
static void settle(struct run *r)
{
    uint64_t until = measure_now_ns() + 500000000u;
    while (load_turn(&r->load, 50) && measure_now_ns() < until) continue;
}

int mode_cancel(const struct load_options *opt)
{
    struct run r = {0};
    unsigned reconnects = 0;
    if (load_open(&r.load, opt) != 0) return 2;
    if (!(r.all = calloc(opt->streams, sizeof *r.all))) abort();
    r.body_len = rows_message_size(&r.load.forms[0], opt->rows);
    if (!(r.body = malloc(r.body_len))) abort();
    rows_message_write(&r.load.forms[0], 0, opt->rows, r.body);
    for (unsigned i = 0; i < opt->streams; i++)
        r.all[i] = (struct victim){.call = {.ops = &victim_ops}, .run = &r};

    settle(&r);
    int fds = measure_fds(opt->pid);
    uint64_t rss = measure_rss_kib(opt->pid), t0 = measure_now_ns();
    cancel_all(&r, &reconnects);
    double took = (double)(measure_now_ns() - t0) / 1e9;
    settle(&r);
    uint64_t rss_after = measure_rss_kib(opt->pid);
    int fds_after = measure_fds(opt->pid);
    bool whole = r.cancelled + r.answered >= opt->count;
    printf(opt->json ? "{\"mode\":\"cancel\",\"label\":\"%s\",\"cancelled\":%" PRIu64 ",\"answered\":%" PRIu64
                       ",\"seconds\":%.3f,\"reconnects\":%u,\"rss_before_kib\":%" PRIu64
                       ",\"rss_after_kib\":%" PRIu64 ",\"fds_before\":%d,\"fds_after\":%d,\"errors\":%d}\n"
                     : "%s: %" PRIu64 " calls cancelled, %" PRIu64
                       " answered first, in %.3f s, %u reconnects\n"
                       "  server memory %" PRIu64 " KiB before, %" PRIu64
                       " KiB after; descriptors %d, %d; %d errors\n",
           opt->label, r.cancelled, r.answered, took, reconnects, rss, rss_after, fds, fds_after, !whole);
    if (!whole) fprintf(stderr, "sse_load: first error: %s\n", r.load.first_error);
    for (unsigned i = 0; i < opt->streams; i++) {
        r.all[i].busy = false;
        r.all[i].call.stream_id = 0;
    }
    load_close(&r.load);
    for (unsigned i = 0; i < opt->streams; i++) grpc_call_free(&r.all[i].call);
    free(r.all);
    free(r.body);
    if (!whole) return 1;

    /* The server must still answer. */
    struct load_options plain = *opt;
    plain.count = plain.bundles = 1;
    plain.streams = plain.connections = 1;
    return mode_calls(&plain);
}
