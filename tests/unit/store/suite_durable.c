/* SPDX-License-Identifier: MIT */
/* Durable work of two workers on one store: who is told of what, and that everything ends. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/attr.h"
#include "base/mem.h"
#include "base/page.h"
#include "loop/bell.h"
#include "store/durable.h"
#include "store_suite.h"

/* Two workers in one process: each with a loop of its own on one page, turned by turns. */
static struct pb_loop *loops[2];
static struct pb_durable *workers[2];
static struct pb_page *page;
static int page_fd, n_causes, n_runs[2];
static bool keep_turn;
static struct pb_turn *kept;

static void turn_both(void)
{
    for (int i = 0; i < 2; i++)
        if (loops[i]) pb_loop_turn(loops[i], false);
    usleep(500);
}

#define WAIT_FOR(what)                                                                                       \
    for (int n_turns = 0; !(what); n_turns++) {                                                              \
        if (n_turns > 40000) fail_msg("%s: did not come", #what);                                            \
        turn_both();                                                                                         \
    }

static int cause(struct pb_store *s, void *user, const struct pb_event_put *event, pbay_str id,
                 struct pb_err *err)
{
    char job[PB_ID_SIZE];
    bool known;
    (void)user;
    n_causes++;
    if (pb_str_is(event->type, "bad")) return pb_fail(err, PBAY_INVALID_ARGUMENT, "a bad event");
    const struct pb_job_put put = {.queue = PB_STR("chain"), .action = PB_STR("evaluate"), .cause = id};
    return pb_store_job_put(s, &put, job, &known, err);
}

static void run(void *user, struct pb_turn *turn, const struct pb_job *job)
{
    int *n = user;
    (*n)++;
    if (keep_turn)
        kept = turn;
    else if (pb_str_is(job->action, "fails")) {
        struct pb_err why = {0};
        pb_fail(&why, PBAY_INVALID_ARGUMENT, "not like this");
        pb_turn_fail(turn, &why);
    } else
        pb_turn_done(turn, job->args);
}

static struct pb_job_handler handlers[2] = {{.run = run, .user = &n_runs[0]},
                                            {.run = run, .user = &n_runs[1]}};

static const struct pb_job_handler *find(void *user, const struct pb_job *job)
{
    return pb_str_is(job->connector, "nobody") ? NULL : user;
}

static int set_up(void **state)
{
    struct pb_err err;
    suite_setup(state);
    n_causes = n_runs[0] = n_runs[1] = 0;
    keep_turn = false;
    page = pb_page_make(&page_fd, &err);
    for (uint32_t i = 0; i < 2; i++) {
        loops[i] = pb_loop_new(&err);
        const struct pb_durable_config c = {.loop = loops[i],
                                            .store = suite_open(),
                                            .page = page,
                                            .row = i,
                                            .owner = PB_STR("test"),
                                            .concurrency = 8,
                                            .lease_ms = 2000,
                                            .keep = PB_RETENTION};
        workers[i] = pb_durable_open(&c, &err);
        assert_non_null(workers[i]);
        pb_durable_on_event(workers[i], cause, NULL);
        pb_durable_on_queue(workers[i], "chain", &handlers[i]);
        pb_durable_on_connectors(workers[i], find, &handlers[i]);
    }
    return 0;
}

static void set(void *user)
{
    *(bool *)user = true;
}

static void close_worker(int i)
{
    bool closed = false;
    pb_durable_close(workers[i], set, &closed);
    WAIT_FOR(closed);
    pb_loop_free(loops[i]);
    loops[i] = NULL;
    workers[i] = NULL;
}

static int tear_down(void **state)
{
    for (int i = 0; i < 2; i++)
        if (workers[i]) close_worker(i);
    pb_page_unmap(page);
    close(page_fd);
    return suite_teardown(state);
}

static int n_stored;
static uint32_t n_new;
static int32_t code;

static void stored(void *user, const struct pb_err *err, uint32_t n)
{
    (void)user;
    n_stored++;
    n_new = n;
    code = err ? err->code : PBAY_OK;
}

static char last_id[PB_ID_SIZE];
static int n_put;

static void put_done(void *user, const struct pb_err *err, pbay_str id, bool known)
{
    (void)user;
    (void)known;
    n_put++;
    code = err ? err->code : PBAY_OK;
    snprintf(last_id, sizeof last_id, "%.*s", PB_FMT(id));
}

/* Once, and what it causes with it; the second worker runs what the first one stored. */
static void test_events(void **state)
{
    (void)state;
    const pbay_str keys[] = {PB_STR("k1"), PB_STR("k2")};
    const struct pb_event_put events[] = {
        {.connector = PB_STR("prod"),
         .type = PB_STR("reload"),
         .data = PB_STR("{}"),
         .keys = keys,
         .n_keys = 1},
        {.connector = PB_STR("prod"),
         .type = PB_STR("reload"),
         .data = PB_STR("{}"),
         .keys = keys,
         .n_keys = 2},
    };
    pb_durable_start(workers[1]);
    n_stored = 0;
    pb_durable_put_events(workers[0], events, 2, stored, NULL); /* before its start */
    for (int i = 0; i < 20; i++) turn_both();
    assert_int_equal(n_stored, 0);
    pb_durable_start(workers[0]);
    WAIT_FOR(n_stored == 1);
    assert_int_equal(code, PBAY_OK);
    assert_int_equal(n_new, 1);
    assert_int_equal(n_causes, 1);
    WAIT_FOR(n_runs[0] + n_runs[1] == 1);
    const struct pb_event_put bad[] = {
        {.connector = PB_STR("prod"), .type = PB_STR("reload"), .data = PB_STR("{}")},
        {.connector = PB_STR("prod"), .type = PB_STR("bad"), .data = PB_STR("{}")},
    };
    pb_durable_put_events(workers[0], bad, 2, stored, NULL);
    WAIT_FOR(n_stored == 2);
    assert_int_equal(code, PBAY_INVALID_ARGUMENT);
    assert_int_equal(n_runs[0] + n_runs[1], 1);
}

static int n_ended;
static enum pb_job_state ended_as;

static void ended(void *user, const struct pb_job *job, const struct pb_err *err)
{
    (void)user;
    n_ended++;
    ended_as = job ? job->state : PB_JOB_STATES;
    code = err ? err->code : PBAY_OK;
}

/* Put and waited for in one worker, run in the other. */
static void test_watch(void **state)
{
    (void)state;
    pb_durable_start(workers[0]);
    bool drained = false;
    pb_durable_drain(workers[0], set, &drained); /* it runs nothing */
    WAIT_FOR(drained);
    const struct pb_job_put job = {
        .queue = PB_STR("q"), .connector = PB_STR("aws"), .action = PB_STR("fails"), .args = PB_STR("{}")};
    n_put = n_ended = 0;
    pb_durable_put_job(workers[0], &job, put_done, NULL);
    WAIT_FOR(n_put);
    struct pb_job_watch w = {.ended = ended}, gone = {.ended = ended}, none = {.ended = ended};
    memcpy(w.id, last_id, sizeof w.id);
    memcpy(gone.id, last_id, sizeof w.id);
    pb_id_make(none.id);
    pb_durable_watch(workers[0], &w);
    pb_durable_watch(workers[0], &gone);
    pb_durable_watch(workers[0], &none);
    WAIT_FOR(n_ended == 1);
    assert_int_equal(code, PBAY_NOT_FOUND);
    pb_durable_unwatch(workers[0], &gone);
    assert_int_equal(atomic_load(&page->rows[0].watching), 1);
    pb_durable_start(workers[1]);
    WAIT_FOR(n_ended == 2);
    assert_int_equal(ended_as, PB_JOB_DEAD);
    assert_int_equal(n_runs[1], 1);
    assert_int_equal(n_runs[0], 0);
    assert_int_equal(atomic_load(&page->rows[0].watching), 0);
}

static int n_cancelled;

static void on_cancel(void *user, struct pb_turn *turn)
{
    (void)user;
    n_cancelled++;
    struct pb_err why = {0};
    pb_fail(&why, PBAY_CANCELLED, "as you like");
    pb_turn_fail(turn, &why);
}

/* A job that its putter runs himself, for longer than a lease. */
static void test_hold(void **state)
{
    (void)state;
    static const struct pb_job_handler handler = {.cancel = on_cancel};
    pb_durable_start(workers[0]);
    pb_durable_start(workers[1]);
    const struct pb_job_put put = {.queue = PB_STR("q"),
                                   .connector = PB_STR("snow"),
                                   .action = PB_STR("park"),
                                   .input = PB_STR("rows"),
                                   .owner = pb_durable_owner(workers[0]),
                                   .lease_ms = pb_durable_lease_ms(workers[0])};
    n_put = n_ended = n_cancelled = 0;
    pb_durable_put_job(workers[0], &put, put_done, NULL);
    WAIT_FOR(n_put);
    const struct pb_job job = {.id = pb_str_c(last_id), .fence = 1, .attempt = 1, .max_attempts = 8};
    struct pb_turn *turn = pb_durable_hold(workers[0], &job, &handler);
    assert_non_null(turn);
    int64_t until = pb_now_ms() + 3000;
    WAIT_FOR(pb_now_ms() > until);
    assert_int_equal(n_runs[0] + n_runs[1], 0);
    pb_durable_cancel_job(workers[1], pb_str_c(last_id), NULL, NULL);
    WAIT_FOR(n_cancelled);
    struct pb_job_watch w = {.ended = ended};
    memcpy(w.id, last_id, sizeof w.id);
    pb_durable_watch(workers[1], &w);
    WAIT_FOR(n_ended);
    assert_int_equal(ended_as, PB_JOB_CANCELLED);
}

/* Said to one, heard by all; a drain waits for what runs. */
static void test_pause_and_drain(void **state)
{
    (void)state;
    struct pb_err err;
    pb_durable_start(workers[0]);
    pb_durable_start(workers[1]);
    struct pb_store *other = suite_open();
    const pbay_str name = PB_STR("aws");
    assert_int_equal(pb_store_pause(other, PB_STR("connector"), name, PB_STR("anna"), PB_STR("costs"), &err),
                     0);
    atomic_fetch_add(&page->pauses, 1);
    pb_bell_ring_word(&page->work);
    WAIT_FOR(pb_durable_paused(workers[0], "connector", name) &&
             pb_durable_paused(workers[1], "connector", name));
    assert_true(pb_str_is(pb_durable_paused(workers[1], "connector", name)->why, "costs"));
    assert_null(pb_durable_paused(workers[1], "queue", name));
    assert_int_equal(pb_store_unpause(other, PB_STR("connector"), name, PB_STR("anna"), &err), 0);
    atomic_fetch_add(&page->pauses, 1);
    pb_bell_ring_word(&page->work);
    WAIT_FOR(!pb_durable_paused(workers[0], "connector", name) &&
             !pb_durable_paused(workers[1], "connector", name));
    pb_store_close(other);
    close_worker(1);
    keep_turn = true;
    kept = NULL;
    const struct pb_job_put job = {
        .queue = PB_STR("q"), .connector = PB_STR("aws"), .action = PB_STR("x"), .args = PB_STR("{}")};
    pb_durable_put_job(workers[0], &job, NULL, NULL);
    WAIT_FOR(kept);
    bool drained = false;
    pb_durable_drain(workers[0], set, &drained);
    for (int i = 0; i < 50; i++) turn_both();
    assert_false(drained);
    pb_turn_done(kept, PB_STR("{}"));
    WAIT_FOR(drained);
    assert_null(pb_durable_hold(workers[0], &(struct pb_job){0}, &handlers[0]));
}

int suite_durable(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(test_events),
        TEST(test_watch),
        TEST(test_hold),
        TEST(test_pause_and_drain),
    };
    return cmocka_run_group_tests_name("durable", tests, NULL, NULL);
}
