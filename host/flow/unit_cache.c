/* SPDX-License-Identifier: MIT */
/*
 * A unit whose function has a result cache: which of its rows somebody has to ask the backend for, who asks,
 * and all answers in one batch again.
 *
 * In the first round a row is a hit, the same as a row that is being asked for (here or in another unit), or
 * asked for by this unit. When who asked for a row got no answer that can be shared, the rows that waited for
 * it are asked for in a second round, in which nothing is shared.
 */
#include "base/check.h"
#include "flow/flow_priv.h"

#define NOT_YET UINT32_MAX
#define OWN     0x80000000u

struct waiting {
    struct pb_cache_waiter w; /* first */
    struct pb_cached *of;
    struct pb_cache_entry *entry; /* NULL: resolved */
    uint32_t row;
};

/* A row that failed alone; in `answers`. */
struct lone_error {
    uint32_t at;
    int32_t code;
    pbay_str message;
};

struct pb_cached {
    struct pb_unit *u;
    const pbay_batch *whole; /* all rows that the backend should answer */
    struct pbay_builder *whole_of;
    uint32_t n;
    uint32_t *source; /* of each: a row of `answers`; or OWN and a number of `asked`; or NOT_YET */
    struct pbay_builder *answers;
    struct lone_error *errors;
    uint32_t n_errors, errors_cap;
    struct pb_arena notes;

    struct pbay_builder *ask; /* the rows that are asked for now; NULL: all */
    uint32_t *asked;          /* which they are */
    uint32_t n_asked;
    struct pb_cache_entry **owned; /* of each asked row; NULL: for nobody else */
    bool busy;                     /* the backend is being asked */
    bool second;                   /* the round in which nothing is shared */

    struct waiting *waits;
    uint32_t n_waits, open; /* all, and those not resolved */
    struct pb_err *failure;
    struct pb_defer later;
};

/* ------------------------------------------------------------------------------------------------ life */

static void look(void *user);

static struct pb_cached *cached_new(struct pb_unit *u)
{
    struct pb_cached *c = pb_zalloc(sizeof *c);
    c->u = u;
    c->whole = u->send;
    c->whole_of = pb_builder_ref(pb__unit_sends(u));
    c->n = u->send->n_rows;
    c->source = pb_array(c->n, sizeof *c->source);
    c->asked = pb_array(c->n, sizeof *c->asked);
    c->owned = pb_zalloc(c->n * sizeof(struct pb_cache_entry *));
    c->answers = pb_builder_get();
    c->later = pb_defer_make(look, c);
    return c;
}

/* Who waits for what this unit asked for hears of it. */
static void give_up_owned(struct pb_cached *c, const struct pb_err *err)
{
    for (uint32_t k = 0; k < c->n_asked; k++) {
        struct pb_cache_entry *e = c->owned[k];
        c->owned[k] = NULL;
        if (e) pb_cache_give_up(c->u->fn->cache, e, err);
    }
}

void pb__cache_drop(struct pb_unit *u)
{
    struct pb_cached *c = u->cached;
    if (!c) return;
    struct pb_err gone;
    pb_fail(&gone, PBAY_CANCELLED, "who asked has gone");
    u->cached = NULL;
    pb_defer_cancel(&c->later);
    for (uint32_t i = 0; i < c->n_waits; i++)
        if (c->waits[i].entry) pb_cache_forget(c->waits[i].entry, &c->waits[i].w);
    give_up_owned(c, &gone);
    u->send = NULL;
    u->send_of = NULL;
    pb_builder_unref(c->ask);
    pb_builder_unref(c->answers);
    pb_builder_unref(c->whole_of);
    pb_arena_free(&c->notes);
    pb_free(c->failure);
    pb_free(c->errors);
    pb_free(c->waits);
    pb_free(c->owned);
    pb_free(c->asked);
    pb_free(c->source);
    pb_free(c);
}

/* ------------------------------------------------------------------------------------------------ asking */

static void lone_error(struct pb_cached *c, uint32_t at, int32_t code, pbay_str message)
{
    PB_GROW(c->errors, c->errors_cap, c->n_errors + 1);
    c->errors[c->n_errors++] = (struct lone_error){at, code, pb_arena_str(&c->notes, message)};
}

/* The one whose answer a row waited for is through. */
static void resolved(struct pb_cache_waiter *w, const pbay_batch *batch, uint32_t row,
                     const struct pb_err *err)
{
    struct waiting *wait = (struct waiting *)(void *)w;
    struct pb_cached *c = wait->of;
    wait->entry = NULL;
    c->open--;
    if (batch && pb_cache_shape(c->answers, batch)) {
        c->source[wait->row] = pb_builder_rows(c->answers);
        for (uint32_t k = 0; k < batch->n_cols; k++)
            pb_builder_copy(c->answers, k, pbay_batch_col(batch, k), row, 1);
    } else if (err && err->code != PBAY_CANCELLED && !c->failure) {
        c->failure = pb_alloc(sizeof *c->failure);
        *c->failure = *err;
    }
    if (!c->open) pb_loop_defer(c->u->flow->loop, &c->later);
}

/* Rows asked[0 .. n_asked) of the whole go to the backend. */
static void ask(struct pb_cached *c)
{
    struct pb_unit *u = c->u;
    struct pb_err err;
    pb_builder_unref(c->ask);
    c->ask = NULL;
    u->send = c->whole;
    u->send_of = c->whole_of;
    if (c->n_asked < c->n) {
        const pbay_batch *b = c->whole;
        c->ask = pb_builder_get();
        for (uint32_t k = 0; k < b->n_cols; k++)
            pb_builder_column(c->ask, pbay_batch_col(b, k)->name, pbay_batch_col(b, k)->kind);
        for (uint32_t k = 0; k < b->n_cols; k++)
            for (uint32_t i = 0, run; i < c->n_asked; i += run) {
                for (run = 1; i + run < c->n_asked && c->asked[i + run] == c->asked[i] + run;) run++;
                pb_builder_copy(c->ask, k, pbay_batch_col(b, k), c->asked[i], run);
            }
        if (!b->n_cols) c->ask->bare_rows = c->n_asked;
        u->send_of = c->ask;
        u->send = pb_builder_seal(c->ask, &err);
        if (!u->send) {
            pb__unit_end(u, &err);
            return;
        }
    }
    c->busy = true;
    pb__unit_ask(u);
}

void pb__cache_begin(struct pb_unit *u)
{
    struct pb_cached *c = u->cached = cached_new(u);
    struct pb_result_cache *cache = u->fn->cache;
    int64_t now = pb_loop_now(u->flow->loop);
    uint32_t waits_cap = 0;
    for (uint32_t i = 0; i < c->n; i++) {
        struct pb_cache_entry *e;
        uint32_t number;
        switch (pb_cache_ask(cache, c->whole, i, c->answers, now, &e)) {
        case PB_CACHE_READY: c->source[i] = pb_builder_rows(c->answers) - 1; break;
        case PB_CACHE_NEW:
            pb_cache_mark(e, c, c->n_asked);
            c->source[i] = OWN | c->n_asked;
            c->owned[c->n_asked] = e;
            c->asked[c->n_asked++] = i;
            break;
        case PB_CACHE_PENDING:
            c->source[i] = NOT_YET;
            if (pb_cache_marked(e, c, &number)) {
                c->source[i] = OWN | number;
                break;
            }
            PB_GROW(c->waits, waits_cap, c->n_waits + 1);
            c->waits[c->n_waits++] = (struct waiting){{NULL, resolved}, c, e, i};
        }
    }
    /* The array has its place now. */
    c->open = c->n_waits;
    for (uint32_t k = 0; k < c->n_waits; k++) pb_cache_wait(c->waits[k].entry, &c->waits[k].w);
    if (c->n_asked)
        ask(c);
    else {
        pb__unit_idle(u);
        if (!c->open) look(c);
    }
}

/* ------------------------------------------------------------------------------------------------ answers */

/* The rows of this unit's own asking join the others. False: the backend answers in other columns by now. */
static bool take_own(struct pb_cached *c, const pbay_batch *got)
{
    if (!pb_cache_shape(c->answers, got)) return false;
    uint32_t base = pb_builder_rows(c->answers);
    for (uint32_t k = 0; k < got->n_cols; k++)
        pb_builder_copy(c->answers, k, pbay_batch_col(got, k), 0, got->n_rows);
    for (uint32_t i = 0; i < got->n_row_errors; i++)
        lone_error(c, base + got->row_errors[i].row, got->row_errors[i].code, got->row_errors[i].message);
    for (uint32_t i = 0; i < c->n; i++)
        if (c->source[i] != NOT_YET && c->source[i] & OWN) c->source[i] = base + (c->source[i] & ~OWN);
    return true;
}

/* What others may know: kept, or told that they have to ask for themselves. */
static void share(struct pb_cached *c, const pbay_batch *got, bool keep)
{
    struct pb_result_cache *cache = c->u->fn->cache;
    int64_t now = pb_loop_now(c->u->flow->loop);
    struct pb_err own;
    pb_fail(&own, PBAY_CANCELLED, "not to be shared");
    uint32_t e = 0;
    for (uint32_t k = 0; k < c->n_asked; k++) {
        struct pb_cache_entry *entry = c->owned[k];
        while (e < got->n_row_errors && got->row_errors[e].row < k) e++;
        bool bad = e < got->n_row_errors && got->row_errors[e].row == k;
        c->owned[k] = NULL;
        if (!entry) continue;
        if (keep && !bad)
            pb_cache_settle(cache, entry, got, k, now);
        else
            pb_cache_give_up(cache, entry, &own);
    }
}

void pb__cache_answered(struct pb_unit *u)
{
    struct pb_cached *c = u->cached;
    struct pb_err err;
    struct pbay_builder *b = u->answer;
    const pbay_batch *got = pb_builder_seal(b, &err);
    if (!got) {
        pb__unit_end(u, &err);
        return;
    }
    c->busy = false;
    share(c, got, !u->unshared);
    if (c->n_asked == c->n) { /* it asked for everything, each row once */
        u->answer = NULL;
        pb__cache_drop(u);
        u->answer = b;
        pb__unit_finish(u);
        return;
    }
    bool joined = take_own(c, got);
    pb_builder_unref(b);
    u->answer = NULL;
    if (!joined) {
        /* All of it again, and nothing but what comes now. */
        pb_builder_unref(c->answers);
        c->answers = pb_builder_get();
        c->n_errors = 0;
        for (uint32_t i = 0; i < c->n; i++) c->source[i] = NOT_YET;
    }
    pb__unit_idle(u);
    look(c);
}

void pb__cache_failed(struct pb_unit *u, const struct pb_err *err)
{
    struct pb_cached *c = u->cached;
    struct pb_err said = *err;
    /* Others would fare no better, if it is the backend's state; else it may be some row of this call. */
    bool state = err->code == PBAY_UNAVAILABLE || err->code == PBAY_DEADLINE_EXCEEDED ||
                 err->code == PBAY_RESOURCE_EXHAUSTED;
    if (!state) said.code = PBAY_CANCELLED;
    give_up_owned(c, &said);
}

/* ------------------------------------------------------------------------------------------------ together
 * again */

static struct pbay_builder *merge(struct pb_cached *c)
{
    const pbay_batch *b = pb_builder_seal(c->answers, NULL);
    struct pbay_builder *out = pb_builder_get();
    pb_cache_shape(out, b);
    for (uint32_t k = 0; k < b->n_cols; k++)
        for (uint32_t i = 0, run; i < c->n; i += run) {
            for (run = 1; i + run < c->n && c->source[i + run] == c->source[i] + run;) run++;
            pb_builder_copy(out, k, pbay_batch_col(b, k), c->source[i], run);
        }
    if (!c->n_errors) return out;
    const struct lone_error **at = pb_zalloc(((size_t)b->n_rows + 1) * sizeof(struct lone_error *));
    for (uint32_t i = 0; i < c->n_errors; i++) at[c->errors[i].at] = &c->errors[i];
    for (uint32_t i = 0; i < c->n; i++) {
        const struct lone_error *e = at[c->source[i]];
        if (e) pb_builder_row_error(out, i, e->code, e->message);
    }
    pb_free(at);
    return out;
}

/* Is everything there? Else ask for what is not, when nothing more is to come. */
static void look(void *user)
{
    struct pb_cached *c = user;
    struct pb_unit *u = c->u;
    if (c->busy || c->open) return;
    if (c->failure) {
        struct pb_err err = *c->failure;
        pb__unit_end(u, &err);
        return;
    }
    c->n_asked = 0;
    for (uint32_t i = 0; i < c->n; i++)
        if (c->source[i] == NOT_YET) {
            c->source[i] = OWN | c->n_asked;
            c->owned[c->n_asked] = NULL;
            c->asked[c->n_asked++] = i;
        }
    if (c->n_asked) {
        PB_REQUIRE(!c->second || c->n_asked == c->n);
        c->second = true;
        ask(c);
        return;
    }
    struct pbay_builder *out = merge(c);
    pb__cache_drop(u);
    u->answer = out;
    pb__unit_finish(u);
}
