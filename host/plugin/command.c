/* SPDX-License-Identifier: MIT */
/* pbay.commands/1 and pbay.host.command/1. */
#include "plugin/command.h"

#include <string.h>

#include "base/handle.h"
#include "base/mem.h"
#include "plugin/connector_priv.h"
#include "plugin/services.h"

struct pb_command_run {
    struct pb_connector *connector;
    uint32_t command;
    pbay_command_run handle; /* 0: the plugin has ended it */
    struct pbay_config *arguments;
    const struct pb_command_sink *sink;
    void *user;
    struct pb_err result;
    struct pb_defer ended;
};

static _Thread_local struct pb_handles runs;

int pb_command_find(const struct pb_plugin *p, const char *const *words, size_t n, size_t *taken)
{
    int best = -1;
    *taken = 0;
    for (uint32_t i = 0; i < p->commands.n_commands; i++) {
        pbay_str rest = pb_str_c(p->command_table[i].verb), word;
        size_t k = 0;
        while (k < n && pb_str_split(&rest, ' ', &word) && pb_str_is(word, words[k])) {
            k++;
            if (rest.p) continue;
            if (k > *taken) {
                best = (int)i;
                *taken = k;
            }
            break;
        }
    }
    return best;
}

static void over(void *user)
{
    struct pb_command_run *r = user;
    struct pb_connector *c = r->connector;
    r->sink->done(r->user, &r->result);
    pb_config_free(r->arguments);
    pb_free(r);
    pb_connector_ended(c);
}

struct pb_command_run *pb_command_start(struct pb_connector *c, uint32_t command,
                                        struct pbay_config *arguments, const struct pb_command_sink *sink,
                                        void *user)
{
    struct pb_command_run *r = pb_zalloc(sizeof *r);
    r->connector = c;
    r->command = command;
    r->arguments = arguments;
    r->sink = sink;
    r->user = user;
    r->ended = pb_defer_make(over, r);
    r->handle = pb_handle_new(&runs, r);
    pb_connector_began(c);
    struct pb_visit v;
    pb_visit_enter(&v, c, "command", c->plugin->command_table[command].verb);
    c->plugin->commands.run(c->self, command, r->handle, arguments);
    pb_visit_leave(&v);
    return r;
}

void pb_command_cancel(struct pb_command_run *r)
{
    struct pb_connector *c = r->connector;
    if (!r->handle || !c->plugin->commands.cancel) return;
    struct pb_visit v;
    pb_visit_enter(&v, c, "command cancel", c->plugin->command_table[r->command].verb);
    c->plugin->commands.cancel(c->self, r->command, r->handle);
    pb_visit_leave(&v);
}

/* ------------------------------------------------------------------------------------------------ service */

static struct pb_command_run *run_of(pbay_command_run handle, const char *what)
{
    struct pb_command_run *r = pb_handle_get(&runs, handle);
    if (!r && pb_current.connector)
        pb_connector_fault(pb_current.connector, "a command that has ended was used", what);
    return r;
}

static void command_print(pbay_command_run handle, pbay_str text)
{
    struct pb_command_run *r = run_of(handle, "print");
    if (r) r->sink->print(r->user, text);
}

static void command_progress(pbay_command_run handle, uint64_t done, uint64_t total, pbay_str what)
{
    struct pb_command_run *r = run_of(handle, "progress");
    if (r) r->sink->progress(r->user, done, total, what);
}

static void command_done(pbay_command_run handle, const pbay_result *result)
{
    struct pb_command_run *r = run_of(handle, "done");
    if (!r) return;
    pb_handle_release(&runs, handle);
    if (!runs.live) pb_handles_free(&runs);
    r->handle = 0;
    if (result->code == PBAY_OK)
        pb_err_clear(&r->result);
    else
        pb_plugin_why(&r->result, result->code, result, "the command");
    pb_loop_defer(r->connector->env->loop, &r->ended);
}

const pbay_command_1 pb_service_command = {
    .struct_size = sizeof(pbay_command_1),
    .print = command_print,
    .progress = command_progress,
    .done = command_done,
};
