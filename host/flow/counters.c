/* SPDX-License-Identifier: MIT */
#include "flow/counters.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/err.h"

static const int64_t bounds[] = {250000,      500000,     PB_MS,      5 * PB_MS / 2, 5 * PB_MS,
                                 10 * PB_MS,  25 * PB_MS, 50 * PB_MS, 100 * PB_MS,   250 * PB_MS,
                                 500 * PB_MS, PB_SEC,     5 * PB_SEC, 30 * PB_SEC};

void pb_counters_init(struct pb_function_counters *c, struct pb_metrics *metrics, pbay_str function)
{
    *c = (struct pb_function_counters){.metrics = metrics};
    struct pb_buf labels = {0};
    pb_metric_label(&labels, "function", function);
    size_t n = labels.n;
    pb_buf_ch(&labels, 0);
    const char *l = labels.p;
    c->in_flight = pb_metric(metrics, PB_METRIC_GAUGE, "function_in_flight", l, "Calls that have not ended.");
    c->rows_in = pb_metric(metrics, PB_METRIC_COUNTER, "function_rows_total", l, "Rows received.");
    c->rows_out = pb_metric(metrics, PB_METRIC_COUNTER, "function_answers_total", l, "Rows answered.");
    c->batches = pb_metric(metrics, PB_METRIC_COUNTER, "function_batches_total", l,
                           "Batches sent to the backend, repeats included.");
    c->repeats = pb_metric(metrics, PB_METRIC_COUNTER, "function_repeats_total", l, "Batches sent again.");
    c->nulled = pb_metric(metrics, PB_METRIC_COUNTER, "function_nulled_rows_total", l,
                          "Rows answered null without asking the backend.");
    pb_histogram(metrics, &c->latency, "function_seconds", l, "Duration of calls.", bounds,
                 PB_COUNTOF(bounds), 1e-9);
    for (int32_t code = 0; code < PB_CODES; code++) {
        labels.n = n;
        pb_metric_label(&labels, "code", pb_str_c(pb_code_name(code)));
        pb_buf_ch(&labels, 0);
        c->by_code[code] =
            pb_metric(metrics, PB_METRIC_COUNTER, "function_calls_total", labels.p, "Ended calls by status.");
    }
    pb_buf_free(&labels);
}
