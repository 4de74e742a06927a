/* SPDX-License-Identifier: MIT */
/* Actions, polls of sources, commands, secrets, health. Requests are in requests.c. */
#include <patchbay/host_event.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "mockhost/calls.h"
#include "plugin/connector_priv.h"
#include "plugin/secrets.h"
#include "plugin/sources.h"

/* ------------------------------------------------------------------------------------------------ actions */

static void on_action(void *user, const struct pb_action_answer *a)
{
    struct pbay_mock_call *c = user;
    c->attempt = NULL;
    c->held = a->late;
    c->flags |= (a->late ? PBAY_MOCK_LATE : 0) | (a->started ? PBAY_MOCK_STARTED : 0);
    c->poll_after_ms = a->poll_after_ms;
    if (!a->err) pb_buf_str(&c->text, a->text);
    pb_mock_call_end(c, a->err);
}

static pbay_mock_call *attempt(struct pbay_mock *m, const char *action, const struct pb_action_info *info)
{
    struct pbay_mock_call *c = pb_mock_call_new(m, PB_MOCK_ACTION, action);
    struct pb_connector *conn = pb_mock_instance(m, true);
    struct pb_err err = {0};
    c->info = *info;
    c->info.key = pb_arena_str(&c->mem, info->key);
    c->info.args = pb_arena_str(&c->mem, info->args);
    c->info.handle = pb_arena_str(&c->mem, info->handle);
    c->action = conn ? pb_action_find(conn, pb_str_c(action), &err) : -1;
    if (c->action < 0 && conn) pb_mock_fault("%s", err.msg);
    if (c->action >= 0) c->attempt = pb_action_begin(conn, c->action, &c->info, on_action, c, &err);
    if (!c->attempt) pb_mock_call_end(c, &err);
    return c;
}

pbay_mock_call *pbay_mock_action(pbay_mock *m, const char *action, const char *json, const char *key)
{
    const struct pb_action_info info = {.what = PB_ACTION_RUN,
                                        .attempt = 1,
                                        .fence = 1,
                                        .key = pb_str_c(key ? key : "key"),
                                        .args = pb_str_c(json ? json : "{}"),
                                        .first_attempt_ms = m->utc_ms};
    return attempt(m, action, &info);
}

static pbay_mock_call *again(pbay_mock_call *before, enum pb_action_what what)
{
    pbay_mock_code(before);
    struct pb_action_info info = before->info;
    info.what = what;
    info.fence++;
    if (before->flags & PBAY_MOCK_STARTED) info.handle = pb_buf_view(&before->text);
    return attempt(before->m, before->name, &info);
}

pbay_mock_call *pbay_mock_action_poll(pbay_mock_call *started)
{
    return again(started, PB_ACTION_POLL);
}

pbay_mock_call *pbay_mock_action_lookup(pbay_mock_call *attempted)
{
    return again(attempted, PB_ACTION_LOOKUP);
}

int64_t pbay_mock_poll_after_ms(pbay_mock_call *c)
{
    pbay_mock_code(c);
    return c->poll_after_ms;
}

/* ------------------------------------------------------------------------------------------------ sources */

static uint64_t handles = 1000;

pbay_mock_call *pbay_mock_poll(pbay_mock *m, const char *source, const char *cursor)
{
    struct pbay_mock_call *c = pb_mock_call_new(m, PB_MOCK_POLL, source);
    struct pb_connector *conn = pb_mock_instance(m, true);
    const struct pb_plugin *p = m->plugin;
    uint32_t i = 0;
    while (p->has_events && i < p->events.n_sources && strcmp(p->source_table[i].name, source)) i++;
    if (!conn || !p->has_events || i == p->events.n_sources) {
        if (conn) pb_mock_fault("plugin %s has no source \"%s\"", p->name, source);
        c->ended = true;
        return c;
    }
    c->handle = ++handles;
    c->index = i;
    struct pb_visit v;
    pb_visit_enter(&v, conn, "poll", source);
    p->events.poll(conn->self, i, c->handle, pb_str_c(cursor ? cursor : ""));
    pb_visit_leave(&v);
    return c;
}

/* pbay.host.event/1 polled: what came, checked as the gateway does. */
static void polled(uint64_t poll, const pbay_result *result, const pbay_event *events, uint32_t n,
                   pbay_str cursor, int more)
{
    if (!pb_mock_on_loop(PBAY_SVC_EVENT, "polled")) return;
    struct pbay_mock_call *c = pb_mock_call_of(PB_MOCK_POLL, poll);
    if (!c) {
        pb_mock_fault("a poll that is over was answered");
        return;
    }
    struct pb_err err = {0};
    struct pb_arena mem = {0};
    struct pb_event_put *put;
    if (result->code != PBAY_OK)
        pb_plugin_why(&err, result->code, result, "the poll");
    else if (!pb_events_read(pb_mock->connector, events, n, &mem, &put, &err)) {
        pb_buf_c(&c->text, "{\"events\": [");
        const char *at = (const char *)events;
        for (uint32_t i = 0; i < n; i++) {
            uint32_t size;
            memcpy(&size, at, sizeof size);
            if (i) pb_buf_c(&c->text, ", ");
            pb_mock_event_json(&c->text, (const pbay_event *)(const void *)at);
            at += size;
        }
        pb_buf_c(&c->text, "], \"cursor\": ");
        pb_buf_json(&c->text, cursor);
        pb_buf_printf(&c->text, ", \"again\": %s}", more ? "true" : "false");
    } else {
        pb_mock_fault("source %s: %s", c->name, err.msg);
    }
    pb_arena_free(&mem);
    pb_mock_call_end(c, err.code ? &err : NULL);
}

/* For store.c, which has the rest of the service. */
void (*const pb_mock_polled)(uint64_t, const pbay_result *, const pbay_event *, uint32_t, pbay_str,
                             int) = polled;

/* ------------------------------------------------------------------------------------------------ commands
 */

static void on_print(void *user, pbay_str text)
{
    pb_buf_str(&((struct pbay_mock_call *)user)->text, text);
}

static void on_progress(void *user, uint64_t done, uint64_t total, pbay_str what)
{
    (void)user, (void)done, (void)total, (void)what;
}

static void on_command(void *user, const struct pb_err *err)
{
    struct pbay_mock_call *c = user;
    c->run = NULL;
    pb_mock_call_end(c, err);
}

pbay_mock_call *pbay_mock_command(pbay_mock *m, const char *verb, const char *arguments)
{
    static const struct pb_command_sink sink = {on_print, on_progress, on_command};
    struct pbay_mock_call *c = pb_mock_call_new(m, PB_MOCK_COMMAND, verb);
    const struct pb_plugin *p = m->plugin;
    uint32_t i = 0;
    while (p->has_commands && i < p->commands.n_commands && strcmp(p->command_table[i].verb, verb)) i++;
    const bool there = p->has_commands && i < p->commands.n_commands;
    if (!there) pb_mock_fault("plugin %s has no command \"%s\"", p->name, verb);
    struct pb_connector *conn =
        there ? pb_mock_instance(m, p->command_table[i].flags & PBAY_COMMAND_STARTED) : NULL;
    struct pb_err err = {0};
    if (conn) {
        char *text = pb_sprintf("[command]\n%s", arguments ? arguments : "");
        const pbay_option_table *table = &p->command_table[i].arguments;
        const struct pb_config_env env = {"/", NULL, NULL};
        struct pb_ini *ini = NULL;
        struct pbay_config *cfg = NULL;
        if (!pb_ini_parse("(arguments)", pb_str_c(text), PB_INI_OURS, &ini, &err) &&
            !pb_config_make(ini->sections[0], &table, 1, &env, &cfg, &err))
            c->run = pb_command_start(conn, i, cfg, &sink, c);
        pb_ini_free(ini);
        pb_free(text);
    }
    if (!c->run && !c->ended) pb_mock_call_end(c, &err);
    return c;
}

/* ------------------------------------------------------------------------------------------------ secrets */

static void on_resolved(void *user, const struct pb_err *err)
{
    struct pbay_mock_call *c = user;
    pbay_str value;
    const char *scheme = c->m->plugin->secrets.schemes[c->index];
    if (err->code == PBAY_OK &&
        pb_secrets_known(c->m->registry, pb_str_c(scheme), pb_str_c(c->name + strlen(scheme) + 1), &value))
        pb_buf_str(&c->text, value);
    c->held =
        err->code == PBAY_DEADLINE_EXCEEDED; /* the plugin may have said so itself, and then it is closed */
    pb_mock_call_end(c, err);
}

pbay_mock_call *pbay_mock_resolve(pbay_mock *m, const char *scheme, const char *rest)
{
    char *name = pb_sprintf("%s:%s", scheme, rest);
    struct pbay_mock_call *c = pb_mock_call_new(m, PB_MOCK_RESOLVE, name);
    struct pb_connector *conn = pb_mock_instance(m, true);
    const int i = m->plugin->has_secrets ? pb_secrets_scheme(m->plugin, pb_str_c(scheme)) : -1;
    pb_free(name);
    if (!conn || i < 0) {
        if (conn) pb_mock_fault("plugin %s does not resolve \"%s:\"", m->plugin->name, scheme);
        c->ended = true;
        return c;
    }
    c->index = (uint32_t)i;
    pb_secrets_ask(conn, c->index, pb_str_c(c->name + strlen(scheme) + 1), on_resolved, c);
    return c;
}

/* ------------------------------------------------------------------------------------------------ health */

uint32_t pbay_mock_health(pbay_mock *m, const char **sentence)
{
    struct pb_connector *c = pb_mock_instance(m, false);
    pbay_str why = {NULL, 0};
    pbay_mock_run(m);
    const uint32_t state = c ? (uint32_t)pb_connector_state(c, &why) : (uint32_t)PB_CONNECTOR_OUT;
    struct pb_buf *b = pb_mock_text();
    pb_buf_str(b, why);
    if (sentence) *sentence = pb_mock_said(b);
    pbay_mock_run(m);
    return state;
}

/* ------------------------------------------------------------------------------------------------ any */

void pb_mock_ask_cancel(struct pbay_mock_call *c)
{
    struct pb_connector *conn = c->m->connector;
    struct pb_visit v;
    if (c->ended || !conn) return;
    switch (c->kind) {
    case PB_MOCK_ACTION: pb_action_cancel(c->attempt); return;
    case PB_MOCK_COMMAND: pb_command_cancel(c->run); return;
    case PB_MOCK_POLL:
        if (!c->m->plugin->events.cancel) return;
        pb_visit_enter(&v, conn, "poll cancel", c->name);
        c->m->plugin->events.cancel(conn->self, c->index, c->handle);
        pb_visit_leave(&v);
        return;
    case PB_MOCK_REQUEST: pb_connector_request_cancel(conn, c->index, c->handle); return;
    default: return;
    }
}
