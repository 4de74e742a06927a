/* SPDX-License-Identifier: MIT */
/* Bodies of messages, read by jansson; pictures of chains as far as text tells; events as links see them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <jansson.h>
#include <string.h>

#include <patchbay/host_chain.h>

#include "flow/chain.h"
#include "flow/chain_notify.h"

static json_t *body(enum pb_notify_format format, const char *text)
{
    struct pb_buf b = {0};
    const struct pb_notify_target t = {PB_STR("ops"), PB_STR("https://x"), format, 0};
    pb_notify_body(&b, &t, pb_str_c(text), pb_str("", 0));
    json_t *j = json_loadb(b.p, b.n, 0, NULL);
    assert_non_null(j);
    pb_buf_free(&b);
    return j;
}

static void test_bodies(void **state)
{
    (void)state;
    json_t *j = body(PB_NOTIFY_JSON, "a \"b\"\n<c> & \xff");
    assert_string_equal(json_string_value(json_object_get(j, "text")), "a \"b\"\n<c> & \xef\xbf\xbd");
    assert_string_equal(json_string_value(json_object_get(j, "target")), "ops");
    json_decref(j);
    j = body(PB_NOTIFY_SLACK, "<!channel> & more");
    assert_string_equal(json_string_value(json_object_get(j, "text")), "&lt;!channel&gt; &amp; more");
    json_decref(j);
    j = body(PB_NOTIFY_TEAMS, "late");
    const json_t *card = json_object_get(json_array_get(json_object_get(j, "attachments"), 0), "content");
    assert_string_equal(json_string_value(json_object_get(card, "type")), "AdaptiveCard");
    assert_string_equal(
        json_string_value(json_object_get(json_array_get(json_object_get(card, "body"), 0), "text")), "late");
    json_decref(j);
}

static void test_answers(void **state)
{
    (void)state;
    static const pbay_result fine = PBAY_RESULT_OK;
    struct pb_err err;
    assert_int_equal(pb_notify_answer(200, &fine, pb_str("", 0), &err), 0);
    assert_int_equal(pb_notify_answer(204, &fine, pb_str("", 0), &err), 0);
    assert_int_equal(pb_notify_answer(429, &fine, PB_STR("13"), &err), -1);
    assert_int_equal(err.advice, PBAY_ADVICE_RETRY);
    assert_int_equal(err.retry_after_ms, 13000);
    assert_int_equal(pb_notify_answer(503, &fine, PB_STR("x"), &err), -1);
    assert_int_equal(err.retry_after_ms, 0);
    assert_int_equal(pb_notify_answer(404, &fine, pb_str("", 0), &err), -1);
    assert_int_equal(err.code, PBAY_FAILED_PRECONDITION);
    assert_int_equal(err.advice, 0);
    pbay_result lost = PBAY_RESULT_OK;
    lost.code = PBAY_UNAVAILABLE;
    assert_int_equal(pb_notify_answer(0, &lost, pb_str("", 0), &err), -1);
    assert_int_equal(err.advice, PBAY_ADVICE_RETRY);
}

static const char lua[] =
    "app \"a \\\"1\\\"\" { id = \"1\" } app \"b\" { id = \"2\" } app \"c\" { name = \"C app\" }\n"
    "chain \"x\" { on(\"a \\\"1\\\"\").ok { \"b\", \"c\" }, on(\"b\").error { notify \"ops\" }, "
    "all_of(\"b\", \"c\") { action \"aws.go\" {} },\n"
    "  cron(\"0 2 * * *\") { \"a \\\"1\\\"\" } }\n";

static void picture(const struct pb_bundle *b, uint32_t format, struct pb_buf *out)
{
    struct pb_err err;
    out->n = 0;
    if (pb_chain_picture(b, NULL, format, pb_str("", 0), out, &err) != 0) fail_msg("%s", err.msg);
    pb_buf_ch(out, 0);
}

static void test_pictures(void **state)
{
    (void)state;
    struct pb_buf text = {0}, out = {0};
    struct pb_chains *chains;
    struct pb_bundle b;
    struct pb_err err;
    pb_buf_printf(&text, "patchbay-chains 1\nscript chains/t.lua\t%zu\n%s\n", sizeof lua - 1, lua);
    if (pb_chains_load(&(struct pb_chains_options){.bundle = pb_buf_view(&text)}, &chains, &err) != 0)
        fail_msg("%s", err.msg);
    pb_bundle_set(&b, chains);
    assert_int_equal(strlen(b.hash), 64);
    picture(&b, PBAY_CHAIN_JSON, &out);
    json_t *j = json_loads(out.p, 0, NULL);
    const json_t *x = json_array_get(json_object_get(j, "chains"), 0);
    assert_int_equal(json_array_size(json_object_get(x, "nodes")), 5);
    assert_int_equal(json_array_size(json_object_get(x, "edges")), 6);
    json_decref(j);
    picture(&b, PBAY_CHAIN_ROWS, &out);
    j = json_loads(out.p, 0, NULL);
    assert_true(json_array_size(j) >= 6);
    for (size_t i = 0; i < json_array_size(j); i++)
        assert_int_equal(json_object_size(json_array_get(j, i)), 11);
    json_decref(j);
    picture(&b, PBAY_CHAIN_LIST, &out);
    j = json_loads(out.p, 0, NULL);
    /* name, appId, chain, condition: as the list of apps always was. */
    assert_string_equal(json_string_value(json_object_get(json_array_get(j, 0), "condition")), "ok");
    assert_int_equal(json_array_size(json_object_get(json_array_get(j, 0), "chain")), 2);
    json_decref(j);
    picture(&b, PBAY_CHAIN_DOT, &out);
    assert_non_null(strstr(out.p, "\"a \\\"1\\\"\" -> \"b\" [label=\"ok\"];"));
    assert_non_null(strstr(out.p, "\"b\" -> \"ops\" [label=\"error\", style=dashed];"));
    picture(&b, PBAY_CHAIN_MERMAID, &out);
    assert_non_null(strstr(out.p, "[\"a #34;1#34;\"]"));
    assert_int_equal(pb_chain_picture(&b, NULL, 99, pb_str("", 0), &out, &err), -1);
    assert_int_equal(pb_chain_picture(&b, NULL, 1, PB_STR("nix"), &out, &err), -1);
    assert_int_equal(err.code, PBAY_NOT_FOUND);
    pb_bundle_clear(&b);
    pb_buf_free(&text);
    pb_buf_free(&out);
}

static void read_event(struct pb_occurred *o, const char *type, const char *data)
{
    const struct pb_event e = {.id = PB_STR("e"),
                               .connector = PB_STR("prod"),
                               .type = pb_str_c(type),
                               .subject = PB_STR("s"),
                               .data = pb_str_c(data),
                               .time_ms = 1604422870000,
                               .stored_ms = 1604422870000};
    pb_occurred_read(o, &e);
}

/* What our own job says of its end, in all the ways that it ends. */
static void test_own_ends(void **state)
{
    (void)state;
    static const char key[] = "\"key\":\"01a2269b-2795-7000-b037-0369617d50b3-2\",\"args\":{\"appId\":\"a\"}";
    struct pb_occurred o;
    char data[600];
    /* It ended when the tenant says so, not when a poll saw it. */
    snprintf(
        data, sizeof data,
        "{\"ok\":true,\"code\":\"OK\",%s,\"handle\":\"r1\",\"result\":{\"id\":\"r1\",\"status\":\"FAILED\","
        "\"errorMessage\":\"why\",\"endTime\":\"2020-11-03T17:00:11.865Z\"}}",
        key);
    read_event(&o, "reload.done", data);
    assert_true(o.own_end && o.app && o.attempt == 2 && o.status == PB_ENDED_ERROR);
    assert_true(pb_str_is(o.occurrence, "r1") && pb_str_is(o.subject, "a") && pb_str_is(o.message, "why"));
    assert_int_equal(o.time_ms, 1604422811865);
    pb_occurred_free(&o);
    /* Given up or canceled: by the name that the tenant has for it. */
    snprintf(data, sizeof data, "{\"ok\":false,\"code\":\"CANCELLED\",%s,\"handle\":\"r1\",\"result\":null}",
             key);
    read_event(&o, "reload.done", data);
    assert_true(pb_str_is(o.occurrence, "r1") && o.status == PB_ENDED_CANCELED);
    assert_int_equal(o.time_ms, 1604422870000);
    pb_occurred_free(&o);
    snprintf(data, sizeof data, "{\"ok\":false,\"code\":\"ALREADY_EXISTS\",%s,\"result\":null}", key);
    read_event(&o, "reload.done", data);
    assert_true(o.coalesced && !o.again && o.status == PB_ENDED_UNKNOWN);
    pb_occurred_free(&o);
    snprintf(data, sizeof data,
             "{\"ok\":true,\"code\":\"OK\",%s,\"handle\":\"after:r0\",\"result\":{\"again\":true}}", key);
    read_event(&o, "reload.done", data);
    assert_true(o.again && !o.coalesced);
    pb_occurred_free(&o);
    read_event(&o, "reload", "{\"app_id\":\"a\",\"reload_id\":\"r1\",\"status\":\"error\",\"final\":false}");
    assert_true(o.app && o.passing && o.status == PB_ENDED_ERROR && pb_str_is(o.occurrence, "r1"));
    pb_occurred_free(&o);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_bodies), cmocka_unit_test(test_answers),
                                       cmocka_unit_test(test_own_ends), cmocka_unit_test(test_pictures)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
