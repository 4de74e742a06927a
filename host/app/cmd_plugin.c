/* SPDX-License-Identifier: MIT */
/*
 * `patchbay PLUGIN VERB [--OPTION VALUE ...]`: the connectors of the configuration are made, nothing is
 * served, one of them runs the command.
 */
#include "app/cmd_plugin.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "app/control.h"
#include "app/paths.h"
#include "app/progress.h"
#include "app/verbs.h"
#include "app/worker.h"
#include "base/log.h"
#include "data/options.h"
#include "data/resolve.h"
#include "plugin/command.h"
#include "store/durable.h"

enum { OPTIONS_MAX = 60, OPT_CONFIG = 0, OPT_CONNECTOR, OPT_STATE, N_OWN };

/* Everything of one run, in the order it comes to be. */
struct job {
    struct pb_workshop shop;
    struct pb_site *site; /* NULL: there is no configuration */
    struct pb_registry *found;
    const struct pb_plugin *plugin;
    uint32_t command;
    char name[160]; /* "qlik_saas webhooks list": the verb in messages */
    struct pb_cli_verb verb;
    struct pb_cli_option options[OPTIONS_MAX];
    const char *values[OPTIONS_MAX];
    struct pb_arena mem;
    struct pb_progress progress;
    struct pb_command_run *run;
    unsigned interrupts;
    bool terminal, done;
    struct pb_err result;
};

static char *plugin_name(const char *word)
{
    char *name = pb_strdup(word);
    for (char *p = name; *p; p++)
        if (*p == '-') *p = '_';
    return name;
}

/* The value of --config before the command, and with it the table of options, is known. */
static const char *config_given(int argc, char **argv)
{
    for (int i = 1; i < argc && strcmp(argv[i], "--"); i++) {
        if (pb_str_starts(pb_str_c(argv[i]), PB_STR("--config="))) return argv[i] + 9;
        if (i + 1 < argc && (!strcmp(argv[i], "--config") || !strcmp(argv[i], "-c"))) return argv[i + 1];
    }
    return NULL;
}

/* The folders that plugins are looked for in, as for a generation. */
static void each_dir(const struct pb_site *site, void (*fn)(void *user, const char *dir), void *user)
{
    uint32_t n = site ? pb_config_count(site->plugins, "dir") : 0;
    for (uint32_t i = 0; i < n; i++) {
        pbay_str key, dir = pb_config_item(site->plugins, "dir", i, &key);
        char *path = pb_path_from(site->dir, dir);
        fn(user, path);
        pb_free(path);
    }
    if (n) return;
    char *path = pb_path_plugins();
    fn(user, path);
    pb_free(path);
}

static struct pb_site *site_of(int argc, char **argv, struct pb_err *err)
{
    const char *given = config_given(argc, argv);
    char *path = given ? pb_strdup(given) : pb_path_config();
    if (!path) return NULL;
    struct pb_site *site = pb_site_load(path, err);
    pb_free(path);
    return site;
}

struct look {
    const char *name;
    bool there;
};

static void look_in(void *user, const char *dir)
{
    struct look *l = user;
    char *path = pb_sprintf("%s/%s.so", dir, l->name);
    if (!access(path, F_OK)) l->there = true;
    pb_free(path);
}

bool pb_cmd_plugin_known(int argc, char **argv)
{
    struct pb_err err;
    char *name = plugin_name(argv[0]);
    struct look l = {.name = name};
    struct pb_site *site = strchr(name, '/') ? NULL : site_of(argc, argv, &err);
    if (!strchr(name, '/')) each_dir(site, look_in, &l);
    /* A configuration that was named and cannot be read is what is wrong, whatever the word is. */
    bool there = l.there || (!site && config_given(argc, argv));
    pb_site_free(site);
    pb_free(name);
    return there;
}

/* ------------------------------------------------------------------------------------------------ arguments
 */

static const char *value_word(const pbay_option *o)
{
    switch (o->type) {
    case PBAY_OPT_INT:
    case PBAY_OPT_NUM: return "N";
    case PBAY_OPT_BOOL: return NULL;
    case PBAY_OPT_DURATION: return "TIME";
    case PBAY_OPT_SIZE: return "SIZE";
    case PBAY_OPT_ENUM: return o->choices;
    case PBAY_OPT_LIST: return "A,B,...";
    case PBAY_OPT_FILE: return "FILE";
    default: return "TEXT";
    }
}

static const char *dashed(struct pb_arena *mem, const char *name)
{
    char *s = pb_arena_printf(mem, "%s", name);
    for (char *p = s; *p; p++)
        if (*p == '_') *p = '-';
    return s;
}

/* `verify JOB` for `verify --job JOB`. */
static const char *value_of_first(struct pb_arena *mem, const pbay_option *o)
{
    char *s = pb_arena_printf(mem, "[%s]", o->name);
    for (char *p = s; *p; p++)
        if (*p >= 'a' && *p <= 'z') *p = (char)(*p - 32);
    return s;
}

/* The command's table of options as the command line knows it, the host's own first. */
static void make_verb(struct pb_arena *mem, const struct pb_plugin *p, uint32_t command, const char *name,
                      struct pb_cli_option options[OPTIONS_MAX], struct pb_cli_verb *verb)
{
    static const struct pb_cli_option own[N_OWN] = {
        PB_OPTION_CONFIG,
        {"connector", 0, "NAME", "which connector, when there are several of this plugin"},
        PB_OPTION_STATE};
    const pbay_command *c = &p->command_table[command];
    memcpy(options, own, sizeof own);
    size_t n = N_OWN;
    for (uint32_t i = 0; i < c->arguments.count && n < OPTIONS_MAX; i++, n++) {
        const pbay_option *o = pb_option_at(&c->arguments, i);
        const char *help = o->doc;
        if (o->flags & PBAY_OPTF_REQUIRED)
            help = pb_arena_printf(mem, "%s Required.", o->doc);
        else if (o->dflt && *o->dflt && o->type != PBAY_OPT_BOOL)
            help = pb_arena_printf(mem, "%s; %s unless given", o->doc, o->dflt);
        options[n] = (struct pb_cli_option){dashed(mem, o->name), 0, value_word(o), help};
    }
    *verb = (struct pb_cli_verb){.name = name, .summary = c->doc, .options = options, .n_options = n};
    const pbay_option *first = c->arguments.count ? pb_option_at(&c->arguments, 0) : NULL;
    if (!first || !(first->flags & PBAY_OPTF_REQUIRED) || first->type == PBAY_OPT_BOOL) return;
    verb->args = value_of_first(mem, first);
    verb->max_args = 1;
}

void pb_cmd_plugin_help(const struct pb_plugin *p, struct pb_buf *out)
{
    struct pb_arena mem = {0};
    for (uint32_t i = 0; i < p->commands.n_commands; i++) {
        const pbay_command *c = &p->command_table[i];
        pb_buf_printf(out, "\npatchbay %s %s: %s\n", p->name, c->verb, c->doc);
        for (uint32_t k = 0; k < c->arguments.count; k++) {
            const pbay_option *o = pb_option_at(&c->arguments, k);
            const char *word = value_word(o);
            pb_buf_printf(out, "  --%s%s%s%s\n      %s\n", dashed(&mem, o->name), word ? " " : "",
                          word ? word : "", o->flags & PBAY_OPTF_REQUIRED ? "  (required)" : "", o->doc);
        }
    }
    pb_arena_free(&mem);
}

/* What was given, checked against the command's table. NULL after a message; *rc is the exit code. */
static struct pbay_config *read_arguments(struct job *j, int *rc)
{
    const pbay_option_table *t = &j->plugin->command_table[j->command].arguments;
    struct pb_ini doc = {.file = "the command line"};
    struct pb_ini_section sec = {.doc = &doc, .kind = PB_STR("arguments")};
    char cwd[4096];
    const struct pb_config_env env = {getcwd(cwd, sizeof cwd) ? cwd : "/", NULL, NULL};
    struct pbay_config *cfg = NULL;
    struct pb_err err;
    *rc = PB_EXIT_OK;
    for (uint32_t i = 0; !*rc && i < t->count; i++) {
        const pbay_option *o = pb_option_at(t, i);
        const char *given = j->values[N_OWN + i], *flag = j->options[N_OWN + i].name;
        if (!given && (o->flags & PBAY_OPTF_REQUIRED))
            *rc = pb_cli_usage(&j->verb, "--%s is missing: %s", flag, o->doc);
        if (!given) continue;
        pbay_str value = o->type == PBAY_OPT_BOOL ? PB_STR("yes") : pb_str_c(given), scheme, rest;
        struct pb_option_value ignored;
        if (!pb_resolve_split(value, &scheme, &rest) && pb_option_parse(o, value, &ignored, &err))
            *rc = pb_cli_usage(&j->verb, "--%s: %s", flag, err.msg);
        PB_GROW(sec.entries, sec.cap, sec.n + 1);
        sec.entries[sec.n++] = (struct pb_ini_entry){.key = pb_str_c(o->name), .value = value};
    }
    const pbay_option_table *tables[] = {t};
    if (!*rc && pb_config_make(&sec, tables, 1, &env, &cfg, &err))
        *rc = pb_cli_fail(&j->verb, PB_EXIT_USAGE, &err, false);
    pb_free(sec.entries);
    return cfg;
}

/* ------------------------------------------------------------------------------------------------ running */

static void on_print(void *user, pbay_str text)
{
    struct job *j = user;
    if (j->terminal) pb_progress_end(&j->progress, false, 0);
    if (!j->terminal) {
        fwrite(text.p, 1, text.n, stdout);
        return;
    }
    for (size_t i = 0; i < text.n; i++) {
        unsigned char c = (unsigned char)text.p[i];
        if ((c < 0x20 && c != '\n' && c != '\t') || c == 0x7f)
            printf("\\x%02x", c);
        else
            putchar(c);
    }
    fflush(stdout);
}

static void on_progress(void *user, uint64_t done, uint64_t total, pbay_str what)
{
    struct job *j = user;
    pb_progress_step(&j->progress, done, total, what);
}

static void on_done(void *user, const struct pb_err *err)
{
    struct job *j = user;
    j->result = *err;
    j->done = true;
}

static const struct pb_command_sink sink = {on_print, on_progress, on_done};

/* The first asks the plugin to end, the second ends the program. */
static void on_interrupt(void *user, int signum)
{
    struct job *j = user;
    if (j->interrupts++ || !j->run) {
        signal(signum, SIG_DFL);
        raise(signum);
        return;
    }
    pb_command_cancel(j->run);
}

/* The one of the plugin, or the one that was asked for. NULL after a message. */
static struct pb_connector *pick(struct job *j, struct pb_generation *g)
{
    const char *wanted = j->values[OPT_CONNECTOR];
    bool each = j->plugin->command_table[j->command].flags & PBAY_COMMAND_EACH;
    struct pb_connector *only = NULL, *first = NULL;
    struct pb_buf names = {0};
    size_t n = 0;
    for (size_t i = 0; i < pb_registry_n_connectors(g->registry); i++) {
        struct pb_connector *c = pb_registry_connector_at(g->registry, i);
        pbay_str name = pb_connector_name(c);
        if (strcmp(pb_connector_plugin(c)->name, j->plugin->name) != 0) continue;
        if (wanted && !pb_str_is(name, wanted)) {
            pb_buf_printf(&names, "%s%.*s", names.n ? ", " : "", PB_FMT(name));
            continue;
        }
        pb_buf_printf(&names, "%s%.*s", names.n ? ", " : "", PB_FMT(name));
        only = c;
        if (!first) first = c;
        n++;
    }
    if (n != 1) only = NULL;
    if (!n && wanted)
        pb_cli_usage(&j->verb, "there is no [connector \"%s\"] of plugin %s in %s%s%.*s", wanted,
                     j->plugin->name, j->site->path, names.n ? "; there is " : "",
                     PB_FMT(pb_buf_view(&names)));
    else if (!n)
        pb_cli_usage(&j->verb, "%s has no [connector] with plugin = %s", j->site->path, j->plugin->name);
    else if (n > 1 && !each)
        pb_cli_usage(&j->verb, "there are several connectors of plugin %s, say --connector NAME: %.*s",
                     j->plugin->name, PB_FMT(pb_buf_view(&names)));
    pb_buf_free(&names);
    return n > 1 && each ? first : only;
}

static int exit_code(const struct job *j)
{
    if (j->interrupts) return PB_EXIT_INTERRUPTED;
    switch (j->result.code) {
    case PBAY_OK: return PB_EXIT_OK;
    case PBAY_INVALID_ARGUMENT: return PB_EXIT_USAGE;
    case PBAY_UNAVAILABLE: return PB_EXIT_CONNECT;
    default: return PB_EXIT_FAILED;
    }
}

static int run_on(struct job *j, struct pb_connector *c, struct pbay_config *arguments)
{
    struct pb_err err;
    struct pb_signal *stop = pb_signal_open(j->shop.loop, SIGINT, on_interrupt, j, &err);
    signal(SIGPIPE, SIG_IGN);
    j->terminal = isatty(STDOUT_FILENO);
    pb_progress_start(&j->progress, j->plugin->command_table[j->command].verb, true);
    j->run = pb_command_start(c, j->command, arguments, &sink, j);
    pb_loop_drain(j->shop.loop); /* what the plugin deferred outside of any turn */
    while (!j->done) pb_loop_turn(j->shop.loop, true);
    j->run = NULL;
    pb_progress_end(&j->progress, false, 0);
    fflush(stdout);
    pb_signal_close(stop);
    if (j->result.code != PBAY_OK && !j->interrupts) pb_cli_fail(&j->verb, 0, &j->result, false);
    return exit_code(j);
}

/* ------------------------------------------------------------------------------------------------ the store
 */

static char *state_of(const struct job *j)
{
    return j->values[OPT_STATE] ? pb_strdup(j->values[OPT_STATE]) : pb_path_state();
}

static void wake(void *user)
{
    struct job *j = user;
    struct pb_buf answer = {0};
    struct pb_err err;
    PB_AUTO_FREE char *state = state_of(j);
    PB_AUTO_FREE char *runtime = pb_path_runtime(j->values[OPT_STATE], state);
    pb_control_ask(runtime, "wake", &answer, &err); /* nobody there: whoever starts will look */
    pb_buf_free(&answer);
}

/* A command that asks for it gets the gateway's store. Else the exit code, after a message. */
static int open_store(struct job *j)
{
    struct pb_err err;
    if (!(j->plugin->command_table[j->command].flags & PBAY_COMMAND_STORE)) return PB_EXIT_OK;
    PB_AUTO_FREE char *state = state_of(j);
    return pb_workshop_aside(&j->shop, j->site, state, wake, j, &err)
               ? pb_cli_fail(&j->verb, PB_EXIT_FAILED, &err, false)
               : PB_EXIT_OK;
}

static int run_started(struct job *j, struct pb_connector *c, struct pbay_config *arguments, bool started)
{
    struct pb_err err;
    if (!started || pb_connector_started(c) || !pb_connector_start(c, &err)) return run_on(j, c, arguments);
    pb_config_free(arguments);
    return pb_cli_fail(&j->verb, PB_EXIT_FAILED, &err, false);
}

/* The first exit code that is not 0 is that of the whole. */
static int run_on_each(struct job *j, struct pb_generation *g, bool started)
{
    int whole = PB_EXIT_OK;
    size_t n = 0, all = pb_registry_n_connectors(g->registry);
    for (size_t i = 0; i < all; i++)
        n += !strcmp(pb_connector_plugin(pb_registry_connector_at(g->registry, i))->name, j->plugin->name);
    for (size_t i = 0; i < all && !j->interrupts; i++) {
        struct pb_connector *c = pb_registry_connector_at(g->registry, i);
        if (strcmp(pb_connector_plugin(c)->name, j->plugin->name) != 0) continue;
        int rc;
        struct pbay_config *arguments = read_arguments(j, &rc);
        if (!arguments) return rc;
        if (n > 1) printf("[%.*s]\n", PB_FMT(pb_connector_name(c)));
        j->done = false;
        rc = run_started(j, c, arguments, started);
        if (!whole) whole = rc;
    }
    return whole;
}

static int run_in_generation(struct job *j, struct pbay_config *arguments)
{
    uint32_t flags = j->plugin->command_table[j->command].flags;
    bool started = flags & PBAY_COMMAND_STARTED;
    const struct pb_generation_options o = {
        .check_only = !started,
        .connectors_only = !(flags & PBAY_COMMAND_BOUND),
        .flow = flags & (PBAY_COMMAND_BOUND | PBAY_COMMAND_STORE) ? j->shop.flow : NULL,
        .probe = pb_config_get_int(j->site->plugins, "probe") != 0,
        .env = j->shop.env};
    struct pb_err err;
    struct pb_generation *g = pb_generation_build(j->site, &o, &err);
    if (!g) {
        j->site = NULL; /* gone with what was built of it */
        pb_config_free(arguments);
        return pb_cli_fail(&j->verb, PB_EXIT_FAILED, &err, false);
    }
    int rc = PB_EXIT_USAGE;
    if (j->shop.durable) pb_durable_start(j->shop.durable);
    struct pb_connector *c = pick(j, g);
    j->site = NULL; /* the generation's */
    if (c && !j->values[OPT_CONNECTOR] && (flags & PBAY_COMMAND_EACH)) {
        pb_config_free(arguments);
        rc = run_on_each(j, g, started);
    } else if (c) {
        rc = run_started(j, c, arguments, started);
    } else {
        pb_config_free(arguments);
    }
    pb_workshop_end_generation(&j->shop, g);
    return rc;
}

static void scan(void *user, const char *dir)
{
    struct pb_err err;
    pb_registry_scan(user, dir, &err);
}

/* Which plugin and which of its commands. -1: go on; else the exit code. */
static int find_command(struct job *j, int argc, char **argv, int *first)
{
    struct pb_err err;
    char *name = plugin_name(argv[0]);
    j->found = pb_registry_new(&j->shop.env, true);
    each_dir(j->site, scan, j->found);
    j->plugin = pb_registry_find(j->found, pb_str_c(name), &err);
    pb_free(name);
    snprintf(j->name, sizeof j->name, "%.60s", argv[0]);
    j->verb = (struct pb_cli_verb){.name = j->name};
    if (!j->plugin) return pb_cli_fail(&j->verb, PB_EXIT_FAILED, &err, false);
    size_t n = 0, taken;
    while ((int)n + 1 < argc && argv[n + 1][0] != '-') n++;
    int at = pb_command_find(j->plugin, (const char *const *)argv + 1, n, &taken);
    if (at >= 0) {
        j->command = (uint32_t)at;
        *first = (int)taken;
        snprintf(j->name, sizeof j->name, "%s %s", j->plugin->name, j->plugin->command_table[at].verb);
        make_verb(&j->mem, j->plugin, j->command, j->name, j->options, &j->verb);
        return -1;
    }
    bool help = argc > 1 && (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h"));
    struct pb_buf list = {0};
    for (uint32_t i = 0; i < j->plugin->commands.n_commands; i++)
        pb_buf_printf(&list, "    patchbay %s %-20s %s\n", j->plugin->name, j->plugin->command_table[i].verb,
                      j->plugin->command_table[i].doc);
    FILE *to = help ? stdout : stderr;
    if (!list.n)
        fprintf(to, "patchbay: plugin %s has no commands\n", j->plugin->name);
    else if (n)
        fprintf(to, "patchbay %s: there is no command \"%s\"; there are\n", j->plugin->name, argv[1]);
    fwrite(list.p, 1, list.n, to);
    pb_buf_free(&list);
    return help ? PB_EXIT_OK : PB_EXIT_USAGE;
}

static int with_workshop(struct job *j, int argc, char **argv)
{
    int words = 0, first, rc = find_command(j, argc, argv, &words);
    if (rc >= 0) return rc;
    rc = pb_cli_parse(&j->verb, argc - words, argv + words, j->values, &first);
    if (rc >= 0) return rc;
    if (first < argc - words) {
        if (j->values[N_OWN])
            return pb_cli_usage(&j->verb, "%s and --%s are one and the same", j->verb.args,
                                j->options[N_OWN].name);
        j->values[N_OWN] = argv[words + first];
    }
    if (!j->site)
        return pb_cli_usage(&j->verb,
                            "there is no ./patchbay.ini and no /etc/patchbay/patchbay.ini; name the file "
                            "with --config");
    struct pbay_config *arguments = read_arguments(j, &rc);
    if (!arguments) return rc;
    rc = open_store(j);
    if (rc == PB_EXIT_OK) return run_in_generation(j, arguments);
    pb_config_free(arguments);
    return rc;
}

int pb_cmd_plugin(int argc, char **argv)
{
    struct job j = {0};
    struct pb_err err;
    const struct pb_cli_verb early = {.name = argv[0]};
    pb_err_clear(&err);
    j.site = site_of(argc, argv, &err);
    if (!j.site && err.msg[0]) return pb_cli_fail(&early, PB_EXIT_FAILED, &err, false);
    pb_log_level(NULL, PB_LOG_WARN);
    int rc;
    if (pb_workshop_open(&j.shop, j.site, NULL, PB_STORE_NONE, &err))
        rc = pb_cli_fail(&early, PB_EXIT_FAILED, &err, false);
    else {
        rc = with_workshop(&j, argc, argv);
        pb_registry_free(j.found);
        pb_workshop_close(&j.shop);
    }
    pb_site_free(j.site);
    pb_arena_free(&j.mem);
    return rc;
}
