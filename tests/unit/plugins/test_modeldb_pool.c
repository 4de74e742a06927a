/* SPDX-License-Identifier: MIT */
/* Connections to ModelDB 1.0, over streams, timers that do as they are told. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "modeldb_fakes.h"

static void closed(v1_pool *p)
{
    v1_pool_stop(p);
    turn(0);
    for (size_t i = 0; i < n_streams; i++) assert_true(streams[i].gone);
    v1_pool_free(p);
    for (size_t i = 0; i < n_timers; i++) assert_null(timers[i].fn);
}

static v1_call *ask(v1_pool *p, enum v1_method m, int32_t seqid, int k)
{
    pbay_text t = {NULL, 0, 0};
    if (m == V1_STORE_RUN)
        v1_ask_run(&t, seqid, 1, S("run"));
    else
        v1_ask_nothing(&t, seqid, V1_TEST_CONNECTION);
    v1_call *c = v1_pool_call(p, pbay_text_view(&t), m, seqid, done, &seen[k]);
    pbay_text_free(&t);
    return c;
}

static pbay_text ok200(int32_t seqid)
{
    pbay_text t = {NULL, 0, 0};
    const thrift_mark m = thrift_begin(&t, THRIFT_REPLY, "testConnection", seqid);
    thrift_field_i32(&t, 0, 200);
    thrift_stop(&t);
    thrift_end(&t, m);
    return t;
}

static void reply(size_t s, int32_t seqid, size_t step)
{
    pbay_text t = ok200(seqid);
    answer(s, &t, step);
    pbay_text_free(&t);
}

/* --------------------------------------------------------------------------------------------------- tests
 */

static void test_one_at_a_time(void **state)
{
    (void)state;
    v1_pool *p = fresh(2);
    for (int i = 0; i < 5; i++) ask(p, V1_TEST_CONNECTION, i + 1, i);
    assert_int_equal(n_streams, 0); /* nothing from inside */
    turn(0);
    assert_int_equal(n_streams, 2);
    came(1, "open");
    came(2, "open");
    const size_t one = streams[0].written.n;
    assert_int_equal(streams[1].written.n, one);
    reply(2, 2, 1); /* byte by byte */
    says(1, 0, 0, "");
    assert_int_equal(seen[1].id, 200);
    assert_int_equal(streams[1].written.n, 2 * one);
    assert_int_equal(streams[0].written.n, one);
    reply(1, 1, 1000);
    reply(1, 4, 7);
    reply(1, 5, 7);
    reply(2, 3, 7);
    for (int i = 0; i < 5; i++) says(i, 0, 0, "");
    assert_int_equal(n_streams, 2);
    /* An idle connection gives the server its thread back. */
    turn(59000);
    assert_false(streams[0].gone);
    turn(2000);
    assert_true(streams[0].gone && streams[1].gone);
    ask(p, V1_TEST_CONNECTION, 9, 9);
    turn(0);
    came(3, "open");
    reply(3, 9, 100);
    says(9, 0, 0, "");
    closed(p);
}

static void test_no_way(void **state)
{
    (void)state;
    v1_pool *p = fresh(4);
    for (int i = 0; i < 3; i++) ask(p, V1_STORE_RUN, i, i);
    turn(0);
    assert_int_equal(n_streams, 3);
    came(1, "connection refused");
    assert_int_equal(seen[0].calls, 0); /* the others may come through */
    came(2, "connection refused");
    came(3, "connection refused");
    for (int i = 0; i < 3; i++) says(i, PBAY_UNAVAILABLE, PBAY_EFFECT_NONE, "connection refused");
    assert_int_equal(seen[0].advice, PBAY_ADVICE_RETRY);
    assert_int_equal(n_streams, 3); /* and nobody knocks again by himself */
    refuse = true;
    ask(p, V1_TEST_CONNECTION, 5, 5);
    turn(0);
    says(5, PBAY_PERMISSION_DENIED, PBAY_EFFECT_NONE, "169.254");
    closed(p);

    /* One works, more do not come about: no storm of attempts. */
    p = fresh(4);
    for (int i = 0; i < 3; i++) ask(p, V1_TEST_CONNECTION, i, i);
    turn(0);
    came(1, "open");
    came(2, "connection refused");
    came(3, "connection refused");
    assert_int_equal(n_streams, 3);
    reply(1, 0, 100);
    reply(1, 1, 100);
    reply(1, 2, 100);
    for (int i = 0; i < 3; i++) says(i, 0, 0, "");
    closed(p);
}

static void test_silence(void **state)
{
    (void)state;
    v1_pool *p = fresh(1);
    ask(p, V1_STORE_RUN, 1, 0);
    ask(p, V1_TEST_CONNECTION, 2, 1);
    turn(0);
    came(1, "open");
    turn(4999);
    assert_int_equal(seen[0].calls, 0);
    turn(1);
    says(0, PBAY_DEADLINE_EXCEEDED, PBAY_EFFECT_MAYBE,
         "has not answered storeExperimentRunEvent within 5000 ms");
    assert_true(streams[0].gone); /* what comes late is for nobody */
    assert_int_equal(n_streams, 2);
    came(2, "open");
    reply(2, 2, 100);
    says(1, 0, 0, "");
    closed(p);
}

static void test_old_connection(void **state)
{
    (void)state;
    v1_pool *p = fresh(1);
    ask(p, V1_TEST_CONNECTION, 1, 0);
    turn(0);
    came(1, "open");
    reply(1, 1, 100);
    ask(p, V1_TEST_CONNECTION, 2, 1);
    turn(0);
    came(1, "end"); /* it was restarted meanwhile: a read is asked again on a new one */
    turn(0);
    assert_int_equal(n_streams, 2);
    came(2, "open");
    came(2, "reset"); /* but not for ever */
    says(1, PBAY_UNAVAILABLE, PBAY_EFFECT_NONE,
         "closed the connection instead of answering testConnection (reset)");
    ask(p, V1_TEST_CONNECTION, 3, 2);
    turn(0);
    came(3, "open");
    reply(3, 3, 100);
    ask(p, V1_STORE_RUN, 4, 3);
    turn(0);
    came(3, "end");
    says(3, PBAY_UNAVAILABLE, PBAY_EFFECT_MAYBE, "instead of answering storeExperimentRunEvent");
    ask(p, V1_TEST_CONNECTION, 5, 4);
    turn(0);
    came(4, "open");
    pbay_text half = ok200(5);
    half.n /= 2;
    answer(4, &half, 100);
    pbay_text_free(&half);
    came(4, "end");
    says(4, PBAY_UNAVAILABLE, PBAY_EFFECT_NONE, "in the middle of its answer to testConnection");
    /* An idle one that the server closes costs nothing. */
    ask(p, V1_TEST_CONNECTION, 6, 5);
    turn(0);
    came(5, "open");
    reply(5, 6, 100);
    came(5, "end");
    assert_true(streams[4].gone);
    closed(p);
}

static void test_bad_bytes(void **state)
{
    (void)state;
    static const struct {
        const char *hex, *says;
        int32_t code;
    } cases[] = {
        {"ffffffff", "-1 bytes", PBAY_DATA_LOSS},
        {"7fffffff", "2147483647 bytes", PBAY_DATA_LOSS},
        {"485454502f312e3120", "HTTP/1.1", PBAY_FAILED_PRECONDITION},
        {"80010002", "without frames", PBAY_FAILED_PRECONDITION},
        {"000000038001ff", "cannot be read", PBAY_DATA_LOSS},
        {"00000004800100020000", "2 bytes follow", PBAY_DATA_LOSS},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        v1_pool *p = fresh(1);
        ask(p, V1_STORE_RUN, 1, 0);
        turn(0);
        came(1, "open");
        pbay_text t = {NULL, 0, 0};
        for (const char *h = cases[i].hex; *h; h += 2) {
            unsigned v;
            assert_int_equal(sscanf(h, "%2x", &v), 1);
            const char c = (char)v;
            pbay_text_add(&t, (pbay_str){&c, 1});
        }
        answer(1, &t, 100);
        pbay_text_free(&t);
        says(0, cases[i].code, PBAY_EFFECT_MAYBE, cases[i].says);
        assert_true(streams[0].gone);
        closed(p);
    }
    /* Bytes that nobody asked for. */
    v1_pool *p = fresh(1);
    ask(p, V1_TEST_CONNECTION, 1, 0);
    turn(0);
    came(1, "open");
    reply(1, 1, 100);
    reply(1, 1, 100);
    assert_true(streams[0].gone);
    closed(p);
}

static void test_stop_and_drop(void **state)
{
    (void)state;
    v1_pool *p = fresh(1);
    ask(p, V1_TEST_CONNECTION, 1, 0);
    ask(p, V1_TEST_CONNECTION, 2, 1);
    v1_call *last = ask(p, V1_TEST_CONNECTION, 3, 2);
    turn(0);
    came(1, "open");
    v1_pool_drop(p, last);
    ask(p, V1_TEST_CONNECTION, 4, 3);
    v1_pool_stop(p);
    turn(0);
    says(1, PBAY_CANCELLED, PBAY_EFFECT_NONE, "stops");
    says(3, PBAY_CANCELLED, PBAY_EFFECT_NONE, "stops");
    assert_int_equal(seen[2].calls, 0);
    assert_int_equal(seen[0].calls, 0); /* what is on its way gets its answer */
    reply(1, 1, 100);
    says(0, 0, 0, "");
    ask(p, V1_TEST_CONNECTION, 5, 4);
    turn(0);
    says(4, PBAY_CANCELLED, PBAY_EFFECT_NONE, "stops");
    closed(p);

    p = fresh(1);
    v1_call *flying = ask(p, V1_TEST_CONNECTION, 1, 0);
    turn(0);
    came(1, "open");
    v1_pool_drop(p, flying);
    reply(1, 1, 100);
    assert_int_equal(seen[0].calls, 0);
    assert_false(streams[0].closing);
    closed(p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_at_a_time), cmocka_unit_test(test_no_way),
        cmocka_unit_test(test_silence),       cmocka_unit_test(test_old_connection),
        cmocka_unit_test(test_bad_bytes),     cmocka_unit_test(test_stop_and_drop),
    };
    const int rc = cmocka_run_group_tests(tests, NULL, NULL);
    for (size_t i = 0; i < n_streams; i++) pbay_text_free(&streams[i].written);
    return rc;
}
