/* SPDX-License-Identifier: MIT */
/* Connections to ModelDB 1.0 and the jobs on them, over streams, timers and a store that do as they are told.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "../../../plugins/modeldb/v1_server.h"

#define S(text) ((pbay_str){text, sizeof text - 1})

/* ------------------------------------------------------------------------------------------------ the host
 */

static struct stream {
    pbay_stream_events events;
    void *user;
    pbay_text written;
    bool open, closing, gone;
} streams[64];
static size_t n_streams;
static bool refuse;

static pbay_stream stream_open(const pbay_host *host, const pbay_stream_open_info *info,
                               const pbay_stream_events *events, void *user, pbay_result *why)
{
    (void)host;
    assert_int_equal(info->flags, PBAY_STREAM_CONFIGURED);
    if (refuse) {
        why->code = PBAY_PERMISSION_DENIED;
        why->message = S("169.254.169.254 is not for plugins");
        return 0;
    }
    streams[n_streams] = (struct stream){.events = *events, .user = user};
    return ++n_streams;
}

static int32_t stream_write(pbay_stream s, pbay_str piece)
{
    struct stream *t = &streams[s - 1];
    if (t->gone) return PBAY_CANCELLED;
    assert_true(t->open);
    pbay_text_add(&t->written, piece);
    return PBAY_OK;
}

static void stream_credit(pbay_stream s, size_t n)
{
    assert_true(s <= n_streams && n > 0);
}

static void stream_close(pbay_stream s)
{
    streams[s - 1].closing = true;
}

static const pbay_stream_1 stream = {sizeof stream, 0,    stream_open, stream_write,
                                     stream_credit, NULL, stream_close};

static struct timer {
    int64_t due_ms;
    void (*fn)(void *user);
    void *user;
} timers[256];
static size_t n_timers;
static int64_t now;

static int64_t monotonic_ns(void)
{
    return now * 1000000;
}

static pbay_timer timer_start(const pbay_host *host, int64_t delay, int64_t period, void (*fn)(void *user),
                              void *user)
{
    (void)host;
    assert_int_equal(period, 0);
    assert_true(n_timers < 256);
    timers[n_timers] = (struct timer){now + delay, fn, user};
    return ++n_timers;
}

static void timer_cancel(pbay_timer t)
{
    timers[t - 1].fn = NULL;
}

static const pbay_timer_1 timer = {sizeof timer, 0, monotonic_ns, monotonic_ns, timer_start, timer_cancel};

static pbay_result result_of(int32_t code, const char *message)
{
    pbay_result r = PBAY_RESULT_OK;
    r.code = code;
    r.message = (pbay_str){message, strlen(message)};
    return r;
}

/* All that is due, and the ends of what was closed. */
static void turn(int64_t ms)
{
    now += ms;
    for (bool again = true; again;) {
        again = false;
        for (size_t i = 0; i < n_timers; i++) {
            if (!timers[i].fn || timers[i].due_ms > now) continue;
            void (*fn)(void *user) = timers[i].fn;
            timers[i].fn = NULL;
            fn(timers[i].user);
            again = true;
        }
        for (size_t i = 0; i < n_streams; i++) {
            if (!streams[i].closing || streams[i].gone) continue;
            const pbay_result ok = PBAY_RESULT_OK;
            streams[i].gone = true;
            streams[i].events.on_close(streams[i].user, i + 1, &ok);
            again = true;
        }
    }
}

static void came(size_t s, const char *what)
{
    struct stream *t = &streams[s - 1];
    if (!strcmp(what, "open")) {
        t->open = true;
        t->events.on_open(t->user, s);
    } else if (!strcmp(what, "end")) {
        t->events.on_end(t->user, s);
    } else {
        const pbay_result r = result_of(PBAY_UNAVAILABLE, what);
        t->gone = true;
        t->events.on_close(t->user, s, &r);
    }
    turn(0);
}

static void answer(size_t s, const pbay_text *bytes, size_t step)
{
    for (size_t at = 0; at < bytes->n && !streams[s - 1].closing; at += step) {
        const size_t n = bytes->n - at < step ? bytes->n - at : step;
        streams[s - 1].events.on_data(streams[s - 1].user, s, (pbay_str){bytes->p + at, n});
    }
    turn(0);
}

/* ------------------------------------------------------------------------------------------------- callers
 */

static struct seen {
    int calls;
    int32_t code, id;
    uint32_t effect, advice;
    char message[800];
} seen[16];

static void done(void *user, const pbay_result *failed, const v1_answer *a)
{
    struct seen *s = user;
    s->calls++;
    s->code = failed ? failed->code : 0;
    s->effect = failed ? failed->effect : 0;
    s->advice = failed ? failed->advice : 0;
    s->id = a ? a->id : -9;
    snprintf(s->message, sizeof s->message, "%.*s", failed ? (int)failed->message.n : 0,
             failed ? failed->message.p : "");
}

static v1_pool_settings settings(uint32_t connections)
{
    return (v1_pool_settings){.stream = &stream,
                              .timer = &timer,
                              .address = S("db"),
                              .port = 6543,
                              .connections = connections,
                              .connect_ms = 1000,
                              .answer_ms = 5000};
}

static v1_pool *fresh(uint32_t connections)
{
    for (size_t i = 0; i < n_streams; i++) pbay_text_free(&streams[i].written);
    n_streams = n_timers = 0;
    refuse = false;
    memset(seen, 0, sizeof seen);
    const v1_pool_settings o = settings(connections);
    return v1_pool_new(&o);
}

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

static void says(int k, int32_t code, uint32_t effect, const char *words)
{
    assert_int_equal(seen[k].calls, 1);
    if (seen[k].code != code || seen[k].effect != effect || !strstr(seen[k].message, words))
        fail_msg("%d: code %d effect %u \"%s\"", k, (int)seen[k].code, seen[k].effect, seen[k].message);
    if (code && !strstr(seen[k].message, "db:6543")) fail_msg("who? \"%s\"", seen[k].message);
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

/* ----------------------------------------------------------------------------------------- jobs and locks */

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
    assert_true(value.p ? ttl > 0 : ttl == 0);
    kv_ops[n_ops].done = fn;
    kv_ops[n_ops].user = user;
    kv_ops[n_ops].deletes = !value.p;
    kv_ops[n_ops].compares = expected != NULL;
    snprintf(kv_ops[n_ops].value, 64, "%.*s", (int)value.n, value.p ? value.p : "");
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
    struct stream *t = &streams[s - 1];
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

/* A process died with the lock: the next attempt for the same job has it at once. */
static void test_own_lock(void **state)
{
    (void)state;
    v1_server *s = server_fresh();
    v1_server_sync(s, &wanted, S("job churn-1"), job_done, &seen[0]);
    turn(0);
    came(1, "open");
    obey(1, "getModelIds");
    obey(1, "getProjectIds");
    obey(1, "getProjectIds");
    kv_run();
    assert_true(kv_rows[0].key[0]);
    v1_server_sync(s, &wanted, S("job churn-1"), job_done, &seen[1]); /* as after a kill */
    obey(1, "getProjectIds");
    turn(0);
    came(2, "open");
    obey(2, "getModelIds");
    obey(2, "getProjectIds");
    obey(2, "getProjectIds");
    kv_run();
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
    turn(0);
    came(1, "open");
    obey(1, "getModelIds");
    obey(1, "getProjectIds");
    obey(1, "getProjectIds");
    kv_run();
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
    turn(0);
    came(1, "open");
    obey(1, "getModelIds");
    obey(1, "getProjectIds");
    obey(1, "getProjectIds");
    kv_run();
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
    turn(0);
    came(1, "open");
    obey(1, "getModelIds");
    obey(1, "getProjectIds");
    obey(1, "getProjectIds");
    kv_run();
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
    turn(0);
    came(1, "open");
    obey(1, "getModelIds");
    obey(1, "getProjectIds");
    obey(1, "getProjectIds");
    kv_run();
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
        cmocka_unit_test(test_one_at_a_time),
        cmocka_unit_test(test_no_way),
        cmocka_unit_test(test_silence),
        cmocka_unit_test(test_old_connection),
        cmocka_unit_test(test_bad_bytes),
        cmocka_unit_test(test_stop_and_drop),
        cmocka_unit_test(test_job_and_lock),
        cmocka_unit_test(test_own_lock),
        cmocka_unit_test(test_project_on_its_way),
        cmocka_unit_test(test_lost_lock),
        cmocka_unit_test(test_job_to_the_end),
    };
    const int rc = cmocka_run_group_tests(tests, NULL, NULL);
    for (size_t i = 0; i < n_streams; i++) pbay_text_free(&streams[i].written);
    return rc;
}
