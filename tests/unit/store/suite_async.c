/* SPDX-License-Identifier: MIT */
/* The store thread: grouped, each alone in the end. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "store/async.h"
#include "store/events.h"
#include "store_suite.h"

enum { OPS = 600 };

struct op {
    struct pb_store_op op;
    int number, times;
    int32_t code; /* it fails with; 0: not */
    bool came;
    int32_t got;
};

static struct pb_loop *loop;
static struct pb_store_async *async;
static int n_done;

static int run_op(struct pb_store *s, void *user, struct pb_err *err)
{
    struct op *op = user;
    char key[16];
    op->times++;
    snprintf(key, sizeof key, "k%d", op->number);
    if (pb_store_kv_put(s, PB_STR("x"), pb_str_c(key), PB_STR("v"), NULL, 0, err) != 0) return -1;
    return op->code ? pb_fail(err, op->code, "op %d fails", op->number) : 0;
}

static void op_done(void *user, const struct pb_err *err)
{
    struct op *op = user;
    assert_false(op->came);
    op->came = true;
    op->got = err ? err->code : 0;
    n_done++;
}

static void on_closed(void *user)
{
    (void)user;
    pb_loop_stop(loop);
}

static void test_groups(void **state)
{
    (void)state;
    static struct op ops[OPS];
    memset(ops, 0, sizeof ops);
    n_done = 0;
    loop = pb_loop_new(NULL);
    async = pb_store_async_new(loop, suite_open());
    for (int i = 0; i < OPS; i++) {
        ops[i] = (struct op){.op = {.run = run_op, .done = op_done, .user = &ops[i]},
                             .number = i,
                             .code = i % 7 == 3 ? PBAY_ABORTED : 0};
        pb_store_post(async, &ops[i].op);
    }
    while (n_done < OPS) pb_loop_turn(loop, true);
    struct pb_store_load load;
    pb_store_async_load(async, &load);
    assert_int_equal(load.ops, OPS);
    assert_int_equal(load.waiting, 0);
    assert_true(load.groups <= OPS / 2);
    assert_true(load.longest_ns > 0);
    pb_store_async_close(async, on_closed, NULL);
    pb_loop_run(loop);
    pb_loop_free(loop);
    /* What was told is so, also by another connection. */
    struct pb_store *s = suite_open();
    for (int i = 0; i < OPS; i++) {
        struct pb_buf b = {0};
        struct pb_err err;
        char key[16];
        snprintf(key, sizeof key, "k%d", i);
        assert_int_equal(ops[i].got, ops[i].code);
        assert_int_equal(pb_store_kv_get(s, PB_STR("x"), pb_str_c(key), &b, &err), ops[i].code ? -1 : 0);
        pb_buf_free(&b);
    }
    pb_store_close(s);
}

struct chained {
    struct pb_store_op op;
    int left;
};

static int run_read(struct pb_store *s, void *user, struct pb_err *err)
{
    struct pb_buf b = {0};
    (void)user;
    int rc = pb_store_kv_get(s, PB_STR("x"), PB_STR("none"), &b, err);
    pb_buf_free(&b);
    return rc;
}

static void read_done(void *user, const struct pb_err *err)
{
    struct chained *c = user;
    assert_non_null(err);
    assert_int_equal(err->code, PBAY_NOT_FOUND);
    if (--c->left) pb_store_post(async, &c->op);
}

/* Closing waits for what was posted, and for what that posts. */
static void test_close(void **state)
{
    (void)state;
    struct chained c = {.op = {.run = run_read, .done = read_done, .user = &c, .reads = true}, .left = 5};
    loop = pb_loop_new(NULL);
    async = pb_store_async_new(loop, suite_open());
    pb_store_post(async, &c.op);
    pb_store_async_close(async, on_closed, NULL);
    pb_loop_run(loop);
    assert_int_equal(c.left, 0);
    pb_loop_free(loop);
}

int suite_async(void)
{
    const struct CMUnitTest tests[] = {SUITE_TEST(test_groups), SUITE_TEST(test_close)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
