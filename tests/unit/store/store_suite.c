/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "store/store.h"
#include "store_suite.h"

static const struct store_factory *factory;
char *suite_url;
#define url    suite_url
#define opened suite_open

int suite_setup(void **state)
{
    (void)state;
    url = factory->make();
    return 0;
}

int suite_teardown(void **state)
{
    (void)state;
    pb_clock_fake(-1);
    factory->remove(url);
    pb_free(url);
    return 0;
}

struct pb_store *suite_open(void)
{
    struct pb_err err = {0};
    struct pb_store *s = NULL;
    if (pb_store_open(url, &s, &err) != 0) fail_msg("%s", err.msg);
    return s;
}

static struct pb_store *reopened(struct pb_store *s)
{
    pb_store_close(s);
    return opened();
}

/* ------------------------------------------------------------------------ function ids */

static int32_t id_of(struct pb_store *s, const char *scope, const char *name, int32_t explicit_id)
{
    struct pb_err err = {0};
    int32_t id = -7;
    if (pb_store_function_id(s, pb_str_c(scope), pb_str_c(name), explicit_id, &id, &err) != 0)
        fail_msg("%s", err.msg);
    return id;
}

static void id_refused(struct pb_store *s, const char *name, int32_t explicit_id, int32_t code,
                       const char *msg)
{
    struct pb_err err = {0};
    int32_t id;
    assert_int_equal(pb_store_function_id(s, PB_STR("sse"), pb_str_c(name), explicit_id, &id, &err), -1);
    assert_int_equal(err.code, code);
    if (!strstr(err.msg, msg)) fail_msg("\"%s\" does not say \"%s\"", err.msg, msg);
}

static void test_ids_stay(void **state)
{
    (void)state;
    struct pb_store *s = opened();
    assert_int_equal(id_of(s, "sse", "a", -1), 1000);
    assert_int_equal(id_of(s, "sse", "b", -1), 1001);
    assert_int_equal(id_of(s, "sse", "a", -1), 1000);
    /* Another order, a restart, one less, one more. */
    s = reopened(s);
    assert_int_equal(id_of(s, "sse", "c", -1), 1002);
    assert_int_equal(id_of(s, "sse", "b", -1), 1001);
    s = reopened(s);
    assert_int_equal(id_of(s, "sse", "d", -1), 1003);
    assert_int_equal(id_of(s, "sse", "a", -1), 1000);
    /* Names are bytes; scopes are apart. */
    assert_int_equal(id_of(s, "sse", "A", -1), 1004);
    assert_int_equal(id_of(s, "", "a", -1), 1000);
    assert_int_equal(id_of(s, "qrag", "z", -1), 1000);
    assert_int_equal(id_of(s, "sse", "z", -1), 1005);
    pb_store_close(s);
}

static void test_explicit_ids(void **state)
{
    (void)state;
    struct pb_store *s = opened();
    assert_int_equal(id_of(s, "sse", "zero", 0), 0);
    assert_int_equal(id_of(s, "sse", "max", INT32_MAX), INT32_MAX);
    assert_int_equal(id_of(s, "sse", "k", 1000), 1000);
    assert_int_equal(id_of(s, "sse", "l", 1001), 1001);
    assert_int_equal(id_of(s, "sse", "a", -1), 1002);
    /* The line was taken out of the configuration again: the id stays. */
    assert_int_equal(id_of(s, "sse", "zero", -1), 0);
    assert_int_equal(id_of(s, "other", "x", 1000), 1000);
    id_refused(s, "b", 1002, PBAY_ALREADY_EXISTS,
               "function id 1002 belongs to \"a\" and cannot be given to \"b\"");
    id_refused(s, "b", 0, PBAY_ALREADY_EXISTS,
               "function id 0 belongs to \"zero\" and cannot be given to \"b\"");
    id_refused(s, "b", -2, PBAY_INVALID_ARGUMENT, "function id -2");
    id_refused(s, "", 1, PBAY_INVALID_ARGUMENT, "function name of 0 bytes");
    id_refused(s, "\xff", 1, PBAY_INVALID_ARGUMENT, "not text in UTF-8");
    s = reopened(s);
    /* What was refused left nothing behind. */
    assert_int_equal(id_of(s, "sse", "b", -1), 1003);
    assert_int_equal(id_of(s, "sse", "max", -1), INT32_MAX);
    pb_store_close(s);
}

/* The operator moves a function to another id: the old one is never anybody else's. */
static void test_moved_ids(void **state)
{
    (void)state;
    struct pb_store *s = opened();
    assert_int_equal(id_of(s, "sse", "a", -1), 1000);
    assert_int_equal(id_of(s, "sse", "a", 7), 7);
    assert_int_equal(id_of(s, "sse", "a", -1), 7);
    id_refused(s, "b", 1000, PBAY_ALREADY_EXISTS, "belongs to \"a\"");
    s = reopened(s);
    assert_int_equal(id_of(s, "sse", "a", -1), 7);
    assert_int_equal(id_of(s, "sse", "b", -1), 1001);
    assert_int_equal(id_of(s, "sse", "a", 1000), 1000);
    assert_int_equal(id_of(s, "sse", "a", -1), 1000);
    id_refused(s, "b", 7, PBAY_ALREADY_EXISTS, "belongs to \"a\"");
    pb_store_close(s);
}

enum { PROCESSES = 4, NAMES = 61 }; /* a prime: any stride visits all */

/* One of several processes that start at once; asks for every name, each process in an order of its own. */
static void ask(int turn, int go, int answer)
{
    char c;
    int32_t ids[NAMES];
    struct pb_store *s;
    struct pb_err err = {0};
    if (read(go, &c, 1) != 0 || pb_store_open(url, &s, &err) != 0) _exit(1);
    for (int i = 0; i < NAMES; i++) {
        int k = (i * (2 * turn + 1) + turn * 17) % NAMES;
        char name[16];
        snprintf(name, sizeof name, "f%d", k);
        if (pb_store_function_id(s, PB_STR("sse"), pb_str_c(name), k == 30 ? 5 : -1, &ids[k], &err) != 0) {
            fprintf(stderr, "%s\n", err.msg);
            _exit(2);
        }
    }
    pb_store_close(s);
    _exit(write(answer, ids, sizeof ids) == (ssize_t)sizeof ids ? 0 : 3);
}

static void test_processes(void **state)
{
    (void)state;
    int go[2], answers[PROCESSES][2];
    pid_t pids[PROCESSES];
    assert_int_equal(pipe(go), 0);
    for (int i = 0; i < PROCESSES; i++) {
        assert_int_equal(pipe(answers[i]), 0);
        pids[i] = fork();
        assert_true(pids[i] >= 0);
        if (pids[i] == 0) {
            close(go[1]);
            ask(i, go[0], answers[i][1]);
        }
        close(answers[i][1]);
    }
    close(go[0]);
    close(go[1]); /* all of them go */
    int32_t first[NAMES], ids[NAMES];
    for (int i = 0; i < PROCESSES; i++) {
        int status;
        assert_int_equal(read(answers[i][0], i ? ids : first, sizeof ids), sizeof ids);
        close(answers[i][0]);
        assert_int_equal(waitpid(pids[i], &status, 0), pids[i]);
        assert_int_equal(status, 0);
        if (i) assert_memory_equal(ids, first, sizeof ids);
    }
    for (int i = 0; i < NAMES; i++) {
        if (i == 30)
            assert_int_equal(first[i], 5);
        else
            assert_in_range(first[i], 1000, 1000 + NAMES - 2);
        for (int k = 0; k < i; k++) assert_int_not_equal(first[i], first[k]);
    }
}

/* Asks until it is killed; tells every id it was given. */
static void ask_for_ever(int answer)
{
    struct pb_store *s;
    struct pb_err err = {0};
    if (pb_store_open(url, &s, &err) != 0) _exit(1);
    for (int i = 0;; i++) {
        char name[16];
        int32_t id;
        snprintf(name, sizeof name, "f%d", i);
        if (pb_store_function_id(s, PB_STR("sse"), pb_str_c(name), -1, &id, &err) != 0) _exit(2);
        if (write(answer, &id, sizeof id) != (ssize_t)sizeof id) _exit(3);
    }
}

/* A process that dies between two instructions loses nothing it was told, and keeps no lock. */
static void test_killed(void **state)
{
    (void)state;
    int told = 0, answers[2];
    int32_t ids[64];
    for (int round = 1; round <= 3; round++) {
        assert_int_equal(pipe(answers), 0);
        pid_t pid = fork();
        assert_true(pid >= 0);
        if (pid == 0) ask_for_ever(answers[1]);
        close(answers[1]);
        /* It starts from the first name again: what was told before comes again, and more. */
        for (int i = 0; i < round * 15; i++) {
            int32_t id;
            assert_int_equal(read(answers[0], &id, sizeof id), sizeof id);
            if (i < told) assert_int_equal(id, ids[i]);
            ids[i] = id;
        }
        told = round * 15;
        assert_int_equal(kill(pid, SIGKILL), 0);
        assert_int_equal(waitpid(pid, NULL, 0), pid);
        close(answers[0]);
    }
    struct pb_store *s = opened();
    struct pb_err err = {0};
    for (int i = 0; i < told; i++) {
        char name[16];
        snprintf(name, sizeof name, "f%d", i);
        assert_int_equal(id_of(s, "sse", name, -1), ids[i]);
    }
    if (pb_store_check(s, false, &err) != 0) fail_msg("%s", err.msg);
    pb_store_close(s);
}

/* ------------------------------------------------------------------------ key and value */

static int put(struct pb_store *s, const char *key, const char *value, const char *expected, int64_t ttl_ms)
{
    struct pb_err err = {0};
    pbay_str want = pb_str_c(expected);
    int rc = pb_store_kv_put(s, PB_STR("aws"), pb_str_c(key), pb_str_c(value), expected ? &want : NULL,
                             ttl_ms, &err);
    if (rc != 0 && err.code != PBAY_ABORTED) fail_msg("%s", err.msg);
    return rc;
}

static void value_is(struct pb_store *s, const char *space, const char *key, const char *want)
{
    struct pb_buf b = {0};
    struct pb_err err = {0};
    int rc = pb_store_kv_get(s, pb_str_c(space), pb_str_c(key), &b, &err);
    if (!want) {
        assert_int_equal(rc, -1);
        assert_int_equal(err.code, PBAY_NOT_FOUND);
    } else {
        if (rc != 0) fail_msg("%s", err.msg);
        assert_true(pb_str_is(pb_buf_view(&b), want));
    }
    pb_buf_free(&b);
}

static void test_kv(void **state)
{
    (void)state;
    struct pb_store *s = opened();
    value_is(s, "aws", "k", NULL);
    assert_int_equal(put(s, "k", "1", NULL, 0), 0);
    value_is(s, "aws", "k", "1");
    value_is(s, "other", "k", NULL);
    assert_int_equal(put(s, "k", "2", NULL, 0), 0);
    assert_int_equal(put(s, "k2", "", NULL, 0), 0);
    s = reopened(s);
    value_is(s, "aws", "k", "2");
    value_is(s, "aws", "k2", "");
    assert_int_equal(put(s, "k", NULL, NULL, 0), 0);
    value_is(s, "aws", "k", NULL);
    assert_int_equal(put(s, "k", NULL, NULL, 0), 0);
    pb_store_close(s);
}

static void test_kv_expected(void **state)
{
    (void)state;
    struct pb_store *s = opened();
    assert_int_equal(put(s, "k", "1", "0", 0), -1);
    assert_int_equal(put(s, "k", "1", "", 0), 0);
    assert_int_equal(put(s, "k", "2", "", 0), -1);
    assert_int_equal(put(s, "k", "2", "x", 0), -1);
    value_is(s, "aws", "k", "1");
    assert_int_equal(put(s, "k", "2", "1", 0), 0);
    assert_int_equal(put(s, "k", NULL, "1", 0), -1);
    assert_int_equal(put(s, "k", NULL, "2", 0), 0);
    value_is(s, "aws", "k", NULL);
    pb_store_close(s);
}

static void test_kv_ttl(void **state)
{
    (void)state;
    struct pb_store *s = opened();
    pb_clock_fake(1000000);
    assert_int_equal(put(s, "k", "1", NULL, 500), 0);
    assert_int_equal(put(s, "ever", "1", NULL, INT64_MAX), 0);
    pb_clock_fake(1000499);
    value_is(s, "aws", "k", "1");
    assert_int_equal(put(s, "k", "2", "", 0), -1);
    pb_clock_fake(1000500);
    value_is(s, "aws", "k", NULL);
    assert_int_equal(put(s, "k", "3", "1", 0), -1);
    assert_int_equal(put(s, "k", "3", "", 0), 0);
    pb_clock_fake(9000000);
    value_is(s, "aws", "k", "3");
    value_is(s, "aws", "ever", "1");
    pb_store_close(s);
}

static void put_refused(struct pb_store *s, size_t space_n, size_t key_n, size_t value_n, int64_t ttl_ms,
                        const char *msg)
{
    char *big = pb_alloc(PB_STORE_VALUE_MAX + 1);
    struct pb_err err = {0};
    memset(big, 'x', PB_STORE_VALUE_MAX + 1);
    int rc = pb_store_kv_put(s, pb_str(big, space_n), pb_str(big, key_n), pb_str(big, value_n), NULL, ttl_ms,
                             &err);
    pb_free(big);
    assert_string_equal(err.msg, msg);
    assert_int_equal(rc, *msg ? -1 : 0);
}

static void test_kv_sizes(void **state)
{
    (void)state;
    struct pb_store *s = opened();
    put_refused(s, 1, 512, 1 << 20, 0, "");
    put_refused(s, 1, 513, 1, 0, "a key of 513 bytes; expected 1 to 512");
    put_refused(s, 1, 0, 1, 0, "a key of 0 bytes; expected 1 to 512");
    put_refused(s, 0, 1, 1, 0, "a space of 0 bytes; expected 1 to 256");
    put_refused(s, 257, 1, 1, 0, "a space of 257 bytes; expected 1 to 256");
    put_refused(s, 1, 1, (1 << 20) + 1, 0, "a value of 1048577 bytes; expected at most 1048576");
    put_refused(s, 1, 1, 1, -1, "a ttl of -1 ms");
    /* Any bytes are a key and a value. */
    struct pb_err err = {0};
    struct pb_buf b = {0};
    pbay_str key = pb_str("\0\xff k", 4), value = pb_str("a\0\xfe", 3);
    assert_int_equal(pb_store_kv_put(s, PB_STR("aws"), key, value, NULL, 0, &err), 0);
    assert_int_equal(pb_store_kv_get(s, PB_STR("aws"), key, &b, &err), 0);
    assert_true(pb_str_eq(pb_buf_view(&b), value));
    pb_buf_free(&b);
    value_is(s, "aws", "\xff k", NULL);
    pb_store_close(s);
}

static void test_check(void **state)
{
    (void)state;
    struct pb_store *s = opened(), *other = opened();
    struct pb_err err = {0};
    id_of(s, "sse", "a", -1);
    assert_int_equal(put(other, "k", "1", NULL, 0), 0);
    assert_int_equal(id_of(other, "sse", "a", -1), 1000);
    value_is(s, "aws", "k", "1");
    if (pb_store_check(s, false, &err) != 0) fail_msg("%s", err.msg);
    pb_store_close(other);
    pb_store_close(s);
    pb_store_close(NULL);
}

int store_suite_run(const struct store_factory *f)
{
    factory = f;
#define T(name) cmocka_unit_test_setup_teardown(name, suite_setup, suite_teardown)
    const struct CMUnitTest tests[] = {
        T(test_ids_stay), T(test_explicit_ids), T(test_moved_ids), T(test_processes), T(test_killed),
        T(test_kv),       T(test_kv_expected),  T(test_kv_ttl),    T(test_kv_sizes),  T(test_check),
    };
    print_message("engine %s\n", f->name);
    return cmocka_run_group_tests(tests, NULL, NULL) + suite_events() + suite_jobs() + suite_queues() +
           suite_control() + suite_async() + suite_runner() + suite_crash() + suite_durable() + suite_runs();
}
