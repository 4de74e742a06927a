/* SPDX-License-Identifier: MIT */
/*
 * A batch of rows, looked up by a thread of the pool: the slot's connection is its alone, so there are no
 * locks. What runs is asked to stop by a flag, because libpq belongs to that thread too.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "postgres_lookup.h"

enum { NUMBER = 32, OID_JSON = 114, OID_JSONB = 3802 };

/* One batch under way. */
struct lookup {
    struct instance *x;
    const struct function *fn;
    pbay_call call;
    const pbay_batch *in;
    pbay_builder *out; /* made on the loop, filled in the work */
    int64_t deadline_ns;
    atomic_bool cancelled;
    struct trouble trouble;
};

/* ------------------------------------------------------------------------------------------------ [work]
 */

static void row_failed(struct lookup *l, uint32_t row, int32_t code, const char *text)
{
    l->x->batch->row_error(l->out, row, code, pbay_str_c(text));
    l->x->batch->null(l->out, 0);
}

/* The first column of the only row; no row, or a null, is null. */
static void put_answer(struct lookup *l, uint32_t row, const PGresult *r)
{
    const pbay_batch_1 *b = l->x->batch;
    double number;
    if (PQntuples(r) > 1 || PQnfields(r) != 1) {
        row_failed(l, row, PBAY_FAILED_PRECONDITION, "the query answers more than one row or column");
        return;
    }
    if (!PQntuples(r) || PQgetisnull(r, 0, 0)) {
        b->null(l->out, 0);
        return;
    }
    const pbay_str s = {PQgetvalue(r, 0, 0), (size_t)PQgetlength(r, 0, 0)};
    const Oid type = PQftype(r, 0);
    if (l->fn->kind == PBAY_STR || (l->fn->kind == PBAY_JSON && (type == OID_JSON || type == OID_JSONB)))
        b->text(l->out, 0, s);
    else if (l->fn->kind == PBAY_NUM && b->to_num(s, &number))
        b->num(l->out, 0, number);
    else
        row_failed(l, row, PBAY_BAD_VALUE,
                   l->fn->kind == PBAY_NUM ? s.p : "json wants a query that answers json or jsonb");
}

/* The values of a row as libpq wants them: NUL-terminated text, in buffers that the next row uses again. */
static int values_of(const pbay_batch *in, uint32_t row, char *texts[PARAMS], size_t sizes[PARAMS],
                     const char *values[PARAMS])
{
    for (uint32_t c = 0; c < in->n_cols; c++) {
        const pbay_column *col = pbay_batch_col(in, c);
        const pbay_str s = col->kind == PBAY_NUM ? (pbay_str){NULL, NUMBER} : pbay_cell_text(col, row);
        values[c] = NULL;
        if (pbay_cell_null(col, row)) continue;
        if (sizes[c] < s.n + 1) {
            char *more = realloc(texts[c], s.n + 1);
            if (!more) return -1;
            texts[c] = more;
            sizes[c] = s.n + 1;
        }
        if (col->kind == PBAY_NUM) {
            snprintf(texts[c], NUMBER, "%.15g", col->num[row]);
        } else {
            if (s.n && memchr(s.p, 0, s.n)) return -2;
            if (s.n) memcpy(texts[c], s.p, s.n);
            texts[c][s.n] = 0;
        }
        values[c] = texts[c];
    }
    return 0;
}

static void look_up(void *user, uint32_t slot)
{
    struct lookup *l = user;
    char *texts[PARAMS] = {0};
    size_t sizes[PARAMS] = {0};
    const char *values[PARAMS];
    const struct question q = {l->x->dsn,        l->fn->sql,     l->fn->number, l->fn->n,
                               l->x->timeout_ms, l->deadline_ns, &l->cancelled, values};
    for (uint32_t row = 0; row < l->in->n_rows && !l->trouble.code; row++) {
        struct trouble t = {0};
        const int wrong = values_of(l->in, row, texts, sizes, values);
        PGresult *r = wrong ? NULL : database_ask(&l->x->slots[slot], &q, &t);
        if (r)
            put_answer(l, row, r);
        else if (wrong == -2 || t.row)
            row_failed(l, row, PBAY_INVALID_ARGUMENT, wrong ? "a text with a NUL in it" : t.text);
        else if (wrong)
            l->trouble = (struct trouble){.code = PBAY_RESOURCE_EXHAUSTED, .text = "no memory"};
        else
            l->trouble = t;
        PQclear(r);
        l->x->metric->add(l->x->host, l->x->rows, 1);
    }
    for (uint32_t c = 0; c < PARAMS; c++) free(texts[c]);
}

/* ------------------------------------------------------------------------------------------------ [loop]
 */

static void looked_up(void *user, int dropped)
{
    struct lookup *l = user;
    struct instance *x = l->x;
    pbay_result r = PBAY_RESULT_OK;
    if (dropped) l->trouble = (struct trouble){.code = PBAY_CANCELLED, .text = "the connector stops"};
    const int away = l->trouble.code == PBAY_UNAVAILABLE || l->trouble.code == PBAY_UNAUTHENTICATED;
    snprintf(x->down, sizeof x->down, "%s", away ? l->trouble.text : "");
    if (l->trouble.code) {
        pbay_fail(&r, l->trouble.code, l->trouble.text);
        r.advice = l->trouble.advice;
        r.vendor_code = pbay_str_c(l->trouble.state);
        x->batch->free(l->out);
        l->out = NULL;
    }
    x->call->complete(l->call, &r, l->out);
    free(l);
}

int32_t lookup_submit(void *self, void *bound, pbay_call call, const pbay_batch *in, pbay_result *why)
{
    struct instance *x = self;
    const struct function *fn = bound;
    struct lookup *l = malloc(sizeof *l);
    if (!l) return pbay_fail(why, PBAY_RESOURCE_EXHAUSTED, "no memory");
    *l = (struct lookup){.x = x, .fn = fn, .call = call, .in = in, .deadline_ns = x->call->deadline(call)};
    l->out = x->batch->create(x->host);
    x->batch->add_column(l->out, pbay_str_c("answer"), fn->kind);
    int32_t rc =
        in->n_cols == fn->n ? x->work->submit(x->host, look_up, looked_up, l) : PBAY_INVALID_ARGUMENT;
    if (rc == PBAY_OK) {
        x->call->set_user(call, l);
        return rc;
    }
    x->batch->free(l->out);
    free(l);
    why->advice = rc == PBAY_RESOURCE_EXHAUSTED ? PBAY_ADVICE_SLOW : PBAY_ADVICE_NONE;
    return pbay_fail(
        why, rc, rc == PBAY_INVALID_ARGUMENT ? "other columns than the query has" : "too many look-ups wait");
}

void lookup_cancel(void *self, void *bound, pbay_call call)
{
    struct lookup *l = ((struct instance *)self)->call->user(call);
    (void)bound;
    if (l) atomic_store(&l->cancelled, true); /* its thread sees it soon, and tells the server */
}
