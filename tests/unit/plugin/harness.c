/* SPDX-License-Identifier: MIT */
#include "plugin/harness.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/str.h"
#include "data/ini.h"
#include "plugin/operation.h"
#include "plugin/probe.h"

struct pb_loop *loop;
struct pb_plugin_env env;
struct pb_registry *registry;

void harness_open(void)
{
    struct pb_err err;
    loop = pb_loop_new(&err);
    if (!loop) fail_msg("%s", err.msg);
    env = (struct pb_plugin_env){.loop = loop, .metrics = pb_metrics_new()};
    pb_probe_program(PB_TEST_PROBE);
    registry = pb_registry_new(&env, false);
    if (pb_registry_add(registry, PB_TEST_PLUGINS "/good.so", &err)) fail_msg("%s", err.msg);
}

void harness_close(void)
{
    pb_registry_free(registry);
    pb_metrics_free(env.metrics);
    pb_loop_free(loop);
    pb_op_pool_free();
    pb_builder_pool_free();
}

void turn(void)
{
    pb_loop_turn(loop, false);
    usleep(200);
}

struct pb_connector *try_connector(const char *name, const char *const *lines, struct pb_err *err)
{
    struct pb_connector_spec spec = {.name = pb_str_c(name),
                                     .plugin = pb_registry_find(registry, PB_STR("good"), err)};
    if (!spec.plugin) fail_msg("%s", err->msg);
    struct pb_buf text = {0};
    pb_buf_printf(&text, "[connector \"%s\"]\nplugin = good\n", name);
    if (getenv("PB_TEST_APART")) pb_buf_c(&text, "isolation = process\n");
    for (; lines && *lines; lines++) pb_buf_printf(&text, "%s\n", *lines);
    struct pb_ini *ini;
    if (pb_ini_parse("test.ini", pb_buf_view(&text), PB_INI_OURS, &ini, err)) fail_msg("%s", err->msg);
    const pbay_option_table *tables[] = {&pb_connector_options, &spec.plugin->descriptor.options};
    const struct pb_config_env cenv = {"/", NULL, NULL};
    if (pb_config_make(ini->sections[0], tables, 2, &cenv, &spec.config, err)) fail_msg("%s", err->msg);
    pb_ini_free(ini);
    pb_buf_free(&text);
    return pb_connector_new(registry, &spec, err);
}

struct pb_connector *make_connector(const char *name, const char *const *lines)
{
    struct pb_err err;
    struct pb_connector *c = try_connector(name, lines, &err);
    if (!c || pb_connector_start(c, &err)) fail_msg("%s", err.msg);
    return c;
}

static bool closed, closed_clean;

static void on_closed(void *user, bool clean)
{
    (void)user;
    closed = true;
    closed_clean = clean;
}

bool close_connector(struct pb_connector *c, int64_t grace_ms)
{
    closed = false;
    pb_connector_close(c, grace_ms, on_closed, NULL);
    assert_false(closed);
    while (!closed) turn();
    return closed_clean;
}
