/* SPDX-License-Identifier: MIT */
/* The little house that a plugin is tried in: the host's own rooms, without a network behind them. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <patchbay/host_stream.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/mem.h"
#include "check.h"
#include "data/config.h"
#include "plugin/connector_priv.h"
#include "plugin/invoke.h"

/* Nothing leaves the house: requests end with CANCELLED. */
static void swallow(void *user, pbay_str connector, pbay_str method, pbay_str url, const pbay_header *headers,
                    uint32_t n, pbay_str body)
{
    (void)user, (void)connector, (void)method, (void)url, (void)headers, (void)n, (void)body;
}

/* pbay.host.invoke/1 of a house with nobody else in it: there is no such function. */
static int32_t describe_none(void *user, pbay_str function, pbay_invoke_function *out)
{
    (void)user, (void)function, (void)out;
    return PBAY_NOT_FOUND;
}

static struct pb_invocation *open_none(void *user, const struct pb_invoke_request *request,
                                       const struct pb_invoke_sink *sink, void *sink_user, struct pb_err *err)
{
    (void)user, (void)sink, (void)sink_user;
    pb_fail(err, PBAY_NOT_FOUND, "there is no \"%.*s\" here", PB_FMT(request->target));
    return NULL;
}

static pbay_str no_name(void *user, uint32_t i)
{
    (void)user, (void)i;
    return pb_str(NULL, 0);
}

static const struct pb_invoker nobody = {.describe = describe_none, .open = open_none, .nth = no_name};
static struct pb_chain_pictures no_pictures;

/* Nor does a stream leave it. */
static pbay_stream stream_open(const pbay_host *host, const pbay_stream_open_info *info,
                               const pbay_stream_events *events, void *user, pbay_result *why)
{
    (void)host, (void)info, (void)events, (void)user;
    if (why)
        *why = (pbay_result){
            .struct_size = sizeof *why, .code = PBAY_UNAVAILABLE, .message = PB_STR("shown, not sent")};
    return 0;
}

static int32_t stream_write(pbay_stream s, pbay_str piece)
{
    (void)s, (void)piece;
    return PBAY_CANCELLED;
}

static void stream_credit(pbay_stream s, size_t n)
{
    (void)s, (void)n;
}

static void stream_end(pbay_stream s)
{
    (void)s;
}

static const pbay_stream_1 no_streams = {sizeof no_streams, 0,          stream_open, stream_write,
                                         stream_credit,     stream_end, stream_end};

static bool instead(const char *id, const void **table)
{
    *table = &no_streams;
    return !strcmp(id, PBAY_SVC_STREAM);
}

static void open_house(struct kit *k, bool first)
{
    struct pb_err err;
    k->loop = pb_loop_new(&err);
    if (!k->loop) kit_fault("%s", err.msg);
    k->env = (struct pb_plugin_env){.loop = k->loop,
                                    .metrics = pb_metrics_new(),
                                    .requests = &kit_requests,
                                    .explain = swallow,
                                    .invoker = &nobody,
                                    .chains = &no_pictures,
                                    .instead = instead};
    k->registry = pb_registry_new(&k->env, false);
    int rc = pb_registry_add(k->registry, k->path, &err);
    const struct pb_found *found = rc ? NULL : pb_registry_at(k->registry, 0);
    if (found && !found->plugin) err = *found->why;
    if (found && found->plugin)
        k->plugin = found->plugin;
    else if (first)
        kit_fault("%s", err.msg);
    else
        kit_skip("it does not load");
}

void kit_open(struct kit *k)
{
    open_house(k, false);
}

void kit_load(struct kit *k)
{
    open_house(k, true);
}

void kit_turn(struct kit *k)
{
    pb_loop_turn(k->loop, false);
    usleep(200);
}

bool kit_has_section(const struct kit *k)
{
    return k->ini && pb_declared_connector(k->ini, k->plugin);
}

bool kit_is_mute(const struct pb_err *err)
{
    return err->code != PBAY_CANCELLED && (!err->msg[0] || pb_plugin_mute(err));
}

/* The [connector] section of this plugin, or one with nothing in it. */
static const struct pb_ini_section *section_of(const struct kit *k, struct pb_ini **made, struct pb_err *err)
{
    *made = NULL;
    if (kit_has_section(k)) return pb_declared_connector(k->ini, k->plugin);
    char text[256];
    snprintf(text, sizeof text, "[connector \"check\"]\nplugin = %s\n", k->plugin->name);
    return pb_ini_parse("(no configuration)", pb_str_c(text), PB_INI_OURS, made, err) ? NULL
                                                                                      : (*made)->sections[0];
}

struct pb_connector *kit_connector(struct kit *k, bool check_only, struct pb_err *err)
{
    struct pb_connector_spec spec = {.name = PB_STR("check"), .plugin = k->plugin, .check_only = check_only};
    const pbay_option_table *tables[] = {&pb_connector_options, &k->plugin->descriptor.options};
    char dir[4096];
    const struct pb_config_env cenv = {getcwd(dir, sizeof dir) ? dir : "/", NULL, NULL};
    struct pb_ini *made;
    const struct pb_ini_section *s = section_of(k, &made, err);
    int rc = s ? pb_config_make(s, tables, 2, &cenv, &spec.config, err) : -1;
    pb_ini_free(made);
    return rc ? NULL : pb_connector_new(k->registry, &spec, err);
}

struct pb_connector *kit_started(struct kit *k)
{
    struct pb_err err;
    struct pb_connector *c = kit_connector(k, false, &err);
    if (!c) kit_untried("no instance could be made: %s", err.msg);
    /* What waits for its deadline is to have one within the kit's patience. */
    if (c->timeout_ms > k->patience_ms / 2) c->timeout_ms = k->patience_ms / 2;
    if (pb_connector_start(c, &err)) {
        if (kit_is_mute(&err)) kit_fault("`start` failed without a message: why->message says what is wrong");
        kit_untried("it did not start: %s", err.msg);
    }
    return c;
}

static bool closed;

static void on_closed(void *user, bool clean)
{
    (void)user;
    if (!clean)
        kit_fault("it kept a call, a request or work for 5 s after `stop`: its instance cannot be destroyed");
    closed = true;
}

void kit_close(struct kit *k, struct pb_connector *c)
{
    closed = false;
    const int64_t began = pb_mono_ns();
    pb_connector_close(c, 5000, on_closed, NULL);
    k->stop_ns = pb_mono_ns() - began;
    while (!closed) pb_loop_turn(k->loop, false);
}
