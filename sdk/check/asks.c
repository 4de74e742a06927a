/* SPDX-License-Identifier: MIT */
/* Actions, sources, commands, secrets and health: each question is answered once, whatever it holds. */
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "check.h"
#include "data/options.h"
#include "plugin/action.h"
#include "plugin/command.h"
#include "plugin/connector_priv.h"
#include "plugin/secrets.h"
#include "plugin/sources.h"

enum { SHORT_MS = 40 };

/* Turn the loop while `*ended` is 0; the rest is the sentence of the fault. */
static void await(struct kit *k, const uint32_t *ended, const char *what, const char *name, const char *owed)
{
    for (int64_t end = pb_mono_ns() + k->patience_ms * PB_MS; !*ended;) {
        kit_turn(k);
        if (pb_mono_ns() > end)
            kit_fault("%s %s was not answered within %lld ms: %s", what, name, (long long)k->patience_ms,
                      owed);
    }
}

/* A value that an option takes. */
static void sample(const pbay_option *o, bool json, struct pb_buf *b)
{
    struct pb_option_value v;
    static const char *const tries[] = {"1", "check", "1s", "1k", "yes"};
    const char *text = o->dflt;
    char first[64] = "";
    if (o->type == PBAY_OPT_ENUM)
        snprintf(first, sizeof first, "%.*s", (int)strcspn(o->choices, "|"), o->choices);
    if (o->choices && o->type != PBAY_OPT_ENUM)
        snprintf(first, sizeof first, "%.*s", (int)strcspn(o->choices, "."), o->choices);
    if (!text && first[0]) text = first;
    for (size_t i = 0; !text && i < PB_COUNTOF(tries); i++)
        if (!pb_option_parse(o, pb_str_c(tries[i]), &v, NULL)) text = tries[i];
    if (json)
        pb_buf_json(b, pb_str_c(text ? text : "check"));
    else
        pb_buf_c(b, text ? text : "check");
}

/* ------------------------------------------------------------------------------------------------ actions */

struct attempt {
    uint32_t ended;
    bool started;
    const char *name;
    struct pb_buf handle;
    int64_t took_ns; /* of the call that began it */
};

static void on_end(void *user, const struct pb_action_answer *a)
{
    struct attempt *t = user;
    if (t->ended++) kit_fault("action %s: an attempt ended twice", t->name);
    if (a->err && kit_is_mute(a->err))
        kit_fault("action %s: an attempt failed without a message" SAY, t->name);
    t->started = a->started;
    if (a->started) pb_buf_str(&t->handle, a->text);
}

/* Every argument that must be there, or none of them. */
static void arguments(const pbay_action *a, bool whole, struct pb_buf *b)
{
    pb_buf_ch(b, '{');
    for (uint32_t i = 0; whole && i < a->arguments.count; i++) {
        const pbay_option *o = pb_option_at(&a->arguments, i);
        if (!(o->flags & PBAY_OPTF_REQUIRED)) continue;
        if (b->n > 1) pb_buf_ch(b, ',');
        pb_buf_json(b, pb_str_c(o->name));
        pb_buf_ch(b, ':');
        if (o->type == PBAY_OPT_LIST || o->type == PBAY_OPT_FAMILY)
            pb_buf_c(b, o->type == PBAY_OPT_LIST ? "[\"check\"]" : "{\"check\": \"check\"}");
        else
            sample(o, true, b);
    }
    pb_buf_ch(b, '}');
}

static const char owed_action[] = "an attempt that `run`, `poll` or `lookup` accepted owes one done, started "
                                  "or failed, also after cancel and its "
                                  "deadline";

/* One attempt to its end, and what the plugin owes behind it. True: it is started, t->handle says what. */
static bool attempt(struct kit *k, struct pb_connector *c, uint32_t action, enum pb_action_what what,
                    pbay_str json, struct attempt *t, bool cancel)
{
    const struct pb_action_info info = {.what = what,
                                        .attempt = 1,
                                        .fence = 1 + what,
                                        .key = PB_STR("check-key"),
                                        .args = json,
                                        .handle = pb_buf_view(&t->handle),
                                        .first_attempt_ms = pb_now_ms()};
    struct pb_err err = {0};
    t->ended = 0;
    const int64_t began = pb_mono_ns();
    struct pb_action_call *call = pb_action_begin(c, (int)action, &info, on_end, t, &err);
    t->took_ns = pb_mono_ns() - began;
    if (!call && kit_is_mute(&err))
        kit_fault("action %s: an attempt was refused without a message" SAY, t->name);
    if (!call) return false;
    if (cancel) pb_action_cancel(call);
    await(k, &t->ended, "an attempt of action", t->name, owed_action);
    for (int64_t end = pb_mono_ns() + k->patience_ms * PB_MS; pb_connector_stats(c)->in_flight;) {
        kit_turn(k);
        if (pb_mono_ns() > end)
            kit_fault(
                "action %s: an attempt that is late or cancelled is still not answered after %lld ms: %s",
                t->name, (long long)k->patience_ms, owed_action);
    }
    kit_no_faults(k, c);
    return t->started;
}

static void each_action(struct kit *k, struct pb_connector *c, bool cancel)
{
    for (uint32_t i = 0; i < k->plugin->actions.n_actions; i++)
        for (int whole = 0; whole < 2; whole++) {
            const pbay_action *a = &k->plugin->action_table[i];
            struct attempt t = {.name = a->name};
            struct pb_buf json = {0};
            arguments(a, whole, &json);
            const bool started = attempt(k, c, i, PB_ACTION_RUN, pb_buf_view(&json), &t, cancel);
            if (a->repeat == PBAY_REPEAT_CHECK)
                attempt(k, c, i, PB_ACTION_LOOKUP, pb_buf_view(&json), &t, cancel);
            if (started && k->plugin->actions.poll)
                attempt(k, c, i, PB_ACTION_POLL, pb_buf_view(&json), &t, cancel);
            pb_buf_free(&t.handle);
            pb_buf_free(&json);
        }
}

void kit_time_actions(struct kit *k, struct pb_connector *c)
{
    for (uint32_t i = 0; i < k->plugin->actions.n_actions; i++) {
        const pbay_action *a = &k->plugin->action_table[i];
        int64_t took[KIT_TRIES];
        struct pb_buf json = {0};
        arguments(a, true, &json);
        for (int n = 0; n < KIT_TRIES; n++) {
            struct attempt t = {.name = a->name};
            attempt(k, c, i, PB_ACTION_RUN, pb_buf_view(&json), &t, false);
            took[n] = t.took_ns;
            pb_buf_free(&t.handle);
        }
        pb_buf_free(&json);
        kit_quick("`run` of action ", a->name, took);
    }
}

static struct pb_connector *with_actions(struct kit *k)
{
    kit_open(k);
    if (!k->plugin->has_actions) kit_skip("it offers no actions");
    return kit_started(k);
}

void check_actions(struct kit *k)
{
    struct pb_connector *c = with_actions(k);
    each_action(k, c, false);
    kit_close(k, c);
}

void check_action_cancel(struct kit *k)
{
    struct pb_connector *c = with_actions(k);
    each_action(k, c, true);
    c->timeout_ms = SHORT_MS; /* as if the configuration said so */
    each_action(k, c, false);
    kit_close(k, c);
}

static void run_actions(struct kit *k)
{
    struct pb_err err = {0};
    struct pb_connector *c = kit_connector(k, false, &err);
    if (!c || pb_connector_start(c, &err)) return;
    each_action(k, c, false);
    kit_close(k, c);
}

static void submit_once(struct function *f)
{
    struct pbay_builder *b = kit_rows(f, 3, true);
    struct pb_op_context *ctx = kit_context(0);
    struct pb_err err = {0};
    uint32_t from = f->k->calls_ended;
    if (!kit_is_map(f)) {
        pb_builder_unref(b);
        pb_op_context_unref(ctx);
        return;
    }
    if (pb_op_submit(f->d->op, ctx, 1, pb_builder_seal(b, &err), b, 0, 3, kit_count_end, f->k, NULL, &err) ==
        0) {
        for (int64_t end = pb_mono_ns() + f->k->patience_ms * PB_MS; f->k->calls_ended == from;) {
            kit_turn(f->k);
            if (pb_mono_ns() > end)
                kit_fault("function %s: an allocation failed in a call, which then never ended: answer "
                          "PBAY_RESOURCE_EXHAUSTED",
                          f->name);
        }
    }
    pb_op_context_unref(ctx);
    pb_builder_unref(b);
    kit_await_plugin(f);
}

static void run_functions(struct kit *k)
{
    struct pb_err err = {0};
    struct pb_connector *c = kit_connector(k, false, &err);
    if (!c || pb_connector_start(c, &err)) return;
    kit_functions(k, c, submit_once, &err);
    kit_close(k, c);
}

static void both(struct kit *k)
{
    if (k->plugin->has_functions) run_functions(k);
    if (k->plugin->has_actions) run_actions(k);
}

/* An allocation of a call or an action fails: it fails too, or goes on, but it ends. */
void check_call_memory(struct kit *k)
{
    kit_open(k);
    if (!k->plugin->has_functions && !k->plugin->has_actions)
        kit_skip("it offers no functions and no actions");
    kit_close(k, kit_started(k));
    kit_watch_memory(k);
    k->ini_may_fail = true;
    kit_without_memory(k, both);
}

/* ------------------------------------------------------------------------------------------------ sources */

static struct {
    uint64_t poll;
    uint32_t ended;
    const char *name;
    struct pb_connector *connector;
} asked;

static void polled(pbay_poll poll, const pbay_result *result, const pbay_event *events, uint32_t n,
                   pbay_str cursor, int again)
{
    struct pb_arena mem = {0};
    struct pb_event_put *put;
    struct pb_err err = {0};
    (void)cursor, (void)again;
    if (poll != asked.poll || asked.ended)
        kit_fault("source %s: a poll that is over was answered", asked.name);
    asked.ended++;
    if (result->code != PBAY_OK && !result->message.n)
        kit_fault("source %s: a poll failed without a message", asked.name);
    if (result->code == PBAY_OK && pb_events_read(asked.connector, events, n, &mem, &put, &err))
        kit_fault("source %s: %s", asked.name, err.msg);
    pb_arena_free(&mem);
}

static const void *(*own_service)(const pbay_host *host, const char *id);

static const void *service(const pbay_host *host, const char *id)
{
    static pbay_event_1 events;
    const void *table = own_service(host, id);
    if (!table || strcmp(id, PBAY_SVC_EVENT)) return table;
    memcpy(&events, table, sizeof events);
    events.polled = polled;
    return &events;
}

static int32_t (*own_create)(const pbay_host *host, const pbay_config *config, void **self, pbay_result *why);

static int32_t create(const pbay_host *host, const pbay_config *config, void **self, pbay_result *why)
{
    static pbay_host watched;
    watched = *host;
    own_service = host->service;
    watched.service = service;
    return own_create(&watched, config, self, why);
}

void check_sources(struct kit *k)
{
    static const char *const cursors[] = {"", "no cursor of mine", "{\"at\": "};
    kit_open(k);
    if (!k->plugin->has_events) kit_skip("it offers no sources");
    own_create = k->plugin->entry.create;
    k->plugin->entry.create = create;
    struct pb_connector *c = asked.connector = kit_started(k);
    const pbay_events_1 *table = &k->plugin->events;
    for (uint32_t i = 0; i < table->n_sources; i++) {
        int64_t took[2 * PB_COUNTOF(cursors)];
        for (size_t n = 0; n < 2 * PB_COUNTOF(cursors); n++) {
            struct pb_visit v;
            asked.name = k->plugin->source_table[i].name;
            asked.poll++;
            asked.ended = 0;
            pb_visit_enter(&v, c, "poll", asked.name);
            const int64_t began = pb_mono_ns();
            table->poll(c->self, i, asked.poll, pb_str_c(cursors[n / 2]));
            took[n] = pb_mono_ns() - began;
            if (n % 2 && table->cancel && !asked.ended) table->cancel(c->self, i, asked.poll);
            pb_visit_leave(&v);
            await(k, &asked.ended, "a poll of source", asked.name,
                  "every poll owes one `polled`, also after cancel");
            for (int t = 0; t < 20; t++) kit_turn(k);
        }
        _Static_assert(PB_COUNTOF(took) >= KIT_TRIES, "so many are looked at");
        kit_quick("`poll` of source ", asked.name, took);
    }
    kit_no_faults(k, c);
    kit_close(k, c);
}

/* ------------------------------------------------------------------------------------------------ commands
 */

struct shown {
    uint32_t ended;
    const char *verb;
};

static void on_print(void *user, pbay_str text)
{
    (void)user, (void)text;
}

static void on_progress(void *user, uint64_t done, uint64_t total, pbay_str what)
{
    (void)user, (void)done, (void)total, (void)what;
}

static void on_done(void *user, const struct pb_err *err)
{
    struct shown *s = user;
    if (s->ended++) kit_fault("command %s ended twice", s->verb);
    if (err->code != PBAY_OK && kit_is_mute(err))
        kit_fault("command %s failed without a message" SAY, s->verb);
}

void check_commands(struct kit *k)
{
    static const struct pb_command_sink sink = {on_print, on_progress, on_done};
    kit_open(k);
    if (!k->plugin->has_commands) kit_skip("it offers no commands");
    struct pb_connector *c = kit_started(k);
    for (uint32_t i = 0; i < k->plugin->commands.n_commands; i++)
        for (int cancel = 0; cancel < 2; cancel++) {
            const pbay_command *command = &k->plugin->command_table[i];
            struct shown s = {.verb = command->verb};
            struct pb_buf text = {0};
            struct pb_ini *ini = NULL;
            struct pbay_config *cfg = NULL;
            struct pb_err err;
            const struct pb_config_env env = {"/", NULL, NULL};
            const pbay_option_table *table = &command->arguments;
            pb_buf_c(&text, "[command]\n");
            for (uint32_t o = 0; o < table->count; o++) {
                const pbay_option *option = pb_option_at(table, o);
                if (!(option->flags & PBAY_OPTF_REQUIRED)) continue;
                pb_buf_printf(&text, "%s = ", option->name);
                sample(option, false, &text);
                pb_buf_ch(&text, '\n');
            }
            if (pb_ini_parse("(arguments)", pb_buf_view(&text), PB_INI_OURS, &ini, &err) ||
                pb_config_make(ini->sections[0], &table, 1, &env, &cfg, &err))
                kit_skip("no arguments were found for command %s: %s", command->verb, err.msg);
            struct pb_command_run *run = pb_command_start(c, i, cfg, &sink, &s);
            if (cancel && !s.ended) pb_command_cancel(run);
            await(k, &s.ended, "command", s.verb, "every `run` owes one `done`, also after cancel");
            for (int t = 0; t < 20; t++) kit_turn(k);
            pb_ini_free(ini);
            pb_buf_free(&text);
        }
    kit_no_faults(k, c);
    kit_close(k, c);
}

/* ------------------------------------------------------------------------------------------------ secrets */

static void on_value(void *user, const struct pb_err *err)
{
    const char *scheme = asked.name;
    if (err->code != PBAY_OK && kit_is_mute(err))
        kit_fault("%s: a question failed without a message" SAY, scheme);
    (*(uint32_t *)user)++;
}

void check_secrets(struct kit *k)
{
    static const char *const rests[] = {"", "nothing", "/a/b#c", "\xc3\xa4", "a b\tc"};
    kit_open(k);
    if (!k->plugin->has_secrets) kit_skip("it resolves no secrets");
    struct pb_connector *c = kit_started(k);
    for (uint32_t i = 0; i < k->plugin->secrets.n_schemes; i++)
        for (size_t n = 0; n < PB_COUNTOF(rests); n++) {
            uint32_t ended = 0;
            const uint32_t holds = c->holds;
            asked.name = k->plugin->secrets.schemes[i];
            pb_secrets_ask(c, i, pb_str_c(rests[n]), on_value, &ended);
            await(k, &ended, "a question for", asked.name, "every `resolve` owes one `resolved`");
            if (ended > 1) kit_fault("%s: a question was answered twice", asked.name);
            /* What was too late for whoever asked is owed still. */
            for (int64_t end = pb_mono_ns() + k->patience_ms * PB_MS; c->holds > holds;) {
                kit_turn(k);
                if (pb_mono_ns() > end)
                    kit_fault("a question for %s is still not answered after %lld ms: every `resolve` owes "
                              "one `resolved`",
                              asked.name, (long long)k->patience_ms);
            }
        }
    kit_no_faults(k, c);
    kit_close(k, c);
}

/* ------------------------------------------------------------------------------------------------ health */

void check_health(struct kit *k)
{
    kit_open(k);
    if (!k->plugin->has_health) kit_skip("it does not say how it is");
    struct pb_connector *c = kit_started(k);
    for (int i = 0; i < 20; i++) {
        pbay_str sentence = {NULL, 0};
        const enum pb_connector_state s = pb_connector_state(c, &sentence);
        if (s != PB_CONNECTOR_UP && !sentence.n)
            kit_fault("it says that it is %s, and not why: a sentence is what operators are shown",
                      pb_connector_state_name(s));
        if (!pb_utf8_valid(sentence)) kit_fault("its sentence of health is not UTF-8");
        kit_turn(k);
    }
    kit_no_faults(k, c);
    kit_close(k, c);
}
