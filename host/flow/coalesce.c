/* SPDX-License-Identifier: MIT */
#include "flow/coalesce.h"

#include "base/check.h"
#include "base/log.h"
#include "flow/flow_priv.h"

struct pb_coalesce {
    int64_t wait_ms;
    bool off;
    struct pb_group *filling; /* takes more members; NULL: none */
    uint32_t groups;          /* alive */
    struct pb_metrics *metrics;
    uint32_t batches, rows; /* slots: of batches with rows of several units */
};

enum group_state { FILLING, WAITING, SENT };

struct pb_group {
    struct pb_coalesce *of;
    struct pb_flow *flow;
    const struct pb_function *fn;
    enum group_state state;
    struct pb_unit **members; /* NULL: it has left */
    uint32_t n, cap, live;
    uint32_t *sizes; /* rows of each, once they are on their way */
    uint32_t rows;
    size_t bytes;
    bool alone; /* one unit by itself: nothing joins */
    bool has_place;
    int64_t sent_ns;
    struct pb_timer timer;
    struct pb_lane_waiter waiter;
    struct pb_defer go; /* a place was given */
    struct pb_op_call *op_call;
};

struct pb_coalesce *pb_coalesce_new(int64_t wait_ms, struct pb_metrics *metrics, pbay_str function)
{
    struct pb_coalesce *c = pb_zalloc(sizeof *c);
    struct pb_buf labels = {0};
    pb_metric_label(&labels, "function", function);
    pb_buf_ch(&labels, 0);
    c->wait_ms = wait_ms;
    c->metrics = metrics;
    c->batches = pb_metric(metrics, PB_METRIC_COUNTER, "function_coalesced_batches_total", labels.p,
                           "Batches with rows of several calls.");
    c->rows = pb_metric(metrics, PB_METRIC_COUNTER, "function_coalesced_rows_total", labels.p,
                        "Rows in batches with rows of several calls.");
    pb_buf_free(&labels);
    return c;
}

void pb_coalesce_free(struct pb_coalesce *c)
{
    if (!c) return;
    PB_REQUIRE(!c->groups);
    pb_free(c);
}

bool pb_coalesce_is_off(const struct pb_coalesce *c)
{
    return c->off;
}

/* ------------------------------------------------------------------------------------------------ groups */

static void go(void *user);
static void look_for_place(struct pb_group *g);

static void group_free(struct pb_group *g)
{
    if (g->of->filling == g) g->of->filling = NULL;
    pb_timer_cancel(&g->timer);
    pb_defer_cancel(&g->go);
    if (g->fn->lane) {
        pb_lane_forget(g->fn->lane, &g->waiter);
        if (g->has_place) pb_lane_leave(g->fn->lane);
    }
    g->of->groups--;
    g->flow->units--;
    pb_free(g->members);
    pb_free(g->sizes);
    pb_free(g);
}

static void waited(void *user)
{
    look_for_place(user);
}

static void turn(struct pb_lane_waiter *w)
{
    struct pb_group *g = PB_CONTAINER(w, struct pb_group, waiter);
    g->has_place = true;
    pb_loop_defer(g->flow->loop, &g->go);
}

static struct pb_group *group_new(struct pb_unit *u)
{
    struct pb_group *g = pb_zalloc(sizeof *g);
    g->of = u->fn->coalesce;
    g->flow = u->flow;
    g->fn = u->fn;
    g->timer.fn = waited;
    g->timer.user = g;
    g->waiter.turn = turn;
    g->go = pb_defer_make(go, g);
    g->of->groups++;
    g->flow->units++;
    return g;
}

static size_t text_of(const pbay_batch *b, uint32_t from, uint32_t n)
{
    size_t text = 0;
    for (uint32_t c = 0; c < b->n_cols; c++) {
        const pbay_column *col = pbay_batch_col(b, c);
        if (col->off) text += col->off[from + n] - col->off[from];
    }
    return text;
}

static void add(struct pb_group *g, struct pb_unit *u)
{
    PB_GROW(g->members, g->cap, g->n + 1);
    u->group = g;
    u->group_at = g->n;
    g->members[g->n++] = u;
    g->live++;
    g->rows += u->size;
    g->bytes += text_of(u->send, u->at, u->size);
}

/* A transform may send other kinds for other rows. */
static bool same_columns(const pbay_batch *a, const pbay_batch *b)
{
    if (a->n_cols != b->n_cols) return false;
    for (uint32_t c = 0; c < a->n_cols; c++)
        if (pbay_batch_col(a, c)->kind != pbay_batch_col(b, c)->kind) return false;
    return true;
}

static bool fits(const struct pb_group *g, const struct pb_unit *u)
{
    const struct pb_function *fn = g->fn;
    if (g->rows + u->size > fn->max_rows) return false;
    if (fn->max_bytes && g->bytes + text_of(u->send, u->at, u->size) > fn->max_bytes) return false;
    for (uint32_t i = 0; i < g->n; i++)
        if (g->members[i]) return same_columns(g->members[i]->send, u->send);
    return true;
}

/* Nothing more joins; it goes as soon as there is a place. */
static void close_group(struct pb_group *g)
{
    if (g->of->filling == g) g->of->filling = NULL;
    if (g->state == FILLING) look_for_place(g);
}

void pb__coalesce_join(struct pb_unit *u)
{
    struct pb_coalesce *c = u->fn->coalesce;
    struct pb_group *g = u->alone ? NULL : c->filling;
    if (g && !fits(g, u)) {
        close_group(g);
        g = NULL;
    }
    if (!g) {
        g = group_new(u);
        g->alone = u->alone;
        if (!u->alone) c->filling = g;
        if (!u->alone) pb_timer_set(g->flow->loop, &g->timer, c->wait_ms);
    }
    add(g, u);
    if (g->alone || g->rows >= g->fn->max_rows) close_group(g);
}

void pb__coalesce_leave(struct pb_unit *u)
{
    struct pb_group *g = u->group;
    g->members[u->group_at] = NULL;
    g->live--;
    u->group = NULL;
    if (g->state != SENT) {
        g->rows -= u->size;
        g->bytes -= text_of(u->send, u->at, u->size);
    }
    if (g->live) return;
    if (g->op_call)
        pb_op_cancel(g->op_call); /* its completion frees the group */
    else
        group_free(g);
}

/* ------------------------------------------------------------------------------------------------ back */

/* All who are still there, taken out of the group. Returns owned. */
static struct pb_unit **take_members(struct pb_group *g, uint32_t *n)
{
    struct pb_unit **out = pb_array(g->n ? g->n : 1, sizeof(struct pb_unit *));
    *n = 0;
    for (uint32_t i = 0; i < g->n; i++) {
        if (!g->members[i]) continue;
        g->members[i]->group = NULL;
        out[(*n)++] = g->members[i];
        g->members[i] = NULL;
    }
    g->live = 0;
    return out;
}

/* Half of them again, and the other half. */
static void halve(struct pb_group *g)
{
    uint32_t n;
    struct pb_unit **all = take_members(g, &n);
    for (int side = 0; side < 2; side++) {
        uint32_t from = side ? n / 2 : 0, to = side ? n : n / 2;
        struct pb_group *half = group_new(all[from]);
        for (uint32_t i = from; i < to; i++) add(half, all[i]);
        close_group(half);
    }
    pb_free(all);
}

/*
 * Delivering to one may end another's call, whose unit then leaves the group by itself: so the members are
 * looked at one by one, where they stand.
 */
static void each(struct pb_group *g, void (*fn)(struct pb_unit *u, const struct pb_err *err),
                 const struct pb_err *err)
{
    g->live++; /* the group stays while it is walked */
    for (uint32_t i = 0; i < g->n; i++) {
        struct pb_unit *u = g->members[i];
        if (!u) continue;
        g->members[i] = NULL;
        g->live--;
        u->group = NULL;
        fn(u, err);
    }
    g->live--;
}

static void fail_one(struct pb_unit *u, const struct pb_err *err)
{
    struct pb_err mine = *err;
    pb__unit_failed(u, &mine);
}

static void send_alone(struct pb_unit *u, const struct pb_err *err)
{
    (void)err;
    u->alone = true;
    pb__coalesce_join(u);
}

static bool load_is_to_blame(const struct pb_err *err)
{
    return err->advice == PBAY_ADVICE_RETRY || err->advice == PBAY_ADVICE_SLOW ||
           err->code == PBAY_DEADLINE_EXCEEDED;
}

static void failed(struct pb_group *g, const struct pb_err *err)
{
    if (g->live > 1 && err->advice == PBAY_ADVICE_SPLIT)
        halve(g);
    else
        each(g, g->live == 1 || load_is_to_blame(err) ? fail_one : send_alone, err);
}

/* Each member its rows, in a builder of its own. */
static void share_out(struct pb_group *g, const struct pb_op_answer *answer)
{
    const pbay_batch *got = answer->batch;
    uint32_t at = 0, e = 0;
    g->live++;
    for (uint32_t i = 0; i < g->n; i++) {
        struct pb_unit *u = g->members[i];
        uint32_t n = g->sizes[i], from = at;
        at += n;
        if (!u) {
            while (e < got->n_row_errors && got->row_errors[e].row < at) e++;
            continue;
        }
        struct pbay_builder *b = pb_builder_get();
        for (uint32_t c = 0; c < got->n_cols; c++)
            pb_builder_column(b, pbay_batch_col(got, c)->name, pbay_batch_col(got, c)->kind);
        for (uint32_t c = 0; c < got->n_cols; c++) pb_builder_copy(b, c, pbay_batch_col(got, c), from, n);
        for (; e < got->n_row_errors && got->row_errors[e].row < at; e++)
            pb_builder_row_error(b, got->row_errors[e].row - from, got->row_errors[e].code,
                                 got->row_errors[e].message);
        struct pb_err err;
        struct pb_op_answer mine = {
            .out = b, .batch = pb_builder_seal(b, &err), .no_store = answer->no_store};
        g->members[i] = NULL;
        g->live--;
        u->group = NULL;
        pb__unit_answered(u, &mine);
    }
    g->live--;
}

static void completed(void *user, struct pb_op_answer *answer)
{
    struct pb_group *g = user;
    bool several = g->n > 1;
    g->op_call = NULL;
    if (g->fn->lane && g->has_place) {
        pb_lane_report(g->fn->lane, pb__load_of(answer), g->rows, pb_loop_now(g->flow->loop) - g->sent_ns,
                       pb_loop_now(g->flow->loop));
        g->has_place = false;
        pb_lane_leave(g->fn->lane);
    }
    struct pb_err err;
    if (!g->live) {
        pb_builder_unref(answer->out);
    } else if (answer->err) {
        failed(g, answer->err);
    } else if (!several) {
        struct pb_unit *u = g->members[0];
        g->members[0] = NULL;
        g->live = 0;
        u->group = NULL;
        pb__unit_answered(u, answer);
    } else if (answer->per_user) {
        if (!g->of->off)
            pb_log(PB_LOG_WARN, "flow",
                   "answers depend on who calls, so rows of different calls do not go together",
                   PB_V("function", g->fn->name));
        g->of->off = true;
        pb_builder_unref(answer->out);
        each(g, send_alone, NULL);
    } else if (answer->batch->n_rows != g->rows || !answer->batch->n_cols) {
        pb_builder_unref(answer->out);
        pb_fail(&err, PBAY_DATA_LOSS, "the backend answered another number of rows");
        failed(g, &err);
    } else {
        share_out(g, answer);
        pb_builder_unref(answer->out);
    }
    group_free(g);
}

/* ------------------------------------------------------------------------------------------------ out */

/* The rows of all members in one builder. NULL with err. */
static struct pbay_builder *gather(struct pb_group *g, struct pb_err *err)
{
    const pbay_batch *first = g->members[0]->send;
    struct pbay_builder *b = pb_builder_get();
    for (uint32_t c = 0; c < first->n_cols; c++)
        pb_builder_column(b, pbay_batch_col(first, c)->name, pbay_batch_col(first, c)->kind);
    for (uint32_t i = 0; i < g->n; i++) {
        const struct pb_unit *u = g->members[i];
        for (uint32_t c = 0; c < first->n_cols; c++)
            pb_builder_copy(b, c, pbay_batch_col(u->send, c), u->at, u->size);
        if (!first->n_cols) b->bare_rows += u->size;
    }
    if (pb_builder_seal(b, err)) return b;
    pb_builder_unref(b);
    return NULL;
}

/* Those who have left before it went are no part of it. */
static void close_ranks(struct pb_group *g)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < g->n; i++) {
        if (!g->members[i]) continue;
        g->members[n] = g->members[i];
        g->members[n]->group_at = n;
        n++;
    }
    g->n = n;
    g->sizes = pb_array(n, sizeof *g->sizes);
    for (uint32_t i = 0; i < n; i++) g->sizes[i] = g->members[i]->size;
}

static void go(void *user)
{
    struct pb_group *g = user;
    struct pb_err err;
    if (g->of->filling == g) g->of->filling = NULL;
    pb_timer_cancel(&g->timer);
    close_ranks(g);
    g->state = SENT;
    g->sent_ns = pb_mono_ns();
    struct pb_unit *first = g->members[0];
    first->call->stats.batches++;
    int rc;
    if (g->n == 1)
        rc = pb_op_submit(g->fn->op, first->call->ctx, first->attempt, first->send, pb__unit_sends(first),
                          first->at, first->size, completed, g, &g->op_call, &err);
    else {
        pb_metric_add(g->of->metrics, g->of->batches, 1);
        pb_metric_add(g->of->metrics, g->of->rows, g->rows);
        uint32_t depth = 0;
        for (uint32_t i = 0; i < g->n; i++)
            if (g->members[i]->call->req.depth > depth) depth = g->members[i]->call->req.depth;
        const struct pb_op_context_info nobody = {.deadline_ns = PB_NO_DEADLINE, .depth = depth};
        struct pb_op_context *ctx = pb_op_context_new(&nobody);
        struct pbay_builder *b = gather(g, &err);
        rc = b ? pb_op_submit(g->fn->op, ctx, 1, pb_builder_seal(b, NULL), b, 0, g->rows, completed, g,
                              &g->op_call, &err)
               : -1;
        pb_builder_unref(b);
        pb_op_context_unref(ctx);
    }
    if (!rc) return;
    g->op_call = NULL;
    if (g->fn->lane && g->has_place) {
        g->has_place = false;
        pb_lane_leave(g->fn->lane);
    }
    failed(g, &err);
    group_free(g);
}

/* While it waits for a place it still takes members, unless it is closed. */
static void look_for_place(struct pb_group *g)
{
    if (g->state != FILLING) return;
    g->state = WAITING;
    pb_timer_cancel(&g->timer);
    if (g->fn->lane && !pb_lane_enter(g->fn->lane, &g->waiter, g->alone)) return;
    g->has_place = g->fn->lane != NULL;
    pb_loop_defer(g->flow->loop, &g->go);
}
