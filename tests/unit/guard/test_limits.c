/* SPDX-License-Identifier: MIT */
/* Rates by a clock that stands still, tables under floods of names, counts of processes that die, all of it
 * in parallel. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/str.h"
#include "guard/limits.h"

#define T0 (1000 * PB_SEC)

static void test_rate(void **state)
{
    (void)state;
    pb_word cell = 0;
    const struct pb_rate ten = {.rate = 10, .burst = 3};
    for (int i = 0; i < 3; i++) assert_int_equal(pb_rate_take(&cell, &ten, 1, T0), 0);
    assert_int_equal(pb_rate_take(&cell, &ten, 1, T0), 100);
    assert_int_equal(pb_rate_take(&cell, &ten, 1, T0 + 40 * PB_MS), 60);
    assert_int_equal(pb_rate_take(&cell, &ten, 2, T0 + 40 * PB_MS), 160);
    assert_int_equal(pb_rate_take(&cell, &ten, 4, T0 + 3600 * PB_SEC), -1);
    assert_int_equal(pb_rate_take(&cell, &ten, 1, T0 + 100 * PB_MS - 1), 1);
    assert_int_equal(pb_rate_take(&cell, &ten, 1, T0 + 100 * PB_MS), 0);
    /* What is not used does not add up beyond the burst. */
    for (int i = 0; i < 3; i++) assert_int_equal(pb_rate_take(&cell, &ten, 1, T0 + 999 * PB_SEC), 0);
    assert_int_equal(pb_rate_take(&cell, &ten, 1, T0 + 999 * PB_SEC), 100);
    /* In the long run: the rate. */
    pb_word long_cell = 0;
    int taken = 0;
    for (int ms = 0; ms < 100000; ms++) taken += pb_rate_take(&long_cell, &ten, 1, T0 + ms * PB_MS) == 0;
    assert_int_equal(taken, 3 + 999); /* the burst, and one each 100 ms after it */
    /* The waits that are told are enough. */
    pb_word told = 0;
    int64_t now = T0;
    for (int i = 0; i < 100; i++) {
        int64_t wait = pb_rate_take(&told, &ten, 2, now);
        if (!wait) continue;
        now += wait * PB_MS;
        assert_int_equal(pb_rate_take(&told, &ten, 2, now), 0);
    }
    const struct pb_rate none = {0}, slow = {.rate = 1e-9}, fast = {.rate = 1e12, .burst = UINT32_MAX};
    for (int i = 0; i < 100; i++) assert_int_equal(pb_rate_take(&cell, &none, 1, T0), 0);
    pb_word s = 0, f = 0;
    assert_int_equal(pb_rate_take(&s, &slow, 1, T0), 0);
    assert_int_equal(pb_rate_take(&s, &slow, 1, T0), 86400 * 1000); /* a day is the most that is told */
    for (int i = 0; i < 100; i++) assert_int_equal(pb_rate_take(&f, &fast, 1000, T0), 0);
    assert_int_equal(pb_retry_after_s(1), 1);
    assert_int_equal(pb_retry_after_s(1000), 1);
    assert_int_equal(pb_retry_after_s(1001), 2);
}

static void test_rate_table(void **state)
{
    (void)state;
    enum { SIZE = 64 };
    pb_word cells[PB_RATE_WORDS(SIZE)] = {0};
    const struct pb_rate_table t = {cells, SIZE, 42};
    const struct pb_rate two = {.rate = 1, .burst = 2};
    for (int i = 0; i < 2; i++) {
        assert_int_equal(pb_rate_table_take(&t, PB_STR("key"), PB_STR("a"), &two, T0), 0);
        assert_int_equal(pb_rate_table_take(&t, PB_STR("key"), PB_STR("b"), &two, T0), 0);
        assert_int_equal(pb_rate_table_take(&t, PB_STR("user"), PB_STR("a"), &two, T0), 0);
        assert_int_equal(pb_rate_table_take(&t, PB_STR("us"), PB_STR("era"), &two, T0), 0);
    }
    assert_int_equal(pb_rate_table_take(&t, PB_STR("key"), PB_STR("a"), &two, T0), 1000);
    assert_int_equal(pb_rate_table_take(&t, PB_STR("user"), PB_STR("a"), &two, T0), 1000);
    /* A flood of invented names gets no more than what the cells give, and empties nobody's bucket twice. */
    unsigned taken = 0;
    for (int i = 0; i < 20000; i++) {
        char name[16];
        int n = snprintf(name, sizeof name, "u%d", i);
        taken += pb_rate_table_take(&t, PB_STR("user"), pb_str(name, (size_t)n), &two, T0) == 0;
    }
    assert_in_range(taken, SIZE, 2 * SIZE);
    /* A second later all may go on: cells of who went away are taken over. */
    for (int i = 0; i < 500; i++) {
        char name[16];
        int n = snprintf(name, sizeof name, "v%d", i);
        assert_int_equal(
            pb_rate_table_take(&t, PB_STR("key"), pb_str(name, (size_t)n), &two, T0 + (i + 2) * 2 * PB_SEC),
            0);
    }
}

static void test_counts(void **state)
{
    (void)state;
    enum { SIZE = 256 };
    static pb_word cells[SIZE], mine[SIZE], theirs[SIZE];
    const struct pb_count_table a = {cells, mine, SIZE, 7}, b = {cells, theirs, SIZE, 7};
    const pbay_str conn = PB_STR("conn"), peer = PB_STR("203.0.113.7");
    struct pb_count_hold hold[5], more;
    for (int i = 0; i < 5; i++) assert_true(pb_count_table_take(i % 2 ? &b : &a, conn, peer, 5, &hold[i]));
    assert_false(pb_count_table_take(&a, conn, peer, 5, &more));
    assert_true(more.tag == 0);
    pb_count_table_give(&a, more); /* no hold: nothing */
    assert_int_equal(pb_count_table_get(&a, conn, peer), 5);
    assert_int_equal(pb_count_table_get(&a, PB_STR("stream"), peer), 0);
    pb_count_table_give(&a, hold[0]);
    assert_true(pb_count_table_take(&a, conn, peer, 5, &hold[0]));
    /* b dies: what it held comes back, what a holds stays. */
    pb_count_table_return(&b);
    assert_int_equal(pb_count_table_get(&a, conn, peer), 3);
    pb_count_table_return(&b);
    assert_int_equal(pb_count_table_get(&a, conn, peer), 3);
    for (int i = 0; i < 5; i += 2) pb_count_table_give(&a, hold[i]);
    assert_int_equal(pb_count_table_get(&a, conn, peer), 0);
    pb_count_table_give(&a, hold[0]); /* once too often: not below 0 */
    assert_int_equal(pb_count_table_get(&a, conn, peer), 0);
    for (int i = 0; i < SIZE; i++) assert_true(mine[i] == 0 && theirs[i] == 0);

    /* Half full of names, each with its own count; then all free again. */
    static struct pb_count_hold all[SIZE];
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < SIZE / 2; i++) {
            char name[16];
            int n = snprintf(name, sizeof name, "p%d.%d", round, i / 2);
            assert_true(pb_count_table_take(&a, conn, pb_str(name, (size_t)n), 2, &all[i]));
            if (i % 2) assert_false(pb_count_table_take(&a, conn, pb_str(name, (size_t)n), 2, &more));
        }
        for (int i = 0; i < SIZE / 2; i++) pb_count_table_give(&a, all[i]);
    }
    for (int i = 0; i < SIZE; i++) assert_int_equal(cells[i] & 0xffffff, 0);
    /* Full: refused, not counted for somebody else. */
    int got = 0;
    for (int i = 0; i < 10 * SIZE; i++) {
        char name[16];
        int n = snprintf(name, sizeof name, "f%d", i);
        got += pb_count_table_take(&a, conn, pb_str(name, (size_t)n), 1, &more);
    }
    assert_in_range(got, SIZE / 2, SIZE);
    pb_count_table_return(&a);
    for (int i = 0; i < SIZE; i++) assert_int_equal(cells[i] & 0xffffff, 0);

    pb_word one = 0;
    assert_true(pb_count_take(&one, 2) && pb_count_take(&one, 2) && !pb_count_take(&one, 2));
    for (int i = 0; i < 3; i++) pb_count_give(&one);
    assert_int_equal(one, 0);
}

enum { THREADS = 4, TURNS = 20000, LIMIT = 3 };
static pb_word shared[PB_COUNT_PROBES], bucket, inside, too_many, passed;

static void *hammer(void *arg)
{
    static pb_word held[THREADS][PB_COUNT_PROBES];
    const struct pb_count_table t = {shared, held[(uintptr_t)arg], PB_COUNT_PROBES, 1};
    const struct pb_rate rate = {.rate = 1, .burst = 1000};
    for (int i = 0; i < TURNS; i++) {
        struct pb_count_hold h;
        passed += pb_rate_take(&bucket, &rate, 1, T0) == 0;
        if (!pb_count_table_take(&t, PB_STR("c"), PB_STR("x"), LIMIT, &h)) continue;
        if (atomic_fetch_add(&inside, 1) >= LIMIT) too_many++;
        atomic_fetch_sub(&inside, 1);
        pb_count_table_give(&t, h);
    }
    return NULL;
}

static void test_parallel(void **state)
{
    (void)state;
    pthread_t threads[THREADS];
    for (uintptr_t i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, hammer, (void *)i), 0);
    for (int i = 0; i < THREADS; i++) pthread_join(threads[i], NULL);
    assert_int_equal(passed, 1000); /* exactly the burst, whoever took it */
    assert_int_equal(too_many, 0);
    for (int i = 0; i < PB_COUNT_PROBES; i++) assert_int_equal(shared[i] & 0xffffff, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rate),
        cmocka_unit_test(test_rate_table),
        cmocka_unit_test(test_counts),
        cmocka_unit_test(test_parallel),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
