/* SPDX-License-Identifier: MIT */
/* The record of a training job, and what stores with flat names make of it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "../../../plugins/modeldb/facts.h"
#include "../../../plugins/modeldb/mark.h"
#include "../../../plugins/modeldb/mlflow_run.h"
#include "../../../plugins/modeldb/v2_run.h"

static json_t *parsed(const char *text)
{
    json_error_t e;
    json_t *v = json_loads(text, JSON_DECODE_ANY, &e);
    if (!v) fail_msg("%s: %s", text, e.text);
    return v;
}

static void is(pbay_str got, const char *wanted)
{
    if (got.n != strlen(wanted) || (got.n && memcmp(got.p, wanted, got.n)))
        fail_msg("\"%.*s\" is not \"%s\"", (int)got.n, got.n ? got.p : "", wanted);
}

/* Seconds in the API, milliseconds in events, and as texts in their documentation: one moment. */
static void test_moments(void **state)
{
    (void)state;
    static const char *const same[] = {"1583831889050",
                                       "1583831889050.0",
                                       "\"1583831889050\"",
                                       "1583831889.050",
                                       "\"1583831889.05\"",
                                       "\"1583831889050.0\"",
                                       "\"2020-03-10T09:18:09.050Z\"",
                                       "\"2020-03-10T10:18:09.050+01:00\""};
    for (size_t i = 0; i < sizeof same / sizeof *same; i++) {
        json_t *v = parsed(same[i]);
        if (mdb_moment(v) != INT64_C(1583831889050))
            fail_msg("%s is %lld", same[i], (long long)mdb_moment(v));
        json_decref(v);
    }
    static const char *const none[] = {"0",    "-5", "\"\"",  "\"soon\"",          "true",
                                       "null", "[]", "1e300", "\"1583831889050x\""};
    for (size_t i = 0; i < sizeof none / sizeof *none; i++) {
        json_t *v = parsed(none[i]);
        if (mdb_moment(v) != -1) fail_msg("%s is %lld", none[i], (long long)mdb_moment(v));
        json_decref(v);
    }
}

static const char JOB[] =
    "{\"TrainingJobName\": \"churn-1\", \"TrainingJobArn\": "
    "\"arn:aws:sagemaker:eu-west-1:123456789012:training-job/other\","
    "\"TrainingJobStatus\": \"Failed\", \"SecondaryStatus\": \"Failed\", \"FailureReason\": "
    "\"AlgorithmError: exit 1\","
    "\"HyperParameters\": {\"epochs\": \"\\\"10\\\"\", \"sagemaker_program\": \"\\\"train.py\\\"\", \"eta\": "
    "\"0.10\"},"
    "\"AlgorithmSpecification\": {\"TrainingImage\": \"xgboost:1.7\"},"
    "\"InputDataConfig\": [{\"ChannelName\": \"train\", \"DataSource\": {\"S3DataSource\": {\"S3Uri\": "
    "\"s3://b/t\"}}},"
    "{\"ChannelName\": \"fs\", \"DataSource\": {\"FileSystemDataSource\": {\"FileSystemId\": \"fs-1\", "
    "\"DirectoryPath\": \"/d\"}}}],"
    "\"ResourceConfig\": {\"InstanceType\": \"ml.m5.large\", \"InstanceCount\": 2, \"VolumeSizeInGB\": 20},"
    "\"CreationTime\": 1583831889.05, \"LastModifiedTime\": 1583831999,"
    "\"FinalMetricDataList\": [{\"MetricName\": \"a:b\", \"Value\": 0.25, \"Timestamp\": 1583831900},"
    "{\"MetricName\": \"a:b\", \"Value\": 0.5, \"Timestamp\": 1583831990}, {\"MetricName\": \"loss\", "
    "\"Value\": \"NaN\"}],"
    "\"SomethingNew\": {\"a\": [1]}}";

static void read_ok(json_t *json, mdb_record *r)
{
    char why[MDB_WHY] = "";
    if (mdb_record_read(json, r, why)) fail_msg("%s", why);
}

static void test_job(void **state)
{
    (void)state;
    char why[MDB_WHY] = "";
    mdb_record r;
    json_t *job = parsed(JOB),
           *tags =
               parsed("[{\"Key\": \"team\", \"Value\": \"growth\"}, {\"Key\": \"empty\", \"Value\": \"\"}]");
    const mdb_reading how = {.unquote = true};
    json_t *record = mdb_record_of_job(job, tags, &how, why);
    if (!record) fail_msg("%s", why);
    read_ok(record, &r);
    is(r.name, "churn-1"); /* not what the ARN ends with */
    is(r.region, "eu-west-1");
    is(r.account, "123456789012");
    is(r.failure, "AlgorithmError: exit 1");
    is(r.artifact, "");
    assert_true(mdb_record_over(&r));
    assert_int_equal(r.n_parameters, 2);
    is(r.parameters[0].value, "10");
    is(r.parameters[1].value, "0.10");
    assert_int_equal(r.n_metrics, 2);
    assert_true(r.metrics[0].finite && r.metrics[0].value == 0.5); /* the last of a name */
    assert_int_equal(r.metrics[0].time_ms, INT64_C(1583831990000));
    assert_false(r.metrics[1].finite);
    is(r.metrics[1].text, "NaN");
    assert_int_equal(r.n_channels, 2);
    is(r.channels[1].uri, "fs-1:/d");
    assert_int_equal(r.instance_count, 2);
    assert_int_equal(r.created_ms, INT64_C(1583831889050));
    assert_int_equal(r.ended_ms, 0);
    is(r.tags[0].name, "empty"); /* by name, whatever order JSON has them in */
    is(r.tags[1].name, "team");
    mdb_record_free(&r);
    json_decref(record);

    const mdb_reading as_it_is = {.internal = true};
    record = mdb_record_of_job(job, NULL, &as_it_is, why);
    read_ok(record, &r);
    assert_int_equal(r.n_parameters, 3);
    is(r.parameters[0].value, "\"10\"");
    mdb_record_free(&r);
    json_decref(record);
    json_decref(tags);
    json_decref(job);
}

/* A job with so many fields; their names differ only in what no store's key can hold. */
static json_t *big(int n, char first)
{
    json_t *v = parsed("{\"name\": \"j\", \"arn\": \"a\", \"status\": \"s\", \"project\": \"P\"}"),
           *fields = json_object();
    for (int i = 0; i < n; i++) {
        char name[40];
        snprintf(name, sizeof name, "%c%c%c%c%c", first, "!:;,"[i & 3], "!:;,"[i >> 2 & 3],
                 "!:;,"[i >> 4 & 3], "!:;,"[i >> 6 & 3]);
        snprintf(name + 5, sizeof name - 5, "%c%c", "!:;,"[i >> 8 & 3], "!:;,"[i >> 10 & 3]);
        json_object_set_new(fields, name, json_integer(i));
    }
    json_object_set_new(v, "fields", fields);
    return v;
}

/* Refused with a sentence that names the job and the member. */
static void test_refused(void **state)
{
    (void)state;
    static const struct {
        const char *json, *says;
    } cases[] = {
        {"[]", "object"},
        {"{}", "name"},
        {"{\"name\": \"j\"}", "arn"},
        {"{\"name\": \"j\", \"arn\": 5, \"status\": \"s\"}", "arn"},
        {"{\"name\": \"j\", \"arn\": \"a\"}", "status"},
        {"{\"name\": \"j\", \"arn\": \"a\", \"status\": \"s\", \"metrics\": {\"m\": \"high\"}}", "metrics"},
        {"{\"name\": \"j\", \"arn\": \"a\", \"status\": \"s\", \"metrics\": {\"m\": null}}", "metrics"},
        {"{\"name\": \"j\", \"arn\": \"a\", \"status\": \"s\", \"hyperparameters\": {\"m\": []}}",
         "hyperparameters"},
        {"{\"name\": \"j\", \"arn\": \"a\", \"status\": \"s\", \"hyperparameters\": 5}", "hyperparameters"},
        {"{\"name\": \"j\", \"arn\": \"a\", \"status\": \"s\", \"channels\": [{}]}", "channels"},
        {"{\"name\": \"j\", \"arn\": \"a\", \"status\": \"s\", \"ended\": \"yesterday\"}", "ended"},
        {"{\"name\": \"j\", \"arn\": \"a\", \"status\": \"s\", \"volume_gb\": \"big\"}", "volume_gb"},
        {NULL, "fields has more than 2000"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char why[MDB_WHY] = "";
        mdb_record r;
        json_t *v = cases[i].json ? parsed(cases[i].json) : big(2001, 'a');
        assert_int_equal(mdb_record_read(v, &r, why), -1);
        if (!strstr(why, cases[i].says) || (i > 1 && !strstr(why, "j")))
            fail_msg("%s: %s", cases[i].json, why);
        mdb_record_free(&r);
        json_decref(v);
    }
}

static void test_facts(void **state)
{
    (void)state;
    mdb_record r;
    mdb_facts f;
    json_t *v = parsed(
        "{\"name\": \"j\", \"arn\": \"a\", \"status\": \"Completed\", \"metrics\": {\"a:b\": 0.1, \"n\": "
        "\"NaN\"},"
        "\"channels\": [{\"name\": \"a.b-c\", \"uri\": \"s3://x\", \"compression\": \"None\"}],"
        "\"tags\": {\"a b\": \"1\", \"a-b\": \"2\", \"e\": \"\"}, \"fields\": {\"mine\": 5, \"none\": \"\"},"
        "\"ended\": \"2026-11-20T10:00:00Z\", \"training_seconds\": 61.5}");
    read_ok(v, &r);
    mdb_facts_of(&r, true, &f);
    static const char *const wanted[][2] = {{MDB_ARN, "a"},
                                            {"sagemaker_training_job_status", "Completed"},
                                            {"input_a_b_c_uri", "s3://x"},
                                            {"metric_a_b", "0.1"},
                                            {"metric_n", "NaN"},
                                            {"tag_a_b", "1"},
                                            {"mine", "5"},
                                            {"none", ""},
                                            {"ended_at", "2026-11-20T10:00:00Z"},
                                            {"training_seconds", "61.5"}};
    for (size_t i = 0; i < sizeof wanted / sizeof *wanted; i++) {
        const mdb_fact *one = mdb_fact_named(&f, (pbay_str){wanted[i][0], strlen(wanted[i][0])});
        if (!one) fail_msg("%s is missing", wanted[i][0]);
        is(one->value, wanted[i][1]);
    }
    assert_int_equal(f.n, 11); /* and the job's name; nothing empty, nothing twice, no compression "None" */
    mdb_facts_free(&f);
    mdb_record_free(&r);
    json_decref(v);
}

/* What a store may do to a value, and what it may not. */
static void test_numbers(void **state)
{
    (void)state;
    static const char *const texts[] = {"",
                                        "x",
                                        "007",
                                        "0x1F",
                                        "1L",
                                        "+1",
                                        ".5",
                                        "5.",
                                        "1e",
                                        "NaN",
                                        "inf",
                                        "1e999",
                                        " 1",
                                        "1 ",
                                        "--1",
                                        "1.2.3",
                                        "12345678901234567890",
                                        "1_0"};
    static const struct {
        const char *text;
        double value;
    } numbers[] = {{"0", 0},      {"-1", -1},     {"0.10", 0.1},
                   {"1e3", 1000}, {"1E-2", 0.01}, {"123456789012345", 123456789012345.0}};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        json_t *v = v2_number_or_text((pbay_str){texts[i], strlen(texts[i])});
        if (!json_is_string(v) || strcmp(json_string_value(v), texts[i]))
            fail_msg("\"%s\" became something else", texts[i]);
        json_decref(v);
    }
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        json_t *v = v2_number_or_text((pbay_str){numbers[i].text, strlen(numbers[i].text)});
        assert_true(json_is_number(v) && json_number_value(v) == numbers[i].value);
        json_t *text = json_string(numbers[i].text);
        assert_true(v2_same(v, text) && v2_same(text, v)); /* written as text, read as number, and back */
        json_decref(text);
        json_decref(v);
    }
    static const char *const other[][2] = {{"0.1", "0.2"},   {"\"a\"", "\"b\""}, {"\"007\"", "7"},
                                           {"1", "\"one\""}, {"\"1\"", "true"},  {"1", "null"}};
    for (size_t i = 0; i < sizeof other / sizeof *other; i++) {
        json_t *a = parsed(other[i][0]), *b = parsed(other[i][1]);
        if (v2_same(a, b)) fail_msg("%s is not %s", other[i][0], other[i][1]);
        json_decref(a);
        json_decref(b);
    }
    json_t *one = json_integer(1);
    assert_false(v2_same(one, NULL));
    json_decref(one);
}

/* https://github.com/mlflow/mlflow/blob/master/mlflow/utils/validation.py: what may be a key. */
static void test_mlflow_keys(void **state)
{
    (void)state;
    static const char *const keys[][2] = {
        {"a/b", "a/b"},     {"a:b", "a_b"},   {"/a", "_a"}, {"a//b", "a__b"},
        {"a/./b", "a___b"}, {"../a", "___a"}, {"a/", "a_"}, {"train loss-1.x", "train loss-1.x"},
        {"\xc3\xbc", "__"}, {".", "_"},       {"..", "__"}, {"...", "..."}};
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        mdb_record r;
        mlflow_wanted w;
        json_t *v = json_pack("{s:s, s:s, s:s, s:s, s:{s:s}}", "name", "j", "arn", "a", "status", "Stopped",
                              "project", "P", "hyperparameters", keys[i][0], "1");
        read_ok(v, &r);
        mlflow_map(&r, (pbay_str){NULL, 0}, 6000, &w);
        if (!json_object_get(w.params, keys[i][1])) {
            char *got = json_dumps(w.params, 0);
            fail_msg("%s: %s", keys[i][0], got);
        }
        assert_string_equal(w.status, "KILLED");
        assert_string_equal(w.experiment, "P");
        mlflow_wanted_free(&w);
        mdb_record_free(&r);
        json_decref(v);
    }
}

/* Names that a key cannot tell apart: each has its own, and it is the same one in whatever order they come.
 */
static void test_colliding_names(void **state)
{
    (void)state;
    static const char *const orders[] = {"{\"a:b\": \"1\", \"a;b\": \"2\", \"a_b\": \"3\", \"c\": \"4\"}",
                                         "{\"c\": \"4\", \"a_b\": \"3\", \"a;b\": \"2\", \"a:b\": \"1\"}"};
    char *first[2] = {NULL, NULL};
    for (int i = 0; i < 2; i++) {
        mdb_record r;
        mlflow_wanted w;
        v2_wanted w2;
        json_t *v =
            json_pack("{s:s, s:s, s:s, s:s, s:o, s:o}", "name", "j", "arn", "a", "status", "Stopped",
                      "project", "P", "hyperparameters", parsed(orders[i]), "metrics", parsed(orders[i]));
        read_ok(v, &r);
        mlflow_map(&r, (pbay_str){NULL, 0}, 6000, &w);
        v2_map(&r, (pbay_str){"E", 1}, (pbay_str){NULL, 0}, &w2);
        json_t *all = json_pack("[O, O, O, O, O, O]", w.params, w.metrics, w.tags, w2.hyperparameters,
                                w2.metrics, w2.attributes);
        assert_int_equal(json_object_size(w.params), 4);
        assert_int_equal(json_object_size(w2.metrics), 4);
        assert_string_equal(json_string_value(json_object_get(w.params, "a_b_3")), "3");
        first[i] = json_dumps(all, JSON_SORT_KEYS);
        json_decref(all);
        mlflow_wanted_free(&w);
        v2_wanted_free(&w2);
        mdb_record_free(&r);
        json_decref(v);
    }
    assert_string_equal(first[0], first[1]);
    free(first[0]);
    free(first[1]);
}

/* The most that a record may have is mapped with few looks at each; a table of names that all become one key,
 * too. (With a look at all the others for each it would be two million copies.) */
static void test_many(void **state)
{
    (void)state;
    mdb_record r;
    mdb_facts f;
    json_t *v = big(2000, 'f');
    json_object_set(v, "tags", json_object_get(v, "fields"));
    json_object_set(v, "hyperparameters", json_object_get(v, "fields"));
    json_object_set(v, "metrics", json_object_get(v, "fields"));
    read_ok(v, &r);
    assert_int_equal(r.n_fields, 2000);
    mdb_facts_of(&r, true, &f);
    assert_true(mdb_fact_named(&f, (pbay_str){"metric_f______", 14}) != NULL);
    assert_null(mdb_fact_named(&f, (pbay_str){"nobody", 6}));
    mdb_facts_free(&f);
    mlflow_wanted w;
    mlflow_map(&r, (pbay_str){NULL, 0}, 6000, &w);
    assert_int_equal(json_object_size(w.params), 2000);
    assert_int_equal(json_object_size(w.metrics), 2000);
    mlflow_wanted_free(&w);
    v2_wanted w2;
    v2_map(&r, (pbay_str){"E", 1}, (pbay_str){NULL, 0}, &w2);
    assert_int_equal(json_object_size(w2.hyperparameters), 2000);
    v2_wanted_free(&w2);
    mdb_record_free(&r);
    json_decref(v);
}

/* ------------------------------------------------------------------------------------------------ marks */

static pbay_str str(const char *s)
{
    return (pbay_str){s, strlen(s)};
}

/* What a script changed is told from what it only passed on, as Lua would: another order, 1 for 1.0, [] for
 * {}. */
static void test_what_a_script_changed(void **state)
{
    (void)state;
    static const char COLLECTED[] =
        "{\"name\": \"j\", \"arn\": \"a\", \"status\": \"Completed\", \"modified\": \"2026-11-20T10:00:00Z\","
        "\"metrics\": {\"x\": 1.0, \"y\": 0.25}, \"hyperparameters\": {}, \"tags\": {\"b\": \"2\", \"a\": "
        "\"1\"},"
        "\"channels\": [{\"name\": \"train\", \"uri\": \"s3://b\"}]}";
    static const struct {
        const char *change, *changed;
    } cases[] = {
        {"{\"tags\": {\"a\": \"1\", \"b\": \"2\"}, \"metrics\": {\"y\": 0.25, \"x\": 1}, "
         "\"hyperparameters\": []}",
         ""},
        {"{\"project\": \"P\", \"fields\": {\"k\": 1}}", ""},
        {"{\"metrics\": {\"x\": 1, \"y\": 0.2500000001}}", "metrics"},
        {"{\"hyperparameters\": {\"more\": \"1\"}}", "hyperparameters"},
        {"{\"tags\": {\"a\": \"2\", \"b\": \"1\"}}", "tags"},
        {"{\"channels\": []}", "channels"},
        {"{\"metrics\": null}", "metrics"},
        {"{\"tags\": {}, \"channels\": [], \"metrics\": {}}", "channels, metrics, tags"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        mdb_record r;
        json_t *job = parsed(COLLECTED), *change = parsed(cases[i].change), *now = parsed(COLLECTED);
        mark_digests(job);
        json_object_update(job, change);
        read_ok(job, &r);
        char *mark = mark_of(&r);
        pbay_text changed = {NULL, 0, 0};
        assert_int_equal(mark_apply(str(mark), now, &changed), 0);
        is(pbay_text_view(&changed), cases[i].changed);
        if (*cases[i].changed && !strchr(cases[i].changed, ','))
            assert_true(json_equal(json_object_get(now, cases[i].changed),
                                   json_object_get(change, cases[i].changed)));
        assert_false(mark_is_later(str(mark), &r));
        pbay_text_free(&changed);
        free(mark);
        mdb_record_free(&r);
        json_decref(job);
        json_decref(change);
        json_decref(now);
    }
}

static void test_elsewhere(void **state)
{
    (void)state;
    static const struct {
        const char *mark, *project;
    } cases[] = {{"{\"project\": \"A\", \"user\": \"ann\"}", "A"},
                 {"{\"project\": \"B\"}", NULL},
                 {"{\"project\": \"\"}", NULL},
                 {"{}", NULL},
                 {"nonsense", NULL}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        mdb_record r;
        json_t *job = parsed(
            "{\"name\": \"j\", \"arn\": \"a\", \"status\": \"s\", \"project\": \"B\", \"description\": "
            "\"of B\"}");
        read_ok(job, &r);
        json_t *there = mark_elsewhere(str(cases[i].mark), &r);
        if (cases[i].project) {
            assert_string_equal(json_string_value(json_object_get(there, "project")), cases[i].project);
            assert_string_equal(json_string_value(json_object_get(there, "user")), "ann");
            assert_null(json_object_get(there, "description"));
        } else {
            assert_null(there);
        }
        is(r.project, "B");
        json_decref(there);
        mdb_record_free(&r);
        json_decref(job);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_moments),
        cmocka_unit_test(test_job),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_facts),
        cmocka_unit_test(test_numbers),
        cmocka_unit_test(test_mlflow_keys),
        cmocka_unit_test(test_colliding_names),
        cmocka_unit_test(test_many),
        cmocka_unit_test(test_what_a_script_changed),
        cmocka_unit_test(test_elsewhere),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
