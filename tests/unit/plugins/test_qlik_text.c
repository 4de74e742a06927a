/* SPDX-License-Identifier: MIT */
/* What the qlik_saas plugin makes of bytes: envelopes, statuses, names. Bodies: https://qlik.dev/apis/event.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "../../../plugins/qlik_saas/envelope.h"
#include "../../../plugins/qlik_saas/fold.h"
#include "base/attr.h"
#include "base/str.h"

#define APP "002ff8c5-3c11-4464-a22b-68fb5e7ee5e8"

/* The sample of /apis/event/reloads, without authclaims and tracestate. */
static const char RELOAD[] =
    "{\"id\":\"b347fd0d-1321-417f-91ee-90e96c76389c\",\"host\":\"qlik.example.com\",\"time\":\"2018-10-30T07:"
    "06:22Z\","
    "\"type\":\"com.qlik.v1.reload.finished\",\"source\":\"com.qlik/"
    "reloads\",\"ownerid\":\"5be59decca62aa00097268a4\","
    "\"originip\":\"192.168.1.1\",\"specversion\":\"1.0\",\"datacontenttype\":\"application/json\","
    "\"reason\":\"User initiated "
    "reload\",\"userid\":\"5be59decca62aa00097268a4\",\"spaceid\":\"64db65d5970c28d340790f5c\","
    "\"authtype\":\"token\",\"clientid\":\"id123\",\"tenantid\":\"UkeLb6ICti8OA8f3LueRI5kVNtuHc15f\","
    "\"sessionid\":\"b1fb457e-fca4-3c7d-8436-14380a990aef\","
    "\"traceparent\":\"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01\","
    "\"toplevelresourceid\":\"002ff8c5-3c11-4464-a22b-68fb5e7ee5e8\","
    "\"data\":{\"id\":\"6a849f7f18ec290e6ceb025d\",\"appId\":\"002ff8c5-3c11-4464-a22b-68fb5e7ee5e8\","
    "\"userId\":\"5be59decca62aa00097268a4\",\"succeeded\":true}}";

/* The same event of an app in the three envelopes. */
#define APP_DATA                                                                                             \
    "\"data\":{\"status\":\"error\",\"name\":\"App\",\"reloadId\":\"rid\",\"size\":{\"memory\":10},"         \
    "\"duration\":1500,"                                                                                     \
    "\"errors\":[\"Field not "                                                                               \
    "found\"],\"warnings\":[],\"statements\":[],\"isPartialReload\":true,\"isSessionApp\":false}"
#define CLOUD                                                                                                \
    "\"id\":\"b0f5c473\",\"time\":\"2024-07-27T13:57:27Z\",\"type\":\"com.qlik.v1.app.reload.finished\","    \
    "\"specversion\":\"1.0\",\"tenantid\":\"tenant-1\",\"userid\":\"user-1\",\"spaceid\":\"s\","             \
    "\"toplevelresourceid\":\"" APP "\""
#define LEGACY                                                                                               \
    "\"cloudEventsVersion\":\"0.1\",\"source\":\"com.qlik/engine\",\"contentType\":\"application/json\","    \
    "\"eventId\":\"b0f5c473\",\"eventTime\":\"2024-07-27T13:57:27Z\",\"eventTypeVersion\":\"1.0.0\","        \
    "\"eventType\":\"com.qlik.v1.app.reload.finished\",\"extensions\":{\"ownerId\":\"o\",\"tenantId\":"      \
    "\"tenant-1\","                                                                                          \
    "\"userId\":\"user-1\",\"spaceId\":\"s\",\"topLevelResourceId\":\"" APP "\"}"

static struct envelope read_ok(const char *body, unsigned flags)
{
    struct envelope e;
    char why[ENVELOPE_WHY];
    if (envelope_read(pb_str_c(body), flags, &e, why)) fail_msg("%s", why);
    return e;
}

static void is(pbay_str got, const char *wanted)
{
    if (!pb_str_is(got, wanted)) fail_msg("\"%.*s\" is not \"%s\"", PB_FMT(got), wanted);
}

static void test_reload(void **state)
{
    (void)state;
    struct envelope e = read_ok(RELOAD, 0);
    assert_int_equal(e.kind, EVENT_RELOAD);
    assert_int_equal(e.status, STATUS_OK); /* no status: succeeded counts */
    is(e.id, "b347fd0d-1321-417f-91ee-90e96c76389c");
    is(e.app, APP);
    is(e.reload, "6a849f7f18ec290e6ceb025d"); /* data.id is the reload's, never the app's */
    is(e.tenant, "UkeLb6ICti8OA8f3LueRI5kVNtuHc15f");
    is(e.space, "64db65d5970c28d340790f5c");
    is(e.raw_status, "");
    assert_int_equal(e.time_ms, INT64_C(1540883182000));
    assert_true(pb_str_starts(e.data, PB_STR("{\"id\":\"6a84")));
    envelope_free(&e);
}

/* One event, three envelopes, one outcome. */
static void test_envelopes(void **state)
{
    (void)state;
    static const char *const bodies[] = {"{" CLOUD "," APP_DATA "}", "{" LEGACY "," APP_DATA "}",
                                         "{" LEGACY "," CLOUD "," APP_DATA "}", "{" APP_DATA "," LEGACY "}"};
    pbay_text first = {NULL, 0, 0};
    for (size_t i = 0; i < PB_COUNTOF(bodies); i++) {
        struct envelope e = read_ok(bodies[i], 0);
        pbay_text text = {NULL, 0, 0};
        assert_int_equal(e.kind, EVENT_APP_RELOAD);
        assert_int_equal(e.status, STATUS_ERROR);
        assert_int_equal(e.types_differ, 0);
        envelope_json(&e, &text);
        if (i && (text.n != first.n || memcmp(text.p, first.p, text.n)))
            fail_msg("%zu: %.*s is not %.*s", i, (int)text.n, text.p, (int)first.n, first.p);
        if (!i) first = text;
        if (i) pbay_text_free(&text);
        envelope_free(&e);
    }
    json_t *ev = json_loadb(first.p, first.n, 0, NULL);
    static const struct {
        const char *name, *value;
    } members[] = {{"status", "error"},
                   {"raw_status", "error"},
                   {"app_id", APP},
                   {"app_name", "App"},
                   {"reload_id", "rid"},
                   {"tenant", "tenant-1"},
                   {"user_id", "user-1"},
                   {"space_id", "s"},
                   {"id", "b0f5c473"},
                   {"error_message", "Field not found"},
                   {"time", "2024-07-27T13:57:27Z"}};
    for (size_t i = 0; i < PB_COUNTOF(members); i++)
        assert_string_equal(json_string_value(json_object_get(ev, members[i].name)), members[i].value);
    assert_int_equal(json_integer_value(json_object_get(ev, "duration_ms")), 1500);
    assert_true(json_is_true(json_object_get(ev, "partial")));
    assert_true(json_is_object(json_object_get(ev, "raw")));
    json_decref(ev);
    pbay_text_free(&first);
}

static void test_statuses(void **state)
{
    (void)state;
    static const struct {
        const char *data;
        enum event_status status;
    } cases[] = {
        {"\"status\":\"SUCCEEDED\",\"succeeded\":true", STATUS_OK},
        {"\"status\":\"FAILED\",\"succeeded\":false", STATUS_ERROR},
        {"\"status\":\"EXCEEDED_LIMIT\",\"succeeded\":false", STATUS_ERROR},
        {"\"status\":\"CANCELED\",\"succeeded\":false", STATUS_CANCELED},
        {"\"status\":\"SOMETHING_NEW\",\"succeeded\":true", STATUS_UNKNOWN}, /* fires nothing */
        {"\"succeeded\":false", STATUS_ERROR},
        {"\"succeeded\":true", STATUS_OK},
        {"\"succeeded\":\"true\"", STATUS_UNKNOWN},
        {"\"x\":1", STATUS_UNKNOWN},
    };
    for (size_t i = 0; i < PB_COUNTOF(cases); i++) {
        char body[300];
        snprintf(body, sizeof body,
                 "{\"type\":\"com.qlik.v1.reload.finished\",\"id\":\"e\",\"data\":{\"id\":\"r\",\"appId\":"
                 "\"a\",%s}}",
                 cases[i].data);
        struct envelope e = read_ok(body, 0);
        if (e.status != cases[i].status) fail_msg("%s: %s", cases[i].data, status_name(e.status));
        envelope_free(&e);
    }
}

/* Where the app's id is looked for. */
static void test_app(void **state)
{
    (void)state;
    static const struct {
        unsigned flags;
        const char *body, *app; /* NULL: refused */
    } cases[] = {
        {0, "{\"type\":\"com.qlik.v1.reload.finished\",\"toplevelresourceid\":\"t\",\"data\":{\"id\":\"r\"}}",
         "t"},
        {0, "{\"type\":\"com.qlik.v1.reload.finished\",\"data\":{\"id\":\"r\"}}", NULL},
        {0, "{\"type\":\"com.qlik.v1.app.reload.finished\",\"data\":{\"appId\":\"a\"}}", "a"},
        {0, "{\"type\":\"com.qlik.v1.app.reload.finished\",\"data\":{\"id\":\"p\"}}", NULL},
        {ENVELOPE_PAPER, "{\"type\":\"com.qlik.v1.app.reload.finished\",\"data\":{\"id\":\"p\"}}", "p"},
        {ENVELOPE_PAPER,
         "{\"eventType\":\"com.qlik.app.reload.ended\",\"data\":{\"id\":\"p\",\"status\":\"ok\"}}", "p"},
        {ENVELOPE_PAPER, "{\"data\":{\"id\":\"p\",\"status\":\"ok\"}}", "p"},
        {0, "{\"data\":{\"id\":\"p\",\"status\":\"ok\"}}", NULL},
        {ENVELOPE_PAPER, "{\"type\":\"com.qlik.v1.reload.finished\",\"data\":{\"id\":\"r\"}}", NULL},
        {0,
         "{\"type\":\"com.qlik.v1.app.reload.finished\",\"extensions\":{\"topLevelResourceId\":\"t\"},"
         "\"data\":{}}",
         "t"},
        {0, "{\"type\":\"com.qlik.app.deleted\",\"toplevelresourceid\":\"t\",\"data\":{}}", "t"},
        {0, "{\"type\":\"com.qlik.v1.user.created\",\"data\":null}", ""},
    };
    for (size_t i = 0; i < PB_COUNTOF(cases); i++) {
        struct envelope e;
        char why[ENVELOPE_WHY];
        int rc = envelope_read(pb_str_c(cases[i].body), cases[i].flags, &e, why);
        if (!cases[i].app)
            assert_int_equal(rc, -1);
        else if (rc)
            fail_msg("%s: %s", cases[i].body, why);
        else
            is(e.app, cases[i].app);
        envelope_free(&e);
    }
}

static void test_refusals(void **state)
{
    (void)state;
    char deep[200];
    snprintf(deep, sizeof deep, "{\"type\":\"x\",\"data\":%.*s%.*s}", 33, "[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[",
             33, "]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]");
    const struct {
        const char *body, *says;
    } cases[] = {
        {"", "not JSON"},
        {"not json", "not JSON: line 1"},
        {"{\"type\":\"x\"", "not JSON"},
        {"{\"type\":\"a\\u0000b\"}", "not JSON"},
        {"{\"type\":\"x\",\"type\":\"x\"}", "duplicate"},
        {"{\"type\":\"com.qlik.v1.reload.finished\",\"data\":{\"appId\":\"a\",\"appId\":\"b\"}}",
         "duplicate"},
        {"[]", "no JSON object"},
        {"{\"data\":{}}", "neither type nor eventType"},
        {"{\"type\":7,\"data\":{}}", "neither type nor eventType"},
        {"{\"type\":\"com.qlik.v1.reload.finished\"}", "no object data"},
        {"{\"type\":\"com.qlik.v1.reload.finished\",\"data\":{\"appId\":\"a b\"}}", "not printable"},
        {"{\"type\":\"com.qlik.v1.reload.finished\",\"data\":{\"appId\":\"\xc3\xa9\"}}", "not printable"},
        {"{\"type\":\"com.qlik.v1.reload.finished\",\"data\":{\"appId\":\"\xff\"}}", "not JSON"},
        {deep, "nested too deeply"},
    };
    for (size_t i = 0; i < PB_COUNTOF(cases); i++) {
        struct envelope e;
        char why[ENVELOPE_WHY] = "";
        assert_int_equal(envelope_read(pb_str_c(cases[i].body), 0, &e, why), -1);
        if (!strstr(why, cases[i].says)) fail_msg("%s: %s", cases[i].body, why);
        envelope_free(&e);
    }
}

/* A NUL byte and what looks like the end of data do not mislead. */
static void test_data(void **state)
{
    (void)state;
    struct envelope e;
    char why[ENVELOPE_WHY];
    pbay_str nul = PB_STR("{\"type\":\"x\"}\0{\"type\":\"y\"}");
    assert_int_equal(envelope_read(nul, 0, &e, why), -1);
    envelope_free(&e);
    e = read_ok("{\"x\":\"data\",\"y\":{\"data\":1},\"type\":\"com.qlik.v1.reload.finished\","
                "\"data\" : {\"appId\":\"a\",\"id\":\"r\\\"}\",\"z\":[{}, \"}\"]},\"w\":\"}\"}",
                0);
    is(e.data, " {\"appId\":\"a\",\"id\":\"r\\\"}\",\"z\":[{}, \"}\"]}");
    is(e.reload, "r\"}");
    envelope_free(&e);
}

static void test_types(void **state)
{
    (void)state;
    assert_true(type_matches(PB_STR("com.qlik.app.deleted"), PB_STR("com.qlik.v1.app.deleted")));
    assert_true(type_matches(PB_STR("com.qlik.v1.app.deleted"), PB_STR("com.qlik.app.deleted")));
    assert_false(type_matches(PB_STR("com.qlik.v1.app.deleted"), PB_STR("com.qlik.v1.app.delete")));
    assert_false(
        type_matches(PB_STR("com.qlik.v1.reload.finished"), PB_STR("com.qlik.v1.app.reload.finished")));
    char name[16];
    type_short(PB_STR("com.qlik.v1.app.data.updated"), name, sizeof name);
    assert_string_equal(name, "app_data_update"); /* cut to what there is room for */
    type_short(PB_STR("com.qlik.app.Data-X"), name, sizeof name);
    assert_string_equal(name, "app_data_x");
}

static void test_names(void **state)
{
    (void)state;
    static const struct {
        const char *a, *b;
        int same;
    } cases[] = {
        {"Extract", "eXTRACT", 1},
        {"Extract", "Extract ", 0},
        {"", "", 1},
        {"Försäljning", "FÖRSÄLJNING", 1},
        {"Łódź", "łÓDŹ", 1},
        {"Ÿ", "ÿ", 1},
        {"Отчёт", "ОТЧЁТ", 1},
        {"Ανάλυση", "ΑΝάΛΥση", 1},
        {"a×", "A÷", 0},
        {"售", "售", 1},
        {"\xf0\x9f\x98\x80", "\xf0\x9f\x98\x81", 0},
        {"Žš", "žŠ", 1},
    };
    for (size_t i = 0; i < PB_COUNTOF(cases); i++)
        if (fold_equal(pb_str_c(cases[i].a), pb_str_c(cases[i].b)) != cases[i].same)
            fail_msg("%s, %s", cases[i].a, cases[i].b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reload), cmocka_unit_test(test_envelopes), cmocka_unit_test(test_statuses),
        cmocka_unit_test(test_app),    cmocka_unit_test(test_refusals),  cmocka_unit_test(test_data),
        cmocka_unit_test(test_types),  cmocka_unit_test(test_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
