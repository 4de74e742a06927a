/* SPDX-License-Identifier: MIT */
/* Headers as protobuf-c packs them, and by hand; what is written, as protobuf-c unpacks it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "data/sse_messages.h"
#include "sse.pb-c.h"

static struct pb_arena arena;
static struct pb_err err;

static char *mutable(const char *s)
{
    return (char *)(uintptr_t)pb_arena_str(&arena, pb_str_c(s)).p;
}

static pbay_str packed(const void *message)
{
    size_t n = protobuf_c_message_get_packed_size(message);
    uint8_t *p = pb_arena_alloc(&arena, n);
    assert_int_equal(protobuf_c_message_pack(message, p), n);
    return pb_str((char *)p, n);
}

static void test_common(void **state)
{
    (void)state;
    Qlik__Sse__CommonRequestHeader m = QLIK__SSE__COMMON_REQUEST_HEADER__INIT;
    m.appid = mutable("b4a3cf85");
    m.userid = mutable("UserDirectory=X; UserId=Zoë");
    m.cardinality = -1;
    struct pb_sse_common h;
    assert_int_equal(pb_sse_read_common(packed(&m), &h, &arena, &err), 0);
    assert_true(pb_str_is(h.app_id, "b4a3cf85"));
    assert_true(pb_str_is(h.user_id, "UserDirectory=X; UserId=Zoë"));
    assert_int_equal(h.cardinality, -1);
    assert_int_equal(pb_sse_read_common(pb_str(NULL, 0), &h, &arena, &err), 0);
    assert_int_equal(h.app_id.n, 0);
    /* Fields in any order, unknown ones between, the last one counts. */
    assert_int_equal(
        pb_sse_read_common(PB_STR("\x18\x07\x12\x01u\x32\x02zz\x12\x01v\x0a\x01\x61\x41\1\2\3\4\5\6\7\x08"),
                           &h, &arena, &err),
        0);
    assert_true(pb_str_is(h.user_id, "v") && pb_str_is(h.app_id, "a") && h.cardinality == 7);
    assert_int_equal(pb_sse_read_common(PB_STR("\x12\x05"
                                               "abc"),
                                        &h, &arena, &err),
                     -1);
    assert_int_equal(err.code, PBAY_INVALID_ARGUMENT);
    assert_string_equal(err.msg, "CommonRequestHeader is not a valid protobuf message");
    assert_int_equal(pb_sse_read_common(PB_STR("\x12\x01\xff"), &h, &arena, &err), -1);
    assert_string_equal(err.msg, "CommonRequestHeader: userId is not valid UTF-8");
    assert_int_equal(pb_sse_read_common(PB_STR("\x1a\x01"
                                               "1"),
                                        &h, &arena, &err),
                     -1);
    assert_string_equal(err.msg, "CommonRequestHeader: cardinality is not an integer");
    assert_int_equal(pb_sse_read_common(PB_STR("\x00\x01"), &h, &arena, &err), -1);
}

static void test_call(void **state)
{
    (void)state;
    struct pb_sse_call h;
    const int32_t ids[] = {0, 1, 127, 128, 2147483647, -1, -2147483647 - 1};
    for (size_t i = 0; i < PB_COUNTOF(ids); i++) {
        Qlik__Sse__FunctionRequestHeader m = QLIK__SSE__FUNCTION_REQUEST_HEADER__INIT;
        m.functionid = ids[i];
        m.version = mutable("1.0.0");
        assert_int_equal(pb_sse_read_call(packed(&m), &h, &arena, &err), 0);
        assert_int_equal(h.function_id, ids[i]);
        assert_true(pb_str_is(h.version, "1.0.0"));
    }
    assert_int_equal(pb_sse_read_call(pb_str("", 0), &h, &arena, &err), 0);
    assert_int_equal(h.function_id, 0);
    assert_int_equal(pb_sse_read_call(PB_STR("\x08"), &h, &arena, &err), -1);
    assert_int_equal(
        pb_sse_read_call(PB_STR("\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"), &h, &arena, &err), -1);
    assert_int_equal(pb_sse_read_call(PB_STR("\x0a\x00"), &h, &arena, &err), -1);
}

static void test_script(void **state)
{
    (void)state;
    Qlik__Sse__ScriptRequestHeader m = QLIK__SSE__SCRIPT_REQUEST_HEADER__INIT;
    Qlik__Sse__Parameter p[3], *params[3];
    for (int i = 0; i < 3; i++) {
        qlik__sse__parameter__init(&p[i]);
        p[i].datatype = (Qlik__Sse__DataType)i;
        p[i].name = mutable(i == 0 ? "" : i == 1 ? "age" : "größe");
        params[i] = &p[i];
    }
    m.script = mutable("return args[1] + args[2]");
    m.functiontype = QLIK__SSE__FUNCTION_TYPE__TENSOR;
    m.returntype = QLIK__SSE__DATA_TYPE__DUAL;
    m.n_params = 3;
    m.params = params;
    struct pb_sse_script h;
    assert_int_equal(pb_sse_read_script(packed(&m), &h, &arena, &err), 0);
    assert_true(pb_str_is(h.script, "return args[1] + args[2]"));
    assert_int_equal(h.function_type, PB_SSE_TENSOR);
    assert_int_equal(h.returns, PBAY_DUAL);
    assert_int_equal(h.n_params, 3);
    assert_int_equal(h.params[0].kind, PBAY_STR);
    assert_int_equal(h.params[1].kind, PBAY_NUM);
    assert_int_equal(h.params[2].kind, PBAY_DUAL);
    assert_true(pb_str_is(h.params[2].name, "größe"));
    pbay_str all = packed(&m);
    for (size_t cut = 0; cut < all.n; cut++) {
        char *exact = pb_strndup(all.p, cut);
        (void)!pb_sse_read_script(pb_str(exact, cut), &h, &arena, &err);
        pb_free(exact);
    }
    /* A NUL does not end a script. */
    assert_int_equal(pb_sse_read_script(PB_STR("\x0a\x03"
                                               "a\0b"),
                                        &h, &arena, &err),
                     0);
    assert_int_equal(h.script.n, 3);
    assert_int_equal(h.returns, PBAY_STR);
    assert_int_equal(pb_sse_read_script(PB_STR("\x10\x03"), &h, &arena, &err), -1);
    assert_int_equal(pb_sse_read_script(PB_STR("\x18\x03"), &h, &arena, &err), -1);
    assert_int_equal(pb_sse_read_script(PB_STR("\x22\x02\x08\x03"), &h, &arena, &err), -1);
    assert_string_equal(err.msg,
                        "ScriptRequestHeader: params.dataType is none of STRING (0), NUMERIC (1), DUAL (2)");
    assert_int_equal(pb_sse_read_script(PB_STR("\x20\x02"), &h, &arena, &err), -1);
}

static void test_write(void **state)
{
    (void)state;
    struct pb_buf out = {0};
    const struct pb_sse_param params[] = {
        {PBAY_NUM, PB_STR("age")}, {PBAY_STR, PB_STR("plan")}, {PBAY_DUAL, PB_STR("d")}};
    const struct pb_sse_function functions[] = {
        {.name = PB_STR("predict"),
         .function_type = PB_SSE_TENSOR,
         .returns = PBAY_STR,
         .n_params = 3,
         .params = params,
         .id = 7},
        {.name = PB_STR("nothing"), .returns = PBAY_NUM},
    };
    pb_sse_write_capabilities(&(struct pb_sse_capabilities){.allow_script = true,
                                                            .n_functions = 2,
                                                            .functions = functions,
                                                            .identifier = PB_STR("Patchbay"),
                                                            .version = PB_STR("v0.1")},
                              &out);
    Qlik__Sse__Capabilities *c = qlik__sse__capabilities__unpack(NULL, out.n, (uint8_t *)out.p);
    assert_non_null(c);
    assert_true(c->allowscript);
    assert_string_equal(c->pluginidentifier, "Patchbay");
    assert_int_equal(c->n_functions, 2);
    assert_int_equal(c->functions[0]->functionid, 7);
    assert_int_equal(c->functions[0]->functiontype, QLIK__SSE__FUNCTION_TYPE__TENSOR);
    assert_int_equal(c->functions[0]->n_params, 3);
    assert_string_equal(c->functions[0]->params[1]->name, "plan");
    assert_int_equal(c->functions[0]->params[0]->datatype, QLIK__SSE__DATA_TYPE__NUMERIC);
    assert_int_equal(c->functions[1]->returntype, QLIK__SSE__DATA_TYPE__NUMERIC);
    assert_int_equal(c->functions[1]->n_params, 0);
    qlik__sse__capabilities__free_unpacked(c, NULL);

    out.n = 0;
    pb_sse_write_table(
        &(struct pb_sse_table){.name = PB_STR("scores"), .n_fields = 3, .fields = params, .rows = 12}, &out);
    Qlik__Sse__TableDescription *t = qlik__sse__table_description__unpack(NULL, out.n, (uint8_t *)out.p);
    assert_non_null(t);
    assert_int_equal(t->n_fields, 3);
    assert_int_equal(t->numberofrows, 12);
    assert_string_equal(t->fields[2]->name, "d");
    assert_int_equal(t->fields[2]->datatype, QLIK__SSE__DATA_TYPE__DUAL);
    qlik__sse__table_description__free_unpacked(t, NULL);
    pb_buf_free(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_common),
        cmocka_unit_test(test_call),
        cmocka_unit_test(test_script),
        cmocka_unit_test(test_write),
    };
    int rc = cmocka_run_group_tests(tests, NULL, NULL);
    pb_arena_free(&arena);
    return rc;
}
