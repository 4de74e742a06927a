/* SPDX-License-Identifier: MIT */
/* The turn: order of the run queue, what runs before the loop blocks, posting from threads, timers,
 * deadlines. */
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/buf.h"
#include "loop/loop.h"

static struct pb_loop *g_loop;
static struct pb_buf g_trace;

static int setup(void **state)
{
    (void)state;
    struct pb_err err;
    g_loop = pb_loop_new(&err);
    assert_non_null(g_loop);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    pb_loop_free(g_loop);
    pb_buf_free(&g_trace);
    return 0;
}

static void trace(void *user)
{
    pb_buf_ch(&g_trace, *(const char *)user);
}

static void expect_trace(const char *want)
{
    pb_buf_ch(&g_trace, '\0');
    assert_string_equal(g_trace.p, want);
    g_trace.n = 0;
}

struct chain {
    struct pb_defer node, *next;
    char name;
};

static void trace_and_defer(void *user)
{
    struct chain *c = user;
    pb_buf_ch(&g_trace, c->name);
    if (c->next) pb_loop_defer(g_loop, c->next);
}

static void run_queue_is_fifo_and_takes_what_it_queues(void **state)
{
    (void)state;
    struct chain c = {.name = 'c'}, b = {.name = 'b'}, a = {.name = 'a', .next = &c.node};
    a.node = pb_defer_make(trace_and_defer, &a);
    b.node = pb_defer_make(trace_and_defer, &b);
    c.node = pb_defer_make(trace_and_defer, &c);
    pb_loop_defer(g_loop, &a.node);
    pb_loop_defer(g_loop, &b.node);
    pb_loop_defer(g_loop, &a.node); /* queued already */
    pb_loop_drain(g_loop);
    expect_trace("abc");
    pb_loop_defer(g_loop, &a.node);
    pb_loop_defer(g_loop, &b.node);
    pb_defer_cancel(&a.node);
    pb_loop_drain(g_loop);
    expect_trace("b");
}

static void turn_end_and_hooks_come_after(void **state)
{
    (void)state;
    struct pb_defer run = pb_defer_make(trace, (void *)(uintptr_t) "r");
    struct pb_defer end = pb_defer_make(trace, (void *)(uintptr_t) "e");
    struct pb_turn_hook hook = {.fn = trace, .user = (void *)(uintptr_t) "h"};
    pb_loop_hook_add(g_loop, &hook);
    pb_loop_at_turn_end(g_loop, &end);
    pb_loop_defer(g_loop, &run);
    pb_loop_turn(g_loop, false);
    assert_true(g_trace.n >= 3);
    assert_memory_equal(g_trace.p, "reh", 3);
    g_trace.n = 0;
    pb_loop_hook_remove(g_loop, &hook);
    pb_loop_turn(g_loop, false);
    expect_trace("");
}

static void again(void *user)
{
    struct chain *c = user;
    pb_buf_ch(&g_trace, '.');
    if (g_trace.n < 3 * (size_t)PB_LOOP_DRAIN_MAX)
        pb_loop_defer(g_loop, &c->node);
    else
        pb_loop_stop(g_loop);
}

static void a_queue_that_feeds_itself_neither_starves_nor_sleeps(void **state)
{
    (void)state;
    struct chain c;
    c.node = pb_defer_make(again, &c);
    pb_loop_defer(g_loop, &c.node);
    pb_loop_drain(g_loop);
    assert_int_equal(g_trace.n, PB_LOOP_DRAIN_MAX);
    pb_loop_run(g_loop); /* would block for ever if what is left did not keep it awake */
    assert_int_equal(g_trace.n, 3 * PB_LOOP_DRAIN_MAX);
}

static void stop(void *user)
{
    (void)user;
    pb_loop_stop(g_loop);
}

static void *poster(void *arg)
{
    struct pb_defer *nodes = arg;
    for (int i = 0; i < 3; i++) pb_loop_post(g_loop, &nodes[i]);
    return NULL;
}

static void post_wakes_the_loop(void **state)
{
    (void)state;
    struct pb_defer nodes[3] = {{NULL, NULL, trace, (void *)(uintptr_t) "1"},
                                {NULL, NULL, trace, (void *)(uintptr_t) "2"},
                                {NULL, NULL, stop, NULL}};
    pthread_t t;
    assert_int_equal(pthread_create(&t, NULL, poster, nodes), 0);
    pb_loop_run(g_loop);
    pthread_join(t, NULL);
    expect_trace("12");
}

static void timers_fire_in_order(void **state)
{
    (void)state;
    struct pb_timer a = {.fn = trace, .user = (void *)(uintptr_t) "a"},
                    b = {.fn = trace, .user = (void *)(uintptr_t) "b"};
    struct pb_timer c = {.fn = trace, .user = (void *)(uintptr_t) "c"},
                    d = {.fn = trace, .user = (void *)(uintptr_t) "d"};
    struct pb_timer end = {.fn = stop};
    int64_t t0 = pb_mono_ns();
    pb_timer_set_at(g_loop, &end, t0 + 30 * PB_MS);
    pb_timer_set_at(g_loop, &c, t0 + 20 * PB_MS);
    pb_timer_set_at(g_loop, &b, t0 + 10 * PB_MS);
    pb_timer_set_at(g_loop, &d, t0 + 20 * PB_MS);
    pb_timer_set_at(g_loop, &a, t0 + 25 * PB_MS);
    pb_timer_set_at(g_loop, &a, t0 + 5 * PB_MS); /* set again: the new time counts */
    struct pb_timer gone = {.fn = trace, .user = (void *)(uintptr_t) "x"};
    pb_timer_set_at(g_loop, &gone, t0);
    pb_timer_cancel(&gone);
    pb_loop_run(g_loop);
    assert_true(pb_mono_ns() - t0 >= 30 * PB_MS);
    expect_trace("abcd");
    assert_false(pb_timer_is_set(&a));
}

static void many_timers_keep_their_order(void **state)
{
    (void)state;
    enum { N = 500 };
    static struct pb_timer t[N];
    static char name[N];
    int64_t t0 = pb_mono_ns();
    for (unsigned i = 0; i < N; i++) {
        unsigned k = i * 173 % N;
        name[k] = (char)(1 + k * 100 / N);
        t[k] = (struct pb_timer){.fn = trace, .user = &name[k]};
        pb_timer_set_at(g_loop, &t[k], t0 + (int64_t)k * 1000);
    }
    for (unsigned i = 0; i < N; i += 7) pb_timer_cancel(&t[i]);
    struct pb_timer end = {.fn = stop};
    pb_timer_set_at(g_loop, &end, t0 + 2 * PB_MS);
    pb_loop_run(g_loop);
    assert_int_equal(g_trace.n, N - (N + 6) / 7);
    for (size_t i = 1; i < g_trace.n; i++) assert_true(g_trace.p[i - 1] <= g_trace.p[i]);
}

struct due {
    struct pb_deadline d;
    int64_t want, got;
    struct pb_deadline *cancels;
};

static int g_due;

static void on_due(void *user)
{
    struct due *d = user;
    d->got = pb_mono_ns();
    if (d->cancels) pb_deadline_cancel(d->cancels);
    g_due++;
}

static void deadlines_are_never_early(void **state)
{
    (void)state;
    enum { N = 64 };
    static struct due due[N];
    g_due = 0;
    int64_t t0 = pb_mono_ns();
    for (int i = 0; i < N; i++) {
        due[i] = (struct due){.d = {.fn = on_due, .user = &due[i]}, .want = t0 + (i * 37 % 120) * PB_MS};
        pb_deadline_set(g_loop, &due[i].d, due[i].want);
    }
    pb_deadline_cancel(&due[5].d);
    struct due far = {.d = {.fn = on_due, .user = &far}};
    pb_deadline_set(g_loop, &far.d, t0 + 3600 * PB_SEC); /* beyond a round of the wheel */
    struct due never = {.d = {.fn = on_due, .user = &never}};
    pb_deadline_set(g_loop, &never.d, PB_NO_DEADLINE);
    assert_false(pb_deadline_is_set(&never.d));
    struct pb_timer end = {.fn = stop};
    pb_timer_set_at(g_loop, &end, t0 + 160 * PB_MS);
    pb_loop_run(g_loop);
    for (int i = 0; i < N; i++) {
        if (i == 5)
            assert_int_equal(due[i].got, 0);
        else
            assert_true(due[i].got >= due[i].want);
    }
    assert_int_equal(g_due, N - 1);
    assert_true(pb_deadline_is_set(&far.d));
    pb_deadline_cancel(&far.d);
}

static void a_deadline_may_cancel_its_neighbour(void **state)
{
    (void)state;
    struct due a = {.d = {.fn = on_due, .user = &a}}, b = {.d = {.fn = on_due, .user = &b}, .cancels = &a.d};
    a.cancels = &b.d;
    g_due = 0;
    int64_t t0 = pb_mono_ns();
    pb_deadline_set(g_loop, &a.d, t0);
    pb_deadline_set(g_loop, &b.d, t0);
    struct pb_timer end = {.fn = stop};
    pb_timer_set_at(g_loop, &end, t0 + 40 * PB_MS);
    pb_loop_run(g_loop);
    assert_int_equal(g_due, 1);
    assert_false(pb_deadline_is_set(&a.d) || pb_deadline_is_set(&b.d));
}

static void on_usr1(void *user, int signum)
{
    (void)user;
    assert_int_equal(signum, SIGUSR1);
    pb_loop_stop(g_loop);
}

static void *waker(void *arg)
{
    pb_wake_send(arg);
    return NULL;
}

static void signals_and_wakes(void **state)
{
    (void)state;
    struct pb_err err;
    struct pb_signal *s = pb_signal_open(g_loop, SIGUSR1, on_usr1, NULL, &err);
    assert_non_null(s);
    kill(getpid(), SIGUSR1);
    pb_loop_run(g_loop);
    pb_signal_close(s);
    assert_null(pb_signal_open(g_loop, 12345, on_usr1, NULL, &err));
    assert_non_null(strstr(err.msg, "12345"));

    struct pb_wake *w = pb_wake_open(g_loop, stop, NULL, &err);
    assert_non_null(w);
    pthread_t t;
    assert_int_equal(pthread_create(&t, NULL, waker, w), 0);
    pb_loop_run(g_loop);
    pthread_join(t, NULL);
    pb_wake_close(w);
}

static _Atomic int64_t g_rung_ns;
static int64_t g_heard_ns;

static void *late_waker(void *arg)
{
    usleep(50000);
    g_rung_ns = pb_mono_ns();
    pb_wake_send(arg);
    return NULL;
}

static void hear(void *user)
{
    g_heard_ns = pb_loop_now(g_loop);
    stop(user);
}

/* What comes in while the loop waits is not dated from before the wait. */
static void now_is_not_from_before_the_wait(void **state)
{
    (void)state;
    struct pb_err err;
    struct pb_wake *w = pb_wake_open(g_loop, hear, NULL, &err);
    assert_non_null(w);
    pthread_t t;
    assert_int_equal(pthread_create(&t, NULL, late_waker, w), 0);
    pb_loop_run(g_loop);
    pthread_join(t, NULL);
    assert_true(g_heard_ns >= g_rung_ns);
    pb_wake_close(w);
}

static void set_flag(void *user)
{
    *(bool *)user = true;
}

/* A turn that waits ends although all there was to wait for was due as it began. */
static void a_turn_with_what_is_due(void **state)
{
    (void)state;
    bool fired = false, passed = false;
    struct pb_timer t = {.fn = set_flag, .user = &fired};
    struct pb_deadline d = {.fn = set_flag, .user = &passed};
    alarm(30);
    pb_timer_set(g_loop, &t, 1);
    pb_loop_turn(g_loop, false);
    usleep(5000);
    while (!fired) pb_loop_turn(g_loop, true);
    pb_deadline_set(g_loop, &d, pb_loop_now(g_loop));
    pb_loop_turn(g_loop, false);
    usleep(20000);
    while (!passed) pb_loop_turn(g_loop, true);
    alarm(0);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(run_queue_is_fifo_and_takes_what_it_queues),
        T(turn_end_and_hooks_come_after),
        T(a_queue_that_feeds_itself_neither_starves_nor_sleeps),
        T(post_wakes_the_loop),
        T(timers_fire_in_order),
        T(a_turn_with_what_is_due),
        T(now_is_not_from_before_the_wait),
        T(many_timers_keep_their_order),
        T(deadlines_are_never_early),
        T(a_deadline_may_cancel_its_neighbour),
        T(signals_and_wakes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
