/* SPDX-License-Identifier: MIT */
/*
 * Thrift's frames and ModelDB 1.0's calls in them. The golden frames were made by Apache Thrift 0.17 for
 * Python from the IDL of ModelDB v1.0.0.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "../../../plugins/modeldb/v1_calls.h"

#define S(text) ((pbay_str){text, sizeof text - 1})

static void hex_is(const pbay_text *t, const char *wanted)
{
    pbay_text got = {NULL, 0, 0};
    for (size_t i = 0; i < t->n; i++) pbay_text_printf(&got, "%02x", (unsigned char)t->p[i]);
    pbay_text_add(&got, (pbay_str){"", 1});
    assert_string_equal(got.p, wanted);
    pbay_text_free(&got);
}

/* Bytes of a text of hexadecimal digits, in memory of their own size; free. */
static pbay_str bytes(const char *hex)
{
    const size_t n = strlen(hex) / 2;
    char *p = malloc(n ? n : 1);
    for (size_t i = 0; i < n; i++) {
        unsigned v;
        assert_int_equal(sscanf(hex + 2 * i, "%2x", &v), 1);
        p[i] = (char)v;
    }
    return (pbay_str){p, n};
}

static pbay_str inside(pbay_str whole)
{
    pbay_str frame;
    size_t more;
    enum thrift_fault fault;
    char why[THRIFT_WHY];
    assert_int_equal(thrift_frame(whole, &frame, &more, &fault, why), 1);
    assert_int_equal(frame.n + THRIFT_HEAD, whole.n);
    return frame;
}

/* ------------------------------------------------------------------------------------------- golden frames
 */

static void test_golden_calls(void **state)
{
    (void)state;
    pbay_text t = {NULL, 0, 0};

    assert_int_equal(v1_ask_nothing(&t, 0, V1_TEST_CONNECTION), 0);
    hex_is(&t, "0000001b800100010000000e74657374436f6e6e656374696f6e0000000000");

    pbay_text_clear(&t);
    assert_int_equal(v1_ask_project(&t, 0, S("p1"), S("u1"), S("d1")), 0);
    hex_is(
        &t,
        "00000048800100010000001173746f726550726f6a6563744576656e74000000000c00010c0001080001ffffffff0b000200"
        "00000270310b00030000000275310b0004000000026431000000");

    pbay_text_clear(&t);
    assert_int_equal(v1_ask_experiment(&t, 0, 7), 0);
    hex_is(
        &t,
        "00000049800100010000001473746f72654578706572696d656e744576656e74000000000c00010c0001080001ffffffff08"
        "0002000000070b0003000000000b00040000000002000501000000");

    pbay_text_clear(&t);
    assert_int_equal(v1_ask_run(&t, 0, 9, S("")), 0);
    hex_is(
        &t,
        "00000041800100010000001773746f72654578706572696d656e7452756e4576656e74000000000c00010c0001080001ffff"
        "ffff080002000000090b000300000000000000");

    pbay_text_clear(&t);
    const v1_pair meta = {S("CompressionType"), S("None")}, eta = {S("eta"), S("0.1")};
    const v1_fit fit = {.frame = {.id = -1,
                                  .tag = S("train"),
                                  .path = S("s3://b/t"),
                                  .metadata = &meta,
                                  .n_metadata = 1,
                                  .metadata_type = S("<class 'str'>")},
                        .type = S("xgb"),
                        .parameters = &eta,
                        .n_parameters = 1,
                        .parameter_type = S("str"),
                        .model = -1,
                        .model_path = S("s3://b/m.tar.gz"),
                        .run = 11,
                        .metadata = S("{}")};
    assert_int_equal(v1_ask_fit(&t, 0, &fit), 0);
    hex_is(
        &t,
        "0000014b800100010000000d73746f72654669744576656e74000000000c00010c0001080001ffffffff0f00020c00000000"
        "080003ffffffff0b000400000005747261696e0b00050000000873333a2f2f622f740f00060c000000010b00010000000f43"
        "6f6d7072657373696f6e547970650b0002000000044e6f6e650b00030000000d3c636c6173732027737472273e00000c0002"
        "080001ffffffff0b0002000000037867620f00030c000000010b0001000000036574610b000200000003302e310b00030000"
        "000373747204000400100000000000000400057fefffffffffffff000b000400000000000c0003080001ffffffff0b000200"
        "0000037867620b0003000000000b00040000000f73333a2f2f622f6d2e7461722e677a000f00040b000000000f00050b0000"
        "00000f00060b000000000800070000000b080008000000000b0009000000027b7d0000");

    pbay_text_clear(&t);
    const v1_metric metric = {
        .frame = {.id = -1}, .model = 21, .run = 11, .name = S("validation:rmse"), .value = 0.5};
    assert_int_equal(v1_ask_metric(&t, 0, &metric), 0);
    hex_is(
        &t,
        "000000be800100010000001073746f72654d65747269634576656e74000000000c00010c0001080001ffffffff0f00020c00"
        "000000080003ffffffff0b0004000000000b0005000000000f00060c00000000000c0002080001000000150b000200000000"
        "0b0003000000000b000400000000000b00030000000f76616c69646174696f6e3a726d73650400043fe00000000000000b00"
        "05000000096c6162656c5f636f6c0b00060000000e70726564696374696f6e5f636f6c0800070000000b0000");
    pbay_text_free(&t);
}

#define PROJECT_REPLY                                                                                        \
    "00000029800100020000001173746f726550726f6a6563744576656e74000000000c0000080001000000070000"
#define FIT_REPLY                                                                                            \
    "00000041800100020000000d73746f72654669744576656e74000000000c00000800010000001f080002000000290800030000" \
    "0015"                                                                                                   \
    "080004000000330800050000003d0000"
#define FIT_REFUSAL                                                                                          \
    "00000044800100020000000d73746f72654669744576656e74000000000c00010b00010000001f43616e27742066696e642065" \
    "787065"                                                                                                 \
    "72696d656e742072756e2049442031310000"

static v1_answer read_hex(const char *hex, enum v1_method m, int32_t seqid, pbay_str *keep)
{
    v1_answer a;
    *keep = bytes(hex);
    v1_read(inside(*keep), m, seqid, &a);
    return a;
}

static void is(pbay_str got, const char *wanted)
{
    if (got.n != strlen(wanted) || memcmp(got.p, wanted, got.n))
        fail_msg("\"%.*s\" is not \"%s\"", (int)got.n, got.p, wanted);
}

static void test_golden_replies(void **state)
{
    (void)state;
    pbay_str keep;
    v1_answer a = read_hex(PROJECT_REPLY, V1_STORE_PROJECT, 0, &keep);
    assert_int_equal(a.end, V1_DONE);
    assert_int_equal(a.id, 7);
    free((char *)keep.p);

    a = read_hex(FIT_REPLY, V1_STORE_FIT, 0, &keep);
    assert_int_equal(a.end, V1_DONE);
    assert_int_equal(a.id, 21);
    assert_int_equal(a.frame, 31);
    free((char *)keep.p);

    a = read_hex(FIT_REFUSAL, V1_STORE_FIT, 0, &keep);
    assert_int_equal(a.end, V1_REFUSED);
    is(a.exception, "InvalidExperimentRunException");
    is(a.message, "Can't find experiment run ID 11");
    free((char *)keep.p);
}

/* ------------------------------------------------------------------------------------------------- answers
 */

static thrift_mark reply(pbay_text *t, enum thrift_kind kind, const char *method, int32_t seqid)
{
    pbay_text_clear(t);
    return thrift_begin(t, kind, method, seqid);
}

static v1_answer answered(pbay_text *t, thrift_mark m, enum v1_method method, int32_t seqid)
{
    v1_answer a;
    assert_int_equal(thrift_end(t, m), 0);
    v1_read(inside(pbay_text_view(t)), method, seqid, &a);
    return a;
}

static void test_exceptions(void **state)
{
    (void)state;
    pbay_text t = {NULL, 0, 0};
    thrift_mark m = reply(&t, THRIFT_EXCEPTION, "storeDataFrame", 3);
    thrift_field_str(&t, 1, S("Invalid method name: 'storeDataFrame'"));
    thrift_field_i32(&t, 2, 1);
    thrift_stop(&t);
    v1_answer a = answered(&t, m, V1_STORE_DATA_FRAME, 3);
    assert_int_equal(a.end, V1_FAILED);
    is(a.exception, "unknown method");
    is(a.message, "Invalid method name: 'storeDataFrame'");

    /* The order of getExperimentRunDetails' exceptions is the other way round. */
    m = reply(&t, THRIFT_REPLY, "getExperimentRunDetails", 1);
    thrift_field(&t, THRIFT_STRUCT, 2);
    thrift_field_str(&t, 1, S("Can't find ExperimentRun with ID 4"));
    thrift_stop(&t);
    thrift_stop(&t);
    a = answered(&t, m, V1_RUN_DETAILS, 1);
    assert_int_equal(a.end, V1_REFUSED);
    is(a.exception, "ResourceNotFoundException");

    /* Neither result nor exception. */
    m = reply(&t, THRIFT_REPLY, "getModel", 1);
    thrift_stop(&t);
    a = answered(&t, m, V1_GET_MODEL, 1);
    assert_int_equal(a.end, V1_UNREADABLE);
    assert_int_equal(a.fault, THRIFT_MALFORMED);
    assert_non_null(strstr(a.why, "getModel"));

    /* Somebody else's answer. */
    m = reply(&t, THRIFT_REPLY, "getModel", 2);
    thrift_stop(&t);
    a = answered(&t, m, V1_GET_MODEL, 1);
    assert_int_equal(a.end, V1_UNREADABLE);
    assert_non_null(strstr(a.why, "getModel number 2, asked was getModel number 1"));
    m = reply(&t, THRIFT_CALL, "getModel", 1);
    thrift_stop(&t);
    a = answered(&t, m, V1_GET_MODEL, 1);
    assert_int_equal(a.end, V1_UNREADABLE);

    /* A response without its id. */
    m = reply(&t, THRIFT_REPLY, "storeProjectEvent", 1);
    thrift_field(&t, THRIFT_STRUCT, 0);
    thrift_stop(&t);
    thrift_stop(&t);
    a = answered(&t, m, V1_STORE_PROJECT, 1);
    assert_int_equal(a.end, V1_UNREADABLE);
    pbay_text_free(&t);
}

/* Fields that nobody knows, of every type, one inside the other. */
static void strange(pbay_text *t)
{
    thrift_field(t, THRIFT_BYTE, 900);
    pbay_text_c(t, "x");
    thrift_field(t, THRIFT_I16, 901);
    pbay_text_c(t, "xx");
    thrift_field(t, THRIFT_I64, 902);
    pbay_text_c(t, "xxxxxxxx");
    thrift_field(t, THRIFT_SET, 903);
    thrift_list(t, THRIFT_STRING, 2);
    thrift_str(t, S("a"));
    thrift_str(t, S(""));
    thrift_field(t, THRIFT_MAP, -1);
    thrift_map(t, THRIFT_I32, THRIFT_STRUCT, 1);
    thrift_i32(t, 1);
    thrift_field(t, THRIFT_LIST, 1);
    thrift_list(t, THRIFT_LIST, 1);
    thrift_list(t, THRIFT_BOOL, 1);
    thrift_bool(t, true);
    thrift_stop(t);
    thrift_field_double(t, 905, 1.5);
    thrift_field(t, THRIFT_MAP, 906);
    thrift_map(t, THRIFT_STOP, THRIFT_STOP, 0); /* some write no types for an empty one */
}

static void test_model(void **state)
{
    (void)state;
    pbay_text t = {NULL, 0, 0};
    const thrift_mark m = reply(&t, THRIFT_REPLY, "getModel", 5);
    thrift_field(&t, THRIFT_STRUCT, 0);
    strange(&t);
    for (int16_t id = 1; id <= 4; id++) thrift_field_i32(&t, id, 10 * id);
    thrift_field(&t, THRIFT_STRUCT, 5);
    thrift_field_i32(&t, 1, 31);
    thrift_field(&t, THRIFT_LIST, 2);
    thrift_list(&t, THRIFT_STRUCT, 2);
    for (int i = 0; i < 2; i++) {
        thrift_field_str(&t, 1, i ? S("other") : S("job"));
        thrift_field_str(&t, 2, S("arn"));
        thrift_stop(&t);
    }
    thrift_field_str(&t, 4, S("train"));
    thrift_field_str(&t, 5, S("s3://b/t"));
    strange(&t);
    thrift_stop(&t);
    thrift_field(&t, THRIFT_STRUCT, 6);
    thrift_field_str(&t, 2, S("xgb"));
    thrift_field(&t, THRIFT_LIST, 3);
    thrift_list(&t, THRIFT_STRUCT, 1);
    thrift_field_str(&t, 1, S("eta"));
    thrift_field_str(&t, 2, S("0.1"));
    thrift_field_double(&t, 4, 0);
    thrift_field_double(&t, 5, INFINITY);
    thrift_stop(&t);
    thrift_stop(&t);
    thrift_field(&t, THRIFT_MAP, 11);
    thrift_map(&t, THRIFT_STRING, THRIFT_MAP, 2);
    thrift_str(&t, S("rmse"));
    thrift_map(&t, THRIFT_I32, THRIFT_DOUBLE, 2);
    thrift_i32(&t, 31);
    thrift_double(&t, 0.5);
    thrift_i32(&t, 32);
    thrift_double(&t, 0.25);
    thrift_str(&t, S("none"));
    thrift_map(&t, THRIFT_I32, THRIFT_DOUBLE, 0);
    thrift_field_str(&t, 14, S("2019-01-01")); /* the server's mistake: made when, as the path */
    thrift_field_str(&t, 17, S("{\"a\": 1}"));
    thrift_stop(&t);
    thrift_stop(&t);
    v1_answer a = answered(&t, m, V1_GET_MODEL, 5);
    assert_string_equal(a.why, "");
    assert_int_equal(a.end, V1_DONE);
    assert_int_equal(a.n_models, 1);
    const v1_model *o = a.models;
    assert_int_equal(o->id, 10);
    assert_int_equal(o->run, 20);
    assert_int_equal(o->experiment, 30);
    assert_int_equal(o->project, 40);
    assert_int_equal(o->frame.id, 31);
    is(o->frame.tag, "train");
    is(o->frame.path, "s3://b/t");
    is(o->frame.column.name, "job");
    is(o->type, "xgb");
    assert_int_equal(o->n_parameters, 1);
    is(o->parameters[0].name, "eta");
    is(o->parameters[0].value, "0.1");
    assert_int_equal(o->n_metrics, 2);
    is(o->metrics[1].name, "rmse");
    assert_int_equal(o->metrics[1].frame, 32);
    assert_true(o->metrics[1].value == 0.25);
    is(o->metadata, "{\"a\": 1}");
    v1_answer_free(&a);
    pbay_text_free(&t);
}

/* ------------------------------------------------------------------------------------------------ bad bytes
 */

static void test_frame_heads(void **state)
{
    (void)state;
    static const struct {
        const char *hex;
        int rc;
        enum thrift_fault fault;
        const char *says;
    } cases[] = {
        {"", 0, THRIFT_FINE, NULL},
        {"000000", 0, THRIFT_FINE, NULL},
        {"00000005aabbccdd", 0, THRIFT_FINE, NULL},
        {"00000005aabbccddee", 1, THRIFT_FINE, NULL},
        {"00000000", -1, THRIFT_LENGTH, "0 bytes"},
        {"ffffffff", -1, THRIFT_LENGTH, "-1 bytes"},
        {"80000000", -1, THRIFT_LENGTH, "-2147483648 bytes"},
        {"00fa0001", -1, THRIFT_LENGTH, "16384001 bytes"},
        {"00fa0000", 0, THRIFT_FINE, NULL},
        {"7fffffff", -1, THRIFT_LENGTH, "2147483647 bytes"},
        {"80010002", -1, THRIFT_FOREIGN, "without frames"},
        {"485454502f312e31203430302042616420526571", -1, THRIFT_FOREIGN, "\"HTTP/1.1 400 Bad R"},
        {"3c68746d6c", -1, THRIFT_FOREIGN, "\"<html\""},
        {"2d455252", -1, THRIFT_FOREIGN, "port"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        pbay_str came = bytes(cases[i].hex), frame;
        size_t more = 0;
        enum thrift_fault fault = THRIFT_FINE;
        char why[THRIFT_WHY] = "";
        const int rc = thrift_frame(came, &frame, &more, &fault, why);
        assert_int_equal(rc, cases[i].rc);
        assert_int_equal(fault, cases[i].fault);
        if (!rc) assert_true(more > 0);
        if (cases[i].says && !strstr(why, cases[i].says)) fail_msg("%s: %s", cases[i].hex, why);
        free((char *)came.p);
    }
}

/* Each byte of good frames cut off, and each one changed: an answer or a fault, never a crash; cut is never
 * good. */
static void test_every_cut_and_flip(void **state)
{
    (void)state;
    static const struct {
        const char *hex;
        enum v1_method method;
    } good[] = {{PROJECT_REPLY, V1_STORE_PROJECT}, {FIT_REPLY, V1_STORE_FIT}, {FIT_REFUSAL, V1_STORE_FIT}};
    for (size_t g = 0; g < sizeof good / sizeof *good; g++) {
        pbay_str whole = bytes(good[g].hex), frame = inside(whole);
        for (size_t n = 0; n < frame.n; n++) {
            char *cut = malloc(n ? n : 1);
            memcpy(cut, frame.p, n);
            v1_answer a;
            v1_read((pbay_str){cut, n}, good[g].method, 0, &a);
            assert_int_equal(a.end, V1_UNREADABLE);
            assert_true(a.fault != THRIFT_FINE && a.why[0]);
            v1_answer_free(&a);
            free(cut);
        }
        for (size_t at = 0; at < frame.n; at++) {
            for (unsigned v = 0; v < 256; v++) {
                char *changed = malloc(frame.n);
                memcpy(changed, frame.p, frame.n);
                changed[at] = (char)v;
                v1_answer a;
                v1_read((pbay_str){changed, frame.n}, good[g].method, 0, &a);
                v1_answer_free(&a);
                free(changed);
            }
        }
        free((char *)whole.p);
    }
}

static enum thrift_fault skipped(const pbay_text *t, enum thrift_type type)
{
    thrift_in in;
    thrift_in_init(&in, pbay_text_view(t));
    thrift_in_skip(&in, type);
    thrift_in_done(&in);
    return in.fault;
}

/* Every length and count in the protocol, negative, one too many, and as large as it can be. */
static void test_lying_lengths(void **state)
{
    (void)state;
    static const int32_t lies[] = {-1, INT32_MIN, INT32_MAX, 3, 1 << 24};
    pbay_text t = {NULL, 0, 0};
    for (size_t i = 0; i < sizeof lies / sizeof *lies; i++) {
        pbay_text_clear(&t);
        thrift_i32(&t, lies[i]);
        pbay_text_c(&t, "ab");
        assert_int_equal(skipped(&t, THRIFT_STRING), THRIFT_LENGTH);
        static const enum thrift_type elements[] = {THRIFT_BOOL,   THRIFT_STRUCT, THRIFT_STRING,
                                                    THRIFT_DOUBLE, THRIFT_LIST,   THRIFT_MAP};
        for (size_t e = 0; e < sizeof elements / sizeof *elements; e++) {
            pbay_text_clear(&t);
            thrift_list(&t, elements[e], (uint32_t)lies[i]);
            pbay_text_add(&t, (pbay_str){"\0\0", 2});
            assert_int_equal(skipped(&t, THRIFT_LIST), THRIFT_LENGTH);
            assert_int_equal(skipped(&t, THRIFT_SET), THRIFT_LENGTH);
            for (size_t v = 0; v < sizeof elements / sizeof *elements; v++) {
                pbay_text_clear(&t);
                thrift_map(&t, elements[e], elements[v], (uint32_t)lies[i]);
                pbay_text_add(&t, (pbay_str){"\0\0\0", 3});
                assert_int_equal(skipped(&t, THRIFT_MAP), THRIFT_LENGTH);
            }
        }
    }
    /* Types that do not exist. */
    pbay_text_clear(&t);
    thrift_list(&t, (enum thrift_type)1, 1);
    pbay_text_c(&t, "x");
    assert_int_equal(skipped(&t, THRIFT_LIST), THRIFT_MALFORMED);
    pbay_text_clear(&t);
    thrift_map(&t, THRIFT_BOOL, (enum thrift_type)16, 1);
    pbay_text_c(&t, "xx");
    assert_int_equal(skipped(&t, THRIFT_MAP), THRIFT_MALFORMED);
    pbay_text_clear(&t);
    thrift_field(&t, (enum thrift_type)99, 1);
    assert_int_equal(skipped(&t, THRIFT_STRUCT), THRIFT_MALFORMED);
    assert_int_equal(skipped(&t, (enum thrift_type)99), THRIFT_MALFORMED);
    pbay_text_clear(&t);
    thrift_bool(&t, false);
    pbay_text_c(&t, "x");
    assert_int_equal(skipped(&t, THRIFT_BOOL), THRIFT_MALFORMED); /* bytes after the end */
    pbay_text_free(&t);
}

static void test_depth(void **state)
{
    (void)state;
    pbay_text t = {NULL, 0, 0};
    for (int depth = THRIFT_DEPTH; depth <= THRIFT_DEPTH + 1; depth++) {
        pbay_text_clear(&t);
        for (int i = 0; i < depth - 1; i++) thrift_list(&t, THRIFT_LIST, 1);
        thrift_list(&t, THRIFT_BOOL, 0);
        assert_int_equal(skipped(&t, THRIFT_LIST), depth > THRIFT_DEPTH ? THRIFT_TOO_DEEP : THRIFT_FINE);
    }
    /* A frame full of it. */
    pbay_text_clear(&t);
    for (int i = 0; i < 1000000; i++) thrift_field(&t, THRIFT_STRUCT, 1);
    assert_int_equal(skipped(&t, THRIFT_STRUCT), THRIFT_TOO_DEEP);
    pbay_text_free(&t);
}

/* A million structs of one byte must not become gigabytes. */
static void test_swollen(void **state)
{
    (void)state;
    pbay_text t = {NULL, 0, 0};
    const thrift_mark m = reply(&t, THRIFT_REPLY, "getExperimentRunDetails", 0);
    thrift_field(&t, THRIFT_STRUCT, 0);
    thrift_field(&t, THRIFT_LIST, 4);
    thrift_list(&t, THRIFT_STRUCT, 1000000);
    for (int i = 0; i < 1000000; i++) thrift_stop(&t);
    thrift_stop(&t);
    thrift_stop(&t);
    v1_answer a = answered(&t, m, V1_RUN_DETAILS, 0);
    assert_int_equal(a.end, V1_UNREADABLE);
    assert_int_equal(a.fault, THRIFT_LENGTH);
    assert_non_null(strstr(a.why, "models"));
    v1_answer_free(&a);
    pbay_text_free(&t);
}

static void test_too_long_to_send(void **state)
{
    (void)state;
    pbay_text t = {NULL, 0, 0};
    pbay_text_c(&t, "before");
    char *much = calloc(1, THRIFT_FRAME_MAX);
    assert_non_null(much);
    assert_int_equal(v1_ask_run(&t, 0, 1, (pbay_str){much, THRIFT_FRAME_MAX}), -1);
    is(pbay_text_view(&t), "before");
    assert_int_equal(v1_ask_run(&t, 0, 1, (pbay_str){much, THRIFT_FRAME_MAX - 65}), 0);
    pbay_text_free(&t);
    free(much);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_golden_calls),  cmocka_unit_test(test_golden_replies),
        cmocka_unit_test(test_exceptions),    cmocka_unit_test(test_model),
        cmocka_unit_test(test_frame_heads),   cmocka_unit_test(test_every_cut_and_flip),
        cmocka_unit_test(test_lying_lengths), cmocka_unit_test(test_depth),
        cmocka_unit_test(test_swollen),       cmocka_unit_test(test_too_long_to_send),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
