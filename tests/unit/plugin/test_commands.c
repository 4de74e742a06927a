/* SPDX-License-Identifier: MIT */
/* Commands of plugins: found by words, run to their end, cancelled, ended twice. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/str.h"
#include "plugin/command.h"
#include "plugin/harness.h"

static struct pb_buf said;
static uint64_t steps, of;
static bool done;
static struct pb_err ended;

static void on_print(void *user, pbay_str text)
{
    (void)user;
    pb_buf_str(&said, text);
}

static void on_progress(void *user, uint64_t at, uint64_t total, pbay_str what)
{
    (void)user;
    assert_true(pb_str_is(what, "counting"));
    steps = at;
    of = total;
}

static void on_done(void *user, const struct pb_err *err)
{
    (void)user;
    assert_false(done);
    done = true;
    ended = *err;
}

static const struct pb_command_sink sink = {on_print, on_progress, on_done};

static struct pb_command_run *start(struct pb_connector *c, const char *verb, const char *line)
{
    const struct pb_plugin *p = pb_connector_plugin(c);
    const char *words[3];
    char text[128], *save = NULL;
    size_t n = 0, taken;
    snprintf(text, sizeof text, "%s", verb);
    for (char *w = strtok_r(text, " ", &save); w; w = strtok_r(NULL, " ", &save)) words[n++] = w;
    int at = pb_command_find(p, words, n, &taken);
    assert_true(at >= 0);
    assert_int_equal(taken, n);
    char ini_text[256];
    snprintf(ini_text, sizeof ini_text, "[arguments]\n%s\n", line);
    struct pb_ini *ini;
    struct pb_err err;
    if (pb_ini_parse("test.ini", pb_str_c(ini_text), PB_INI_OURS, &ini, &err)) fail_msg("%s", err.msg);
    const pbay_option_table *tables[] = {&p->command_table[at].arguments};
    const struct pb_config_env cenv = {"/", NULL, NULL};
    struct pbay_config *cfg;
    if (pb_config_make(ini->sections[0], tables, 1, &cenv, &cfg, &err)) fail_msg("%s", err.msg);
    pb_ini_free(ini);
    pb_buf_reset(&said, 0);
    done = false;
    steps = of = 0;
    return pb_command_start(c, (uint32_t)at, cfg, &sink, NULL);
}

static void finish(void)
{
    while (!done) turn();
}

static void test_find(void **state)
{
    (void)state;
    struct pb_err err;
    const struct pb_plugin *p = pb_registry_find(registry, PB_STR("good"), &err);
    const char *const words[] = {"count", "up", "more"}, *const other[] = {"count", "down"},
                      *const none[] = {"up"};
    size_t taken;
    assert_int_equal(pb_command_find(p, words, 3, &taken), 1); /* "count up", not "count" */
    assert_int_equal(taken, 2);
    assert_int_equal(pb_command_find(p, other, 2, &taken), 2);
    assert_int_equal(taken, 1);
    assert_int_equal(pb_command_find(p, none, 1, &taken), -1);
    assert_int_equal(pb_command_find(p, words, 0, &taken), -1);
}

static void test_text(void **state)
{
    (void)state;
    struct pb_connector *c = make_connector("one", NULL);
    start(c, "greet", "full_name = Kim\ntimes = 2\nloud = yes");
    assert_false(done); /* never inside */
    finish();
    assert_int_equal(ended.code, PBAY_OK);
    assert_true(pb_str_is(pb_buf_view(&said), "HELLO Kim\nHELLO Kim\n"));
    assert_true(close_connector(c, 1000));
}

static void test_progress(void **state)
{
    (void)state;
    struct pb_connector *c = make_connector("one", NULL);
    start(c, "count up", "");
    finish();
    assert_int_equal(steps, 3);
    assert_int_equal(of, 3);
    assert_true(pb_str_is(pb_buf_view(&said), "three\n"));
    assert_true(close_connector(c, 1000));
}

static void test_cancel(void **state)
{
    (void)state;
    struct pb_connector *c = make_connector("one", NULL);
    struct pb_command_run *r = start(c, "count up", "stuck = yes");
    turn();
    assert_false(done);
    pb_command_cancel(r);
    pb_command_cancel(r); /* it has ended meanwhile: nothing */
    finish();
    assert_int_equal(ended.code, PBAY_CANCELLED);
    assert_string_equal(ended.msg, "stopped at your wish");
    assert_true(close_connector(c, 1000));
}

/* Ended twice: the first counts, the second is the plugin's fault. */
static void test_twice(void **state)
{
    (void)state;
    struct pb_connector *c = make_connector("one", NULL);
    start(c, "count", "");
    assert_int_equal(pb_connector_stats(c)->faults, 1);
    finish();
    assert_int_equal(ended.code, PBAY_NOT_FOUND);
    assert_string_equal(ended.msg, "started");
    assert_true(close_connector(c, 1000));
}

static void on_closed(void *user, bool clean)
{
    assert_true(clean);
    *(bool *)user = true;
}

/* A running command holds the connector. */
static void test_hold(void **state)
{
    (void)state;
    struct pb_connector *c = make_connector("one", NULL);
    struct pb_command_run *r = start(c, "count up", "stuck = yes");
    bool closed = false;
    pb_connector_close(c, 60000, on_closed, &closed);
    for (int i = 0; i < 5; i++) turn();
    assert_false(closed);
    pb_command_cancel(r);
    while (!closed) turn();
    assert_true(done);
}

static int open_harness(void **state)
{
    (void)state;
    harness_open();
    return 0;
}

static int close_harness(void **state)
{
    (void)state;
    harness_close();
    pb_buf_free(&said);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_find),   cmocka_unit_test(test_text),  cmocka_unit_test(test_progress),
        cmocka_unit_test(test_cancel), cmocka_unit_test(test_twice), cmocka_unit_test(test_hold),
    };
    return cmocka_run_group_tests(tests, open_harness, close_harness);
}
