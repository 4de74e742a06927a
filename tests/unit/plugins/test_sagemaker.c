/* SPDX-License-Identifier: MIT */
/* The sagemaker plugin as the host loads it, against a stand-in that verifies signatures with botocore. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/mem.h"
#include "base/str.h"
#include "net/http_client.h"
#include "net/http_peer.h"
#include "plugin/operation.h"
#include "plugin/registry.h"

#define ID     "AKIDEXAMPLE"
#define SECRET "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"

static struct pb_loop *loop;
static struct pb_plugin_env env;
static struct pb_registry *registry;
static bool closed;

static void turn(void)
{
    pb_loop_turn(loop, false);
    usleep(200);
}

static void on_closed(void *user, bool clean)
{
    (void)user;
    assert_true(clean);
    closed = true;
}

static struct pbay_config *config(const char *text, const pbay_option_table *a, const pbay_option_table *b)
{
    struct pb_err err;
    struct pb_ini *ini;
    struct pbay_config *cfg = NULL;
    if (pb_ini_parse("test.ini", pb_str_c(text), PB_INI_OURS, &ini, &err)) fail_msg("%s", err.msg);
    const pbay_option_table *tables[] = {a, b};
    const struct pb_config_env cenv = {"/", NULL, NULL};
    if (pb_config_make(ini->sections[0], tables, 2, &cenv, &cfg, &err)) fail_msg("%s", err.msg);
    pb_ini_free(ini);
    return cfg;
}

static struct pb_connector *connect_with(const char *options)
{
    struct pb_err err;
    static int n;
    char name[16];
    snprintf(name, sizeof name, "aws%d", n++);
    struct pb_connector_spec spec = {.name = pb_str_c(name),
                                     .plugin = pb_registry_find(registry, PB_STR("sagemaker"), &err)};
    if (!spec.plugin) fail_msg("%s", err.msg);
    PB_AUTO_FREE char *text =
        pb_sprintf("[connector \"x\"]\nplugin = sagemaker\nendpoint_url = http://127.0.0.1:%d/\n%s\n",
                   peer_port, options);
    spec.config = config(text, &pb_connector_options, &spec.plugin->descriptor.options);
    struct pb_connector *c = pb_connector_new(registry, &spec, &err);
    if (!c) fail_msg("%s", err.msg);
    if (pb_connector_start(c, &err)) fail_msg("%s", err.msg);
    return c;
}

static void disconnect(struct pb_connector *c)
{
    closed = false;
    pb_connector_close(c, 2000, on_closed, NULL);
    while (!closed) turn();
}

static struct pb_connector *aws; /* with the keys of the documentation */

/* ------------------------------------------------------------------------------------------------ functions
 */

struct bound {
    struct pb_op *op;
    struct pbay_config *cfg;
};

/* options: lines of the [function]; kinds of what it sends: n, s; of what it answers: n, s, or 0. */
static struct bound bind_on(struct pb_connector *c, const char *operation, const char *options,
                            const char *sends, char answers, struct pb_err *err)
{
    static pbay_field in[8], out[1];
    struct bound b = {0};
    const struct pb_plugin *plugin = pb_connector_plugin(c);
    const pbay_option_table *table = NULL;
    for (uint32_t i = 0; i < plugin->functions.n_operations; i++)
        if (strcmp(plugin->functions.operations[i].name, operation) == 0)
            table = &plugin->functions.operations[i].options;
    assert_non_null(table);
    PB_AUTO_FREE char *text = pb_sprintf("[function \"f\"]\n%s\n", options);
    b.cfg = config(text, table, NULL);
    uint32_t n = 0;
    for (; sends[n]; n++) in[n] = (pbay_field){PB_STR("x"), sends[n] == 'n' ? PBAY_NUM : PBAY_STR, 0};
    out[0] = (pbay_field){PB_STR("score"), answers == 'n' ? PBAY_NUM : PBAY_STR, 0};
    pbay_function_info info = {.struct_size = sizeof info,
                               .name = PB_STR("f"),
                               .sends = in,
                               .n_sends = n,
                               .answers = out,
                               .n_answers = answers ? 1 : 0,
                               .max_rows = 500,
                               .config = b.cfg};
    b.op = pb_op_bind(c, pb_str_c(operation), &info, err);
    if (!b.op) pb_config_free(b.cfg);
    return b;
}

static struct bound bind(const char *operation, const char *options, const char *sends, char answers)
{
    struct pb_err err;
    struct bound b = bind_on(aws, operation, options, sends, answers, &err);
    if (!b.op) fail_msg("%s", err.msg);
    return b;
}

static void unbind(struct bound *b)
{
    while (pb_op_in_flight(b->op))
        turn(); /* what was answered in the plugin's place is still to come from it */
    pb_op_unbind(b->op);
    pb_config_free(b->cfg);
}

struct seen {
    int n;
    struct pb_err err;
    struct pbay_builder *out;
    const pbay_batch *batch;
    struct pb_op_call *call;
};

static void on_complete(void *user, struct pb_op_answer *a)
{
    struct seen *s = user;
    s->n++;
    pb_err_clear(&s->err);
    if (a->err) s->err = *a->err;
    s->out = a->out;
    s->batch = a->batch;
}

static int begin(struct bound *f, struct pbay_builder *b, int64_t deadline, struct seen *s)
{
    struct pb_err err;
    memset(s, 0, sizeof *s);
    const struct pb_op_context_info info = {.deadline_ns = deadline};
    struct pb_op_context *ctx = pb_op_context_new(&info);
    const pbay_batch *batch = pb_builder_seal(b, &err);
    assert_non_null(batch);
    int rc = pb_op_submit(f->op, ctx, 1, batch, b, 0, batch->n_rows, on_complete, s, &s->call, &s->err);
    pb_op_context_unref(ctx);
    pb_builder_unref(b);
    return rc;
}

static void finish(struct seen *s)
{
    while (!s->n) turn();
    assert_int_equal(s->n, 1);
}

/* n rows of numbers i, 2 i. */
static struct pbay_builder *numbers(uint32_t n)
{
    struct pbay_builder *b = pb_builder_new();
    pb_builder_column(b, PB_STR("x"), PBAY_NUM);
    pb_builder_column(b, PB_STR("y"), PBAY_NUM);
    for (uint32_t i = 0; i < n; i++) {
        pb_put_num(b, 0, i + 0.25);
        pb_put_num(b, 1, 2.0 * i);
    }
    return b;
}

static struct pbay_builder *texts(const char *const *rows, uint32_t n, uint32_t cols)
{
    struct pbay_builder *b = pb_builder_new();
    for (uint32_t c = 0; c < cols; c++) pb_builder_column(b, PB_STR("t"), PBAY_STR);
    for (uint32_t i = 0; i < n * cols; i++) pb_put_text(b, i % cols, rows[i], strlen(rows[i]));
    return b;
}

static struct seen call_numbers(const char *options, uint32_t n, char answers)
{
    struct bound f = bind("invoke", options, "nn", answers);
    struct seen s;
    if (begin(&f, numbers(n), PB_NO_DEADLINE, &s) == 0) finish(&s);
    unbind(&f);
    return s;
}

/* ------------------------------------------------------------------------------------------------ invoke */

static void check_sums(struct seen *s, uint32_t n)
{
    if (s->err.code) fail_msg("%s", s->err.msg);
    assert_int_equal(s->batch->n_rows, n);
    const pbay_column *c = pbay_batch_col(s->batch, 0);
    assert_int_equal(c->kind, PBAY_NUM);
    for (uint32_t i = 0; i < n; i++) assert_true(c->num[i] == 3.0 * i + 0.25);
    pb_builder_unref(s->out);
}

static void test_invoke(void **state)
{
    (void)state;
    struct seen s = call_numbers("endpoint = sum", 500, 'n');
    check_sums(&s, 500);
    s = call_numbers("endpoint = sum", 1, 'n');
    check_sums(&s, 1);
    s = call_numbers("endpoint = sum-json\naccept = application/json", 77, 'n');
    check_sums(&s, 77);
    s = call_numbers("endpoint = sum-json\npath = predictions[].score\nheader.X-Amzn-Trace-Id = x", 77, 'n');
    check_sums(&s, 77);
    struct bound f = bind("invoke", "endpoint = sum", "nn", 'n');
    assert_true(pb_str_is(pb_op_lane(f.op), "sum"));
    /* Many at once. */
    static struct seen many[50];
    for (int i = 0; i < 50; i++)
        assert_int_equal(begin(&f, numbers(1 + (uint32_t)i), PB_NO_DEADLINE, &many[i]), 0);
    for (int i = 0; i < 50; i++) {
        finish(&many[i]);
        check_sums(&many[i], 1 + (uint32_t)i);
    }
    unbind(&f);
}

static void test_formats(void **state)
{
    (void)state;
    static const char *const ROWS[] = {"a,b", "say \"hi\"", "plain", "two\nlines", "\xc3\xa9", " x "};
    struct bound f = bind("invoke", "endpoint = echo", "ss", 0);
    struct seen s;
    assert_int_equal(begin(&f, texts(ROWS, 6, 1), PB_NO_DEADLINE, &s), 0);
    finish(&s);
    if (s.err.code) fail_msg("%s", s.err.msg);
    for (uint32_t i = 0; i < 5; i++)
        assert_true(pb_str_is(pbay_cell_text(pbay_batch_col(s.batch, 0), i), ROWS[i]));
    pb_builder_unref(s.out);
    unbind(&f);

    /* Raw: what stands in the column is the line. */
    static const char *const LINES[] = {"1,2,3", "4,5,6"};
    f = bind("invoke", "endpoint = sum\nbody = raw", "s", 'n');
    assert_int_equal(begin(&f, texts(LINES, 2, 1), PB_NO_DEADLINE, &s), 0);
    finish(&s);
    if (s.err.code) fail_msg("%s", s.err.msg);
    assert_true(pbay_batch_col(s.batch, 0)->num[0] == 6 && pbay_batch_col(s.batch, 0)->num[1] == 15);
    pb_builder_unref(s.out);
    assert_int_equal(begin(&f, numbers(1), PB_NO_DEADLINE, &s), -1);
    assert_non_null(strstr(s.err.msg, "body = raw"));
    unbind(&f);

    f = bind("invoke", "endpoint = echo\nformat = json\npath = instances", "n", 0);
    assert_int_equal(begin(&f, texts(ROWS, 2, 1), PB_NO_DEADLINE, &s), 0);
    finish(&s);
    if (s.err.code) fail_msg("%s", s.err.msg);
    pb_builder_unref(s.out);
    unbind(&f);
    f = bind("invoke", "endpoint = echo\nformat = lines", "s", 0);
    assert_int_equal(begin(&f, texts(ROWS, 3, 1), PB_NO_DEADLINE, &s), 0);
    finish(&s);
    if (s.err.code) fail_msg("%s", s.err.msg);
    pb_builder_unref(s.out);
    unbind(&f);

    f = bind("invoke",
             "endpoint = headers\naccept = application/json\ntarget_variant = blue\ncustom_attributes = a  "
             "b\nheader.X-Own = 1",
             "n", 0);
    assert_int_equal(begin(&f, numbers(1), PB_NO_DEADLINE, &s), 0);
    finish(&s);
    if (s.err.code) fail_msg("%s", s.err.msg);
    pbay_str got = pbay_cell_text(pbay_batch_col(s.batch, 0), 0);
    static const char *const WANT[] = {
        "[\"X-Amzn-SageMaker-Target-Variant\", \"blue\"]", "[\"X-Own\", \"1\"]",
        "[\"X-Amzn-SageMaker-Custom-Attributes\", \"a  b\"]", "[\"Content-Type\", \"text/csv\"]"};
    for (size_t i = 0; i < PB_COUNTOF(WANT); i++)
        if (!memmem(got.p, got.n, WANT[i], strlen(WANT[i])))
            fail_msg("%s is not in %.*s", WANT[i], PB_FMT(got));
    pb_builder_unref(s.out);
    unbind(&f);
}

static void test_errors(void **state)
{
    (void)state;
    static const struct {
        const char *endpoint;
        int32_t code;
        uint32_t effect, advice;
        const char *vendor, *message;
    } V[] = {
        {"throttled", PBAY_RESOURCE_EXHAUSTED, PBAY_EFFECT_NONE, PBAY_ADVICE_SLOW, "ThrottlingException",
         "ThrottlingException"},
        {"busy", PBAY_UNAVAILABLE, PBAY_EFFECT_MAYBE, PBAY_ADVICE_RETRY, "ServiceUnavailable",
         "busy (HTTP 503, request req-1)"},
        {"broken", PBAY_UNAVAILABLE, PBAY_EFFECT_MAYBE, PBAY_ADVICE_RETRY, "", "<html>oops</html> (HTTP 500"},
        {"model-error", PBAY_INVALID_ARGUMENT, PBAY_EFFECT_NONE, PBAY_ADVICE_NONE, "ModelError",
         "endpoint model-error: the model answered 415: This predictor only supports CSV data"},
        {"model-busy", PBAY_UNAVAILABLE, PBAY_EFFECT_NONE, PBAY_ADVICE_RETRY, "ModelError",
         "answered 503: loading"},
        {"too-large", PBAY_RESOURCE_EXHAUSTED, PBAY_EFFECT_NONE, PBAY_ADVICE_SPLIT, "",
         "HTTP content length exceeded"},
        {"denied", PBAY_PERMISSION_DENIED, PBAY_EFFECT_NONE, PBAY_ADVICE_NONE, "AccessDeniedException",
         "not authorized"},
        {"gone", PBAY_INVALID_ARGUMENT, PBAY_EFFECT_NONE, PBAY_ADVICE_NONE, "ValidationError",
         "Endpoint gone of account"},
        {"garbage", PBAY_DATA_LOSS, PBAY_EFFECT_NONE, PBAY_ADVICE_NONE, "", "the answer is not JSON"},
        {"short", PBAY_DATA_LOSS, PBAY_EFFECT_NONE, PBAY_ADVICE_NONE, "",
         "3 rows were sent and 2 predictions came back"},
        {"long", PBAY_DATA_LOSS, PBAY_EFFECT_NONE, PBAY_ADVICE_NONE, "",
         "3 rows were sent and 4 predictions came back"},
        {"hang-up", PBAY_UNAVAILABLE, PBAY_EFFECT_MAYBE, PBAY_ADVICE_RETRY, "",
         "closed the connection before it answered"},
    };
    for (size_t i = 0; i < PB_COUNTOF(V); i++) {
        char options[64];
        snprintf(options, sizeof options, "endpoint = %s", V[i].endpoint);
        struct seen s = call_numbers(options, 3, 'n');
        if (s.err.code != V[i].code || s.err.effect != V[i].effect || s.err.advice != V[i].advice ||
            strcmp(s.err.vendor_code, V[i].vendor) != 0 || !strstr(s.err.msg, V[i].message))
            fail_msg("%s: %d %u %u \"%s\" %s", V[i].endpoint, s.err.code, s.err.effect, s.err.advice,
                     s.err.vendor_code, s.err.msg);
        assert_null(s.out);
        if (i == 0) assert_int_equal(s.err.retry_after_ms, 2000);
    }
    struct seen one = call_numbers("endpoint = too-large", 1, 'n');
    assert_int_equal(one.err.advice, PBAY_ADVICE_NONE);

    struct seen s = call_numbers("endpoint = words", 4, 'n');
    assert_int_equal(s.err.code, PBAY_OK);
    assert_int_equal(s.batch->n_row_errors, 2);
    assert_int_equal(s.batch->row_errors[0].row, 1);
    assert_int_equal(s.batch->row_errors[1].row, 3);
    assert_true(memmem(s.batch->row_errors[0].message.p, s.batch->row_errors[0].message.n, "\"abc\"", 5) !=
                NULL);
    pb_builder_unref(s.out);
}

static void test_deadline_and_cancel(void **state)
{
    (void)state;
    struct bound f = bind("invoke", "endpoint = slow", "nn", 'n');
    struct seen s;
    assert_int_equal(begin(&f, numbers(2), pb_mono_ns() + 200 * PB_MS, &s), 0);
    finish(&s);
    assert_int_equal(s.err.code, PBAY_DEADLINE_EXCEEDED);
    assert_int_equal(begin(&f, numbers(2), PB_NO_DEADLINE, &s), 0);
    pb_op_cancel(s.call);
    finish(&s);
    assert_int_equal(s.err.code, PBAY_CANCELLED);
    unbind(&f);
    assert_int_equal(pb_fetch_in_flight(env.http), 0);
}

static void refused_options(const char *operation, const char *options, const char *sends,
                            const char *message)
{
    struct pb_err err;
    struct bound b = bind_on(aws, operation, options, sends, 'n', &err);
    if (b.op) fail_msg("%s is taken", options);
    if (!strstr(err.msg, message)) fail_msg("%s: %s", options, err.msg);
}

static void test_options(void **state)
{
    (void)state;
    refused_options("invoke", "endpoint = -x", "n", "test.ini:2");
    refused_options("invoke", "endpoint = a/../b", "n", "letters, digits and inner hyphens");
    refused_options("invoke", "endpoint = x\npath = a[", "n", "cannot be read");
    refused_options("invoke", "endpoint = x\nbody = raw", "nn", "sends one column");
    refused_options("invoke", "endpoint = x\nheader.X-Amz-Date = 1", "n", "signature");
}

static void test_keys(void **state)
{
    (void)state;
    /* Files, an unknown key, and a key that is replaced while running. */
    char dir[] = "/tmp/pb-aws-XXXXXX";
    assert_non_null(mkdtemp(dir));
    char path[64];
    snprintf(path, sizeof path, "%s/credentials", dir);
    FILE *file = fopen(path, "w");
    fprintf(file,
            "[default]\naws_access_key_id = %s\naws_secret_access_key = %s\n[bad]\naws_access_key_id=NOBODY\n"
            "aws_secret_access_key=x\n",
            ID, SECRET);
    fclose(file);
    setenv("AWS_SHARED_CREDENTIALS_FILE", path, 1);
    setenv("AWS_CONFIG_FILE", "/nonexistent", 1);
    struct pb_err err;
    struct seen s;
    struct pb_connector *c = connect_with("region = eu-west-1");
    struct bound f = bind_on(c, "invoke", "endpoint = expired", "nn", 'n', &err);
    assert_int_equal(begin(&f, numbers(2), PB_NO_DEADLINE, &s), 0);
    finish(&s);
    assert_int_equal(s.err.code, PBAY_PERMISSION_DENIED);
    assert_int_equal(s.err.advice, PBAY_ADVICE_NONE);
    file = fopen(path, "w");
    fprintf(file, "[default]\naws_access_key_id = SECOND\naws_secret_access_key = second-secret\n");
    fclose(file);
    usleep(2100000); /* keys are read again at most every two seconds */
    assert_int_equal(begin(&f, numbers(2), PB_NO_DEADLINE, &s), 0);
    finish(&s);
    check_sums(&s, 2);
    unbind(&f);
    disconnect(c);

    c = connect_with("region = eu-west-1\nprofile = nobody");
    f = bind_on(c, "invoke", "endpoint = sum", "nn", 'n', &err);
    assert_int_equal(begin(&f, numbers(2), PB_NO_DEADLINE, &s), -1);
    assert_int_equal(s.err.code, PBAY_UNAUTHENTICATED);
    assert_non_null(strstr(s.err.msg, "the profile \"nobody\" is in neither"));
    pbay_str sentence;
    assert_int_equal(pb_connector_state(c, &sentence), PB_CONNECTOR_DEGRADED);
    unbind(&f);
    disconnect(c);

    c = connect_with("region = eu-west-1\naccess_key_id = NOBODY\nsecret_access_key = x");
    f = bind_on(c, "invoke", "endpoint = sum", "nn", 'n', &err);
    assert_int_equal(begin(&f, numbers(2), PB_NO_DEADLINE, &s), 0);
    finish(&s);
    assert_int_equal(s.err.code, PBAY_PERMISSION_DENIED);
    assert_string_equal(s.err.vendor_code, "UnrecognizedClientException");
    unbind(&f);
    disconnect(c);
    unsetenv("AWS_SHARED_CREDENTIALS_FILE");
    unsetenv("AWS_CONFIG_FILE");
    unlink(path);
    rmdir(dir);
}

/* ------------------------------------------------------------------------------------------------ REST */

static struct seen call_rest(const char *operation, const char *url, const char *const *rows, uint32_t n,
                             uint32_t cols)
{
    char options[256];
    snprintf(options, sizeof options, "url = http://127.0.0.1:%d/rest/%s\nrow_in_flight = 7", peer_port, url);
    struct bound f = bind(operation, options, "s", 's');
    struct seen s;
    if (begin(&f, texts(rows, n, cols), PB_NO_DEADLINE, &s) == 0) finish(&s);
    unbind(&f);
    return s;
}

static void test_rest(void **state)
{
    (void)state;
    enum { N = 60 };
    static char text[N][32];
    static const char *rows[N];
    for (int i = 0; i < N; i++) {
        snprintf(text[i], sizeof text[i], "row-%d", i);
        rows[i] = text[i];
    }
    struct seen s = call_rest("rest_single", "single", rows, N, 1);
    if (s.err.code) fail_msg("%s", s.err.msg);
    for (uint32_t i = 0; i < N; i++) {
        char want[32];
        snprintf(want, sizeof want, "ROW-%u", (unsigned)i);
        assert_true(pb_str_is(pbay_cell_text(pbay_batch_col(s.batch, 0), i), want));
    }
    pb_builder_unref(s.out);

    static const char *const AWKWARD[] = {"17.99,10.38", "a \"b\" \\ \n", "\xc3\xa9", ""};
    static const char *const BODIES[] = {"{\"data\":\"17.99,10.38\"}", "{\"data\":\"a \\\"b\\\" \\\\ \\n\"}",
                                         "{\"data\":\"\xc3\xa9\"}", "{\"data\":\"\"}"};
    s = call_rest("rest_single", "body", AWKWARD, 4, 1);
    if (s.err.code) fail_msg("%s", s.err.msg);
    for (uint32_t i = 0; i < 4; i++)
        assert_true(pb_str_is(pbay_cell_text(pbay_batch_col(s.batch, 0), i), BODIES[i]));
    pb_builder_unref(s.out);
    static const char *const PAIRS[] = {"1", "2", "", "x", "y", "z"};
    s = call_rest("rest_30", "body", PAIRS, 2, 3);
    if (s.err.code) fail_msg("%s", s.err.msg);
    assert_true(pb_str_is(pbay_cell_text(pbay_batch_col(s.batch, 0), 0), "{\"data\":\"1,2,\"}"));
    assert_true(pb_str_is(pbay_cell_text(pbay_batch_col(s.batch, 0), 1), "{\"data\":\"x,y,z\"}"));
    pb_builder_unref(s.out);
}

static void test_rest_errors(void **state)
{
    (void)state;
    static const struct {
        const char *url;
        int32_t code;
        uint32_t advice;
        const char *message;
    } V[] = {
        {"fail/500", PBAY_UNAVAILABLE, PBAY_ADVICE_RETRY, "answered HTTP 500: Internal server error"},
        {"fail/429", PBAY_RESOURCE_EXHAUSTED, PBAY_ADVICE_SLOW, "HTTP 429"},
        {"fail/403", PBAY_PERMISSION_DENIED, PBAY_ADVICE_NONE, "HTTP 403"},
        {"fail/404", PBAY_NOT_FOUND, PBAY_ADVICE_NONE, "HTTP 404"},
        {"fail/302", PBAY_FAILED_PRECONDITION, PBAY_ADVICE_NONE, "redirects are not followed"},
        {"fail-on/c", PBAY_UNAVAILABLE, PBAY_ADVICE_RETRY, "row 3: "},
    };
    static const char *const ROWS[] = {"a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l"};
    for (size_t i = 0; i < PB_COUNTOF(V); i++) {
        struct seen s = call_rest("rest_single", V[i].url, ROWS, 12, 1);
        if (s.err.code != V[i].code || s.err.advice != V[i].advice || !strstr(s.err.msg, V[i].message))
            fail_msg("%s: %d %u %s", V[i].url, s.err.code, s.err.advice, s.err.msg);
        assert_null(s.out);
    }
    struct bound f = bind("rest_single", "url = http://127.0.0.1:9/", "s", 's');
    struct seen s;
    assert_int_equal(begin(&f, texts(ROWS, 3, 1), PB_NO_DEADLINE, &s), 0);
    finish(&s);
    assert_int_equal(s.err.code, PBAY_UNAVAILABLE);
    assert_int_equal(s.err.effect, PBAY_EFFECT_NONE);
    assert_non_null(strstr(s.err.msg, "connecting to 127.0.0.1:9: connection refused"));
    unbind(&f);
    assert_int_equal(pb_fetch_in_flight(env.http), 0);
}

static void test_echo_table(void **state)
{
    (void)state;
    struct bound f = bind("echo_table", "", "nn", 0);
    struct seen s;
    assert_int_equal(begin(&f, numbers(5), PB_NO_DEADLINE, &s), 0);
    finish(&s);
    assert_int_equal(s.err.code, PBAY_OK);
    assert_int_equal(s.batch->n_cols, 2);
    assert_int_equal(s.batch->n_rows, 5);
    assert_true(pbay_batch_col(s.batch, 1)->num[4] == 8);
    pb_builder_unref(s.out);
    unbind(&f);
}

/* ------------------------------------------------------------------------------------------------ main */

static void http_closed(void *user)
{
    *(bool *)user = true;
}

static int setup(void **state)
{
    struct pb_err err;
    struct pb_http_client_conf conf = {0};
    (void)state;
    if (peer_start("sagemaker_peer.py")) return -1;
    loop = pb_loop_new(&err);
    env = (struct pb_plugin_env){
        .loop = loop, .metrics = pb_metrics_new(), .http = pb_http_client_new(loop, &conf, &err)};
    registry = pb_registry_new(&env, false);
    if (pb_registry_add(registry, PB_SAGEMAKER_SO, &err)) {
        print_error("%s\n", err.msg);
        return -1;
    }
    aws = connect_with("region = eu-west-1\naccess_key_id = " ID "\nsecret_access_key = " SECRET
                       "\nsession_token = TOK");
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    bool gone = false;
    disconnect(aws);
    pb_registry_free(registry);
    pb_http_client_close(env.http, http_closed, &gone);
    while (!gone) turn();
    pb_metrics_free(env.metrics);
    pb_loop_free(loop);
    pb_op_pool_free();
    pb_builder_pool_free();
    peer_stop();
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_invoke),
        cmocka_unit_test(test_formats),
        cmocka_unit_test(test_errors),
        cmocka_unit_test(test_options),
        cmocka_unit_test(test_keys),
        cmocka_unit_test(test_rest),
        cmocka_unit_test(test_rest_errors),
        cmocka_unit_test(test_echo_table),
        cmocka_unit_test(test_deadline_and_cancel),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
