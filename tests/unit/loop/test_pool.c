/* SPDX-License-Identifier: MIT */
/* The work pool: every work is done once, on the loop; slots are exclusive; close cancels what waits. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "loop/pool.h"

enum { SLOTS = 3, WORKS = 200 };

static struct pb_loop *g_loop;
static atomic_int g_in_slot[SLOTS];
static int g_done, g_cancelled;
static bool g_closed;
static pthread_mutex_t g_gate = PTHREAD_MUTEX_INITIALIZER;

static void work(void *user, uint32_t slot)
{
    (void)user;
    assert_true(slot < SLOTS);
    assert_int_equal(atomic_fetch_add(&g_in_slot[slot], 1), 0);
    atomic_fetch_sub(&g_in_slot[slot], 1);
}

static void gated(void *user, uint32_t slot)
{
    (void)user;
    (void)slot;
    pthread_mutex_lock(&g_gate);
    pthread_mutex_unlock(&g_gate);
}

static void done(void *user, bool cancelled)
{
    (void)user;
    g_done++;
    g_cancelled += cancelled;
    if (g_done == WORKS) pb_loop_stop(g_loop);
}

static void closed(void *user)
{
    (void)user;
    g_closed = true;
    pb_loop_stop(g_loop);
}

static void every_work_is_done_once(void **state)
{
    (void)state;
    struct pb_err err;
    g_loop = pb_loop_new(&err);
    struct pb_pool *pool = pb_pool_new(g_loop, "test", SLOTS, WORKS);
    static struct pb_work w[WORKS];
    g_done = g_cancelled = 0;
    for (int i = 0; i < WORKS; i++) {
        w[i] = (struct pb_work){.fn = work, .done = done};
        assert_int_equal(pb_pool_submit(pool, &w[i], &err), 0);
    }
    assert_int_equal(g_done, 0); /* never inside submit */
    pb_loop_run(g_loop);
    assert_int_equal(g_done, WORKS);
    assert_int_equal(g_cancelled, 0);
    pb_pool_close(pool, closed, NULL);
    g_closed = false;
    pb_loop_run(g_loop);
    assert_true(g_closed);
    pb_loop_free(g_loop);
}

static void a_full_queue_refuses_and_close_cancels(void **state)
{
    (void)state;
    struct pb_err err;
    g_loop = pb_loop_new(&err);
    struct pb_pool *pool = pb_pool_new(g_loop, "test", 1, 2);
    static struct pb_work w[8];
    g_done = g_cancelled = 0;
    pthread_mutex_lock(&g_gate);
    w[0] = (struct pb_work){.fn = gated, .done = done};
    assert_int_equal(pb_pool_submit(pool, &w[0], &err), 0);
    while (pb_pool_stuck_ns(pool) == 0) pb_loop_turn(g_loop, false); /* until the one slot has taken it */
    int taken = 1, refused = 0;
    for (int i = 1; i < 8; i++) {
        w[i] = (struct pb_work){.fn = work, .done = done};
        if (pb_pool_submit(pool, &w[i], &err) == 0)
            taken++;
        else
            refused++;
    }
    assert_int_equal(taken, 3);
    assert_int_equal(refused, 5);
    assert_int_equal(err.code, PBAY_RESOURCE_EXHAUSTED);
    g_closed = false;
    pb_pool_close(pool, closed, NULL);
    assert_int_equal(pb_pool_submit(pool, &w[7], &err), -1);
    assert_int_equal(err.code, PBAY_UNAVAILABLE);
    pthread_mutex_unlock(&g_gate);
    pb_loop_run(g_loop);
    assert_true(g_closed);
    assert_int_equal(g_done, 3);
    assert_int_equal(g_cancelled, 2);
    pb_loop_free(g_loop);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_work_is_done_once),
        cmocka_unit_test(a_full_queue_refuses_and_close_cancels),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
