/* SPDX-License-Identifier: MIT */
#include "flow/fixture.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const struct pb_script_field text_field = {{"t", 1}, PBAY_STR, false};

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

const struct pb_flow_sink sink = {on_rows, NULL, on_consumed, on_done};

int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    struct pb_err err;
    memset(&P, 0, sizeof P);
    f->loop = pb_loop_new(&err);
    f->metrics = pb_metrics_new();
    f->env = (struct pb_plugin_env){.loop = f->loop, .metrics = f->metrics};
    f->registry = pb_registry_new(&f->env, false);
    assert_int_equal(pb_registry_adopt(f->registry, doubling_entry, &err), 0);
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

void use(struct fixture *f, const char *operation)
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

int teardown(void **state)
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

struct pb_flow_call *begin(struct fixture *f, struct got *g, int64_t deadline_ns)
{
    struct pb_err err;
    const struct pb_flow_request req = {.fn = &f->fn, .deadline_ns = deadline_ns, .sink = &sink, .user = g};
    struct pb_flow_call *call = pb_flow_open(f->flow, &req, &err);
    assert_non_null(call);
    return call;
}

void rows(struct pb_flow_call *call, unsigned from, unsigned n)
{
    struct pbay_builder *b = pb_flow_input(call);
    for (unsigned i = 0; i < n; i++) {
        char t[16];
        int k = snprintf(t, sizeof t, "%u", from + i);
        pb_put_text(b, 0, t, (size_t)k);
    }
    pb_flow_commit(call, n * 10);
}

void until_done(struct fixture *f, struct got *g)
{
    while (!g->done) pb_loop_turn(f->loop, true);
}

void expect_doubled(const struct got *g, unsigned n)
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
