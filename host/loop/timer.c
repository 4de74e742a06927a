/* SPDX-License-Identifier: MIT */
/*
 * Timers and deadlines over one uv timer, which is armed once per turn, just before the loop may block.
 *
 * Timers sit in a binary heap. Deadlines sit in a wheel of lists: setting and clearing one is two pointer
 * writes, and nothing is re-armed. The wheel is visited only at slots that have had something put into them.
 */
#include "loop/loop_priv.h"

#include "base/check.h"
#include "base/mem.h"

/* ------------------------------------------------------------------------------------------------ heap */

static bool before(const struct pb_timer *a, const struct pb_timer *b)
{
    return a->due_ns < b->due_ns || (a->due_ns == b->due_ns && a->order < b->order);
}

static void place(struct pb_loop *loop, uint32_t i, struct pb_timer *t)
{
    loop->heap[i] = t;
    t->at = i + 1;
}

static void sift(struct pb_loop *loop, uint32_t i, struct pb_timer *t)
{
    while (i > 0) {
        uint32_t up = (i - 1) / 2;
        if (!before(t, loop->heap[up])) break;
        place(loop, i, loop->heap[up]);
        i = up;
    }
    for (;;) {
        uint32_t down = 2 * i + 1;
        if (down >= loop->n_heap) break;
        if (down + 1 < loop->n_heap && before(loop->heap[down + 1], loop->heap[down])) down++;
        if (!before(loop->heap[down], t)) break;
        place(loop, i, loop->heap[down]);
        i = down;
    }
    place(loop, i, t);
}

void pb_timer_set_at(struct pb_loop *loop, struct pb_timer *t, int64_t due_ns)
{
    pb_timer_cancel(t);
    t->loop = loop;
    t->due_ns = due_ns;
    t->order = loop->order++;
    PB_GROW(loop->heap, loop->heap_cap, loop->n_heap + 1);
    loop->n_heap++;
    sift(loop, loop->n_heap - 1, t);
}

void pb_timer_set(struct pb_loop *loop, struct pb_timer *t, int64_t after_ms)
{
    int64_t ns;
    if (after_ms < 0) after_ms = 0;
    if (__builtin_mul_overflow(after_ms, PB_MS, &ns) || __builtin_add_overflow(ns, pb_mono_ns(), &ns))
        ns = PB_NO_DEADLINE;
    pb_timer_set_at(loop, t, ns);
}

void pb_timer_cancel(struct pb_timer *t)
{
    if (!t->at) return;
    struct pb_loop *loop = t->loop;
    uint32_t i = t->at - 1;
    struct pb_timer *last = loop->heap[--loop->n_heap];
    if (last != t) sift(loop, i, last);
    t->at = 0;
}

/* ------------------------------------------------------------------------------------------------ wheel */

static int64_t tick_of(int64_t ns)
{
    return ns / PB_DEADLINE_GRAIN_NS;
}

void pb_deadline_set(struct pb_loop *loop, struct pb_deadline *d, int64_t due_ns)
{
    pb_deadline_cancel(d);
    d->due_ns = due_ns;
    if (due_ns == PB_NO_DEADLINE) return;
    if (loop->wheel_next == INT64_MAX)
        loop->wheel_tick = tick_of(loop->now_ns); /* nothing to visit before now */
    int64_t tick = tick_of(due_ns) + 1;           /* the first tick at which it is surely due */
    if (tick <= loop->wheel_tick) tick = loop->wheel_tick + 1;
    unsigned slot = (unsigned)(tick % PB_WHEEL_SLOTS);
    struct pb_deadline *head = &loop->wheel[slot];
    d->next = head;
    d->prev = head->prev;
    head->prev->next = d;
    head->prev = d;
    loop->wheel_bits[slot / 64] |= UINT64_C(1) << (slot % 64);
    /* A slot is visited once per round, whichever round its first deadline belongs to. */
    if (tick - loop->wheel_tick > PB_WHEEL_SLOTS)
        tick = loop->wheel_tick + 1 + (tick - loop->wheel_tick - 1) % PB_WHEEL_SLOTS;
    if (tick < loop->wheel_next) loop->wheel_next = tick;
}

/* The first tick after `from` whose slot has its bit set; INT64_MAX: none. */
static int64_t next_set(const struct pb_loop *loop, int64_t from)
{
    for (int64_t i = 1; i <= PB_WHEEL_SLOTS;) {
        unsigned slot = (unsigned)((from + i) % PB_WHEEL_SLOTS);
        uint64_t word = loop->wheel_bits[slot / 64] >> (slot % 64);
        if (word) {
            i += __builtin_ctzll(word);
            return i <= PB_WHEEL_SLOTS ? from + i : INT64_MAX;
        }
        i += 64 - slot % 64;
    }
    return INT64_MAX;
}

static void visit(struct pb_loop *loop, unsigned slot, int64_t now)
{
    struct pb_deadline *head = &loop->wheel[slot], due;
    due.next = due.prev = &due;
    for (struct pb_deadline *d = head->next, *next; d != head; d = next) {
        next = d->next;
        if (d->due_ns > now) continue;
        pb_deadline_cancel(d);
        d->next = &due;
        d->prev = due.prev;
        due.prev->next = d;
        due.prev = d;
    }
    if (head->next == head) loop->wheel_bits[slot / 64] &= ~(UINT64_C(1) << (slot % 64));
    while (due.next != &due) {
        struct pb_deadline *d = due.next;
        pb_deadline_cancel(d);
        loop->happened = true;
        d->fn(d->user); /* may set or cancel any deadline, those of `due` too */
    }
}

static void run_wheel(struct pb_loop *loop, int64_t now)
{
    int64_t upto = tick_of(now);
    if (loop->wheel_next > upto) {
        loop->wheel_tick = upto;
        return;
    }
    /* After a long sleep every slot is visited once; more rounds would find nothing else. */
    int64_t tick = loop->wheel_next, last = upto;
    if (last - tick >= PB_WHEEL_SLOTS) last = tick + PB_WHEEL_SLOTS - 1;
    loop->wheel_tick = upto;
    loop->wheel_next = INT64_MAX; /* lowered by what callbacks set */
    while (tick <= last) {
        visit(loop, (unsigned)(tick % PB_WHEEL_SLOTS), now);
        int64_t next = next_set(loop, tick);
        if (next == INT64_MAX) break;
        tick = next;
    }
    int64_t next = next_set(loop, upto);
    if (next < loop->wheel_next) loop->wheel_next = next;
}

/* ------------------------------------------------------------------------------------------------ the uv
 * timer */

static void on_timer(uv_timer_t *h)
{
    struct pb_loop *loop = h->data;
    int64_t now = pb_mono_ns();
    loop->now_ns = now;
    loop->armed_ns = PB_NO_DEADLINE;
    run_wheel(loop, now);
    /* What a timer sets for "now" waits for the next turn. */
    uint64_t upto = loop->order;
    while (loop->n_heap && loop->heap[0]->due_ns <= now && loop->heap[0]->order < upto) {
        struct pb_timer *t = loop->heap[0];
        pb_timer_cancel(t);
        loop->happened = true;
        t->fn(t->user);
    }
}

int64_t pb_loop_due(const struct pb_loop *loop)
{
    int64_t due = loop->n_heap ? loop->heap[0]->due_ns : PB_NO_DEADLINE;
    if (loop->wheel_next != INT64_MAX) {
        int64_t tick = loop->wheel_next * PB_DEADLINE_GRAIN_NS;
        if (tick < due) due = tick;
    }
    return due;
}

void pb__timers_arm(struct pb_loop *loop)
{
    int64_t due = pb_loop_due(loop);
    if (due == loop->armed_ns) return;
    loop->armed_ns = due;
    if (due == PB_NO_DEADLINE) {
        uv_timer_stop(&loop->timer);
        return;
    }
    int64_t wait = due - pb_mono_ns();
    uint64_t ms = wait <= 0 ? 0 : (uint64_t)((wait + PB_MS - 1) / PB_MS);
    uv_update_time(&loop->uv);
    uv_timer_start(&loop->timer, on_timer, ms, 0);
}

void pb__timers_init(struct pb_loop *loop)
{
    for (int i = 0; i < PB_WHEEL_SLOTS; i++) loop->wheel[i].next = loop->wheel[i].prev = &loop->wheel[i];
    loop->wheel_tick = tick_of(pb_mono_ns());
    loop->wheel_next = INT64_MAX;
    loop->armed_ns = PB_NO_DEADLINE;
    uv_timer_init(&loop->uv, &loop->timer);
    loop->timer.data = loop;
}

void pb__timers_close(struct pb_loop *loop)
{
    uv_close((uv_handle_t *)&loop->timer, NULL);
}

void pb__timers_free(struct pb_loop *loop)
{
    pb_free(loop->heap);
}
