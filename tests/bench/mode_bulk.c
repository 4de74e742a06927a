/* SPDX-License-Identifier: MIT */
/* One call of very many rows: sent as fast as the server's windows allow, answers read and checked in order
 * at the same time. Bodies up to 256 MiB are made before the clock starts, larger ones as they are sent. */
#include "load.h"
#include "measure.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PREPARED_MAX ((size_t)256 << 20)

struct bulk {
    struct grpc_call call;
    struct load load;
    uint64_t bundle; /* rows in a message */
    uint64_t sent, answered;
    uint8_t *prepared; /* the whole body, or NULL */
    uint8_t *one;      /* one message, otherwise */
    size_t at;         /* in prepared */
    bool ended;
    uint64_t first_reply_ns, messages, largest;
};

static enum grpc_pull bulk_pull(struct grpc_call *call, const uint8_t **data, size_t *len)
{
    struct bulk *b = (struct bulk *)(void *)call;
    uint64_t left = b->load.opt->rows - b->sent, n = left < b->bundle ? left : b->bundle;
    *len = rows_message_size(&b->load.forms[0], n);
    if (b->prepared) {
        *data = b->prepared + b->at;
        b->at += *len;
    } else {
        rows_message_write(&b->load.forms[0], b->sent, n, b->one);
        *data = b->one;
    }
    b->sent += n;
    return b->sent == b->load.opt->rows ? GRPC_PULL_LAST : GRPC_PULL_MORE;
}

static void bulk_message(struct grpc_call *call, const uint8_t *msg, size_t len)
{
    struct bulk *b = (struct bulk *)(void *)call;
    struct load *l = &b->load;
    if (!b->messages++) b->first_reply_ns = measure_now_ns();
    if (len > b->largest) b->largest = len;
    if (l->errors) return;
    int64_t n = rows_reply_check(&l->forms[0], b->answered, msg, len, l->row_why, sizeof l->row_why);
    if (n < 0)
        load_error(l, "%s", l->row_why);
    else
        b->answered += (uint64_t)n;
}

static void bulk_done(struct grpc_call *call, int status, uint32_t h2_error)
{
    struct bulk *b = (struct bulk *)(void *)call;
    b->ended = true;
    if (status != 0)
        load_error(&b->load, "grpc-status %d \"%s\", HTTP/2 error %u", status, call->status_text, h2_error);
    else if (b->answered != b->load.opt->rows)
        load_error(&b->load, "%" PRIu64 " rows came back for %" PRIu64, b->answered, b->load.opt->rows);
}

static const struct grpc_call_ops bulk_ops = {bulk_pull, bulk_message, bulk_done};

static void prepare(struct bulk *b)
{
    const struct rows_form *form = &b->load.forms[0];
    uint64_t rows = b->load.opt->rows, messages = (rows + b->bundle - 1) / b->bundle;
    size_t whole = rows * form->size + messages * 5;
    if (whole > PREPARED_MAX) {
        if (!(b->one = malloc(rows_message_size(form, b->bundle)))) abort();
        return;
    }
    if (!(b->prepared = malloc(whole))) abort();
    size_t at = 0;
    for (uint64_t i = 0; i < rows; i += b->bundle)
        at += rows_message_write(form, i, rows - i < b->bundle ? rows - i : b->bundle, b->prepared + at);
}

static double bulk_once(struct bulk *b, double *cpu_s, double *own_s, double *first_s)
{
    uint64_t cpu = measure_cpu_us(b->load.opt->pid), own = measure_own_cpu_us(), t0 = measure_now_ns();
    b->sent = b->answered = b->messages = b->largest = b->at = 0;
    b->ended = false;
    if (load_start(&b->load, &b->load.conns[0], &b->call, 0) != 0) return 0;
    while (!b->ended && load_turn(&b->load, 60000)) continue;
    double took = (double)(measure_now_ns() - t0) / 1e9;
    *cpu_s = (double)(measure_cpu_us(b->load.opt->pid) - cpu) / 1e6;
    *own_s = (double)(measure_own_cpu_us() - own) / 1e6;
    *first_s = b->messages ? (double)(b->first_reply_ns - t0) / 1e9 : 0;
    return took;
}

int mode_bulk(const struct load_options *opt)
{
    struct bulk *b = calloc(1, sizeof *b);
    double rate[256], cpu_s = 0, own_s = 0, first_s = 0, took = 0, cpu_ns[256];
    unsigned n = 0;
    if (!b) abort();
    if (load_open(&b->load, opt) != 0) {
        load_close(&b->load);
        free(b);
        return 2;
    }
    b->call.ops = &bulk_ops;
    b->bundle = opt->bundle_rows ? opt->bundle_rows : opt->bundle_bytes / b->load.forms[0].size;
    if (b->bundle == 0) b->bundle = 1;
    prepare(b);
    uint64_t before = measure_rss_kib(opt->pid);
    bool reset = opt->pid && measure_peak_reset(opt->pid) == 0;
    while (n < opt->windows && !b->load.errors) {
        took = bulk_once(b, &cpu_s, &own_s, &first_s);
        cpu_ns[n] = cpu_s * 1e9 / (double)opt->rows;
        rate[n++] = took > 0 ? (double)b->answered / took : 0;
    }
    uint64_t peak = measure_peak_kib(opt->pid);
    double mid = measure_median(rate, n);
    printf(opt->json ? "{\"mode\":\"bulk\",\"label\":\"%s\",\"rows\":%" PRIu64 ",\"bundle_rows\":%" PRIu64
                       ",\"runs\":%u,\"rows_s\":%.0f,\"low\":%.0f,\"high\":%.0f,\"server_ns_row\":%.1f,"
                       "\"client_busy\":%.3f,\"first_reply_s\":%.4f,\"largest_reply\":%" PRIu64
                       ",\"rss_before_kib\":%" PRIu64 ",\"peak_kib\":%" PRIu64
                       ",\"peak_reset\":%d,\"errors\":%" PRIu64 "}\n"
                     : "%s: %" PRIu64 " rows in bundles of %" PRIu64
                       ", %u runs\n  %.0f rows/s (%.0f to %.0f), server "
                       "%.1f ns a row, client busy %.2f, first reply after %.4f s, largest reply %" PRIu64
                       " bytes\n  server memory %" PRIu64 " KiB before, %" PRIu64
                       " KiB at the peak (reset: %d); %" PRIu64 " errors\n",
           opt->label, opt->rows, b->bundle, n, mid, rate[0], rate[n ? n - 1 : 0], measure_median(cpu_ns, n),
           took > 0 ? own_s / took : 0, first_s, b->largest, before, peak, reset, b->load.errors);
    if (b->load.errors) fprintf(stderr, "sse_load: first error: %s\n", b->load.first_error);
    int rc = b->load.errors ? 1 : 0;
    load_close(&b->load);
    grpc_call_free(&b->call);
    free(b->prepared);
    free(b->one);
    free(b);
    return rc;
}
