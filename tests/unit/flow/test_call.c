/* SPDX-License-Identifier: MIT */
/*
 * Calls through the whole flow, against a plugin of the test's own whose operation does what a row tells it
 * to.
 *
 * Text of a cell decides: plain text is answered doubled; the backend's behaviour is chosen by the function.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include <patchbay/functions.h>
#include <patchbay/host_call.h>
#include <patchbay/host_timer.h>

#include "base/log.h"
#include "flow/call.h"
#include "loop/loop.h"
#include "plugin/registry.h"

/* ------------------------------------------------------------------------------------------------ the plugin
 */

enum mode { NOW, LATER, REVERSED, SPLIT, FLAKY, FEW, MANY, NEVER, REFUSE, BROKEN, BARE, BAD2, N_MODES };

struct held {
    pbay_call call;
    pbay_builder *out;
    pbay_timer timer;
};

static struct {
    const pbay_host *host;
    const pbay_batch_1 *batch;
    const pbay_call_1 *call;
    const pbay_timer_1 *timer;
    unsigned submits, at_once, most_at_once, cancels, fail_next;
    uint32_t most_rows;
    struct held held[64];
    unsigned n_held;
} P;

static int32_t create(const pbay_host *host, const pbay_config *cfg, void **self, pbay_result *why)
{
    (void)cfg;
    (void)why;
    P.host = host;
    P.batch = host->service(host, PBAY_SVC_BATCH);
    P.call = host->service(host, PBAY_SVC_CALL);
    P.timer = host->service(host, PBAY_SVC_TIMER);
    *self = &P;
    return P.batch && P.call && P.timer ? PBAY_OK : PBAY_INTERNAL;
}

static void destroy(void *self)
{
    (void)self;
}

static int32_t bind(void *self, const pbay_function_info *info, void **bound, pbay_result *why)
{
    (void)self;
    (void)why;
    *bound = (void *)(uintptr_t)(info->operation + 1);
    return PBAY_OK;
}

static void unbind(void *self, void *bound)
{
    (void)self;
    (void)bound;
}

static pbay_builder *doubled(const pbay_batch *in, uint32_t rows)
{
    pbay_builder *b = P.batch->create(P.host);
    uint32_t c = P.batch->add_column(b, (pbay_str){NULL, 0}, PBAY_STR);
    for (uint32_t i = 0; i < rows; i++) {
        char text[256];
        pbay_str s = i < in->n_rows ? pbay_cell_text(pbay_batch_col(in, 0), i) : (pbay_str){"x", 1};
        int n = snprintf(text, sizeof text, "%.*s%.*s", (int)s.n, s.p, (int)s.n, s.p);
        P.batch->text(b, c, (pbay_str){text, (size_t)n});
    }
    return b;
}

static void let_go(void *user)
{
    struct held *h = user;
    pbay_result ok = PBAY_RESULT_OK;
    pbay_call call = h->call;
    pbay_builder *out = h->out;
    h->call = 0;
    P.at_once--;
    P.call->complete(call, &ok, out);
}

static int32_t submit(void *self, void *bound, pbay_call call, const pbay_batch *in, pbay_result *why)
{
    (void)self;
    enum mode mode = (enum mode)((uintptr_t)bound - 1);
    pbay_result r = PBAY_RESULT_OK;
    P.submits++;
    if (in->n_rows > P.most_rows) P.most_rows = in->n_rows;
    if (++P.at_once > P.most_at_once) P.most_at_once = P.at_once;
    switch (mode) {
    case LATER:
    case REVERSED:
    case NEVER:
        for (unsigned i = 0; i < 64; i++) {
            struct held *h = &P.held[i];
            if (h->call) continue;
            h->call = call;
            h->out = doubled(in, in->n_rows);
            /* REVERSED: the first to come is the last to be answered. */
            if (mode != NEVER)
                h->timer = P.timer->start(P.host, mode == LATER ? 1 : 60 - 3 * (int64_t)(P.n_held++ % 16), 0,
                                          let_go, h);
            return PBAY_OK;
        }
        break;
    case SPLIT:
        if (in->n_rows <= 3) break;
        P.at_once--;
        *why = r;
        why->code = PBAY_RESOURCE_EXHAUSTED;
        why->advice = PBAY_ADVICE_SPLIT;
        why->message = (pbay_str){"too much", 8};
        return why->code;
    case FLAKY:
        if (!P.fail_next) break;
        P.fail_next--;
        r.code = PBAY_UNAVAILABLE;
        r.advice = PBAY_ADVICE_RETRY;
        r.message = (pbay_str){"try later", 9};
        P.at_once--;
        P.call->complete(call, &r, NULL);
        return PBAY_OK;
    case REFUSE:
        P.at_once--;
        why->code = PBAY_INVALID_ARGUMENT;
        why->message = (pbay_str){"I will not", 10};
        return PBAY_INVALID_ARGUMENT;
    case BROKEN:
        r.code = PBAY_INTERNAL;
        r.message = (pbay_str){"the model broke", 15};
        P.at_once--;
        P.call->complete(call, &r, NULL);
        return PBAY_OK;
    case BARE: {
        P.at_once--;
        pbay_builder *b = P.batch->create(P.host);
        uint32_t c = P.batch->add_column(b, (pbay_str){NULL, 0}, PBAY_STR);
        for (uint32_t i = 0; i < in->n_rows; i++) P.batch->text(b, c, (pbay_str){"y", 1});
        P.call->complete(call, &r, b);
        return PBAY_OK;
    }
    case BAD2: {
        P.at_once--;
        pbay_builder *b = P.batch->create(P.host);
        uint32_t c = P.batch->add_column(b, (pbay_str){NULL, 0}, PBAY_STR);
        for (uint32_t i = 0; i < in->n_rows; i++) {
            pbay_str s = pbay_cell_text(pbay_batch_col(in, 0), i);
            char text[64];
            int n = snprintf(text, sizeof text, "%.*s%.*s", (int)s.n, s.p, (int)s.n, s.p);
            if (i != 1)
                P.batch->text(b, c, (pbay_str){text, (size_t)n});
            else
                P.batch->null(b, c);
        }
        P.batch->row_error(b, 1, PBAY_INVALID_ARGUMENT, (pbay_str){"no number", 9});
        P.call->complete(call, &r, b);
        return PBAY_OK;
    }
    default: break;
    }
    P.at_once--;
    uint32_t rows = mode == FEW ? in->n_rows - 1 : mode == MANY ? in->n_rows + 1 : in->n_rows;
    P.call->complete(call, &r, doubled(in, rows));
    return PBAY_OK;
}

static void cancel(void *self, void *bound, pbay_call call)
{
    (void)self;
    (void)bound;
    P.cancels++;
    for (unsigned i = 0; i < 64; i++)
        if (P.held[i].call == call) {
            pbay_result r = PBAY_RESULT_OK;
            r.code = PBAY_CANCELLED;
            P.timer->cancel(P.held[i].timer);
            P.batch->free(P.held[i].out);
            P.held[i].call = 0;
            P.at_once--;
            P.call->complete(call, &r, NULL);
            return;
        }
}

#define OP(n)                                                                                                \
    {                                                                                                        \
        n, "test", PBAY_SHAPE_MAP, 0,                                                                        \
        {                                                                                                    \
            NULL, 0, sizeof(pbay_option)                                                                     \
        }                                                                                                    \
    }
static const pbay_operation ops[N_MODES] = {OP("now"),    OP("later"),  OP("reversed"), OP("split"),
                                            OP("flaky"),  OP("few"),    OP("many"),     OP("never"),
                                            OP("refuse"), OP("broken"), OP("bare"),     OP("bad2")};
static const pbay_functions_1 functions = {.struct_size = sizeof functions,
                                           .n_operations = N_MODES,
                                           .operations = ops,
                                           .operation_stride = sizeof(pbay_operation),
                                           .bind = bind,
                                           .unbind = unbind,
                                           .submit = submit,
                                           .cancel = cancel};

static const void *extension(const char *id)
{
    return strcmp(id, PBAY_EXT_FUNCTIONS) == 0 ? &functions : NULL;
}

static const pbay_entry *entry(void)
{
    static const pbay_descriptor descriptor = {.struct_size = sizeof descriptor,
                                               .name = "doubling",
                                               .version = "1",
                                               .vendor = "tests",
                                               .license = "MIT",
                                               .summary = "answers text doubled",
                                               .options = {NULL, 0, sizeof(pbay_option)}};
    static const pbay_entry e = {PBAY_MAGIC, sizeof e, PBAY_ABI_MAJOR, PBAY_ABI_MINOR, 0,        &descriptor,
                                 create,     NULL,     NULL,           destroy,        extension};
    return &e;
}

/* ------------------------------------------------------------------------------------------------ the caller
 */

struct fixture {
    struct pb_loop *loop;
    struct pb_metrics *metrics;
    struct pb_plugin_env env;
    struct pb_registry *registry;
    struct pb_connector *connector;
    struct pb_flow *flow;
    struct pb_function fn;
    struct pb_function_counters counters;
    struct pb_lane lane;
};

static const struct pb_script_field text_field = {{"t", 1}, PBAY_STR, false};

struct got {
    char *text; /* answers joined with '|', "~" for null */
    size_t n, cap;
    uint64_t rows;
    size_t consumed;
    bool hold, done;
    struct pb_err err;
    struct pb_flow_stats stats;
};

static bool on_rows(void *user, const pbay_batch *batch)
{
    struct got *g = user;
    assert_false(g->done);
    for (uint32_t i = 0; i < batch->n_rows; i++) {
        const pbay_column *col = pbay_batch_col(batch, 0);
        pbay_str s = pbay_cell_null(col, i) ? (pbay_str){"~", 1} : pbay_cell_text(col, i);
        PB_GROW(g->text, g->cap, g->n + s.n + 2);
        memcpy(g->text + g->n, s.p, s.n);
        g->n += s.n;
        g->text[g->n++] = '|';
        g->text[g->n] = 0;
    }
    g->rows += batch->n_rows;
    return !g->hold;
}

static void on_consumed(void *user, size_t bytes)
{
    ((struct got *)user)->consumed += bytes;
}

static void on_done(void *user, const struct pb_err *err, const struct pb_flow_stats *stats)
{
    struct got *g = user;
    assert_false(g->done);
    g->done = true;
    g->err = *err;
    g->stats = *stats;
}

static const struct pb_flow_sink sink = {on_rows, NULL, on_consumed, on_done};

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    struct pb_err err;
    memset(&P, 0, sizeof P);
    f->loop = pb_loop_new(&err);
    f->metrics = pb_metrics_new();
    f->env = (struct pb_plugin_env){.loop = f->loop, .metrics = f->metrics};
    f->registry = pb_registry_new(&f->env, false);
    assert_int_equal(pb_registry_adopt(f->registry, entry, &err), 0);
    struct pb_plugin *p = pb_registry_find(f->registry, PB_STR("doubling"), &err);
    assert_non_null(p);
    const struct pb_connector_spec spec = {.name = PB_STR("test"), .plugin = p};
    f->connector = pb_connector_new(f->registry, &spec, &err);
    assert_non_null(f->connector);
    assert_int_equal(pb_connector_start(f->connector, &err), 0);
    f->flow = pb_flow_new(f->loop);
    pb_counters_init(&f->counters, f->metrics, PB_STR("doubled"));
    f->fn = (struct pb_function){.magic = PB_FUNCTION_MAGIC,
                                 .name = PB_STR("doubled"),
                                 .shape = PBAY_SHAPE_MAP,
                                 .params = &text_field,
                                 .n_params = 1,
                                 .returns = &text_field,
                                 .n_returns = 1,
                                 .lane = &f->lane,
                                 .max_rows = 10,
                                 .attempts = 3,
                                 .qlik_cache = true,
                                 .counters = &f->counters};
    f->lane.limit = 4;
    *state = f;
    return 0;
}

static void use(struct fixture *f, const char *operation)
{
    struct pb_err err;
    const pbay_function_info info = {
        .struct_size = sizeof info, .name = f->fn.name, .max_rows = f->fn.max_rows};
    f->fn.op = pb_op_bind(f->connector, pb_str_c(operation), &info, &err);
    assert_non_null(f->fn.op);
}

static void closed(void *user, bool clean)
{
    assert_true(clean);
    *(bool *)user = true;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    bool done = false;
    assert_int_equal(pb_flow_live(f->flow), 0);
    assert_int_equal(f->lane.running, 0);
    pb_op_unbind(f->fn.op);
    pb_connector_close(f->connector, 1000, closed, &done);
    while (!done) pb_loop_turn(f->loop, true);
    pb_flow_free(f->flow);
    pb_registry_free(f->registry);
    pb_loop_free(f->loop);
    pb_metrics_free(f->metrics);
    pb_builder_pool_free();
    free(f);
    return 0;
}

static struct pb_flow_call *begin(struct fixture *f, struct got *g, int64_t deadline_ns)
{
    struct pb_err err;
    const struct pb_flow_request req = {.fn = &f->fn, .deadline_ns = deadline_ns, .sink = &sink, .user = g};
    struct pb_flow_call *call = pb_flow_open(f->flow, &req, &err);
    assert_non_null(call);
    return call;
}

/* Rows "from", "from + 1", ... in one commit of ten bytes a row. */
static void rows(struct pb_flow_call *call, unsigned from, unsigned n)
{
    struct pbay_builder *b = pb_flow_input(call);
    for (unsigned i = 0; i < n; i++) {
        char t[16];
        int k = snprintf(t, sizeof t, "%u", from + i);
        pb_put_text(b, 0, t, (size_t)k);
    }
    pb_flow_commit(call, n * 10);
}

static void until_done(struct fixture *f, struct got *g)
{
    while (!g->done) pb_loop_turn(f->loop, true);
}

static void expect_doubled(const struct got *g, unsigned n)
{
    const char *p = g->text;
    assert_int_equal(g->err.code, PBAY_OK);
    assert_int_equal(g->rows, n);
    for (unsigned i = 0; i < n; i++) {
        char want[40];
        int k = snprintf(want, sizeof want, "%u%u|", i, i);
        assert_memory_equal(p, want, (size_t)k);
        p += k;
    }
}

/* ------------------------------------------------------------------------------------------------ tests */

static void in_order_whatever_the_backend_does(void **state)
{
    static const char *const how[] = {"now", "later", "reversed", "split"};
    struct fixture *f = *state;
    for (size_t i = 0; i < 4; i++) {
        struct got g = {0};
        pb_op_unbind(f->fn.op);
        use(f, how[i]);
        struct pb_flow_call *call = begin(f, &g, PB_NO_DEADLINE);
        rows(call, 0, 7);
        rows(call, 7, 61);
        rows(call, 68, 1);
        rows(call, 69, 131);
        pb_flow_end(call);
        until_done(f, &g);
        expect_doubled(&g, 200);
        assert_int_equal(g.consumed, 2000);
        assert_int_equal(g.stats.rows_in, 200);
        assert_true(P.most_rows <= 10);
        assert_true(P.most_at_once <= 4);
        free(g.text);
    }
}

static void no_rows_no_call(void **state)
{
    struct fixture *f = *state;
    struct got g = {0};
    use(f, "now");
    struct pb_flow_call *call = begin(f, &g, PB_NO_DEADLINE);
    pb_flow_end(call);
    until_done(f, &g);
    assert_int_equal(g.err.code, PBAY_OK);
    assert_int_equal(g.rows, 0);
    assert_int_equal(P.submits, 0);
}

static void empty_rows_keep_their_place(void **state)
{
    struct fixture *f = *state;
    struct got g = {0};
    use(f, "now");
    struct pb_flow_call *call = begin(f, &g, PB_NO_DEADLINE);
    struct pbay_builder *b = pb_flow_input(call);
    pb_put_text(b, 0, "", 0);
    pb_put_text(b, 0, "a", 1);
    pb_put_null(b, 0);
    pb_put_text(b, 0, "", 0);
    pb_put_text(b, 0, "b", 1);
    pb_flow_commit(call, 5);
    pb_flow_end(call);
    until_done(f, &g);
    assert_string_equal(g.text, "~|aa|~|~|bb|");
    assert_int_equal(g.stats.nulled, 3);
    free(g.text);

    f->fn.empty = PB_EMPTY_ERROR;
    struct got e = {0};
    call = begin(f, &e, PB_NO_DEADLINE);
    rows(call, 0, 3);
    pb_put_text(pb_flow_input(call), 0, "", 0);
    pb_flow_commit(call, 1);
    pb_flow_end(call);
    until_done(f, &e);
    assert_int_equal(e.err.code, PBAY_INVALID_ARGUMENT);
    assert_non_null(strstr(e.err.msg, "row 4 is empty"));
    free(e.text);

    f->fn.empty = PB_EMPTY_SEND;
    struct got s = {0};
    call = begin(f, &s, PB_NO_DEADLINE);
    pb_put_text(pb_flow_input(call), 0, "", 0);
    pb_flow_commit(call, 1);
    pb_flow_end(call);
    until_done(f, &s);
    assert_string_equal(s.text, "|");
    free(s.text);
}

static void all_empty_asks_nobody(void **state)
{
    struct fixture *f = *state;
    struct got g = {0};
    use(f, "now");
    struct pb_flow_call *call = begin(f, &g, PB_NO_DEADLINE);
    for (int i = 0; i < 25; i++) pb_put_text(pb_flow_input(call), 0, "", 0);
    pb_flow_commit(call, 25);
    pb_flow_end(call);
    until_done(f, &g);
    assert_int_equal(g.rows, 25);
    assert_int_equal(P.submits, 0);
    free(g.text);
}

static void a_wrong_count_is_an_error_not_a_shift(void **state)
{
    struct fixture *f = *state;
    static const char *const how[] = {"few", "many"};
    for (size_t i = 0; i < 2; i++) {
        struct got g = {0};
        pb_op_unbind(f->fn.op);
        use(f, how[i]);
        struct pb_flow_call *call = begin(f, &g, PB_NO_DEADLINE);
        rows(call, 0, 25);
        pb_flow_end(call);
        until_done(f, &g);
        assert_int_equal(g.err.code, PBAY_DATA_LOSS);
        assert_int_equal(g.rows, 0);
        assert_true(g.stats.no_store);
        assert_non_null(strstr(g.err.msg, i ? "answered 11 rows for the 10" : "answered 9 rows for the 10"));
        free(g.text);
    }
}

static void repeats_what_may_succeed_and_nothing_else(void **state)
{
    struct fixture *f = *state;
    struct got g = {0};
    use(f, "flaky");
    P.fail_next = 2;
    struct pb_flow_call *call = begin(f, &g, PB_NO_DEADLINE);
    rows(call, 0, 5);
    pb_flow_end(call);
    until_done(f, &g);
    expect_doubled(&g, 5);
    assert_int_equal(g.stats.repeats, 2);
    assert_int_equal(g.stats.batches, 3);
    free(g.text);

    struct got h = {0};
    P.fail_next = 3;
    call = begin(f, &h, PB_NO_DEADLINE);
    rows(call, 0, 5);
    pb_flow_end(call);
    until_done(f, &h);
    assert_int_equal(h.err.code, PBAY_UNAVAILABLE);
    assert_string_equal(h.err.msg, "try later");
    P.fail_next = 0;

    pb_op_unbind(f->fn.op);
    use(f, "broken");
    P.submits = 0;
    struct got b = {0};
    call = begin(f, &b, PB_NO_DEADLINE);
    rows(call, 0, 5);
    pb_flow_end(call);
    until_done(f, &b);
    assert_string_equal(b.err.msg, "the model broke");
    assert_int_equal(P.submits, 1);
}

static void a_refusal_is_told(void **state)
{
    struct fixture *f = *state;
    struct got g = {0};
    use(f, "refuse");
    struct pb_flow_call *call = begin(f, &g, PB_NO_DEADLINE);
    rows(call, 0, 50);
    if (!g.done) pb_flow_end(call);
    until_done(f, &g);
    assert_int_equal(g.err.code, PBAY_INVALID_ARGUMENT);
    assert_non_null(strstr(g.err.msg, "I will not"));
}

static void deadline_and_cancel_leave_nothing(void **state)
{
    struct fixture *f = *state;
    struct got g = {0};
    use(f, "never");
    struct pb_flow_call *call = begin(f, &g, pb_mono_ns() + 30 * PB_MS);
    rows(call, 0, 100);
    pb_flow_end(call);
    until_done(f, &g);
    assert_int_equal(g.err.code, PBAY_DEADLINE_EXCEEDED);
    for (int i = 0; i < 200 && f->lane.running; i++) pb_loop_turn(f->loop, true);
    assert_int_equal(f->lane.running, 0);
    assert_true(P.cancels >= 4);

    struct got c = {0};
    call = begin(f, &c, PB_NO_DEADLINE);
    rows(call, 0, 100);
    pb_flow_cancel(call, NULL);
    for (int i = 0; i < 200 && f->lane.running; i++) pb_loop_turn(f->loop, true);
    assert_int_equal(f->lane.running, 0);
    assert_false(c.done);
}

static void the_sink_can_hold(void **state)
{
    struct fixture *f = *state;
    struct got g = {.hold = true};
    use(f, "now");
    struct pb_flow_call *call = begin(f, &g, PB_NO_DEADLINE);
    rows(call, 0, 50);
    pb_flow_end(call);
    for (int i = 0; i < 5; i++) pb_loop_turn(f->loop, false);
    assert_int_equal(g.rows, 10);
    assert_int_equal(g.consumed, 100);
    assert_false(g.done);
    pb_flow_writable(call);
    assert_int_equal(g.rows, 20);
    g.hold = false;
    pb_flow_writable(call);
    until_done(f, &g);
    expect_doubled(&g, 50);
    free(g.text);
}

/* A caller that sends no more than its window must never be left waiting for a batch that cannot fill. */
static void a_window_full_of_waiting_rows_is_cut(void **state)
{
    struct fixture *f = *state;
    struct got g = {0};
    use(f, "now");
    f->fn.max_rows = 1000000;
    struct pb_flow_call *call = begin(f, &g, PB_NO_DEADLINE);
    pb_put_text(pb_flow_input(call), 0, "a", 1);
    pb_flow_commit(call, 300 * 1024);
    for (int i = 0; i < 5; i++) pb_loop_turn(f->loop, false);
    assert_int_equal(g.consumed, 300 * 1024);
    pb_flow_end(call);
    until_done(f, &g);
    assert_string_equal(g.text, "aa|");
    free(g.text);
}

/* A caller may wait for answers before it sends more: rows that do not fill a batch go after a moment. */
static void a_caller_that_waits_is_answered(void **state)
{
    struct fixture *f = *state;
    struct got g = {0};
    use(f, "now");
    struct pb_flow_call *call = begin(f, &g, PB_NO_DEADLINE);
    rows(call, 0, 3);
    for (int i = 0; i < 1000 && g.rows < 3; i++) pb_loop_turn(f->loop, true);
    assert_int_equal(g.rows, 3);
    rows(call, 3, 12);
    for (int i = 0; i < 1000 && g.rows < 15; i++) pb_loop_turn(f->loop, true);
    assert_int_equal(g.rows, 15);
    pb_flow_end(call);
    until_done(f, &g);
    expect_doubled(&g, 15);
    free(g.text);
}

static void many_calls_share_a_lane_fairly(void **state)
{
    struct fixture *f = *state;
    struct got g[20] = {0};
    struct pb_flow_call *calls[20];
    use(f, "later");
    for (int i = 0; i < 20; i++) calls[i] = begin(f, &g[i], PB_NO_DEADLINE);
    for (int i = 0; i < 20; i++) {
        rows(calls[i], 0, 100);
        pb_flow_end(calls[i]);
    }
    for (int i = 0; i < 20; i++) until_done(f, &g[i]);
    for (int i = 0; i < 20; i++) {
        expect_doubled(&g[i], 100);
        free(g[i].text);
    }
    assert_int_equal(P.most_at_once, 4);
}

static void converts_what_the_backend_answers(void **state)
{
    static const struct pb_script_field number = {{"n", 1}, PBAY_NUM, false};
    struct fixture *f = *state;
    struct got g = {0};
    use(f, "now");
    f->fn.answers = &number;
    f->fn.n_answers = 1;
    f->fn.returns = &number;
    struct pb_flow_call *call = begin(f, &g, PB_NO_DEADLINE);
    pb_put_text(pb_flow_input(call), 0, "1", 1);
    pb_put_text(pb_flow_input(call), 0, "cat", 3);
    pb_flow_commit(call, 2);
    pb_flow_end(call);
    until_done(f, &g);
    assert_int_equal(g.err.code, PBAY_INVALID_ARGUMENT);
    assert_non_null(strstr(g.err.msg, "row 2"));
    assert_non_null(strstr(g.err.msg, "\"catcat\""));
}

static void a_bad_answer_is_named_by_the_callers_row(void **state)
{
    static const struct pb_script_field number = {{"n", 1}, PBAY_NUM, false};
    struct fixture *f = *state;
    struct got g = {0};
    use(f, "now");
    f->fn.returns = &number;
    struct pb_flow_call *call = begin(f, &g, PB_NO_DEADLINE);
    pb_put_text(pb_flow_input(call), 0, "1", 1);
    pb_put_null(pb_flow_input(call), 0); /* not sent: the backend's second row is the caller's third */
    pb_put_text(pb_flow_input(call), 0, "cat", 3);
    pb_flow_commit(call, 2);
    pb_flow_end(call);
    until_done(f, &g);
    assert_int_equal(g.err.code, PBAY_INVALID_ARGUMENT);
    assert_non_null(strstr(g.err.msg, "row 3"));
}

static void more_columns_than_declared_are_an_error(void **state)
{
    static const struct pb_script_field two[] = {{{"a", 1}, PBAY_STR, false}, {{"b", 1}, PBAY_STR, false}};
    struct fixture *f = *state;
    struct got g = {0};
    use(f, "now");
    f->fn.returns = two;
    f->fn.n_returns = 2;
    struct pb_flow_call *call = begin(f, &g, PB_NO_DEADLINE);
    rows(call, 0, 1);
    pb_flow_end(call);
    until_done(f, &g);
    assert_int_equal(g.err.code, PBAY_DATA_LOSS);
    assert_non_null(strstr(g.err.msg, "the answer has 1 columns, 2 are declared"));
    assert_int_equal(g.rows, 0);
}

/* Rows without cells count too, also those beyond the last full batch. */
static void a_function_that_takes_nothing_answers_every_row(void **state)
{
    struct fixture *f = *state;
    struct got g = {0};
    use(f, "bare");
    f->fn.n_params = 0;
    struct pb_flow_call *call = begin(f, &g, PB_NO_DEADLINE);
    pb_flow_input(call)->bare_rows = 25;
    pb_flow_commit(call, 25);
    pb_flow_end(call);
    until_done(f, &g);
    assert_int_equal(g.err.code, PBAY_OK);
    assert_int_equal(g.rows, 25);
    assert_int_equal(g.consumed, 25);
    free(g.text);
}

static void bad_rows_are_null_or_fail_the_call(void **state)
{
    struct fixture *f = *state;
    for (int null = 0; null < 2; null++) {
        struct got g = {0};
        pb_op_unbind(f->fn.op);
        use(f, "bad2");
        f->fn.on_bad = null ? PB_BAD_NULL : PB_BAD_ERROR;
        struct pb_flow_call *call = begin(f, &g, PB_NO_DEADLINE);
        rows(call, 0, 3);
        pb_flow_end(call);
        until_done(f, &g);
        assert_int_equal(g.err.code, null ? PBAY_OK : PBAY_INVALID_ARGUMENT);
        if (null)
            assert_string_equal(g.text, "00|~|22|");
        else
            assert_non_null(strstr(g.err.msg, "row 2: no number"));
        free(g.text);
    }
}

static void a_number_without_text_is_not_empty(void **state)
{
    static const struct pb_script_field dual = {{"d", 1}, PBAY_DUAL, false};
    struct fixture *f = *state;
    struct got g = {0};
    use(f, "bare");
    f->fn.params = &dual;
    struct pb_flow_call *call = begin(f, &g, PB_NO_DEADLINE);
    pb_put_dual(pb_flow_input(call), 0, 5, "", 0);
    pb_put_dual(pb_flow_input(call), 0, (double)NAN, "", 0);
    pb_put_dual(pb_flow_input(call), 0, 0, "", 0);
    pb_flow_commit(call, 3);
    pb_flow_end(call);
    until_done(f, &g);
    assert_string_equal(g.text, "y|~|y|");
    free(g.text);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    pb_log_level(NULL, PB_LOG_OFF);
    const struct CMUnitTest tests[] = {
        T(in_order_whatever_the_backend_does),
        T(no_rows_no_call),
        T(empty_rows_keep_their_place),
        T(all_empty_asks_nobody),
        T(a_wrong_count_is_an_error_not_a_shift),
        T(repeats_what_may_succeed_and_nothing_else),
        T(a_refusal_is_told),
        T(deadline_and_cancel_leave_nothing),
        T(the_sink_can_hold),
        T(a_window_full_of_waiting_rows_is_cut),
        T(a_caller_that_waits_is_answered),
        T(many_calls_share_a_lane_fairly),
        T(converts_what_the_backend_answers),
        T(a_bad_answer_is_named_by_the_callers_row),
        T(more_columns_than_declared_are_an_error),
        T(a_function_that_takes_nothing_answers_every_row),
        T(bad_rows_are_null_or_fail_the_call),
        T(a_number_without_text_is_not_empty),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
