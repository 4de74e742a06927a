/* SPDX-License-Identifier: MIT */
/* The pace that a lane finds, against backends that are simulated: time here is a number. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/clock.h"
#include "flow/pace.h"

enum { MOST = 256 };

/* A backend that works on `room` batches at once, each for `work_ns`; the others queue up or are refused. */
struct backend {
    uint32_t room;
    int64_t work_ns;
    bool refuses;
};

struct run {
    struct pb_pace pace;
    struct pb_pace_shared shared;
    uint32_t limit;
    uint64_t done, refused;
    double mean_allowed;
};

/* Callers who always want more, for `ns`: in steps of a millisecond. */
static void drive(struct run *r, const struct backend *b, int64_t ns)
{
    struct {
        int64_t sent, ends; /* ends 0: it waits at the backend */
    } at[MOST];
    uint32_t n = 0, working = 0;
    double sum = 0;
    int64_t steps = 0;
    for (int64_t now = PB_SEC; now < PB_SEC + ns; now += PB_MS) {
        const bool busy = n >= pb_pace_allowed(&r->shared, r->limit); /* who leaves is followed at once */
        for (uint32_t i = 0; i < n;) {
            if (!at[i].ends || at[i].ends > now) {
                i++;
                continue;
            }
            pb_pace_sample(&r->pace, &r->shared, r->limit, PB_LOAD_FINE, 10, now - at[i].sent, busy, now);
            at[i] = at[--n];
            working--;
            r->done++;
        }
        while (working < b->room) { /* who has waited longest is next */
            uint32_t next = n;
            for (uint32_t i = 0; i < n; i++)
                if (!at[i].ends && (next == n || at[i].sent < at[next].sent)) next = i;
            if (next == n) break;
            at[next].ends = now + b->work_ns;
            working++;
        }
        uint32_t refused = 0;
        while (n < pb_pace_allowed(&r->shared, r->limit) && refused < 4) {
            if (b->refuses && working == b->room) {
                refused++;
                r->refused++;
                pb_pace_sample(&r->pace, &r->shared, r->limit, PB_LOAD_THROTTLED, 10, PB_MS, true, now);
                continue;
            }
            at[n].sent = now;
            at[n].ends = working < b->room ? now + b->work_ns : 0;
            working += at[n].ends != 0;
            n++;
        }
        sum += pb_pace_allowed(&r->shared, r->limit);
        steps++;
    }
    r->mean_allowed = sum / (double)steps;
}

static double ideal(const struct backend *b, int64_t ns)
{
    return (double)b->room * (double)ns / (double)b->work_ns;
}

static void all_places_are_used_while_it_keeps_up(void **state)
{
    const struct backend b = {16, 50 * PB_MS, true};
    struct run r = {.limit = 16};
    (void)state;
    drive(&r, &b, 20 * PB_SEC);
    assert_int_equal(pb_pace_allowed(&r.shared, r.limit), 16);
    assert_true((double)r.done >= 0.97 * ideal(&b, 20 * PB_SEC));
}

static void fewer_where_it_throttles(void **state)
{
    const struct backend b = {16, 50 * PB_MS, true};
    struct run r = {.limit = 64};
    (void)state;
    drive(&r, &b, 30 * PB_SEC);
    assert_in_range((uint32_t)r.mean_allowed, 12, 24);
    assert_true((double)r.done >= 0.95 * ideal(&b, 30 * PB_SEC));
}

static void fewer_where_they_only_wait(void **state)
{
    const struct backend b = {16, 50 * PB_MS, false};
    struct run r = {.limit = 128};
    (void)state;
    drive(&r, &b, 60 * PB_SEC);
    assert_in_range(pb_pace_allowed(&r.shared, r.limit), 16, 64);
    assert_true((double)r.done >= 0.95 * ideal(&b, 60 * PB_SEC));
}

static void more_again_when_there_is_room(void **state)
{
    struct backend b = {4, 50 * PB_MS, true};
    struct run r = {.limit = 32};
    (void)state;
    drive(&r, &b, 10 * PB_SEC);
    assert_true(pb_pace_allowed(&r.shared, r.limit) < 12);
    b.room = 32;
    r.done = 0;
    atomic_store(&r.shared.slowed_ns, 0); /* time begins anew */
    for (int i = 0; i < PB_PACE_SIZES; i++) r.pace.sampled_ns[i] = 0;
    drive(&r, &b, 10 * PB_SEC);
    assert_int_equal(pb_pace_allowed(&r.shared, r.limit), 32);
}

static void a_lucky_answer_is_not_the_measure(void **state)
{
    struct run r = {.limit = 64};
    (void)state;
    /* Answers that take 20 to 100 ms for reasons of their own, and never wait. */
    for (int i = 0; i < 20000; i++) {
        int64_t took = i == 0 ? 5 * PB_MS : (20 + (i * 37) % 80) * PB_MS;
        pb_pace_sample(&r.pace, &r.shared, r.limit, PB_LOAD_FINE, 10, took, true, PB_SEC + i * PB_MS);
    }
    assert_int_equal(pb_pace_allowed(&r.shared, r.limit), 64);
}

static void one_is_the_least(void **state)
{
    struct run r = {.limit = 8};
    (void)state;
    for (int i = 1; i < 1000; i++)
        pb_pace_sample(&r.pace, &r.shared, r.limit, PB_LOAD_THROTTLED, 1, PB_MS, true, i * PB_SEC);
    assert_int_equal(pb_pace_allowed(&r.shared, r.limit), 1);
    assert_int_equal(pb_pace_allowed(&r.shared, 0), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_places_are_used_while_it_keeps_up),
        cmocka_unit_test(fewer_where_it_throttles),
        cmocka_unit_test(fewer_where_they_only_wait),
        cmocka_unit_test(more_again_when_there_is_room),
        cmocka_unit_test(a_lucky_answer_is_not_the_measure),
        cmocka_unit_test(one_is_the_least),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
