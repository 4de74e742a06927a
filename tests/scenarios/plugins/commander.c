/* SPDX-License-Identifier: MIT */
/* A plugin that has nothing but commands. */
#include <stdlib.h>
#include <string.h>

#include <patchbay/commands.h>
#include <patchbay/host_timer.h>

#define STR(lit) ((pbay_str){(lit), sizeof(lit) - 1})

struct commander {
    const pbay_host *host;
    const pbay_command_1 *command;
    int started;
};

static void end(struct commander *c, pbay_command_run run, int32_t code, pbay_str message)
{
    pbay_result r = PBAY_RESULT_OK;
    r.code = code;
    r.message = message;
    c->command->done(run, &r);
}

static void run(void *self, uint32_t command, pbay_command_run run, const pbay_config *a)
{
    struct commander *c = self;
    const pbay_host *h = c->host;
    switch (command) {
    case 0:
        for (int64_t i = 0; i < h->get_int(a, "times"); i++) {
            c->command->print(run, h->get_int(a, "loud") ? STR("HELLO ") : STR("hello "));
            c->command->print(run, h->get_str(a, "full_name"));
            c->command->print(run, STR("\n"));
        }
        end(c, run, PBAY_OK, STR(""));
        break;
    case 1: /* for ever */
        c->command->print(run, c->started ? STR("started\n") : STR("not started\n"));
        c->command->progress(run, 1, 3, STR("waiting"));
        break;
    case 2: end(c, run, PBAY_UNAVAILABLE, STR("nobody \x1b[31mthere")); break;
    default: end(c, run, PBAY_NOT_FOUND, h->check_only(h) ? STR("not started") : STR("started")); break;
    }
}

static void cancel(void *self, uint32_t command, pbay_command_run run)
{
    (void)command;
    end(self, run, PBAY_CANCELLED, STR("stopped"));
}

static const pbay_option greet[] = {
    {"full_name", PBAY_OPT_STR, PBAY_OPTF_REQUIRED, NULL, NULL, "Whom."},
    {"times", PBAY_OPT_INT, 0, "1", "1..5", "How often."},
    {"loud", PBAY_OPT_BOOL, 0, "no", NULL, "In capitals."},
};
static const pbay_command commands[] = {
    {"greet", "Say hello.", 0, 0, {greet, 3, sizeof(pbay_option)}},
    {"wait for-ever", "Until Ctrl-C.", PBAY_COMMAND_STARTED, 0, {NULL, 0, 0}},
    {"call", "Nobody answers.", 0, 0, {NULL, 0, 0}},
    {"wait", "Is not there.", 0, 0, {NULL, 0, 0}},
};
static const pbay_commands_1 table = {
    sizeof table, sizeof commands / sizeof *commands, commands, sizeof(pbay_command), 0, run, cancel};

static int32_t create(const pbay_host *host, const pbay_config *config, void **self, pbay_result *why)
{
    struct commander *c = calloc(1, sizeof *c);
    (void)config;
    (void)why;
    if (!c) return PBAY_RESOURCE_EXHAUSTED;
    c->host = host;
    c->command = host->service(host, PBAY_SVC_COMMAND);
    *self = c;
    return PBAY_OK;
}

static int32_t start(void *self, pbay_result *why)
{
    (void)why;
    ((struct commander *)self)->started = 1;
    return PBAY_OK;
}

static const void *extension(const char *id)
{
    return strcmp(id, PBAY_EXT_COMMANDS) == 0 ? &table : NULL;
}

PBAY_EXPORT const pbay_entry *pbay_plugin_entry(void)
{
    static const pbay_option options[] = {{"mood", PBAY_OPT_STR, 0, NULL, NULL, "Nobody reads it."}};
    static const pbay_descriptor descriptor = {
        sizeof descriptor, 0,          "commander",
        "1.0.0",           "Patchbay", "MIT",
        "Has commands.",   NULL,       {options, 1, sizeof(pbay_option)}};
    static const pbay_entry entry = {PBAY_MAGIC, sizeof entry, PBAY_ABI_MAJOR, PBAY_ABI_MINOR,
                                     0,          &descriptor,  create,         start,
                                     NULL,       free,         extension};
    return &entry;
}
