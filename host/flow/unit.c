/* SPDX-License-Identifier: MIT */
/*
 * One unit on its way: which rows need the backend, what the transform makes of them, the backend's answer in
 * one part or several, what the transform makes of that, and every row in its place again.
 */
#include <math.h>

#include "base/check.h"
#include "flow/backoff.h"
#include "flow/convert.h"
#include "flow/flow_priv.h"

/* Row numbers that a unit at rest keeps room for. */
enum { KEEP_MEMORY = 65536 };

static void send_part(struct pb_unit *u);
static void send_again(void *user);
static void turn(struct pb_lane_waiter *w);

/* ------------------------------------------------------------------------------------------------ life */

static struct pb_unit *unit_new(struct pb_flow_call *call)
{
    struct pb_flow *flow = call->flow;
    struct pb_unit *u = flow->free_units;
    if (u)
        flow->free_units = u->next;
    else
        u = pb_zalloc(sizeof *u);
    flow->units++;
    u->magic = PB_UNIT_MAGIC;
    u->state = PB_UNIT_RUNNING;
    u->next = NULL;
    u->call = call;
    u->flow = flow;
    u->fn = call->fn;
    u->send = NULL;
    u->answer = u->out = NULL;
    u->picked = u->has_place = u->joins = u->alone = u->unshared = false;
    u->send_of = NULL;
    u->cached = NULL;
    u->group = NULL;
    u->op_call = NULL;
    u->waiter = (struct pb_lane_waiter){.turn = turn};
    u->resume = pb_defer_make(send_again, u);
    u->at = u->size = 0;
    u->attempt = 1;
    u->backoff = (struct pb_timer){0};
    return u;
}

void pb__unit_free(struct pb_unit *u)
{
    PB_MAGIC_CHECK(u, PB_UNIT_MAGIC);
    struct pb_flow *flow = u->flow;
    pb_timer_cancel(&u->backoff);
    pb_defer_cancel(&u->resume);
    pb_slice_drop(&u->rows);
    pb_builder_unref(u->sent.rows);
    u->sent.rows = NULL;
    pb_builder_unref(u->answer);
    pb_builder_unref(u->out);
    if (u->sent.kept_cap > KEEP_MEMORY) pb_sent_drop(&u->sent);
    u->magic = 0;
    u->next = flow->free_units;
    flow->free_units = u;
    flow->units--;
}

static void give_place_back(struct pb_unit *u)
{
    if (!u->has_place) return;
    u->has_place = false;
    pb_lane_leave(u->fn->lane);
}

void pb__unit_abandon(struct pb_unit *u)
{
    if (u->cached) pb__cache_drop(u);
    if (u->group) pb__coalesce_leave(u);
    u->call = NULL;
    pb_timer_cancel(&u->backoff);
    pb_defer_cancel(&u->resume);
    if (u->fn->lane) pb_lane_forget(u->fn->lane, &u->waiter);
    if (u->op_call) {
        pb_op_cancel(u->op_call);
        return; /* its completion frees it */
    }
    give_place_back(u);
    pb__unit_free(u);
}

/* ------------------------------------------------------------------------------------------------ before */

/* Is every cell of the row null or empty text? A number is something, also where a DUAL has no text beside
 * it. */
static bool row_empty(const pbay_batch *b, uint32_t row)
{
    for (uint32_t c = 0; c < b->n_cols; c++) {
        const pbay_column *col = pbay_batch_col(b, c);
        if (pbay_cell_null(col, row)) continue;
        if (col->kind == PBAY_NUM || col->off[row] != col->off[row + 1]) return false;
        if (col->kind == PBAY_DUAL && !isnan(col->num[row])) return false;
    }
    return b->n_cols > 0;
}

/* Could any row be empty? One look at one column spares the rows: text that grows with every row, or no
 * nulls. */
static bool none_empty(const pbay_batch *b)
{
    for (uint32_t c = 0; c < b->n_cols; c++) {
        const pbay_column *col = pbay_batch_col(b, c);
        if (col->null_bits) continue;
        if (col->kind == PBAY_NUM) return true;
        uint32_t empty = 0;
        for (uint32_t i = 0; i < b->n_rows; i++) empty |= col->off[i] == col->off[i + 1];
        if (!empty) return true;
    }
    return b->n_cols == 0;
}

/* Which rows go: without the empty ones, unless they are wanted or wrong. */
static int drop_empty(struct pb_unit *u, struct pb_err *err)
{
    const struct pb_function *fn = u->fn;
    const pbay_batch *b = &u->rows.batch;
    struct pb_sent *s = &u->sent;
    s->n_kept = s->n_failed = 0;
    if (fn->empty == PB_EMPTY_SEND || none_empty(b)) return 0;
    for (uint32_t i = 0; i < b->n_rows; i++) {
        if (!row_empty(b, i)) {
            PB_GROW(s->kept, s->kept_cap, s->n_kept + 1);
            s->kept[s->n_kept++] = i;
        } else if (fn->empty == PB_EMPTY_ERROR)
            return pb_fail(err, PBAY_INVALID_ARGUMENT, "function %.*s: row %llu is empty (empty = error)",
                           PB_FMT(fn->name), (unsigned long long)(u->first_row + i + 1));
    }
    u->picked = s->n_kept < b->n_rows;
    return 0;
}

/* The kept rows of the caller's columns, when no transform makes others. */
static void gather(struct pb_unit *u)
{
    const pbay_batch *b = &u->rows.batch;
    struct pb_sent *s = &u->sent;
    s->rows = pb_builder_get();
    for (uint32_t c = 0; c < b->n_cols; c++)
        pb_builder_column(s->rows, pbay_batch_col(b, c)->name, pbay_batch_col(b, c)->kind);
    for (uint32_t c = 0; c < b->n_cols; c++) {
        const pbay_column *col = pbay_batch_col(b, c);
        for (uint32_t k = 0; k < s->n_kept;) {
            uint32_t run = 1;
            while (k + run < s->n_kept && s->kept[k + run] == s->kept[k] + run) run++;
            pb_builder_copy(s->rows, c, col, s->kept[k], run);
            k += run;
        }
    }
}

/* The rows that are not kept, as the transform wants to hear of them. */
static const uint64_t *skipped(struct pb_unit *u)
{
    uint32_t words = u->rows.batch.n_rows / 64 + 1;
    PB_GROW(u->skip, u->skip_cap, words);
    memset(u->skip, 0xff, words * sizeof *u->skip);
    for (uint32_t k = 0; k < u->sent.n_kept; k++)
        u->skip[u->sent.kept[k] >> 6] &= ~(UINT64_C(1) << (u->sent.kept[k] & 63));
    return u->skip;
}

/* Decide what goes to the backend: u->send, NULL when nothing does. */
static int prepare(struct pb_unit *u, struct pb_err *err)
{
    if (drop_empty(u, err)) return -1;
    struct pb_sent *s = &u->sent;
    u->send = &u->rows.batch;
    if (u->picked && !s->n_kept)
        u->send = NULL;
    else if (u->fn->transform && pb_transform_has_before(u->fn->transform)) {
        s->skip = u->picked ? skipped(u) : NULL;
        if (pb_transform_before(u->fn->transform, &u->call->script, &u->rows.batch, u->first_row, s, err))
            return -1;
        u->picked = s->n_kept < u->rows.batch.n_rows;
        u->send = s->n_kept ? pb_builder_seal(s->rows, err) : NULL;
        return s->n_kept && !u->send ? -1 : 0;
    } else if (u->picked) {
        gather(u);
        u->send = pb_builder_seal(s->rows, err);
        if (!u->send) return -1;
    }
    return 0;
}

/* ------------------------------------------------------------------------------------------------ the
 * backend */

void pb__unit_end(struct pb_unit *u, const struct pb_err *err)
{
    struct pb_flow_call *call = u->call;
    if (u->cached) pb__cache_failed(u, err);
    give_place_back(u);
    pb__call_fail(call, err); /* abandons every unit, this one too */
}

void pb__unit_idle(struct pb_unit *u)
{
    give_place_back(u);
}

static void turn(struct pb_lane_waiter *w)
{
    struct pb_unit *u = PB_CONTAINER(w, struct pb_unit, waiter);
    u->has_place = true;
    pb_loop_defer(u->flow->loop, &u->resume);
}

static void send_again(void *user)
{
    send_part(user);
}

/* Later, when that can help and there is time. False: it cannot. */
static bool repeat(struct pb_unit *u, struct pb_err *err)
{
    const struct pb_function *fn = u->fn;
    if (err->advice == PBAY_ADVICE_SPLIT) {
        if (u->size == 1) {
            pb_fail_in(err, "row %llu alone is too large", (unsigned long long)(u->first_row + u->at + 1));
            return false;
        }
        u->size = (u->size + 1) / 2;
        u->call->stats.repeats++;
        send_part(u);
        return true;
    }
    if (err->advice != PBAY_ADVICE_RETRY && err->advice != PBAY_ADVICE_SLOW) return false;
    if (fn->effects && err->effect != PBAY_EFFECT_NONE) return false;
    if (u->attempt >= fn->attempts) return false;
    int64_t wait = pb_backoff_ms(u->attempt, err->advice == PBAY_ADVICE_SLOW, err->retry_after_ms);
    if (pb_mono_ns() + wait * PB_MS >= u->call->req.deadline_ns) return false;
    u->attempt++;
    u->call->stats.repeats++;
    give_place_back(u); /* others may use it meanwhile */
    u->backoff.fn = send_again;
    u->backoff.user = u;
    pb_timer_set(u->flow->loop, &u->backoff, wait);
    return true;
}

static int append_answer(struct pb_unit *u, const pbay_batch *got, struct pb_err *err)
{
    if (!u->answer) {
        u->answer = pb_builder_get();
        for (uint32_t c = 0; c < got->n_cols; c++)
            pb_builder_column(u->answer, pbay_batch_col(got, c)->name, pbay_batch_col(got, c)->kind);
    }
    if (u->answer->n_cols != got->n_cols)
        return pb_fail(err, PBAY_DATA_LOSS, "function %.*s: the backend answered %u columns, and %u before",
                       PB_FMT(u->fn->name), got->n_cols, u->answer->n_cols);
    for (uint32_t c = 0; c < got->n_cols; c++) {
        const pbay_column *col = pbay_batch_col(got, c);
        if (col->kind != u->answer->cols[c].kind)
            return pb_fail(err, PBAY_DATA_LOSS,
                           "function %.*s: column %u of the answer changed its kind between parts",
                           PB_FMT(u->fn->name), c + 1);
        pb_builder_copy(u->answer, c, col, 0, got->n_rows);
    }
    for (uint32_t i = 0; i < got->n_row_errors; i++)
        pb_builder_row_error(u->answer, u->at + got->row_errors[i].row, got->row_errors[i].code,
                             got->row_errors[i].message);
    return 0;
}

/* What the backend answered in a bad row is null, or fails it, as on_bad says. */
static void judge_bad(const struct pb_function *fn, struct pbay_builder *out)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < out->n_row_errors; i++) {
        pbay_row_error *e = &out->row_errors[i];
        if (e->code == PBAY_BAD_VALUE) {
            if (fn->on_bad == PB_BAD_NULL) continue;
            e->code = PBAY_INVALID_ARGUMENT;
        }
        out->row_errors[n++] = *e;
    }
    out->n_row_errors = n;
}

/* The answer of a part joins those before it. Takes answer->out. */
static int take_answer(struct pb_unit *u, struct pb_op_answer *answer, struct pb_err *err)
{
    const pbay_batch *got = answer->batch;
    struct pbay_builder *out = answer->out;
    int rc = 0;
    if (got->n_rows != u->size || !got->n_cols)
        rc = pb_fail(err, PBAY_DATA_LOSS,
                     "function %.*s: the backend answered %u rows for the %u it was sent; none is used, "
                     "because no row can "
                     "be trusted to belong to its question",
                     PB_FMT(u->fn->name), got->n_cols ? got->n_rows : 0, u->size);
    else if (!u->answer && u->size == u->send->n_rows) {
        u->answer = out;
        judge_bad(u->fn, out);
        return 0;
    } else {
        rc = append_answer(u, got, err);
        if (!rc) judge_bad(u->fn, u->answer);
    }
    pb_builder_unref(out);
    return rc;
}

void pb__unit_answered(struct pb_unit *u, struct pb_op_answer *answer)
{
    struct pb_err err;
    if (answer->no_store) u->call->stats.no_store = true;
    if (answer->no_store || answer->per_user) u->unshared = true;
    if (answer->per_user) u->call->stats.personal = true;
    if (answer->err)
        err = *answer->err;
    else if (take_answer(u, answer, &err) == 0) {
        u->at += u->size;
        if (u->at < u->send->n_rows) {
            u->attempt = 1;
            send_part(u);
        } else if (u->cached)
            pb__cache_answered(u);
        else
            pb__unit_finish(u);
        return;
    }
    pb__unit_failed(u, &err);
}

void pb__unit_failed(struct pb_unit *u, struct pb_err *err)
{
    if (!repeat(u, err)) pb__unit_end(u, err);
}

enum pb_load pb__load_of(const struct pb_op_answer *answer)
{
    if (!answer->err) return PB_LOAD_FINE;
    return answer->err->advice == PBAY_ADVICE_SLOW ? PB_LOAD_THROTTLED : PB_LOAD_UNKNOWN;
}

static void completed(void *user, struct pb_op_answer *answer)
{
    struct pb_unit *u = user;
    PB_MAGIC_CHECK(u, PB_UNIT_MAGIC);
    u->op_call = NULL;
    if (u->has_place) {
        int64_t now = pb_loop_now(u->flow->loop); /* the time that this turn takes is our own */
        pb_lane_report(u->fn->lane, pb__load_of(answer), u->size, now - u->sent_ns, now);
    }
    if (!u->call) { /* the client's call ended meanwhile */
        pb_builder_unref(answer->out);
        give_place_back(u);
        pb__unit_free(u);
        return;
    }
    pb__unit_answered(u, answer);
}

struct pbay_builder *pb__unit_sends(const struct pb_unit *u)
{
    if (u->send_of) return u->send_of;
    return u->sent.rows ? u->sent.rows : u->rows.of;
}

static void send_part(struct pb_unit *u)
{
    uint32_t rest = u->send->n_rows - u->at;
    if (!u->size || u->size > rest) u->size = rest;
    if (u->joins) {
        pb__coalesce_join(u);
        return;
    }
    struct pb_lane *lane = u->fn->lane;
    if (lane && !u->has_place) {
        if (!pb_lane_enter(lane, &u->waiter, true)) return;
        u->has_place = true;
    }
    u->call->stats.batches++;
    u->sent_ns = pb_mono_ns();
    struct pb_err err;
    if (pb_op_submit(u->fn->op, u->call->ctx, u->attempt, u->send, pb__unit_sends(u), u->at, u->size,
                     completed, u, &u->op_call, &err)) {
        u->op_call = NULL;
        pb__unit_failed(u, &err);
    }
}

void pb__unit_ask(struct pb_unit *u)
{
    u->at = u->size = 0;
    u->attempt = 1;
    send_part(u);
}

/* ------------------------------------------------------------------------------------------------ after */

/* Row k of src goes to row kept[k]; the others are null. */
static void scatter(const struct pb_unit *u, const pbay_column *src, struct pbay_builder *out, uint32_t c)
{
    const struct pb_sent *s = &u->sent;
    uint32_t row = 0;
    for (uint32_t k = 0; k < s->n_kept;) {
        uint32_t run = 1;
        while (k + run < s->n_kept && s->kept[k + run] == s->kept[k] + run) run++;
        if (s->kept[k] > row) pb_builder_nulls(out, c, s->kept[k] - row);
        pb_builder_copy(out, c, src, k, run);
        row = s->kept[k] + run;
        k += run;
    }
    if (row < u->rows.batch.n_rows) pb_builder_nulls(out, c, u->rows.batch.n_rows - row);
}

/* The rows that failed alone on either side of the backend, in the order of rows. */
static void spread_errors(const struct pb_unit *u, const pbay_batch *in, struct pbay_builder *out)
{
    const struct pb_sent *s = &u->sent;
    uint32_t a = 0, b = 0, n = in ? in->n_row_errors : 0;
    while (a < s->n_failed || b < n) {
        uint32_t row = b < n ? s->kept[in->row_errors[b].row] : UINT32_MAX;
        const pbay_row_error *e = a < s->n_failed && s->failed[a].row < row ? &s->failed[a++] : NULL;
        if (e)
            pb_builder_row_error(out, e->row, e->code, e->message);
        else {
            pb_builder_row_error(out, row, in->row_errors[b].code, in->row_errors[b].message);
            b++;
        }
    }
}

static bool same_kinds(const pbay_batch *b, const struct pb_script_field *want, uint32_t n)
{
    for (uint32_t c = 0; c < b->n_cols; c++)
        if (pbay_batch_col(b, c)->kind != want[c < n ? c : n - 1].kind) return false;
    return true;
}

/* A builder with the answer in other kinds; NULL with err. Takes one reference of b. */
static struct pbay_builder *convert_all(struct pb_unit *u, struct pbay_builder *b,
                                        const struct pb_script_field *want, uint32_t n, struct pb_err *err)
{
    const pbay_batch *in = pb_builder_seal(b, err);
    if (in && !n) return b; /* as they come: an operation that was invoked without saying what it answers */
    if (in && (in->n_cols < n || (in->n_cols > n && !u->fn->more_columns))) {
        pb_fail(err, PBAY_DATA_LOSS, "function %.*s: the answer has %u columns, %u are declared",
                PB_FMT(u->fn->name), in->n_cols, n);
        in = NULL;
    }
    if (!in) pb_builder_unref(b);
    if (!in || same_kinds(in, want, n)) return in ? b : NULL;
    struct pbay_builder *out = pb_builder_get();
    for (uint32_t c = 0; c < in->n_cols; c++) {
        const struct pb_script_field *p = &want[c < n ? c : n - 1];
        pb_builder_column(out, p->name.n && c < n ? p->name : pbay_batch_col(in, c)->name, p->kind);
    }
    for (uint32_t c = 0; c < in->n_cols; c++) {
        if (pb_convert(pbay_batch_col(in, c), in->n_rows, out, c, u->fn->on_bad, u->first_row,
                       u->picked ? u->sent.kept : NULL, "the answer", err)) {
            pb_builder_unref(out);
            pb_builder_unref(b);
            return NULL;
        }
    }
    for (uint32_t i = 0; i < in->n_row_errors; i++)
        pb_builder_row_error(out, in->row_errors[i].row, in->row_errors[i].code, in->row_errors[i].message);
    pb_builder_unref(b);
    return out;
}

/* Every row in its place: the answer of the kept rows, null for the others. */
static struct pbay_builder *spread(struct pb_unit *u, struct pbay_builder *b, struct pb_err *err)
{
    const pbay_batch *in = pb_builder_seal(b, err);
    if (!in) return NULL;
    struct pbay_builder *out = pb_builder_get();
    for (uint32_t c = 0; c < in->n_cols; c++)
        pb_builder_column(out, pbay_batch_col(in, c)->name, pbay_batch_col(in, c)->kind);
    for (uint32_t c = 0; c < in->n_cols; c++) scatter(u, pbay_batch_col(in, c), out, c);
    spread_errors(u, in, out);
    pb_builder_unref(b);
    return out;
}

/* Nothing was asked: as many nulls as there are rows. */
static struct pbay_builder *all_null(struct pb_unit *u)
{
    struct pbay_builder *out = pb_builder_get();
    const struct pb_script_field *returns = u->fn->returns;
    for (uint32_t c = 0; c < u->fn->n_returns; c++) pb_builder_column(out, returns[c].name, returns[c].kind);
    for (uint32_t c = 0; c < u->fn->n_returns; c++) pb_builder_nulls(out, c, u->rows.batch.n_rows);
    spread_errors(u, NULL, out);
    return out;
}

/* The answer with `after` run over it; the transform puts rows into their places itself. Takes b. */
static struct pbay_builder *run_after(struct pb_unit *u, struct pbay_builder *b, struct pb_err *err)
{
    const struct pb_function *fn = u->fn;
    if (fn->n_answers) b = convert_all(u, b, fn->answers, fn->n_answers, err);
    const pbay_batch *in = b ? pb_builder_seal(b, err) : NULL;
    if (!in) {
        pb_builder_unref(b);
        return NULL;
    }
    struct pb_sent *s = &u->sent;
    if (!u->picked) { /* every row went: the transform wants to be told which */
        uint32_t n = u->rows.batch.n_rows;
        PB_GROW(s->kept, s->kept_cap, n);
        for (uint32_t i = 0; i < n; i++) s->kept[i] = i;
        s->n_kept = n;
    }
    struct pbay_builder *out = pb_builder_get();
    int rc =
        pb_transform_after(fn->transform, &u->call->script, in, &u->rows.batch, s, u->first_row, out, err);
    pb_builder_unref(b);
    if (!rc) return out;
    pb_builder_unref(out);
    return NULL;
}

static int make_out(struct pb_unit *u, struct pb_err *err)
{
    const struct pb_function *fn = u->fn;
    if (u->picked) u->call->stats.nulled += u->rows.batch.n_rows - u->sent.n_kept;
    struct pbay_builder *b = u->answer;
    u->answer = NULL;
    if (!b)
        u->out = all_null(u);
    else if (fn->transform && pb_transform_has_after(fn->transform))
        u->out = run_after(u, b, err);
    else {
        b = convert_all(u, b, fn->returns, fn->n_returns, err);
        u->out = b && u->picked ? spread(u, b, err) : b;
    }
    return u->out ? 0 : -1;
}

void pb__unit_finish(struct pb_unit *u)
{
    struct pb_flow_call *call = u->call;
    struct pb_err err;
    if (make_out(u, &err)) {
        pb__unit_end(u, &err);
        return;
    }
    u->state = PB_UNIT_DONE;
    pb_builder_unref(u->sent.rows);
    u->sent.rows = NULL;
    u->send = NULL;
    u->send_of = NULL;
    give_place_back(u);
    if (!call->pumping) pb__call_emit(call);
}

/* ------------------------------------------------------------------------------------------------ start */

/* Rows from `from` on whose text is at most max_bytes, but at least one. */
static uint32_t fit(const pbay_batch *b, uint32_t from, uint32_t n, uint32_t max_bytes)
{
    if (!max_bytes) return n;
    uint32_t lo = 1, hi = n;
    while (lo < hi) {
        uint32_t mid = lo + (hi - lo + 1) / 2;
        uint64_t text = 0;
        for (uint32_t c = 0; c < b->n_cols; c++) {
            const pbay_column *col = pbay_batch_col(b, c);
            if (col->off) text += col->off[from + mid] - col->off[from];
        }
        if (text <= max_bytes)
            lo = mid;
        else
            hi = mid - 1;
    }
    return lo;
}

bool pb__unit_joins(const struct pb_flow_call *call)
{
    const struct pb_function *fn = call->fn;
    if (!fn->coalesce || call->has_place) return false;
    const struct pb_chunk *chunk = call->cutting;
    return chunk->n - chunk->cut < fn->max_rows;
}

void pb__unit_start(struct pb_flow_call *call, bool joins)
{
    const struct pb_function *fn = call->fn;
    struct pb_chunk *chunk = call->cutting;
    uint32_t n = chunk->n - chunk->cut;
    if (n > fn->max_rows) n = fn->max_rows;
    n = fit(chunk->batch, chunk->cut, n, fn->max_bytes);
    struct pb_unit *u = unit_new(call);
    u->joins = joins;
    u->has_place = fn->lane != NULL && !u->joins;
    u->chunk = chunk;
    u->first_row = chunk->first_row + chunk->cut;
    pb_slice_set(&u->rows, chunk->batch, chunk->rows, chunk->cut, n);
    chunk->cut += n;
    if (chunk->cut == chunk->n) call->cutting = chunk->next;
    if (call->last_unit)
        call->last_unit->next = u;
    else
        call->units = u;
    call->last_unit = u;

    struct pb_err err;
    pb_err_clear(&err);
    if (prepare(u, &err)) {
        pb__unit_end(u, &err);
        return;
    }
    /* A script that looked who asks has made rows that are for nobody else. */
    bool own = call->own_options || call->script.personal;
    u->alone = u->joins && (own || pb_coalesce_is_off(fn->coalesce));
    if (!u->send)
        pb__unit_finish(u);
    else if (fn->script) {
        u->answer = pb_builder_get();
        if (pb_fn_map(fn->script, &call->script, u->send, u->first_row, u->answer, &err))
            pb__unit_end(u, &err);
        else
            pb__unit_finish(u);
    } else if (fn->cache && !own)
        pb__cache_begin(u);
    else
        send_part(u);
}
