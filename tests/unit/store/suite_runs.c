/* SPDX-License-Identifier: MIT */
/* Runs of chains: kept, found, decided once, forgotten in time. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/id.h"
#include "base/mem.h"
#include "store/control.h"
#include "store/runs.h"
#include "store_suite.h"

static struct pb_store *s;
static struct pb_err err;

#define OK(call)                                                                                             \
    do {                                                                                                     \
        if ((call) != 0) fail_msg("%s", err.msg);                                                            \
    } while (0)

static int set_up(void **state)
{
    suite_setup(state);
    pb_clock_fake(1000000);
    s = suite_open();
    return 0;
}

static int tear_down(void **state)
{
    pb_store_close(s);
    return suite_teardown(state);
}

static void run(const char *chain, char id[PB_ID_SIZE])
{
    pb_id_make(id);
    struct pb_run r = {.id = pb_str_c(id),
                       .chain = pb_str_c(chain),
                       .bundle = PB_STR("hash"),
                       .root = PB_STR("extract"),
                       .cause = PB_STR("event"),
                       .started_ms = pb_now_ms(),
                       .open = 1};
    OK(pb_store_run_put(s, &r, &err));
}

static void step(const char *run_id, const char *name, int64_t weight, enum pb_run_step_state st,
                 char id[PB_ID_SIZE])
{
    pb_id_make(id);
    struct pb_run_step in = {.id = pb_str_c(id),
                             .run = pb_str_c(run_id),
                             .chain = PB_STR("finance"),
                             .link = PB_STR("on"),
                             .name = pb_str_c(name),
                             .connector = PB_STR("prod"),
                             .action = PB_STR("reload"),
                             .subject = pb_str_c(name),
                             .args = PB_STR("{}"),
                             .state = st,
                             .max_attempts = 2,
                             .depth = 1,
                             .weight = weight};
    OK(pb_store_step_put(s, &in, &err));
}

static void test_runs(void **state)
{
    (void)state;
    char a[PB_ID_SIZE], b[PB_ID_SIZE], c[PB_ID_SIZE], t[PB_ID_SIZE];
    run("finance", a);
    pb_clock_fake(2000000);
    run("hr", b);
    run("finance", c);
    step(c, "report", 1, PB_RUN_STEP_ACTIVE, t);
    struct pb_run *r;
    OK(pb_store_run_get(s, pb_str_c(a), &r, &err));
    assert_true(pb_str_is(r->chain, "finance") && pb_str_is(r->root, "extract") &&
                pb_str_is(r->bundle, "hash"));
    assert_int_equal(r->state, PB_RUN_RUNNING);
    assert_int_equal(r->started_ms, 1000000);
    assert_int_equal(r->ended_ms, 0);
    r->state = PB_RUN_FAILED;
    r->ended_ms = 1500000;
    r->open = 0;
    OK(pb_store_run_set(s, r, &err));
    pb_free(r);
    struct pb_runs list;
    OK(pb_store_run_list(s, &(struct pb_run_filter){.chain = PB_STR("finance")}, &list, &err));
    assert_int_equal(list.n, 2);
    assert_true(pb_str_is(list.items[0]->id, c)); /* newest first */
    assert_int_equal(list.items[1]->state, PB_RUN_FAILED);
    pb_runs_free(&list);
    OK(pb_store_run_list(s, &(struct pb_run_filter){.states = 1 << PB_RUN_RUNNING, .since_ms = 1500000},
                         &list, &err));
    assert_int_equal(list.n, 2);
    pb_runs_free(&list);
    OK(pb_store_run_list(s, &(struct pb_run_filter){.app = PB_STR("report")}, &list, &err));
    assert_int_equal(list.n, 1);
    pb_runs_free(&list);
    OK(pb_store_run_list(s, &(struct pb_run_filter){.before = pb_str_c(c), .limit = 1}, &list, &err));
    assert_int_equal(list.n, 1);
    assert_true(pb_str_is(list.items[0]->id, b));
    pb_runs_free(&list);
    assert_int_equal(pb_store_run_get(s, PB_STR("x"), &r, &err), -1);
    assert_int_equal(err.code, PBAY_NOT_FOUND);
}

static void test_steps(void **state)
{
    (void)state;
    char a[PB_ID_SIZE], b[PB_ID_SIZE], one[PB_ID_SIZE], id[PB_ID_SIZE];
    run("finance", a);
    run("finance", b);
    step(a, "first", 1, PB_RUN_STEP_ACTIVE, one);
    step(a, "second", 9, PB_RUN_STEP_WAITING, id);
    step(b, "third", 1, PB_RUN_STEP_WAITING, id);
    step(b, "fourth", 5, PB_RUN_STEP_WAITING, id);
    step(b, "fifth", 5, PB_RUN_STEP_WAITING, id);
    struct pb_steps list;
    /* b has none active: its turn, by weight, then by age; then a's. */
    OK(pb_store_step_waiting(s, 0, &list, &err));
    static const char *const want[] = {"fourth", "fifth", "third", "second"};
    assert_int_equal(list.n, 4);
    for (size_t i = 0; i < 4; i++) assert_true(pb_str_is(list.items[i]->name, want[i]));
    pb_steps_free(&list);
    int64_t n;
    OK(pb_store_step_count(
        s, &(struct pb_step_filter){.connector = PB_STR("prod"), .states = 1 << PB_RUN_STEP_ACTIVE}, &n,
        &err));
    assert_int_equal(n, 1);
    OK(pb_store_step_count(s, &(struct pb_step_filter){.run = pb_str_c(b)}, &n, &err));
    assert_int_equal(n, 3);
    struct pb_run_step *t;
    OK(pb_store_step_get(s, pb_str_c(one), &t, &err));
    assert_int_equal(t->depth, 1);
    t->state = PB_RUN_STEP_OK;
    t->attempt = 2;
    t->occurrence = PB_STR("reload-1");
    t->ended_ms = 7;
    OK(pb_store_step_set(s, t, &err));
    pb_free(t);
    OK(pb_store_step_get(s, pb_str_c(one), &t, &err));
    assert_true(pb_str_is(t->occurrence, "reload-1") && t->attempt == 2 && t->ended_ms == 7);
    pb_free(t);
    OK(pb_store_step_list(s, &(struct pb_step_filter){.subject = PB_STR("third"), .states = PB_RUN_STEP_LIVE},
                          &list, &err));
    assert_int_equal(list.n, 1);
    pb_steps_free(&list);
    OK(pb_store_step_list(s, &(struct pb_step_filter){.name = PB_STR("first")}, &list, &err));
    assert_int_equal(list.n, 1);
    pb_steps_free(&list);
}

static bool decide(const char *link, const char *occurrence, enum pb_outcome outcome)
{
    bool known;
    struct pb_decision d = {.event = PB_STR("e"),
                            .run = PB_STR("r"),
                            .chain = PB_STR("finance"),
                            .link = pb_str_c(link),
                            .occurrence = pb_str_c(occurrence),
                            .source = PB_STR("extract"),
                            .status = PB_STR("ok"),
                            .why = PB_STR("because"),
                            .outcome = outcome};
    OK(pb_store_decision_put(s, &d, &known, &err));
    return known;
}

static void test_decisions(void **state)
{
    (void)state;
    assert_false(decide("on", "reload-1", PB_HELD));
    assert_true(decide("on", "reload-1", PB_FIRED)); /* whatever it would be now */
    assert_false(decide("on", "reload-2", PB_SKIPPED));
    assert_false(decide("all", "reload-1", PB_COUNTED));
    assert_false(decide("on", "", PB_FIRED)); /* without: any number of times */
    assert_false(decide("on", "", PB_FIRED));
    struct pb_decisions list;
    OK(pb_store_decision_list(s, &(struct pb_decision_filter){.link = PB_STR("on")}, &list, &err));
    assert_int_equal(list.n, 4);
    assert_int_equal(list.items[3]->outcome, PB_HELD);
    assert_true(pb_str_is(list.items[3]->why, "because"));
    int64_t seq = list.items[3]->seq, other = list.items[2]->seq;
    pb_decisions_free(&list);
    OK(pb_store_decision_settle(s, seq, PB_RELEASED, &err));
    assert_int_equal(pb_store_decision_settle(s, seq, PB_DROPPED, &err), -1);
    assert_int_equal(pb_store_decision_settle(s, other, PB_DROPPED, &err), -1);
    OK(pb_store_decision_list(
        s, &(struct pb_decision_filter){.run = PB_STR("r"), .outcomes = 1 << PB_RELEASED}, &list, &err));
    assert_int_equal(list.n, 1);
    pb_decisions_free(&list);
    OK(pb_store_decision_list(s, &(struct pb_decision_filter){.event = PB_STR("e"), .before_seq = other},
                              &list, &err));
    assert_int_equal(list.n, 1);
    pb_decisions_free(&list);
}

static void remember(const char *group, const char *item, const char *value)
{
    struct pb_link_state in = {PB_STR("finance"), PB_STR("all"),   pb_str_c(group),
                               pb_str_c(item),    pb_str_c(value), 5};
    OK(pb_store_link_put(s, &in, &err));
}

static size_t remembered(const char *group, const char *item)
{
    struct pb_link_states list;
    OK(pb_store_link_list(s, PB_STR("finance"), PB_STR("all"), pb_str_c(group), pb_str_c(item), &list, &err));
    size_t n = list.n;
    pb_link_states_free(&list);
    return n;
}

static void test_links_and_nodes(void **state)
{
    (void)state;
    remember("r1", "a", "ok");
    remember("r1", "b", "ok");
    remember("r1", "a", "error");
    remember("r2", "a", "ok");
    assert_int_equal(remembered("r1", ""), 2);
    assert_int_equal(remembered("r1", "a"), 1);
    assert_int_equal(remembered("", ""), 0);
    OK(pb_store_link_drop(s, PB_STR("finance"), PB_STR("all"), PB_STR("r1"), PB_STR("a"), &err));
    assert_int_equal(remembered("r1", ""), 1);
    OK(pb_store_link_drop(s, PB_STR("finance"), PB_STR("all"), PB_STR("r1"), PB_STR(""), &err));
    assert_int_equal(remembered("r1", ""), 0);
    assert_int_equal(remembered("r2", ""), 1);
    struct pb_node *n;
    OK(pb_store_node_get(s, PB_STR("prod"), PB_STR("app"), &n, &err));
    assert_null(n);
    struct pb_node in = {PB_STR("prod"), PB_STR("app"), PB_STR("ok"), PB_STR("r"), 9, 8, 7};
    OK(pb_store_node_put(s, &in, &err));
    in.at_ms = 10;
    OK(pb_store_node_put(s, &in, &err));
    OK(pb_store_node_get(s, PB_STR("prod"), PB_STR("app"), &n, &err));
    assert_true(pb_str_is(n->status, "ok") && n->at_ms == 10 && n->ok_ms == 8 && n->fired_ms == 7);
    pb_free(n);
    OK(pb_store_node_fired(s, PB_STR("prod"), PB_STR("app"), 11, &err));
    OK(pb_store_node_get(s, PB_STR("prod"), PB_STR("app"), &n, &err));
    assert_true(pb_str_is(n->status, "ok") && n->at_ms == 10 && n->ok_ms == 8 && n->fired_ms == 11);
    pb_free(n);
    OK(pb_store_node_fired(s, PB_STR("prod"), PB_STR("new"), 12, &err));
    OK(pb_store_node_get(s, PB_STR("prod"), PB_STR("new"), &n, &err));
    assert_true(!n->status.n && n->at_ms == 0 && n->ok_ms == 0 && n->fired_ms == 12);
    pb_free(n);
}

static void test_bundles_and_prune(void **state)
{
    (void)state;
    char old[PB_ID_SIZE], young[PB_ID_SIZE], id[PB_ID_SIZE];
    struct pb_buf b = {0};
    struct pb_retention keep = PB_RETENTION;
    OK(pb_store_bundle_put(s, PB_STR("hash"), PB_STR("text"), &err));
    OK(pb_store_bundle_put(s, PB_STR("hash"), PB_STR("text"), &err));
    OK(pb_store_bundle_put(s, PB_STR("gone"), PB_STR("x"), &err));
    OK(pb_store_bundle_get(s, PB_STR("hash"), &b, &err));
    assert_true(pb_str_is(pb_buf_view(&b), "text"));
    assert_int_equal(pb_store_bundle_get(s, PB_STR("none"), &b, &err), -1);
    run("finance", old);
    step(old, "a", 1, PB_RUN_STEP_OK, id);
    run("finance", young);
    struct pb_run ended = {.id = pb_str_c(old), .state = PB_RUN_OK, .ended_ms = 1000000};
    OK(pb_store_run_set(s, &ended, &err));
    decide("on", "x", PB_FIRED);
    bool more = true;
    pb_clock_fake(1000000 + 91 * PB_DAY_MS);
    while (more) OK(pb_store_prune(s, &keep, &more, &err));
    struct pb_run *r;
    assert_int_equal(pb_store_run_get(s, pb_str_c(old), &r, &err), -1);
    OK(pb_store_run_get(s, pb_str_c(young), &r, &err)); /* has not ended */
    pb_free(r);
    struct pb_steps steps;
    OK(pb_store_step_list(s, &(struct pb_step_filter){.run = pb_str_c(old)}, &steps, &err));
    assert_int_equal(steps.n, 0);
    pb_steps_free(&steps);
    b.n = 0;
    OK(pb_store_bundle_get(s, PB_STR("hash"), &b, &err)); /* a run has it */
    assert_int_equal(pb_store_bundle_get(s, PB_STR("gone"), &b, &err), -1);
    assert_false(decide("on", "x", PB_FIRED)); /* forgotten */
    pb_buf_free(&b);
}

int suite_runs(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {T(test_runs), T(test_steps), T(test_decisions),
                                       T(test_links_and_nodes), T(test_bundles_and_prune)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
