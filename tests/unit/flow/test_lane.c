/* SPDX-License-Identifier: MIT */
/* Lanes: places, turns, and a limit that several workers share. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <unistd.h>

#include "base/str.h"
#include "flow/lane.h"

enum { CALLERS = 12 };

struct caller {
    struct pb_lane_waiter w; /* first */
    struct crowd *of;
};

/* Callers of one worker, who all want a place all the time. */
struct crowd {
    struct pb_lane lane;
    struct caller callers[CALLERS];
    uint32_t served; /* places that callers have now */
    uint32_t turns;
};

static void turn(struct pb_lane_waiter *w)
{
    struct crowd *c = ((struct caller *)(void *)w)->of;
    c->served++;
    c->turns++;
}

static void crowd_init(struct crowd *c, uint32_t limit)
{
    *c = (struct crowd){.lane = {.name = PB_STR("aws/lane"), .limit = limit}};
    for (int i = 0; i < CALLERS; i++) {
        c->callers[i].w.turn = turn;
        c->callers[i].of = c;
    }
}

static void want(struct crowd *c)
{
    for (int i = 0; i < CALLERS; i++)
        if (!c->callers[i].w.waiting && c->served + c->lane.n_waiting < CALLERS &&
            pb_lane_enter(&c->lane, &c->callers[i].w, false)) {
            c->served++;
            c->turns++;
        }
}

static void leave(struct crowd *c)
{
    c->served--;
    pb_lane_leave(&c->lane);
}

static void forget(struct crowd *c)
{
    for (int i = 0; i < CALLERS; i++) pb_lane_forget(&c->lane, &c->callers[i].w);
    while (c->served) leave(c);
}

static void one_worker(void **state)
{
    (void)state;
    struct crowd c;
    crowd_init(&c, 3);
    want(&c);
    assert_int_equal(c.served, 3);
    assert_int_equal(c.lane.n_waiting, CALLERS - 3);
    leave(&c);
    assert_int_equal(c.served, 3);
    assert_int_equal(c.lane.n_waiting, CALLERS - 4);
    forget(&c);
    assert_int_equal(c.lane.running, 0);
    assert_null(c.lane.first);
}

static void two_workers(uint32_t limit, uint32_t share)
{
    int fd;
    struct pb_err err;
    struct pb_loop *loop = pb_loop_new(&err);
    struct pb_page *page = pb_page_make(&fd, &err);
    assert_non_null(loop);
    assert_non_null(page);
    struct crowd a, b;
    crowd_init(&a, limit);
    crowd_init(&b, limit);
    pb_lane_share(&a.lane, loop, page, 0);
    pb_lane_share(&b.lane, loop, page, 63);
    assert_int_equal(a.lane.shared, b.lane.shared);
    const struct pb_page_limit *l = &page->limits[a.lane.shared];
    want(&a);
    assert_int_equal(a.served, limit); /* nobody else wants any */
    want(&b);
    assert_int_equal(b.served, 0);
    /* As places come free they are shared out; together they never have more. */
    for (int i = 0; i < 1000 && !(b.turns >= 50 && a.turns >= 50); i++) {
        pb_loop_turn(loop, true);
        assert_true(a.served + b.served <= limit);
        assert_int_equal(a.served + b.served, l->taken);
        if (a.served) leave(&a);
        if (b.served && i % 2) leave(&b);
        want(&a);
        want(&b);
    }
    assert_true(a.turns >= 50);
    assert_true(b.turns >= 50);
    if (share) {
        for (int i = 0; i < 1000 && (a.served != share || b.served != share); i++) pb_loop_turn(loop, true);
        assert_int_equal(a.served, share);
        assert_int_equal(b.served, share);
    }
    /* One dies: the other gets what it held. */
    assert_true(l->waiting);
    forget(&a);
    a.lane.page = NULL;
    for (int i = 0; i < 1000 && b.served < limit; i++) pb_loop_turn(loop, true);
    assert_int_equal(b.served, limit);
    for (int i = 0; i < CALLERS; i++) pb_lane_forget(&b.lane, &b.callers[i].w);
    pb_page_clear_row(page, 63);
    assert_int_equal(l->taken, 0);
    assert_int_equal(l->waiting, 0);
    pb_page_unmap(page);
    close(fd);
    pb_loop_free(loop);
}

static void fair_shares(void **state)
{
    (void)state;
    two_workers(6, 3);
}

static void fewer_places_than_workers(void **state)
{
    (void)state;
    two_workers(1, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_worker),
        cmocka_unit_test(fair_shares),
        cmocka_unit_test(fewer_places_than_workers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
