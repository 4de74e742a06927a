/* SPDX-License-Identifier: MIT */
/* The exposition, byte for byte, and that nothing can be registered twice or break a line. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/metrics.h"
#include "base/str.h"

static void test_text(void **state)
{
    (void)state;
    struct pb_metrics *m = pb_metrics_new();
    struct pb_buf label = {0}, text = {0};
    pb_metric_label(&label, "function", PB_STR("a\"b\\c\nd"));
    pb_metric_label(&label, "bad", PB_STR("\xff"));
    pb_buf_ch(&label, 0);
    uint32_t calls = pb_metric(m, PB_METRIC_COUNTER, "calls_total", label.p, "Calls.\nAll of them.");
    uint32_t up = pb_metric(m, PB_METRIC_GAUGE, "up", "", "Is it?");
    uint32_t busy = pb_metric_scaled(m, "busy_seconds_total", "", "Time.", 1e-9);
    uint32_t more = pb_metric(m, PB_METRIC_COUNTER, "calls_total", "function=\"g\"", "Calls.");
    struct pb_histogram h, again;
    const int64_t bounds[] = {1000000, 10000000};
    pb_histogram(m, &h, "call_seconds", "function=\"g\"", "How long.", bounds, 2, 1e-9);
    pb_histogram(m, &again, "call_seconds", "function=\"g\"", "How long.", bounds, 2, 1e-9);
    assert_int_equal(h.first, again.first);
    pb_metric_add(m, calls, 2);
    pb_metric_add(m, more, 1);
    pb_metric_set(m, up, -1);
    pb_metric_add(m, busy, 1500000000);
    pb_histogram_add(m, &h, 1000000);
    pb_histogram_add(m, &h, 1000001);
    pb_histogram_add(m, &h, 99000000);
    pb_metrics_text(m, &text);
    pb_buf_ch(&text, 0);
    assert_string_equal(text.p, "# HELP patchbay_calls_total Calls.\\nAll of them.\n"
                                "# TYPE patchbay_calls_total counter\n"
                                "patchbay_calls_total{function=\"a\\\"b\\\\c\\nd\",bad=\"invalid UTF-8\"} 2\n"
                                "patchbay_calls_total{function=\"g\"} 1\n"
                                "# HELP patchbay_up Is it?\n"
                                "# TYPE patchbay_up gauge\n"
                                "patchbay_up -1\n"
                                "# HELP patchbay_busy_seconds_total Time.\n"
                                "# TYPE patchbay_busy_seconds_total counter\n"
                                "patchbay_busy_seconds_total 1.5\n"
                                "# HELP patchbay_call_seconds How long.\n"
                                "# TYPE patchbay_call_seconds histogram\n"
                                "patchbay_call_seconds_bucket{function=\"g\",le=\"0.001\"} 1\n"
                                "patchbay_call_seconds_bucket{function=\"g\",le=\"0.01\"} 2\n"
                                "patchbay_call_seconds_bucket{function=\"g\",le=\"+Inf\"} 3\n"
                                "patchbay_call_seconds_sum{function=\"g\"} 0.101000001\n"
                                "patchbay_call_seconds_count{function=\"g\"} 3\n");
    pb_buf_free(&label);
    pb_buf_free(&text);
    pb_metrics_free(m);
}

static void test_slots(void **state)
{
    (void)state;
    struct pb_metrics *m = pb_metrics_new();
    uint32_t a = pb_metric(m, PB_METRIC_COUNTER, "a", "", "A.");
    assert_int_equal(pb_metric(m, PB_METRIC_COUNTER, "a", "", "A."), a);
    assert_int_equal(pb_metric(m, PB_METRIC_GAUGE, "a", "", "A."), 0);
    char labels[32];
    uint32_t got = 0;
    for (int i = 0; i < PB_METRIC_SLOTS + 10; i++) {
        snprintf(labels, sizeof labels, "i=\"%d\"", i);
        if (pb_metric(m, PB_METRIC_COUNTER, "many", labels, "Many.")) got++;
    }
    assert_int_equal(got, PB_METRIC_SLOTS - 2);
    pb_metric_add(m, 0, 5); /* what found no place goes nowhere */
    pb_metrics_free(m);
}

/* Two processes with one page: one name has one slot, sums go over both, and who ends leaves his counts. */
static void test_shared(void **state)
{
    (void)state;
    struct pb_metrics *one = pb_metrics_new(), *two = pb_metrics_join(one->page, 1);
    uint32_t calls = pb_metric(one, PB_METRIC_COUNTER, "calls_total", "", "Calls.");
    uint32_t busy = pb_metric(two, PB_METRIC_GAUGE, "busy", "", "Now.");
    uint32_t worst = pb_metric(two, PB_METRIC_GREATEST, "worst", "", "State.");
    const int64_t bounds[] = {10};
    struct pb_histogram h;
    pb_histogram(two, &h, "took", "", "Took.", bounds, 1, 1);
    assert_int_equal(pb_metric(two, PB_METRIC_COUNTER, "calls_total", "", "Calls."), calls);
    for (int i = 0; i < 3; i++) {
        pb_metric_add(i ? two : one, calls, 2);
        pb_metric_set(i ? two : one, busy, i);
        pb_metric_set(i ? two : one, worst, 3 - i);
        pb_histogram_add(two, &h, 7);
    }
    for (int gone = 0; gone < 2; gone++) {
        struct pb_buf text = {0};
        if (gone) pb_metrics_retire(one->page, 1);
        pb_metrics_text(one, &text);
        pb_buf_ch(&text, 0);
        assert_non_null(strstr(text.p, "patchbay_calls_total 6\n"));
        assert_non_null(strstr(text.p, gone ? "patchbay_busy 0\n" : "patchbay_busy 2\n"));
        assert_non_null(strstr(text.p, "patchbay_worst 3\n"));
        assert_non_null(strstr(text.p, "patchbay_took_bucket{le=\"10\"} 3\n"));
        assert_non_null(strstr(text.p, "patchbay_took_sum 21\n"));
        pb_buf_free(&text);
    }
    pb_metrics_free(two);
    pb_metrics_free(one);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_text), cmocka_unit_test(test_slots),
                                       cmocka_unit_test(test_shared)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
