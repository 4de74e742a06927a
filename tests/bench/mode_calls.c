/* SPDX-License-Identifier: MIT */
/* Small calls: a fixed number kept in flight, every answer checked, by time (windows with a spread) or by
 * count. With several functions and bundles it is the cross-talk check: every row of every call is different.
 */
#include "load.h"
#include "measure.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct slot {
    struct grpc_call call;
    struct run *run;
    unsigned spec;
    uint64_t first;    /* row number this call begins with */
    uint64_t answered; /* rows that came back */
    uint64_t began;
    bool failed;
    uint8_t *body;
    size_t body_len;
};

struct run {
    struct load load;
    struct slot *slots;
    struct measure_hist hist;
    uint64_t next_row, started, ended, failed;
    bool stop;
};

static enum grpc_pull slot_pull(struct grpc_call *call, const uint8_t **data, size_t *len)
{
    struct slot *s = (struct slot *)(void *)call;
    *data = s->body;
    *len = s->body_len;
    return GRPC_PULL_LAST;
}

static void slot_message(struct grpc_call *call, const uint8_t *msg, size_t len)
{
    struct slot *s = (struct slot *)(void *)call;
    struct load *l = &s->run->load;
    if (s->failed) return;
    int64_t n =
        rows_reply_check(&l->forms[s->spec], s->first + s->answered, msg, len, l->row_why, sizeof l->row_why);
    if (n < 0) {
        s->failed = true;
        load_error(l, "function %d: %s", l->opt->specs[s->spec].function_id, l->row_why);
        return;
    }
    s->answered += (uint64_t)n;
}

static void slot_start(struct slot *s)
{
    struct run *r = s->run;
    const struct load_options *opt = r->load.opt;
    if (r->stop || (opt->count && r->started == opt->count)) return;
    const struct rows_form *form = &r->load.forms[s->spec];
    uint64_t per = opt->rows / opt->bundles;
    size_t at = 0;
    s->first = r->next_row;
    r->next_row += opt->rows;
    for (uint64_t b = 0; b < opt->bundles; b++) {
        uint64_t n = b + 1 < opt->bundles ? per : opt->rows - per * b;
        rows_message_patch(form, s->first + per * b, n, s->body + at);
        at += rows_message_size(form, n);
    }
    s->answered = 0;
    s->failed = false;
    s->began = measure_now_ns();
    r->started++;
    struct grpc_conn *c = &r->load.conns[(size_t)(s - r->slots) % r->load.conn_count];
    if (load_start(&r->load, c, &s->call, s->spec) != 0) r->stop = true;
}

static void slot_done(struct grpc_call *call, int status, uint32_t h2_error)
{
    struct slot *s = (struct slot *)(void *)call;
    struct run *r = s->run;
    r->ended++;
    if (status != 0) {
        s->failed = true;
        load_error(&r->load, "function %d: grpc-status %d \"%s\", HTTP/2 error %u",
                   r->load.opt->specs[s->spec].function_id, status, call->status_text, h2_error);
    } else if (!s->failed && s->answered != r->load.opt->rows) {
        s->failed = true;
        load_error(&r->load, "function %d: %" PRIu64 " rows came back for %" PRIu64,
                   r->load.opt->specs[s->spec].function_id, s->answered, r->load.opt->rows);
    }
    if (s->failed && ++r->failed > 1000) r->stop = true;
    measure_hist_add(&r->hist, measure_now_ns() - s->began);
    slot_start(s);
}

static const struct grpc_call_ops slot_ops = {slot_pull, slot_message, slot_done};

static void slots_init(struct run *r)
{
    const struct load_options *opt = r->load.opt;
    uint64_t per = opt->rows / opt->bundles;
    for (unsigned i = 0; i < opt->streams; i++) {
        struct slot *s = &r->slots[i];
        s->run = r;
        s->call.ops = &slot_ops;
        s->spec = i % opt->spec_count;
        const struct rows_form *form = &r->load.forms[s->spec];
        s->body_len = opt->rows * form->size + 5 * opt->bundles;
        if (!(s->body = malloc(s->body_len))) abort();
        size_t at = 0;
        for (uint64_t b = 0; b < opt->bundles; b++)
            at += rows_message_write(form, 0, b + 1 < opt->bundles ? per : opt->rows - per * b, s->body + at);
    }
}

/* What one window showed. */
struct window {
    double calls_s, p50, p99, max, cpu_us, server_busy, client_busy;
};

static bool run_window(struct run *r, double seconds, struct window *w)
{
    const struct load_options *opt = r->load.opt;
    uint64_t ended = r->ended, t0 = measure_now_ns();
    uint64_t cpu0 = measure_cpu_us(opt->pid), own0 = measure_own_cpu_us();
    uint64_t until = t0 + (uint64_t)(seconds * 1e9);
    bool alive = true;
    measure_hist_clear(&r->hist);
    while (alive && !r->stop && (opt->count ? r->ended < opt->count : measure_now_ns() < until))
        alive = load_turn(&r->load, 200);
    double took = (double)(measure_now_ns() - t0) / 1e9, calls = (double)(r->ended - ended);
    *w = (struct window){.calls_s = calls / took,
                         .p50 = (double)measure_hist_at(&r->hist, 0.50) / 1e3,
                         .p99 = (double)measure_hist_at(&r->hist, 0.99) / 1e3,
                         .max = (double)r->hist.max / 1e3};
    double cpu = (double)(measure_cpu_us(opt->pid) - cpu0);
    w->cpu_us = calls > 0 ? cpu / calls : 0;
    w->server_busy = cpu / 1e6 / took;
    w->client_busy = (double)(measure_own_cpu_us() - own0) / 1e6 / took;
    return alive && !r->stop;
}

static double median_of(const struct window *w, unsigned n, size_t offset)
{
    double v[256];
    for (unsigned i = 0; i < n; i++) memcpy(&v[i], (const char *)&w[i] + offset, sizeof v[i]);
    return measure_median(v, n);
}

#define MEDIAN(field) median_of(w, n, offsetof(struct window, field))

static void report(const struct run *r, const struct window *w, unsigned n)
{
    const struct load_options *opt = r->load.opt;
    double low = w[0].calls_s, high = w[0].calls_s, max = 0;
    for (unsigned i = 0; i < n; i++) {
        if (w[i].calls_s < low) low = w[i].calls_s;
        if (w[i].calls_s > high) high = w[i].calls_s;
        if (w[i].max > max) max = w[i].max;
    }
    printf(opt->json
               ? "{\"mode\":\"calls\",\"label\":\"%s\",\"connections\":%u,\"streams\":%u,\"rows\":%" PRIu64
                 ",\"functions\":%u,\"windows\":%u,\"calls_s\":%.1f,\"low\":%.1f,\"high\":%.1f,"
                 "\"p50_us\":%.1f,\"p99_us\":%.1f,\"max_us\":%.1f,\"server_cpu_us\":%.2f,"
                 "\"server_busy\":%.3f,\"client_busy\":%.3f,\"calls\":%" PRIu64 ",\"errors\":%" PRIu64 "}\n"
               : "%s: %u connections, %u streams, %" PRIu64 " rows a call, %u functions, %u windows\n"
                 "  %.0f calls/s (%.0f to %.0f), p50 %.1f us, p99 %.1f us, max %.1f us\n"
                 "  server CPU %.2f us a call (busy %.2f), client busy %.2f; %" PRIu64 " calls, %" PRIu64
                 " errors\n",
           opt->label, r->load.conn_count, opt->streams, opt->rows, opt->spec_count, n, MEDIAN(calls_s), low,
           high, MEDIAN(p50), MEDIAN(p99), max, MEDIAN(cpu_us), MEDIAN(server_busy), MEDIAN(client_busy),
           r->ended, r->load.errors);
    if (r->load.errors) fprintf(stderr, "sse_load: first error: %s\n", r->load.first_error);
}

int mode_calls(const struct load_options *opt)
{
    struct run *r = calloc(1, sizeof *r);
    struct window w[256];
    unsigned n = 0;
    if (!r) abort();
    if (load_open(&r->load, opt) != 0) {
        load_close(&r->load);
        free(r);
        return 2;
    }
    if (!(r->slots = calloc(opt->streams, sizeof *r->slots))) abort();
    slots_init(r);
    for (unsigned i = 0; i < opt->streams; i++) slot_start(&r->slots[i]);
    struct window warm;
    bool alive = opt->count != 0 || opt->warmup <= 0 || run_window(r, opt->warmup, &warm);
    unsigned want = opt->count ? 1 : opt->windows;
    while (alive && n < want) alive = run_window(r, opt->seconds, &w[n++]);
    if (n == 0) w[n++] = warm;
    if (opt->count && r->ended != opt->count)
        load_error(&r->load, "%" PRIu64 " of %" PRIu64 " calls ended", r->ended, opt->count);
    report(r, w, n);
    int rc = r->load.errors ? 1 : 0;
    for (unsigned i = 0; i < opt->streams; i++) r->slots[i].call.stream_id = 0;
    load_close(&r->load);
    for (unsigned i = 0; i < opt->streams; i++) {
        free(r->slots[i].body);
        grpc_call_free(&r->slots[i].call);
    }
    free(r->slots);
    free(r);
    return rc;
}
