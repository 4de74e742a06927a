/* SPDX-License-Identifier: MIT */
#include "topn.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "parallel.h"

enum { BLOCK = 256, RUN = 16 * BLOCK }; /* users of a task, and of a run */

struct best {
    float score;
    uint32_t item;
};

/* The n best so far of one user: a heap with the worst on top. */
struct heap {
    struct best *list;
    uint32_t n;
};

static bool worse(const struct best *a, const struct best *b)
{
    return a->score < b->score || (a->score == b->score && a->item > b->item);
}

static void sink(struct best *list, uint32_t n, uint32_t at)
{
    for (uint32_t child; (child = 2 * at + 1) < n; at = child) {
        if (child + 1 < n && worse(&list[child + 1], &list[child])) child++;
        if (!worse(&list[child], &list[at])) return;
        struct best t = list[at];
        list[at] = list[child];
        list[child] = t;
    }
}

static void offer(struct heap *h, uint32_t top_n, struct best b)
{
    if (h->n < top_n) {
        h->list[h->n++] = b;
        if (h->n == top_n)
            for (uint32_t i = top_n / 2 + 1; i-- > 0;) sink(h->list, top_n, i);
    } else if (worse(&h->list[0], &b)) {
        h->list[0] = b;
        sink(h->list, top_n, 0);
    }
}

static int better_first(const void *a, const void *b)
{
    return worse(a, b) ? 1 : worse(b, a) ? -1 : 0;
}

/* One user of a block: what is best so far, and what he has rated, sorted; `at` is the first of the tile's.
 */
struct candidate {
    struct heap heap;
    uint32_t *rated;
    uint32_t n_rated, at;
};

/* What a thread works in. */
struct scratch {
    float *tile;   /* n_factors rows of REC_TILE */
    float *bias;   /* REC_TILE */
    float *scores; /* REC_LANES rows of REC_TILE */
    struct candidate *users;
    uint32_t *rated;
    size_t rated_cap;
};

struct top {
    const struct rec_model *m;
    const struct rec_ratings *r;
    const struct rec_kernels *k;
    uint32_t top_n, from, n; /* users from .. from + n - 1 */
    struct best *lists;      /* top_n for each of them */
    uint32_t *counts;
    struct scratch *scratch; /* of each thread */
};

static int ascending(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return x < y ? -1 : x > y;
}

/* The users at .. end - 1 of the run, with nothing found yet. */
static void begin_block(struct top *t, struct scratch *s, uint32_t at, uint32_t end)
{
    const struct rec_ratings *r = t->r;
    uint64_t base = r->first[t->from + at];
    PB_GROW(s->rated, s->rated_cap, (size_t)(r->first[t->from + end] - base));
    for (uint32_t i = at; i < end; i++) {
        uint64_t first = r->first[t->from + i], next = r->first[t->from + i + 1];
        uint32_t *rated = s->rated + (first - base);
        for (uint64_t k = first; k < next; k++) rated[k - first] = r->list[k].item;
        qsort(rated, next - first, sizeof *rated, ascending);
        s->users[i - at] = (struct candidate){.heap = {t->lists + (size_t)i * t->top_n, 0},
                                              .rated = rated,
                                              .n_rated = (uint32_t)(next - first)};
    }
}

/* Items first .. first + n - 1, turned, so that a vector holds one factor of several items. */
static void turn(const struct rec_model *m, struct scratch *s, uint32_t first, uint32_t n)
{
    const float *q = m->q + (size_t)first * m->stride;
    for (uint32_t k = 0; k < m->n_factors; k++)
        for (uint32_t i = 0; i < n; i++) s->tile[(size_t)k * REC_TILE + i] = q[(size_t)i * m->stride + k];
    memcpy(s->bias, m->bi + first, n * sizeof *s->bias);
}

static bool has_rated(const struct candidate *c, uint32_t item)
{
    for (uint32_t i = c->at; i < c->n_rated && c->rated[i] <= item; i++)
        if (c->rated[i] == item) return true;
    return false;
}

/* The scores of a tile that are better than the worst that is kept. */
static void take(const struct top *t, struct candidate *c, const float *scores, uint32_t first, uint32_t n)
{
    struct heap *h = &c->heap;
    while (c->at < c->n_rated && c->rated[c->at] < first) c->at++;
    for (uint32_t i = 0; i < n; i++) {
        if (h->n == t->top_n) {
            i = t->k->above(scores, i, n, h->list[0].score);
            if (i == n) return;
        }
        if (!has_rated(c, first + i)) offer(h, t->top_n, (struct best){scores[i], first + i});
    }
}

/* Up to REC_LANES users of the block against the tile. */
static void score_lanes(struct top *t, struct scratch *s, uint32_t user, struct candidate *c, uint32_t lanes,
                        uint32_t first, uint32_t n)
{
    const float *p[REC_LANES];
    for (uint32_t l = 0; l < REC_LANES; l++)
        p[l] = t->m->p + (size_t)(user + (l < lanes ? l : 0)) * t->m->stride;
    t->k->score(p, s->tile, s->bias, t->m->n_factors, s->scores);
    for (uint32_t l = 0; l < lanes; l++) take(t, &c[l], s->scores + (size_t)l * REC_TILE, first, n);
}

static void score_block(void *user, uint32_t task, uint32_t thread)
{
    struct top *t = user;
    struct scratch *s = &t->scratch[thread];
    uint32_t at = task * BLOCK, end = at + BLOCK < t->n ? at + BLOCK : t->n, items = t->m->items.n;
    begin_block(t, s, at, end);
    for (uint32_t first = 0; first < items; first += REC_TILE) {
        uint32_t n = items - first < REC_TILE ? items - first : REC_TILE;
        turn(t->m, s, first, n);
        for (uint32_t i = at; i < end; i += REC_LANES)
            score_lanes(t, s, t->from + i, &s->users[i - at], end - i < REC_LANES ? end - i : REC_LANES,
                        first, n);
    }
    for (uint32_t i = at; i < end; i++) {
        struct heap *h = &s->users[i - at].heap;
        qsort(h->list, h->n, sizeof *h->list, better_first);
        t->counts[i] = h->n;
    }
}

static void tell(const struct top *t, rec_top_fn got, void *user)
{
    uint32_t *items = pb_array(t->top_n, sizeof *items);
    for (uint32_t i = 0; i < t->n; i++) {
        for (uint32_t k = 0; k < t->counts[i]; k++) items[k] = t->lists[(size_t)i * t->top_n + k].item;
        got(user, t->from + i, items, t->counts[i]);
    }
    pb_free(items);
}

void rec_top(const struct rec_model *m, const struct rec_ratings *r, uint32_t top_n, rec_top_fn got,
             void *user)
{
    uint32_t threads = rec_processors();
    struct top t = {.m = m, .r = r, .k = rec_kernels(), .top_n = top_n};
    t.lists = pb_array((size_t)RUN * top_n, sizeof *t.lists);
    t.counts = pb_array(RUN, sizeof *t.counts);
    t.scratch = pb_zalloc(threads * sizeof *t.scratch);
    for (uint32_t i = 0; i < threads; i++) {
        t.scratch[i].tile = rec_floats((uint64_t)m->n_factors * REC_TILE);
        t.scratch[i].bias = rec_floats(REC_TILE);
        t.scratch[i].scores = rec_floats(REC_LANES * REC_TILE);
        t.scratch[i].users = pb_array(BLOCK, sizeof *t.scratch[i].users);
    }
    for (t.from = 0; t.from < m->users.n; t.from += t.n) {
        t.n = m->users.n - t.from < RUN ? m->users.n - t.from : RUN;
        rec_parallel((t.n + BLOCK - 1) / BLOCK, threads, score_block, &t);
        tell(&t, got, user);
    }
    for (uint32_t i = 0; i < threads; i++) {
        free(t.scratch[i].tile);
        free(t.scratch[i].bias);
        free(t.scratch[i].scores);
        pb_free(t.scratch[i].users);
        pb_free(t.scratch[i].rated);
    }
    pb_free(t.lists);
    pb_free(t.counts);
    pb_free(t.scratch);
}
