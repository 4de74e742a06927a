/* SPDX-License-Identifier: MIT */
/* The actions of the sagemaker plugin, attempt by attempt, against a stand-in that verifies signatures and
 * arguments. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/mem.h"
#include "base/str.h"
#include "net/http_client.h"
#include "net/http_peer.h"
#include "plugin/action.h"
#include "plugin/operation.h"
#include "plugin/registry.h"

static struct pb_loop *loop;
static struct pb_plugin_env env;
static struct pb_registry *registry;
static struct pb_connector *aws;

static void turn(void)
{
    pb_loop_turn(loop, false);
    usleep(200);
}

static void set(void *user)
{
    *(bool *)user = true;
}

static void on_closed(void *user, bool clean)
{
    assert_true(clean);
    *(bool *)user = true;
}

/* ------------------------------------------------------------------------------------------------ the
 * stand-in */

static char told[1 << 16];

static void on_told(void *user, uint64_t id, const struct pb_fetch_reply *r)
{
    (void)id;
    assert_int_equal(r->status, 200);
    assert_true(r->body.n < sizeof told);
    memcpy(told, r->body.p, r->body.n);
    told[r->body.n] = 0;
    *(bool *)user = true;
}

/* Set members of the stand-in; what it has is in told. */
static void tell(const char *json)
{
    struct pb_err err;
    bool done = false;
    char url[64];
    snprintf(url, sizeof url, "http://127.0.0.1:%d/_control", peer_port);
    const struct pb_fetch_request rq = {
        .flags = PB_FETCH_CONFIGURED, .method = PB_STR("POST"), .url = pb_str_c(url), .body = pb_str_c(json)};
    const struct pb_fetch_events ev = {.on_done = on_told};
    if (!pb_fetch_send(env.http, &rq, &ev, &done, &err)) fail_msg("%s", err.msg);
    while (!done) turn();
}

/* ------------------------------------------------------------------------------------------------ attempts
 */

struct seen {
    bool done, started;
    struct pb_err err;
    struct pb_buf text;
};
static struct seen last;
static int64_t first_attempt;
static uint32_t attempt = 1;

static void on_end(void *user, const struct pb_action_answer *a)
{
    struct seen *s = user;
    s->done = true;
    s->started = a->started;
    pb_err_clear(&s->err);
    if (a->err) s->err = *a->err;
    s->text.n = 0;
    pb_buf_str(&s->text, a->text);
    pb_buf_ch(&s->text, 0);
}

static struct pb_action_call *begin(const char *action, enum pb_action_what what, const char *args,
                                    const char *handle)
{
    struct pb_err err;
    int i = pb_action_find(aws, pb_str_c(action), &err);
    if (i < 0) fail_msg("%s", err.msg);
    const struct pb_action_info info = {.what = what,
                                        .attempt = attempt,
                                        .fence = 1,
                                        .key = PB_STR("key-1"),
                                        .args = pb_str_c(args),
                                        .handle = pb_str_c(handle),
                                        .first_attempt_ms = first_attempt ? first_attempt : pb_now_ms()};
    last.done = last.started = false;
    struct pb_action_call *call = pb_action_begin(aws, i, &info, on_end, &last, &last.err);
    if (!call) last.done = true;
    return call;
}

static void act(const char *action, enum pb_action_what what, const char *args, const char *handle)
{
    begin(action, what, args, handle);
    while (!last.done) turn();
}

static void run(const char *action, const char *args)
{
    act(action, PB_ACTION_RUN, args, "");
}

static void ok(const char *part)
{
    if (last.err.code) fail_msg("%s", last.err.msg);
    if (!strstr(last.text.p, part)) fail_msg("\"%s\" is not in %s", part, last.text.p);
}

static void fails(int32_t code, uint32_t effect, const char *part)
{
    if (last.err.code != code || last.err.effect != effect || !strstr(last.err.msg, part))
        fail_msg("%d %u %s, not %d %u %s", last.err.code, last.err.effect, last.err.msg, code, effect, part);
}

#define ROLE "arn:aws:iam::111111111111:role/train"
#define TRAIN(name, more)                                                                                    \
    "{\"TrainingJobName\":\"" name "\",\"RoleArn\":\"" ROLE                                                  \
    "\",\"OutputDataConfig\":{\"S3OutputPath\":\"s3://bucket/o\"},"                                          \
    "\"AlgorithmSpecification\":{\"TrainingInputMode\":\"File\",\"TrainingImage\":\"i\"},"                   \
    "\"ResourceConfig\":{"                                                                                   \
    "\"InstanceType\":\"ml.m5.large\",\"InstanceCount\":1,\"VolumeSizeInGB\":5},\"StoppingCondition\":{"     \
    "\"MaxRuntimeInSeconds\":60},\"HyperParameters\":{\"lr\":\"0.1\"}" more "}"

/* Poll what was started until it ends. */
static void wait_for(const char *action, const char *args, const char *handle)
{
    for (int i = 0; i < 10; i++) {
        act(action, PB_ACTION_POLL, args, handle);
        if (!last.started) return;
        assert_string_equal(last.text.p, handle);
    }
    fail_msg("%s never ends", action);
}

static void test_training(void **state)
{
    (void)state;
    run("create_training_job", TRAIN("job-1", ""));
    ok("job-1");
    assert_true(last.started);
    wait_for("create_training_job", TRAIN("job-1", ""), "job-1");
    ok("\"TrainingJobStatus\":\"Completed\"");
    ok("model.tar.gz");
    run("describe_training_job", "{\"TrainingJobName\":\"job-1\"}");
    ok("\"SecondaryStatus\":\"Completed\"");
    run("describe_training_job", "{\"TrainingJobName\":\"nobody\"}");
    fails(PBAY_NOT_FOUND, PBAY_EFFECT_NONE, "DescribeTrainingJob of nobody: ValidationException");

    run("create_training_job", TRAIN("job-fails", ""));
    wait_for("create_training_job", TRAIN("job-fails", ""), "job-fails");
    fails(PBAY_FAILED_PRECONDITION, PBAY_EFFECT_DONE, "Failed: AlgorithmError");
    run("create_training_job", TRAIN("job-2", ",\"Wait\":false"));
    ok("\"TrainingJobArn\":\"arn:aws:sagemaker:eu-west-1:111111111111:training-job/job-2\"");
    assert_false(last.started);
    run("stop_training_job", "{\"TrainingJobName\":\"job-2\"}");
    ok("{}");

    tell("{\"page\": 1}");
    run("list_training_jobs", "{\"NameContains\":\"job\",\"SortOrder\":\"Ascending\"}");
    ok("\"NextToken\"");
    assert_null(strstr(last.text.p, "job-2"));
    run("list_training_jobs",
        "{\"NameContains\":\"job\",\"AllPages\":true,\"CreationTimeAfter\":\"2020-01-01T00:00:00Z\"}");
    ok("job-1");
    ok("job-2");
    assert_null(strstr(last.text.p, "NextToken"));
    tell("{\"page\": 100}");
    run("list_tags", "{\"ResourceArn\":\"arn:aws:sagemaker:eu-west-1:111111111111:training-job/job-1\"}");
    ok("\"Tags\":[]");
}

static void test_not_twice(void **state)
{
    (void)state;
    /* The answer was lost: what happened is not known, and the name tells. */
    tell("{\"faults\": {\"CreateTrainingJob\": [\"lose\"]}}");
    run("create_training_job", TRAIN("lost", ""));
    fails(PBAY_UNAVAILABLE, PBAY_EFFECT_MAYBE, "CreateTrainingJob of lost");
    act("create_training_job", PB_ACTION_LOOKUP, TRAIN("lost", ""), "");
    ok("lost");
    assert_true(last.started);
    act("create_training_job", PB_ACTION_LOOKUP, TRAIN("never", ""), "");
    fails(PBAY_NOT_FOUND, PBAY_EFFECT_NONE, "never");
    /* Its second attempt finds it made; a job of the same name from before is another matter. */
    run("create_training_job", TRAIN("lost", ",\"Wait\":false"));
    ok("training-job/lost");
    first_attempt = pb_now_ms() + 3600000;
    act("create_training_job", PB_ACTION_LOOKUP, TRAIN("lost", ""), "");
    fails(PBAY_NOT_FOUND, PBAY_EFFECT_NONE, "earlier");
    run("create_training_job", TRAIN("lost", ""));
    fails(PBAY_ALREADY_EXISTS, PBAY_EFFECT_NONE, "used once");
    first_attempt = 0;
    /* Refused without effect, so asked again; without an answer from the model of the fault it stays unknown.
     */
    tell("{\"faults\": {\"CreateTrainingJob\": [\"throttle\", \"throttle\"]}}");
    run("create_training_job", TRAIN("throttled", ",\"Wait\":false"));
    ok("training-job/throttled");
    tell("{\"faults\": {\"CreateTrainingJob\": [\"failure\"]}}");
    run("create_training_job", TRAIN("failure", ""));
    fails(PBAY_UNAVAILABLE, PBAY_EFFECT_MAYBE, "InternalFailure");
    tell("{\"faults\": {\"DescribeTrainingJob\": [\"failure\", \"reset\"]}}");
    run("describe_training_job", "{\"TrainingJobName\":\"lost\"}");
    ok("\"TrainingJobName\":\"lost\"");
    tell("{\"faults\": {\"CreateTrainingJob\": [\"denied\"]}}");
    run("create_training_job", TRAIN("denied", ""));
    fails(PBAY_PERMISSION_DENIED, PBAY_EFFECT_NONE, "not authorized");
}

#define MODEL(image)                                                                                         \
    "{\"ModelName\":\"m\",\"ExecutionRoleArn\":\"" ROLE "\",\"PrimaryContainer\":{\"Image\":\"" image "\"}}"
#define CONFIG(name, count)                                                                                  \
    "{\"EndpointConfigName\":\"" name                                                                        \
    "\",\"ProductionVariants\":[{\"VariantName\":\"v\",\"ModelName\":\"m\",\"InstanceType\":"                \
    "\"ml.m5.large\",\"InitialInstanceCount\":" count "}]}"

static void test_deploy(void **state)
{
    (void)state;
    static const char ENDPOINT[] = "{\"EndpointName\":\"e\",\"EndpointConfigName\":\"c\"}";
    run("create_endpoint", ENDPOINT);
    fails(PBAY_NOT_FOUND, PBAY_EFFECT_NONE, "Could not find endpoint configuration");
    for (int again = 0; again < 2; again++) { /* the second time all of it is there */
        run("create_model", MODEL("i"));
        ok("\"ModelArn\":\"arn:aws:sagemaker:eu-west-1:111111111111:model/m\"");
        run("create_endpoint_config", CONFIG("c", "1"));
        ok("endpoint-config/c");
        run("create_endpoint", ENDPOINT);
        assert_true(last.started);
        wait_for("create_endpoint", ENDPOINT, "e");
        ok("\"EndpointStatus\":\"InService\"");
    }
    run("create_model", MODEL("other"));
    fails(PBAY_ALREADY_EXISTS, PBAY_EFFECT_NONE, "differs in PrimaryContainer.Image");
    run("create_endpoint_config", CONFIG("c", "2"));
    fails(PBAY_ALREADY_EXISTS, PBAY_EFFECT_NONE, "differs in ProductionVariants.InitialInstanceCount");
    run("create_endpoint_config", CONFIG("c2", "2"));
    ok("endpoint-config/c2");
    tell("{\"faults\": {\"UpdateEndpoint\": [\"lose\"]}}");
    static const char UPDATE[] = "{\"EndpointName\":\"e\",\"EndpointConfigName\":\"c2\"}";
    run("update_endpoint", UPDATE);
    fails(PBAY_UNAVAILABLE, PBAY_EFFECT_MAYBE, "");
    act("update_endpoint", PB_ACTION_LOOKUP, UPDATE, "");
    ok("e");
    assert_true(last.started);
    wait_for("update_endpoint", UPDATE, "e");
    ok("\"EndpointConfigName\":\"c2\"");
    act("update_endpoint", PB_ACTION_LOOKUP, ENDPOINT, "");
    fails(PBAY_NOT_FOUND, PBAY_EFFECT_NONE, "earlier");
    run("describe_endpoint", "{\"EndpointName\":\"e\"}");
    ok("InService");
    run("delete_endpoint", "{\"EndpointName\":\"e\"}");
    ok("{}");
    run("delete_endpoint", "{\"EndpointName\":\"e\"}");
    fails(PBAY_NOT_FOUND, PBAY_EFFECT_NONE, "Could not find");
    attempt = 2; /* the first one may have done it */
    run("delete_endpoint", "{\"EndpointName\":\"e\"}");
    ok("{}");
    attempt = 1;
    run("create_transform_job",
        "{\"TransformJobName\":\"t\",\"ModelName\":\"m\",\"TransformInput\":{\"DataSource\":{"
        "\"S3DataSource\":{\"S3DataType\":"
        "\"S3Prefix\",\"S3Uri\":\"s3://bucket/in\"}}},\"TransformOutput\":{\"S3OutputPath\":\"s3://bucket/"
        "out\"},"
        "\"TransformResources\":{\"InstanceType\":\"ml.m5.large\",\"InstanceCount\":1},\"Wait\":false}");
    ok("transform-job/t");
    run("describe_transform_job", "{\"TransformJobName\":\"t\"}");
    ok("InProgress");
    static const char AUTOML[] =
        "{\"AutoMLJobName\":\"a\",\"RoleArn\":\"" ROLE
        "\",\"OutputDataConfig\":{\"S3OutputPath\":\"s3://bucket/out\"},"
        "\"AutoMLJobInputDataConfig\":[{\"DataSource\":{\"S3DataSource\":{\"S3DataType\":\"S3Prefix\","
        "\"S3Uri\":\"s3://bucket/in\"}}}],"
        "\"AutoMLProblemTypeConfig\":{\"TabularJobConfig\":{\"TargetAttributeName\":\"y\"}}}";
    run("create_auto_ml_job_v2", AUTOML);
    wait_for("create_auto_ml_job_v2", AUTOML, "a");
    ok("\"MetricName\":\"validation:f1\"");
    run("describe_auto_ml_job_v2", "{\"AutoMLJobName\":\"a\"}");
    ok("Completed");
}

static void test_arguments(void **state)
{
    (void)state;
    static const struct {
        const char *action, *args, *part;
    } V[] = {
        {"create_training_job", "{}", "must have \"TrainingJobName\""},
        {"create_training_job", TRAIN("job", ",\"Hyperparameters\":{}"), "did you mean \"HyperParameters\"?"},
        {"create_training_job", TRAIN("-job", ""), "TrainingJobName is \"-job\""},
        {"create_training_job", TRAIN("job", ",\"Wait\":1"), "Wait must be true or false"},
        {"create_training_job", TRAIN("job", ",\"Environment\":{\"A\":1}"),
         "\"A\", whose value must be a text"},
        {"create_training_job", TRAIN("job", ",\"Tags\":[{\"Key\":\"a\"}]"), "Tags[0] must have \"Value\""},
        {"create_training_job", TRAIN("job", ",\"RetryStrategy\":{\"MaximumRetryAttempts\":31}"),
         "RetryStrategy.MaximumRetryAttempts is 31, and must be from 1 to 30"},
        {"create_training_job", TRAIN("job", ",\"VpcConfig\":{\"Subnets\":\"a\",\"SecurityGroupIds\":[]}"),
         "VpcConfig.Subnets must be a list"},
        {"create_model", "{\"ModelName\":\"m\",\"ExecutionRoleArn\":\"role\"}", "must be an ARN"},
        {"create_endpoint_config", CONFIG("c", "\"2\""),
         "ProductionVariants[0].InitialInstanceCount must be an integer"},
        {"list_training_jobs", "{\"StatusEquals\":\"Done\"}", "must be one of InProgress|Completed"},
        {"list_training_jobs", "{\"CreationTimeAfter\":\"yesterday\"}", "must be a time"},
        {"put_object", "{\"Bucket\":\"b\",\"Key\":\"k\"}", "Bucket is not the name of one"},
        {"put_object", "{\"Bucket\":\"bucket\",\"Key\":\"k\",\"Body\":\"\",\"BodyBase64\":\"\"}",
         "one is enough"},
        {"put_object", "{\"Bucket\":\"bucket\",\"Key\":\"k\",\"BodyBase64\":\"a\"}", "not base64"},
        {"get_object", "{\"Bucket\":\"bucket\",\"Key\":\"\"}", "Key is empty"},
    };
    for (size_t i = 0; i < PB_COUNTOF(V); i++) {
        run(V[i].action, V[i].args);
        fails(PBAY_INVALID_ARGUMENT, PBAY_EFFECT_NONE, V[i].part);
    }
}

static char *big_put(const char *key, size_t n)
{
    char *args = pb_alloc(n + 256);
    int k = snprintf(args, n + 256, "{\"Bucket\":\"bucket\",\"Key\":\"%s\",\"Body\":\"", key);
    for (size_t i = 0; i < n; i++) args[(size_t)k + i] = (char)('a' + i % 26);
    strcpy(args + (size_t)k + n, "\"}");
    return args;
}

static void test_objects(void **state)
{
    (void)state;
    run("put_object", "{\"Bucket\":\"bucket\",\"Key\":\"a "
                      "b/\xc3\xa9+&'\",\"Body\":\"x,y\\n1,2\\n\",\"ContentType\":\"text/csv\","
                      "\"Metadata\":{\"who\":\"kim\"}}");
    ok("\"ETag\"");
    run("get_object", "{\"Bucket\":\"bucket\",\"Key\":\"a b/\xc3\xa9+&'\"}");
    ok("\"Body\":\"x,y\\n1,2\\n\"");
    ok("\"Metadata\":{\"who\":\"kim\"}");
    ok("\"ContentType\":\"text/csv\"");
    run("get_object", "{\"Bucket\":\"bucket\",\"Key\":\"a b/\xc3\xa9+&'\",\"Range\":\"bytes=0-2\"}");
    ok("\"Body\":\"x,y\"");
    run("head_object", "{\"Bucket\":\"bucket\",\"Key\":\"a b/\xc3\xa9+&'\"}");
    ok("\"ContentLength\":8");
    run("put_object", "{\"Bucket\":\"my.bucket\",\"Key\":\"bin\",\"BodyBase64\":\"/wD+\"}");
    ok("ETag");
    run("get_object", "{\"Bucket\":\"my.bucket\",\"Key\":\"bin\"}");
    ok("\"BodyBase64\":\"/wD+\"");
    run("get_object", "{\"Bucket\":\"bucket\",\"Key\":\"nobody\"}");
    fails(PBAY_NOT_FOUND, PBAY_EFFECT_NONE, "s3://bucket/nobody: NoSuchKey");
    run("head_object", "{\"Bucket\":\"bucket\",\"Key\":\"nobody\"}");
    fails(PBAY_NOT_FOUND, PBAY_EFFECT_NONE, "s3://bucket/nobody");
    run("get_object", "{\"Bucket\":\"elsewhere\",\"Key\":\"nobody\"}");
    fails(PBAY_NOT_FOUND, PBAY_EFFECT_NONE, "NoSuchBucket");
    tell("{\"faults\": {\"GetObject\": [\"throttle\", \"failure\"]}}");
    run("get_object", "{\"Bucket\":\"my.bucket\",\"Key\":\"bin\"}");
    ok("BodyBase64");
}

static void test_uploads(void **state)
{
    (void)state;
    char *args = big_put("big", (20 << 20) + 17);
    tell("{\"faults\": {\"UploadPart\": [\"throttle\"]}}");
    run("put_object", args);
    ok("-3\\\"\"");
    tell("{}");
    assert_non_null(strstr(told, "\"bucket/big\": 20971537"));
    tell("{\"faults\": {\"UploadPart\": [\"denied\"]}, \"uploads\": {}}");
    run("put_object", args);
    fails(PBAY_PERMISSION_DENIED, PBAY_EFFECT_NONE, "Access Denied");
    tell("{}");
    assert_non_null(strstr(told, "\"uploads\": [\"aborted\"]"));
    tell("{\"faults\": {\"CompleteMultipartUpload\": [\"denied\"]}, \"uploads\": {}}");
    run("put_object", args);
    fails(PBAY_PERMISSION_DENIED, PBAY_EFFECT_NONE, "Access Denied");
    tell("{}");
    assert_non_null(strstr(told, "\"uploads\": [\"aborted\"]"));
    tell("{\"faults\": {\"UploadPart\": [\"slow\", \"slow\", \"slow\"]}, \"uploads\": {}}");
    struct pb_action_call *call = begin("put_object", PB_ACTION_RUN, args, "");
    for (int i = 0; i < 500; i++) turn();
    pb_action_cancel(call);
    while (!last.done) turn();
    assert_int_equal(last.err.code, PBAY_CANCELLED);
    tell("{\"faults\": {}}");
    assert_non_null(strstr(told, "\"uploads\": [\"aborted\"]"));
    pb_free(args);
    assert_int_equal(pb_fetch_in_flight(env.http), 0);
}

/* ------------------------------------------------------------------------------------------------ main */

static int setup(void **state)
{
    struct pb_err err;
    struct pb_http_client_conf conf = {0};
    (void)state;
    if (peer_start("sagemaker_api.py")) return -1;
    loop = pb_loop_new(&err);
    env = (struct pb_plugin_env){
        .loop = loop, .metrics = pb_metrics_new(), .http = pb_http_client_new(loop, &conf, &err)};
    registry = pb_registry_new(&env, false);
    if (pb_registry_add(registry, PB_SAGEMAKER_SO, &err)) {
        print_error("%s\n", err.msg);
        return -1;
    }
    struct pb_connector_spec spec = {.name = PB_STR("aws"),
                                     .plugin = pb_registry_find(registry, PB_STR("sagemaker"), &err)};
    char text[512];
    snprintf(text, sizeof text,
             "[connector \"aws\"]\nplugin = sagemaker\nregion = eu-west-1\naccess_key_id = "
             "AKIDEXAMPLE\nsecret_access_key = "
             "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY\nendpoint_url = http://127.0.0.1:%d\n",
             peer_port);
    struct pb_ini *ini;
    if (pb_ini_parse("test.ini", pb_str_c(text), PB_INI_OURS, &ini, &err)) return -1;
    const pbay_option_table *tables[] = {&pb_connector_options, &spec.plugin->descriptor.options};
    const struct pb_config_env cenv = {"/", NULL, NULL};
    if (pb_config_make(ini->sections[0], tables, 2, &cenv, &spec.config, &err)) return -1;
    pb_ini_free(ini);
    aws = pb_connector_new(registry, &spec, &err);
    if (!aws || pb_connector_start(aws, &err)) {
        print_error("%s\n", err.msg);
        return -1;
    }
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    bool gone = false, closed = false;
    pb_connector_close(aws, 2000, on_closed, &closed);
    while (!closed) turn();
    pb_registry_free(registry);
    pb_http_client_close(env.http, set, &gone);
    while (!gone) turn();
    pb_metrics_free(env.metrics);
    pb_loop_free(loop);
    pb_buf_free(&last.text);
    pb_action_pool_free();
    pb_op_pool_free();
    pb_builder_pool_free();
    peer_stop();
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_training),  cmocka_unit_test(test_not_twice), cmocka_unit_test(test_deploy),
        cmocka_unit_test(test_arguments), cmocka_unit_test(test_objects),   cmocka_unit_test(test_uploads),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
