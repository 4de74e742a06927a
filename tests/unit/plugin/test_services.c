/* SPDX-License-Identifier: MIT */
/* Connectors from making to closing, and the services they stand on. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include <patchbay/host_batch.h>
#include <patchbay/host_crypto.h>
#include <patchbay/host_http.h>
#include <patchbay/host_metric.h>
#include <patchbay/host_secret.h>

#include "base/buf.h"
#include "base/log.h"
#include "base/str.h"
#include "loop/pool.h"
#include "plugin/harness.h"
#include "plugin/operation.h"
#include "plugin/connector_priv.h"
#include "store/durable.h"

static int setup(void **state)
{
    (void)state;
    harness_open();
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    harness_close();
    return 0;
}

static const void *service(struct pb_connector *c, const char *id)
{
    return c->host.service(&c->host, id);
}

static void test_life(void **state)
{
    (void)state;
    struct pb_err err;
    static const char *const refuse[] = {"refuse = no thanks", NULL};
    assert_null(try_connector("r", refuse, &err));
    assert_int_equal(err.code, PBAY_FAILED_PRECONDITION);
    assert_string_equal(err.msg, "connector \"r\" (plugin good): no thanks");
    assert_int_equal(pb_registry_n_connectors(registry), 0);

    struct pb_connector *c = make_connector("a", NULL);
    assert_ptr_equal(pb_registry_connector(registry, PB_STR("a")), c);
    assert_null(try_connector("a", NULL, &err));
    assert_int_equal(err.code, PBAY_ALREADY_EXISTS);

    pbay_str sentence;
    assert_int_equal(pb_connector_state(c, &sentence), PB_CONNECTOR_DEGRADED);
    assert_true(pb_str_is(sentence, "the other side is slow"));
    pb_connector_set_state(c, PB_CONNECTOR_OUT, "it crashed three times");
    assert_int_equal(pb_connector_state(c, &sentence), PB_CONNECTOR_OUT);
    assert_true(pb_str_is(sentence, "it crashed three times"));
    assert_null(service(c, "pbay.host.invoke/1"));
    assert_null(service(c, PBAY_SVC_HTTP));
    assert_ptr_equal(service(c, PBAY_SVC_BATCH), service(c, PBAY_SVC_BATCH));
    assert_true(pb_str_starts(c->host.version(&c->host), PB_STR("patchbay/")));
    assert_true(close_connector(c, 1000));
    assert_int_equal(pb_registry_n_connectors(registry), 0);
}

static int completed;

static void on_complete(void *user, struct pb_op_answer *a)
{
    completed++;
    if (user) *(struct pb_err *)user = a->err ? *a->err : (struct pb_err){0};
    pb_builder_unref(a->out);
}

static int submit(struct pb_op *op, struct pb_op_call **call, void *user)
{
    struct pb_err err;
    struct pbay_builder *b = pb_builder_new();
    pb_builder_column(b, PB_STR("x"), PBAY_NUM);
    pb_put_num(b, 0, 1);
    const struct pb_op_context_info info = {.deadline_ns = PB_NO_DEADLINE};
    struct pb_op_context *ctx = pb_op_context_new(&info);
    int rc = pb_op_submit(op, ctx, 1, pb_builder_seal(b, &err), b, 0, 1, on_complete, user, call, &err);
    if (rc && user) *(struct pb_err *)user = err;
    pb_op_context_unref(ctx);
    pb_builder_unref(b);
    return rc;
}

static struct pb_op *bind_to(struct pb_connector *c, const char *operation)
{
    struct pb_err err;
    const pbay_function_info info = {.struct_size = sizeof info, .name = PB_STR("f")};
    struct pb_op *op = pb_op_bind(c, pb_str_c(operation), &info, &err);
    if (!op) fail_msg("%s", err.msg);
    return op;
}

/* A call in flight holds the instance; a plugin that never completes it is abandoned, not freed. */
static void test_close(void **state)
{
    (void)state;
    struct pb_connector *c = make_connector("a", NULL);
    struct pb_op *op = bind_to(c, "later");
    completed = 0;
    assert_int_equal(pb_connector_stats(c)->in_flight, 0);
    assert_int_equal(submit(op, NULL, NULL), 0);
    assert_int_equal(pb_connector_stats(c)->in_flight, 1);
    pb_op_unbind(op);
    assert_true(close_connector(c, 10000));
    assert_int_equal(completed, 1);
}

static void test_abandoned(void **state)
{
    (void)state;
    static const char *const keys[] = {"obedient = no", NULL};
    struct pb_connector *c = make_connector("stubborn", keys);
    struct pb_op *op = bind_to(c, "never");
    struct pb_op_call *call;
    struct pb_err err;
    completed = 0;
    assert_int_equal(submit(op, &call, &err), 0);
    pb_op_cancel(call);
    pb_loop_drain(loop);
    assert_int_equal(completed, 1);
    assert_int_equal(err.code, PBAY_CANCELLED);
    pb_op_unbind(op);
    assert_int_equal(pb_connector_stats(c)->late, 1);
    assert_false(close_connector(c, 20));
}

static int submit_refused_when_stopping(struct pb_connector *c)
{
    struct pb_op *op = bind_to(c, "echo");
    struct pb_err err;
    c->stopped = true;
    int rc = submit(op, NULL, &err);
    c->stopped = false;
    pb_op_unbind(op);
    return rc == -1 && err.code == PBAY_UNAVAILABLE;
}

static void test_metric(void **state)
{
    (void)state;
    struct pb_connector *c = make_connector("a b", NULL);
    const pbay_metric_1 *m = service(c, PBAY_SVC_METRIC);
    pbay_metric one = m->slot(&c->host, PBAY_METRIC_COUNTER, "rows", "kind=\"x\"", "Rows.");
    assert_int_not_equal(one, 0);
    assert_int_equal(m->slot(&c->host, PBAY_METRIC_COUNTER, "rows", "kind=\"x\"", "Rows."), one);
    assert_int_equal(m->slot(&c->host, PBAY_METRIC_GAUGE, "rows", "kind=\"x\"", "Rows."), 0);
    uint64_t faults = pb_connector_stats(c)->faults;
    assert_int_equal(m->slot(&c->host, PBAY_METRIC_COUNTER, "Rows", "", "Rows."), 0);
    assert_int_equal(m->slot(&c->host, PBAY_METRIC_COUNTER, "rows", "kind=\"x\"}\nevil 1", "Rows."), 0);
    assert_int_equal(pb_connector_stats(c)->faults, faults + 2);
    m->add(&c->host, one, 3);
    m->add(&c->host, one, 4);
    for (char name[8] = "m_0"; name[2] < 'z'; name[2]++)
        m->slot(&c->host, PBAY_METRIC_COUNTER, name, "",
                "One of many."); /* some are no names; never more than 64 */
    struct pb_buf text = {0};
    pb_registry_publish(registry);
    pb_metrics_text(env.metrics, &text);
    pb_buf_ch(&text, 0);
    if (!strstr(text.p, "patchbay_good_rows{connector=\"a b\",kind=\"x\"} 7\n")) fail_msg("%s", text.p);
    assert_non_null(strstr(text.p, "# TYPE patchbay_good_rows counter\n"));
    assert_non_null(strstr(text.p, "patchbay_connector_faults_total{connector=\"a b\",plugin=\"good\"} "));
    assert_non_null(strstr(text.p, "patchbay_connector_state{connector=\"a b\",plugin=\"good\"} 2\n"));
    pb_buf_free(&text);
    assert_true(submit_refused_when_stopping(c));
    assert_true(close_connector(c, 1000));
}

static void test_secret(void **state)
{
    (void)state;
    struct pb_connector *c = make_connector("a", NULL);
    const pbay_secret_1 *s = service(c, PBAY_SVC_SECRET);
    pbay_result why = PBAY_RESULT_OK;
    pbay_str value;
    assert_int_equal(s->get(&c->host, "refuse", &value, &why), PBAY_NOT_FOUND);
    assert_int_equal(why.code, PBAY_NOT_FOUND);
    assert_int_equal(s->get(&c->host, "obedient", &value, &why), PBAY_OK);
    assert_true(pb_str_is(value, "yes"));
    assert_true(close_connector(c, 1000));
}

static void test_crypto(void **state)
{
    (void)state;
    struct pb_connector *c = make_connector("a", NULL);
    const pbay_crypto_1 *x = service(c, PBAY_SVC_CRYPTO);
    const pbay_str text = PB_STR("rows rows rows rows rows rows rows rows");
    pbay_str zip, back;
    assert_int_equal(x->deflate(PBAY_ZIP_GZIP, 6, text, &zip), PBAY_OK);
    assert_int_equal(x->inflate(PBAY_ZIP_SNIFF, zip, 1000, &back), PBAY_OK);
    assert_true(pb_str_eq(back, text));
    x->release(back);
    assert_int_equal(x->inflate(PBAY_ZIP_GZIP, zip, 10, &back), PBAY_RESOURCE_EXHAUSTED);
    x->release(zip);
    pbay_result why = PBAY_RESULT_OK;
    assert_null(x->key_load(PB_STR("nothing"), PB_STR(""), &why));
    assert_int_not_equal(why.message.n, 0);
    assert_true(close_connector(c, 1000));
}

/* Cells for columns of another kind change nothing, and whole columns are as good as single cells. */
static void test_builders(void **state)
{
    (void)state;
    struct pb_connector *c = make_connector("a", NULL);
    const pbay_batch_1 *b = service(c, PBAY_SVC_BATCH);
    pbay_builder *x = b->create(&c->host);
    b->add_column(x, PB_STR("n"), PBAY_NUM);
    b->add_column(x, PB_STR("t"), PBAY_STR);
    assert_int_equal(b->add_column(x, PB_STR("?"), 9), UINT32_MAX);
    b->text(x, 0, PB_STR("not a number"));
    b->num(x, 1, 1);
    b->num(x, 7, 1);
    double *n = b->nums(x, 0, 3);
    for (int i = 0; i < 3; i++) n[i] = i;
    uint32_t *off;
    b->text(x, 1, PB_STR("zero"));
    char *bytes = b->texts(x, 1, 5, 100, &off);
    memcpy(bytes + off[0], "oneone", 6);
    off[1] = off[0] + 3;
    off[2] = off[1] + 3;
    b->texts_done(x, 1, 2);
    bytes = b->texts(x, 1, 1, 10, &off);
    off[1] = off[0] + 1000000; /* beyond */
    b->texts_done(x, 1, 1);
    off[1] = off[0] - 1; /* backwards */
    b->texts_done(x, 1, 1);
    assert_null(b->nums(x, 1, 1));
    pbay_result why = PBAY_RESULT_OK;
    const pbay_batch *batch = b->seal(x, &why);
    if (!batch) fail_msg("%.*s", PB_FMT(why.message));
    assert_int_equal(batch->n_rows, 3);
    assert_true(pb_str_is(pbay_cell_text(pbay_batch_col(batch, 1), 2), "one"));
    b->null(x, 0);
    assert_null(b->seal(x, &why));
    assert_int_not_equal(why.code, PBAY_OK);
    b->free(x);

    const pbay_codec csv = {
        .struct_size = sizeof csv, .format = PBAY_FORMAT_CSV, .n_columns = 0, .any_kind = PBAY_STR};
    x = b->create(&c->host);
    pbay_reader *r = b->reader(&c->host, &csv, x);
    assert_int_equal(b->feed(r, PB_STR("a,b\nc"), &why), PBAY_OK);
    assert_int_equal(b->feed(r, PB_STR(",d\n"), &why), PBAY_OK);
    assert_int_equal(b->finish(r, &why), PBAY_OK);
    pbay_writer *w = b->writer(&c->host, &csv);
    b->write(w, b->seal(x, &why), NULL);
    assert_true(pb_str_is(b->text_of(w), "a,b\nc,d"));
    b->writer_free(w);
    b->reader_free(r);
    b->free(x);
    double v;
    assert_int_equal(b->to_num(PB_STR("\"2.5\""), &v), 1);
    assert_true(v == 2.5);
    assert_true(pb_str_is(b->json_text(PB_STR("\"a\\u0062\"")), "ab"));
    assert_true(close_connector(c, 1000));
}

/* ------------------------------------------------------------------------------------------------ routes */

static int32_t status;
static struct pb_connector *routed;

static int32_t fake_accept(pbay_request request, pbay_str principal)
{
    (void)request;
    assert_true(pb_str_is(principal, "the test"));
    pb_connector_proven(routed);
    return PBAY_OK;
}

static void fake_respond(pbay_request request, int32_t code, const pbay_header *headers, uint32_t n,
                         pbay_str body)
{
    (void)headers;
    (void)n;
    assert_int_equal(request, 77);
    assert_true(pb_str_is(body, "{}"));
    status = code;
}

static const pbay_request_1 fake_requests = {sizeof fake_requests, 0, fake_accept, fake_respond};

static void test_routes(void **state)
{
    (void)state;
    env.requests = &fake_requests;
    routed = make_connector("a", NULL);
    const pbay_request_info info = {.struct_size = sizeof info, .body = PB_STR("{}")};
    pb_connector_request(routed, 0, 77, &info, true);
    assert_int_equal(status, 200); /* the timer before `accept` was refused, the one after it was not */
    assert_int_equal(pb_connector_stats(routed)->faults, 1);
    pb_connector_request_cancel(routed, 0, 77);
    assert_true(close_connector(routed, 1000));
    env.requests = NULL;
}

/* ------------------------------------------------------------------------------------------------ kv */

static void on_closed(void *user)
{
    *(bool *)user = true;
}

static void test_kv(void **state)
{
    (void)state;
    struct pb_err err;
    char dir[] = "/tmp/pb-kv-XXXXXX";
    assert_non_null(mkdtemp(dir));
    char url[64], path[64];
    snprintf(url, sizeof url, "sqlite:%s/s.db", dir);
    struct pb_store *store;
    if (pb_store_open(url, &store, &err)) fail_msg("%s", err.msg);
    const struct pb_durable_config dc = {.loop = loop,
                                         .store = store,
                                         .owner = PB_STR("test"),
                                         .concurrency = 1,
                                         .lease_ms = 1000,
                                         .keep = PB_RETENTION};
    env.durable = pb_durable_open(&dc, &err);
    pb_durable_start(env.durable);
    struct pb_connector *c = make_connector("a", NULL);
    struct pb_op *op = bind_to(c, "kv");
    completed = 0;
    assert_int_equal(submit(op, NULL, &err), 0);
    while (!completed) turn();
    if (err.code) fail_msg("%s", err.msg);
    pb_op_unbind(op);
    assert_true(close_connector(c, 1000));
    bool closed = false;
    pb_durable_close(env.durable, on_closed, &closed);
    while (!closed) turn();
    env.durable = NULL;
    static const char *const names[] = {"s.db", "s.db-wal", "s.db-shm", "s.db.lock"};
    for (size_t i = 0; i < PB_COUNTOF(names); i++) {
        snprintf(path, sizeof path, "%s/%s", dir, names[i]);
        unlink(path);
    }
    rmdir(dir);
}

/* ------------------------------------------------------------------------------------------------ explain */

static int explained;

static void on_explain(void *user, pbay_str connector, pbay_str method, pbay_str url,
                       const pbay_header *headers, uint32_t n, pbay_str body)
{
    (void)user;
    assert_true(pb_str_is(connector, "a") && pb_str_is(method, "POST") &&
                pb_str_is(url, "https://example.org/x"));
    assert_int_equal(n, 1);
    assert_true(pb_str_is(headers[0].name, "Accept") && pb_str_is(body, "1,2"));
    explained++;
}

static void on_done(void *user, pbay_http exchange, const pbay_http_reply *reply)
{
    assert_int_not_equal(exchange, 0);
    assert_int_equal(reply->result.code, PBAY_CANCELLED);
    ++*(int *)user;
}

static void test_explain(void **state)
{
    (void)state;
    env.explain = on_explain;
    struct pb_connector *c = make_connector("a", NULL);
    const pbay_http_1 *http = service(c, PBAY_SVC_HTTP);
    const pbay_header accept = {PB_STR("Accept"), PB_STR("text/csv")};
    pbay_http_request rq = {.struct_size = sizeof rq,
                            .method = PB_STR("POST"),
                            .url = PB_STR("https://example.org/x"),
                            .headers = &accept,
                            .n_headers = 1,
                            .body = PB_STR("1,2")};
    const pbay_http_events events = {.struct_size = sizeof events, .on_done = on_done};
    pbay_result why = PBAY_RESULT_OK;
    int done = 0;
    pbay_http x = http->send(&c->host, &rq, &events, &done, &why);
    assert_int_not_equal(x, 0);
    assert_int_equal(explained, 1);
    assert_int_equal(done, 0);
    http->cancel(x);
    assert_int_equal(http->write(x, PB_STR("x")), PBAY_CANCELLED);
    pb_loop_drain(loop);
    assert_int_equal(done, 1);
    rq.flags = 1u << 20;
    assert_int_equal(http->send(&c->host, &rq, &events, &done, &why), 0);
    assert_int_equal(why.code, PBAY_INVALID_ARGUMENT);
    assert_true(close_connector(c, 1000));
    env.explain = NULL;
}

int main(void)
{
    pb_log_level(NULL, PB_LOG_OFF);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_life),     cmocka_unit_test(test_close),  cmocka_unit_test(test_abandoned),
        cmocka_unit_test(test_metric),   cmocka_unit_test(test_secret), cmocka_unit_test(test_crypto),
        cmocka_unit_test(test_builders), cmocka_unit_test(test_routes), cmocka_unit_test(test_kv),
        cmocka_unit_test(test_explain),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
