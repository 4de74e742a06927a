/* SPDX-License-Identifier: MIT */
/*
 * ModelDB v1: Thrift frames (4-byte length, then the message) over plain TCP. One stream, one call at a time,
 * as its server wants it; a sync is an action that may be repeated, because it looks for the model before it
 * adds one. A source polls for training jobs, and a verb lists what is there.
 */
#include <patchbay/actions.h>
#include <patchbay/commands.h>
#include <patchbay/events.h>
#include <patchbay/host_chain.h>
#include <patchbay/host_event.h>
#include <patchbay/host_stream.h>
#include <patchbay/secrets.h>

#include "sketch.h"

struct modeldb {
    const pbay_host *host;
    const pbay_stream_1 *stream;
    const pbay_action_1 *action;
    const pbay_command_1 *command;
    const pbay_event_1 *event;
    const pbay_resolve_1 *resolve;
    const pbay_chain_1 *chain;
    pbay_stream s;
    pbay_action_run running;
    size_t want; /* bytes of the frame that is missing */
};

static void on_open(void *user, pbay_stream s)
{
    struct modeldb *m = user;
    static const char frame[] = "\0\0\0\x1c\x80\x01\0\1\0\0\0\xe"
                                "createProject\0\0\0\0\0";
    m->stream->write(s, (pbay_str){frame, sizeof frame - 1});
    m->want = 4;
}

static void on_data(void *user, pbay_stream s, pbay_str piece)
{
    struct modeldb *m = user;
    m->want -= piece.n < m->want ? piece.n : m->want;
    m->stream->credit(s, piece.n);
    if (m->want) return;
    m->action->done(m->running, STR("{\"model\": 7}"));
    m->running = 0;
    m->stream->half_close(s);
}

static void on_close(void *user, pbay_stream s, const pbay_result *result)
{
    struct modeldb *m = user;
    (void)s;
    m->s = 0;
    if (m->running) m->action->failed(m->running, result);
    m->running = 0;
}

static int32_t run(void *self, uint32_t action, pbay_action_run id, const pbay_action_info *info,
                   pbay_result *why)
{
    static const pbay_stream_events events = {sizeof events, 0, on_open, on_data, NULL, NULL, on_close};
    struct modeldb *m = self;
    (void)action;
    if (m->running) {
        *why = failed(PBAY_UNAVAILABLE, STR("a sync is running"));
        why->advice = PBAY_ADVICE_RETRY;
        return why->code;
    }
    pbay_stream_open_info open = {.struct_size = sizeof open, .flags = PBAY_STREAM_CONFIGURED, .port = 6543};
    open.host = m->host->get_str(info->arguments, "host");
    m->s = m->stream->open(m->host, &open, &events, m, why);
    m->running = m->s ? id : 0;
    return m->s ? PBAY_OK : why->code;
}

static void cancel(void *self, uint32_t action, pbay_action_run id)
{
    struct modeldb *m = self;
    (void)action;
    (void)id;
    m->stream->close(m->s); /* on_close answers */
}

static const pbay_option arguments[] = {
    {"host", PBAY_OPT_STR, PBAY_OPTF_REQUIRED, NULL, NULL, "Where ModelDB runs."},
};
static const pbay_action actions[] = {
    {"sync", "Write a training job into ModelDB.", PBAY_REPEAT_SAFE, 0, {arguments, 1, sizeof(pbay_option)}},
};
static const pbay_actions_1 action_table = {
    .struct_size = sizeof action_table,
    .n_actions = 1,
    .actions = actions,
    .action_stride = sizeof(pbay_action),
    .run = run,
    .cancel = cancel,
};

static void poll(void *self, uint32_t source, pbay_poll id, pbay_str cursor)
{
    struct modeldb *m = self;
    const pbay_result ok = PBAY_RESULT_OK;
    const pbay_str key = STR("train-1");
    const pbay_event ev = {
        .struct_size = sizeof ev, .n_keys = 1, .keys = &key, .type = STR("training.completed")};
    (void)source;
    m->event->polled(id, &ok, &ev, cursor.n ? 0 : 1, STR("2026-11-21T00:00:00Z"), 0);
}

static const pbay_source sources[] = {{"jobs", "Training jobs that ended.", 60000, PBAY_SRCF_ON, 0}};
static const pbay_events_1 event_table = {
    .struct_size = sizeof event_table,
    .n_sources = 1,
    .sources = sources,
    .source_stride = sizeof(pbay_source),
    .poll = poll,
};

struct listing {
    struct modeldb *m;
    pbay_command_run run;
};

static void on_graph(void *user, const pbay_result *result, pbay_str text)
{
    struct listing *l = user;
    l->m->command->progress(l->run, 1, 1, STR("links"));
    l->m->command->print(l->run, text);
    l->m->command->done(l->run, result);
    free(l);
}

static void list(void *self, uint32_t command, pbay_command_run id, const pbay_config *args)
{
    struct listing *l = zalloc(sizeof *l);
    (void)command;
    (void)args;
    l->m = self;
    l->run = id;
    l->m->chain->graph(l->m->host, PBAY_CHAIN_ROWS, (pbay_str){NULL, 0}, on_graph, l);
}

static const pbay_command commands[] = {
    {"list", "What has been synced.", PBAY_COMMAND_STARTED, 0, {NULL, 0, 0}},
};
static const pbay_commands_1 command_table = {
    .struct_size = sizeof command_table,
    .n_commands = 1,
    .commands = commands,
    .command_stride = sizeof(pbay_command),
    .run = list,
};

static void resolve(void *self, uint32_t scheme, pbay_resolve question, pbay_str rest)
{
    struct modeldb *m = self;
    const pbay_result ok = PBAY_RESULT_OK;
    (void)scheme;
    m->resolve->resolved(question, &ok, rest, 300000);
}

static const char *const schemes[] = {"vault"};
static const pbay_secrets_1 secret_table = {sizeof secret_table, 1, schemes, resolve};

static const void *extension(const char *id)
{
    if (!strcmp(id, PBAY_EXT_ACTIONS)) return &action_table;
    if (!strcmp(id, PBAY_EXT_EVENTS)) return &event_table;
    if (!strcmp(id, PBAY_EXT_COMMANDS)) return &command_table;
    return strcmp(id, PBAY_EXT_SECRETS) ? NULL : &secret_table;
}

static int32_t create(const pbay_host *host, const pbay_config *config, void **self, pbay_result *why)
{
    struct modeldb *m = zalloc(sizeof *m);
    (void)config;
    (void)why;
    m->host = host;
    m->stream = host->service(host, PBAY_SVC_STREAM);
    m->action = host->service(host, PBAY_SVC_ACTION);
    m->command = host->service(host, PBAY_SVC_COMMAND);
    m->event = host->service(host, PBAY_SVC_EVENT);
    m->resolve = host->service(host, PBAY_SVC_RESOLVE);
    m->chain = host->service(host, PBAY_SVC_CHAIN);
    *self = m;
    return PBAY_OK;
}

static const pbay_option options[] = {
    {"tag", PBAY_OPT_FAMILY, 0, NULL, NULL, "Which jobs belong to which project."},
};
SKETCH_ENTRY(modeldb, options)
