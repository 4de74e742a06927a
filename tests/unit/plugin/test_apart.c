/* SPDX-License-Identifier: MIT */
/* The worker's side of a connector in a process of its own, at moments that scenarios do not meet. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "data/ini.h"
#include "plugin/apart_priv.h"
#include "plugin/command.h"
#include "plugin/harness.h"

static const char *const lines[] = {"isolation = process", NULL};

/* ------------------------------------------------------------------------------------------------ commands
 */

static void on_print(void *user, pbay_str text)
{
    (void)user, (void)text;
}

static void on_progress(void *user, uint64_t at, uint64_t total, pbay_str what)
{
    (void)user, (void)at, (void)total, (void)what;
}

static void on_done(void *user, const struct pb_err *err)
{
    assert_int_equal(err->code, PBAY_OK);
    *(bool *)user = true;
}

static void start(struct pb_connector *c, const char *verb, bool *done)
{
    static const struct pb_command_sink sink = {on_print, on_progress, on_done};
    size_t taken;
    int at = pb_command_find(c->plugin, &verb, 1, &taken);
    const pbay_option_table *tables[] = {&c->plugin->command_table[at].arguments};
    const struct pb_config_env cenv = {"/", NULL, NULL};
    struct pbay_config *cfg;
    struct pb_ini *ini;
    struct pb_err err;
    if (pb_ini_parse("test.ini", PB_STR("[arguments]\nfull_name = Kim\n"), PB_INI_OURS, &ini, &err) ||
        pb_config_make(ini->sections[0], tables, 1, &cenv, &cfg, &err))
        fail_msg("%s", err.msg);
    pb_ini_free(ini);
    *done = false;
    pb_command_start(c, (uint32_t)at, cfg, &sink, done);
}

/* While the plugin waits for an answer, nothing else happens to it; the ping comes in between all the same.
 */
static void test_ping_in_a_question(void **state)
{
    (void)state;
    struct pb_connector *c = make_connector("one", lines);
    struct pb_apart *a = c->self;
    bool early, after;
    start(c, "early", &early);
    for (int i = 0; i < 20; i++) {
        pb_pipe_send(a->pipe, PB_APART_PING, 0);
        pb_pipe_flush(a->pipe);
        usleep(5000);
    }
    while (!early) turn();
    start(c, "greet", &after);
    while (!after) turn();
    assert_int_equal(pb_connector_stats(c)->crashes, 0);
    assert_true(close_connector(c, 1000));
}

/* ------------------------------------------------------------------------------------------------ main */

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
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ping_in_a_question),
    };
    return cmocka_run_group_tests(tests, open_harness, close_harness);
}
