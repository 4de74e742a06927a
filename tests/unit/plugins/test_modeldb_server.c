/* SPDX-License-Identifier: MIT */
/* Jobs and locks on ModelDB 1.0, over streams, timers and a store that do as they are told. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "modeldb_fakes.h"

static struct {
    char key[400], value[64];
} kv_rows[8];
static struct {
    void (*found)(void *user, const pbay_result *r, pbay_str v);
    void (*done)(void *user, const pbay_result *r);
    void *user;
    char key[400], value[64];
    bool deletes, compares;
    char expected[64];
} kv_ops[8];
static size_t n_ops;

static void kv_get(const pbay_host *host, pbay_str key,
                   void (*found)(void *user, const pbay_result *r, pbay_str v), void *user)
{
    (void)host;
    kv_ops[n_ops].found = found;
    kv_ops[n_ops].user = user;
    snprintf(kv_ops[n_ops++].key, 400, "%.*s", (int)key.n, key.p);
}

static void kv_put(const pbay_host *host, pbay_str key, pbay_str value, const pbay_str *expected, int64_t ttl,
                   void (*fn)(void *user, const pbay_result *r), void *user)
{
    (void)host;
    assert_true(value.n ? ttl > 0 : ttl == 0);
    kv_ops[n_ops].done = fn;
    kv_ops[n_ops].user = user;
    kv_ops[n_ops].deletes = !value.n;
    kv_ops[n_ops].compares = expected != NULL;
    snprintf(kv_ops[n_ops].value, 64, "%.*s", (int)value.n, value.n ? value.p : "");
    if (expected) snprintf(kv_ops[n_ops].expected, 64, "%.*s", (int)expected->n, expected->p);
    snprintf(kv_ops[n_ops++].key, 400, "%.*s", (int)key.n, key.p);
}

static const pbay_kv_1 kv = {sizeof kv, 0, kv_get, kv_put};

static void kv_run(void)
{
    while (n_ops) {
        n_ops--;
        const char *key = kv_ops[n_ops].key;
        size_t row = 0;
        while (row < 8 && strcmp(kv_rows[row].key, key)) row++;
        pbay_result r = PBAY_RESULT_OK;
        if (kv_ops[n_ops].found) {
            void (*found)(void *user, const pbay_result *r, pbay_str v) = kv_ops[n_ops].found;
            kv_ops[n_ops].found = NULL;
            r.code = row < 8 ? PBAY_OK : PBAY_NOT_FOUND;
            found(kv_ops[n_ops].user, &r,
                  row < 8 ? (pbay_str){kv_rows[row].value, strlen(kv_rows[row].value)} : (pbay_str){NULL, 0});
        } else {
            if (kv_ops[n_ops].compares && strcmp(row < 8 ? kv_rows[row].value : "", kv_ops[n_ops].expected)) {
                r.code = PBAY_ABORTED;
            } else if (kv_ops[n_ops].deletes) {
                if (row < 8) kv_rows[row].key[0] = 0;
            } else {
                for (row = row < 8 ? row : 0;
                     row < 7 && kv_rows[row].key[0] && strcmp(kv_rows[row].key, key);)
                    row++;
                snprintf(kv_rows[row].key, 400, "%s", key);
                snprintf(kv_rows[row].value, 64, "%s", kv_ops[n_ops].value);
            }
            kv_ops[n_ops].done(kv_ops[n_ops].user, &r);
        }
        turn(0);
    }
}

static v1_outcome outcome;

static void job_done(void *user, const pbay_result *r, const v1_outcome *o)
{
    done(user, r->code ? r : NULL, NULL);
    if (o) outcome = *o;
}

/* The answer to what was asked last on a stream: an empty list, or an id. */
static void obey(size_t s, const char *wanted)
{
    struct fake_stream *t = &streams[s - 1];
    thrift_in in;
    thrift_message m;
    thrift_in_init(&in, (pbay_str){t->written.p + 4, t->written.n - 4});
    assert_true(thrift_in_message(&in, &m));
    if (m.method.n != strlen(wanted) || memcmp(m.method.p, wanted, m.method.n))
        fail_msg("%.*s instead of %s", (int)m.method.n, m.method.p, wanted);
    pbay_text_clear(&t->written);
    pbay_text out = {NULL, 0, 0};
    const thrift_mark begun = thrift_begin(&out, THRIFT_REPLY, wanted, m.seqid);
    if (strstr(wanted, "Ids")) {
        thrift_field(&out, THRIFT_LIST, 0);
        thrift_list(&out, THRIFT_I32, 0);
    } else {
        thrift_field(&out, THRIFT_STRUCT, 0);
        for (int16_t i = 1; i <= 5; i++) thrift_field_i32(&out, i, 7);
        thrift_stop(&out);
    }
    thrift_stop(&out);
    thrift_end(&out, begun);
    answer(s, &out, 100);
    pbay_text_free(&out);
}

static v1_server *server_fresh(void)
{
    v1_pool_free(fresh(1));
    memset(kv_rows, 0, sizeof kv_rows);
    memset(kv_ops, 0, sizeof kv_ops);
    n_ops = 0;
    const v1_pool_settings o = settings(2);
    return v1_server_new(&o, &kv);
}

static void server_closed(v1_server *s)
{
    kv_run();
    v1_server_stop(s);
    turn(0);
    for (size_t i = 0; i < n_streams; i++) assert_true(streams[i].gone);
    v1_server_free(s);
}

static const v1_wanted another = {.project = {"p", 1},
                                  .author = {"u", 1},
                                  .arn = {"arn2", 4},
                                  .run = {"churn-2 (arn2)", 14},
                                  .type = {"t", 1}};
static const v1_wanted wanted = {.project = {"p", 1},
                                 .author = {"u", 1},
                                 .arn = {"arn", 3},
                                 .run = {"churn-1 (arn)", 13},
                                 .type = {"t", 1}};

static void test_job_and_lock(void **state)
{
    (void)state;
    v1_server *s = server_fresh();
    v1_server_sync(s, &wanted, S("job churn-1"), job_done, &seen[0]);
    turn(0);
    came(1, "open");
    obey(1, "getModelIds");
    obey(1, "getProjectIds");
    obey(1, "getProjectIds");
    kv_run(); /* the lock */
    assert_true(kv_rows[0].key[0]);
    /* A second worker finds it taken, waits, and gives up. */
    v1_server_sync(s, &another, S("job churn-2"), job_done, &seen[1]);
    obey(1, "getProjectIds"); /* the first looks once more, under the lock */
    turn(0);
    came(2, "open");
    obey(2, "getModelIds");
    obey(2, "getProjectIds");
    obey(2, "getProjectIds");
    for (int i = 0; i < 60 && !seen[1].calls; i++) {
        kv_run();
        turn(150);
        if (streams[0].gone) break; /* the first one's patience is over by now as well */
    }
    kv_run();
    assert_int_equal(seen[1].calls, 1);
    assert_non_null(strstr(seen[1].message, "job churn-2: another worker has been making the project \"p\""));
    assert_int_equal(seen[1].code, PBAY_UNAVAILABLE);
    /* The first timed out in storeProjectEvent's neighbourhood: its lock is given back. */
    assert_int_equal(seen[0].calls, 1);
    assert_int_equal(seen[0].code, PBAY_DEADLINE_EXCEEDED);
    kv_run();
    assert_false(kv_rows[0].key[0]);
    server_closed(s);
}

/* A job's connection comes, and the server knows neither the job nor its project: next is the lock. */
static void finds_no_project(size_t stream)
{
    turn(0);
    came(stream, "open");
    obey(stream, "getModelIds");
    obey(stream, "getProjectIds");
    obey(stream, "getProjectIds");
    kv_run();
}

/* A process died with the lock: the next attempt for the same job has it at once. */
static void test_own_lock(void **state)
{
    (void)state;
    v1_server *s = server_fresh();
    v1_server_sync(s, &wanted, S("job churn-1"), job_done, &seen[0]);
    finds_no_project(1);
    assert_true(kv_rows[0].key[0]);
    v1_server_sync(s, &wanted, S("job churn-1"), job_done, &seen[1]); /* as after a kill */
    obey(1, "getProjectIds");
    finds_no_project(2);
    obey(2, "getProjectIds"); /* not a second was waited */
    assert_int_equal(seen[1].calls, 0);
    turn(6000);
    kv_run();
    server_closed(s);
}

/* As far as storeProjectEvent, which has been sent. */
static v1_job *storing(v1_server *s)
{
    v1_job *j = v1_server_sync(s, &wanted, S("job churn-1"), job_done, &seen[0]);
    finds_no_project(1);
    obey(1, "getProjectIds");
    obey(1, "getProjectIds");
    kv_run();
    return j;
}

/* Two projects of one name make the server refuse it for ever. So while one may still be on its way nobody
 * makes another, not even the same job again, whether it was told so, died, or was cancelled. */
static void test_project_on_its_way(void **state)
{
    (void)state;
    for (int how = 0; how < 4; how++) {
        v1_server *s = server_fresh();
        v1_job *j = storing(s);
        if (how == 0) { /* no answer in time */
            turn(5000);
            says(0, PBAY_DEADLINE_EXCEEDED, PBAY_EFFECT_MAYBE, "storeProjectEvent");
        } else if (how == 1) {
            came(1, "reset");
            says(0, PBAY_UNAVAILABLE, PBAY_EFFECT_MAYBE, "storeProjectEvent");
        } else if (how == 2) {
            v1_job_cancel(j);
        } /* 3: as if its process had died; here it lives on, unheard */
        kv_run();
        assert_non_null(strstr(kv_rows[0].value, "storing"));
        for (int k = 1; k < 3; k++) {
            v1_server_sync(s, k == 1 ? &wanted : &another, S("job churn-x"), job_done, &seen[k]);
            turn(0);
            const size_t at = 2;
            if (n_streams < at || streams[at - 1].gone) fail_msg("%d: no connection", how);
            if (!streams[at - 1].open) came(at, "open");
            obey(at, "getModelIds");
            obey(at, "getProjectIds");
            obey(at, "getProjectIds");
            kv_run(); /* it is taken */
            for (int i = 0; i < 10; i++) {
                turn(100);
                kv_run();
                assert_int_equal(streams[at - 1].written.n, 0);
            }
            assert_int_equal(seen[k].calls, 0);
        }
        kv_rows[0].key[0] = 0; /* it ran out */
        turn(150);
        kv_run();
        obey(2, "getProjectIds"); /* one of them goes on, and looks first */
        turn(7000);
        kv_run();
        turn(7000);
        kv_run();
        turn(0);
        server_closed(s);
    }
    /* The server said no: it is over, and the next one may. */
    v1_server *s = server_fresh();
    storing(s);
    pbay_text out = {NULL, 0, 0};
    thrift_in in;
    thrift_message m;
    thrift_in_init(&in, (pbay_str){streams[0].written.p + 4, streams[0].written.n - 4});
    assert_true(thrift_in_message(&in, &m));
    const thrift_mark begun = thrift_begin(&out, THRIFT_REPLY, "storeProjectEvent", m.seqid);
    thrift_field(&out, THRIFT_STRUCT, 1);
    thrift_field_str(&out, 1, S("DataAccessException: locked"));
    thrift_stop(&out);
    thrift_stop(&out);
    thrift_end(&out, begun);
    answer(1, &out, 100);
    pbay_text_free(&out);
    says(0, PBAY_UNAVAILABLE, PBAY_EFFECT_MAYBE, "locked");
    kv_run();
    assert_false(kv_rows[0].key[0]);
    server_closed(s);
    /* Not sent yet: nothing is on its way. */
    s = server_fresh();
    v1_job *j = v1_server_sync(s, &wanted, S("job churn-1"), job_done, &seen[0]);
    finds_no_project(1);
    obey(1, "getProjectIds");
    obey(1, "getProjectIds");
    v1_job_cancel(j); /* while the store notes what the lock is for */
    kv_run();
    assert_false(kv_rows[0].key[0]);
    server_closed(s);
}

/* The lock ran out, and somebody else has it: no project is made. */
static void test_lost_lock(void **state)
{
    (void)state;
    v1_server *s = server_fresh();
    v1_server_sync(s, &wanted, S("job churn-1"), job_done, &seen[0]);
    finds_no_project(1);
    obey(1, "getProjectIds");
    snprintf(kv_rows[0].value, sizeof kv_rows[0].value, "somebody else");
    obey(1, "getProjectIds");
    kv_run();
    assert_int_equal(streams[0].written.n, 0);
    assert_int_equal(seen[0].code, PBAY_ABORTED);
    assert_non_null(strstr(seen[0].message, "job churn-1: the store: the lock on the project ran out"));
    assert_string_equal(kv_rows[0].value, "somebody else");
    server_closed(s);
}

static void test_job_to_the_end(void **state)
{
    (void)state;
    v1_server *s = server_fresh();
    v1_server_sync(s, &wanted, S("job churn-1"), job_done, &seen[0]);
    finds_no_project(1);
    obey(1, "getProjectIds");
    obey(1, "getProjectIds");
    assert_null(strstr(kv_rows[0].value, "storing"));
    kv_run(); /* what the lock is held for now */
    assert_non_null(strstr(kv_rows[0].value, "storing"));
    obey(1, "storeProjectEvent");
    kv_run();
    assert_false(kv_rows[0].key[0]);
    obey(1, "storeExperimentEvent");
    kv_run(); /* the mark: there is none, so it is set */
    assert_non_null(strstr(kv_rows[0].key, "v1-begun/"));
    obey(1, "storeExperimentRunEvent");
    obey(1, "storeFitEvent");
    says(0, 0, 0, "");
    assert_int_equal(outcome.model, 7);
    server_closed(s);

    /* Cancelled wherever it stands: no answer, no leak, what was wanted is not looked at again, the lock
     * given back; but not while the server may be making the project. */
    for (int at = 0; at < 9; at++) {
        s = server_fresh();
        char *arn = strdup("arn"), *project = strdup("p");
        v1_wanted mine = wanted;
        mine.arn.p = arn;
        mine.project.p = project;
        v1_job *j = v1_server_sync(s, &mine, S("job churn-1"), job_done, &seen[0]);
        if (at > 0) turn(0);
        if (at > 1) came(1, "open");
        if (at > 2) obey(1, "getModelIds");
        if (at > 3) obey(1, "getProjectIds"), obey(1, "getProjectIds");
        if (at > 4) kv_run();
        if (at > 5) obey(1, "getProjectIds"), obey(1, "getProjectIds");
        if (at > 6) kv_run();
        if (at > 7) obey(1, "storeProjectEvent");
        v1_job_cancel(j);
        memset(arn, 'x', 3);
        memset(project, 'x', 1);
        free(arn);
        free(project);
        kv_run();
        turn(0);
        if (at > 1 && streams[0].written.n)
            obey(1, at == 2 ? "getModelIds" : at == 3 || at == 5 ? "getProjectIds" : "storeProjectEvent");
        if (n_streams && !streams[0].open) came(1, "gone");
        assert_int_equal(seen[0].calls, 0);
        if (at == 7)
            assert_non_null(strstr(kv_rows[0].value, "storing"));
        else
            assert_false(kv_rows[0].key[0]);
        server_closed(s);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_job_and_lock),       cmocka_unit_test(test_own_lock),
        cmocka_unit_test(test_project_on_its_way), cmocka_unit_test(test_lost_lock),
        cmocka_unit_test(test_job_to_the_end),
    };
    const int rc = cmocka_run_group_tests(tests, NULL, NULL);
    for (size_t i = 0; i < n_streams; i++) pbay_text_free(&streams[i].written);
    return rc;
}
