/* SPDX-License-Identifier: MIT */
/* The list of commands, and the small ones. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "app/cmd_call.h"
#include "app/cmd_plugin.h"
#include "app/paths.h"
#include "app/verbs.h"
#include "app/worker.h"
#include "base/buf.h"
#include "base/check.h"
#include "base/log.h"
#include "data/options.h"
#include "plugin/inside.h"
#include "plugin/probe.h"
#include "script/vm.h"

const struct pb_cli_verb *const pb_verbs[] = {
    &pb_verb_run,          &pb_verb_check,       &pb_verb_call,    &pb_verb_explain,
    &pb_verb_test,         &pb_verb_simulate,    &pb_verb_runs,    &pb_verb_jobs,
    &pb_verb_audit,        &pb_verb_pause,       &pb_verb_unpause, &pb_verb_import_apps,
    &pb_verb_import_qrag,  &pb_verb_qlik_setup,  &pb_verb_plugins, &pb_verb_certs,
    &pb_verb_new_key,      &pb_verb_new_plugin,  &pb_verb_reload,  &pb_verb_restart,
    &pb_verb_log,          &pb_verb_help,        &pb_verb_version, &pb_verb_worker,
    &pb_verb_plugin_probe, &pb_verb_plugin_host,
};
const size_t pb_verbs_n = PB_COUNTOF(pb_verbs);

static const struct pb_cli_verb *find(const char *name)
{
    for (size_t i = 0; i < pb_verbs_n; i++)
        if (strcmp(pb_verbs[i]->name, name) == 0) return pb_verbs[i];
    return NULL;
}

int pb_verbs_main(int argc, char **argv)
{
    static char help_name[] = "help", version_name[] = "version", *no_args[] = {help_name, NULL};
    if (argc < 2) return pb_verb_help.run(1, no_args);
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0) argv[1] = help_name;
    if (strcmp(argv[1], "--version") == 0 || strcmp(argv[1], "-V") == 0) argv[1] = version_name;
    const struct pb_cli_verb *verb = find(argv[1]);
    if (verb) return verb->run(argc - 1, argv + 1);
    if (argv[1][0] != '-' && pb_cmd_plugin_known(argc - 1, argv + 1))
        return pb_cmd_plugin(argc - 1, argv + 1);
    const char *names[PB_COUNTOF(pb_verbs)];
    size_t n = 0;
    for (size_t i = 0; i < pb_verbs_n; i++)
        if (!pb_verbs[i]->hidden) names[n++] = pb_verbs[i]->name;
    const char *near = pb_nearest(pb_str_c(argv[1]), names, n);
    fprintf(stderr, "patchbay: there is no command \"%s\"", argv[1]);
    if (near)
        fprintf(stderr, "; did you mean \"%s\"?\n", near);
    else
        fprintf(stderr, "; `patchbay help` lists them\n");
    return PB_EXIT_USAGE;
}

/* ------------------------------------------------------------------------------------------------ arguments
 */

int pb_args_parse(struct pb_args *a, const struct pb_cli_verb *verb, int argc, char **argv)
{
    PB_REQUIRE(verb->n_options <= PB_COUNTOF(a->values));
    *a = (struct pb_args){.verb = verb};
    int first = 0, rc = pb_cli_parse(verb, argc, argv, a->values, &first);
    a->args = argv + first;
    a->n = argc - first;
    return rc;
}

const char *pb_args_get(const struct pb_args *a, const char *option)
{
    for (size_t i = 0; i < a->verb->n_options; i++)
        if (strcmp(a->verb->options[i].name, option) == 0) return a->values[i];
    pb_fatal("command %s has no option %s", a->verb->name, option);
}

int pb_args_error(const struct pb_args *a, int code, const char *fmt, ...)
{
    struct pb_err err;
    pb_err_clear(&err);
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(err.msg, sizeof err.msg, fmt, ap);
    va_end(ap);
    return pb_cli_fail(a->verb, code, &err, false);
}

struct pb_site *pb_args_site(const struct pb_args *a)
{
    const char *given = pb_args_get(a, "config");
    char *path = given ? pb_strdup(given) : pb_path_config();
    if (!path) {
        pb_args_error(
            a, 0,
            "there is no ./patchbay.ini and no /etc/patchbay/patchbay.ini; name the file with --config");
        return NULL;
    }
    struct pb_err err;
    struct pb_site *site = pb_site_load(path, &err);
    if (!site) pb_args_error(a, 0, "%s", err.msg);
    pb_free(path);
    return site;
}

char *pb_args_state(const struct pb_args *a)
{
    const char *given = pb_args_get(a, "state");
    return given ? pb_strdup(given) : pb_path_state();
}

/* ------------------------------------------------------------------------------------------------ plugins */

static int list_plugins(int argc, char **argv)
{
    struct pb_args args, *a = &args;
    int rc = pb_args_parse(a, &pb_verb_plugins, argc, argv);
    if (rc >= 0) return rc;
    struct pb_workshop shop;
    struct pb_err err;
    if (pb_workshop_open(&shop, NULL, NULL, PB_STORE_NONE, &err))
        return pb_args_error(a, PB_EXIT_FAILED, "%s", err.msg);
    struct pb_registry *r = pb_registry_new(&shop.env, true);
    pb_log_level(NULL, PB_LOG_OFF); /* refusals are listed below */
    const char *given = pb_args_get(a, "dir");
    char *dir = given ? pb_strdup(given) : pb_path_plugins();
    rc = pb_registry_scan(r, dir, &err) ? pb_args_error(a, PB_EXIT_FAILED, "%s", err.msg) : 0;
    for (size_t i = 0; !rc && i < pb_registry_count(r); i++) {
        const struct pb_found *f = pb_registry_at(r, i);
        if (!f->plugin) {
            bool named = pb_str_starts(pb_str_c(f->why->msg), pb_str_c(f->path));
            printf("refused: %s%s%s\n", named ? "" : f->path, named ? "" : ": ", f->why->msg);
            continue;
        }
        const pbay_descriptor *d = &f->plugin->descriptor;
        printf("%-16s %-8s %s\n", d->name, d->version, d->summary ? d->summary : "");
        for (uint32_t k = 0; k < f->plugin->functions.n_operations; k++)
            printf("    %-12s %s\n", f->plugin->operations[k].name, f->plugin->operations[k].doc);
    }
    if (!rc && !pb_registry_count(r)) printf("no plugins in %s\n", dir);
    pb_free(dir);
    pb_registry_free(r);
    pb_workshop_close(&shop);
    return rc;
}

static const struct pb_cli_option plugins_options[] = {
    {"dir", 0, "DIR", "look here instead of where the program was installed"}};
const struct pb_cli_verb pb_verb_plugins = {
    .name = "plugins",
    .summary = "List plugins and their operations, and why a file was refused.",
    .options = plugins_options,
    .n_options = PB_COUNTOF(plugins_options),
    .run = list_plugins};

static int probe(int argc, char **argv)
{
    struct pb_args args, *a = &args;
    int rc = pb_args_parse(a, &pb_verb_plugin_probe, argc, argv);
    if (rc >= 0) return rc;
    return pb_probe_child(a->args[0]);
}

const struct pb_cli_verb pb_verb_plugin_probe = {.name = "plugin-probe",
                                                 .args = "FILE",
                                                 .summary = "Load one plugin and end.",
                                                 .min_args = 1,
                                                 .max_args = 1,
                                                 .hidden = true,
                                                 .run = probe};

static int host_plugin(int argc, char **argv)
{
    struct pb_args args, *a = &args;
    int rc = pb_args_parse(a, &pb_verb_plugin_host, argc, argv);
    if (rc >= 0) return rc;
    return pb_inside_main(a->args[0], a->args[1], atoi(a->args[2]));
}

const struct pb_cli_verb pb_verb_plugin_host = {.name = "plugin-host",
                                                .args = "CONNECTOR FILE PARENT",
                                                .summary = "Be the process of one connector.",
                                                .min_args = 3,
                                                .max_args = 3,
                                                .hidden = true,
                                                .run = host_plugin};

/* ------------------------------------------------------------------------------------------------ version,
 * help */

static int version(int argc, char **argv)
{
    struct pb_args args, *a = &args;
    int rc = pb_args_parse(a, &pb_verb_version, argc, argv);
    if (rc >= 0) return rc;
    (void)a;
    printf("patchbay %s (plugin ABI %u.%u, Lua API %d)\n", PB_VERSION, PBAY_ABI_MAJOR, PBAY_ABI_MINOR,
           PB_LUA_API_VERSION);
    return PB_EXIT_OK;
}

const struct pb_cli_verb pb_verb_version = {
    .name = "version", .summary = "Say which version this is.", .run = version};

static void print(struct pb_buf *b)
{
    fwrite(b->p, 1, b->n, stdout);
    pb_buf_free(b);
}

static void help_config(void)
{
    printf("patchbay.ini: [section] or [section \"name\"], then key = value. A comment starts a line with ; "
           "or #,\n"
           "or follows a value after two blanks and ;. A value may be env:NAME or file:PATH, in [connector] "
           "and [function] what a connector resolves (ssm:NAME, secretsmanager:ID#KEY); in double "
           "quotes it\n"
           "is taken as it is. `patchbay check` finds what is wrong in a file.\n");
    for (size_t i = 0; i < pb_section_docs_n; i++) {
        const struct pb_section_doc *d = &pb_section_docs[i];
        struct pb_buf b = {0};
        printf("\n[%s%s]  %s\n", d->kind, d->named ? " \"NAME\"" : "", d->doc);
        pb_options_help(d->options, &b);
        if (d->more) pb_options_help(d->more, &b);
        print(&b);
    }
}

static int help_plugin(const struct pb_args *a, const char *name)
{
    struct pb_workshop shop;
    struct pb_err err;
    if (pb_workshop_open(&shop, NULL, NULL, PB_STORE_NONE, &err))
        return pb_args_error(a, PB_EXIT_FAILED, "%s", err.msg);
    struct pb_registry *r = pb_registry_new(&shop.env, true);
    char *dir = pb_path_plugins();
    struct pb_plugin *p = pb_registry_scan(r, dir, &err) ? NULL : pb_registry_find(r, pb_str_c(name), &err);
    int rc = PB_EXIT_OK;
    if (!p)
        rc = pb_args_error(a, PB_EXIT_USAGE,
                           "\"%s\" is neither a command nor a plugin nor `config` or `lua`: %s", name,
                           err.msg);
    else {
        struct pb_buf b = {0};
        printf("%s %s: %s\n\n[connector \"NAME\"] with plugin = %s\n", p->name, p->descriptor.version,
               p->descriptor.summary, p->name);
        pb_options_help(&p->descriptor.options, &b);
        for (uint32_t i = 0; i < p->functions.n_operations; i++) {
            pb_buf_printf(&b, "\n[function \"NAME\"] with operation = %s: %s\n", p->operations[i].name,
                          p->operations[i].doc);
            pb_options_help(&p->operations[i].options, &b);
        }
        pb_cmd_plugin_help(p, &b);
        print(&b);
    }
    pb_free(dir);
    pb_registry_free(r);
    pb_workshop_close(&shop);
    return rc;
}

static int help(int argc, char **argv)
{
    struct pb_args args, *a = &args;
    int rc = pb_args_parse(a, &pb_verb_help, argc, argv);
    if (rc >= 0) return rc;
    if (a->n) {
        const char *what = a->args[0];
        const struct pb_cli_verb *v = find(what);
        if (v)
            pb_cli_help(v, stdout);
        else if (strcmp(what, "config") == 0)
            help_config();
        else if (strcmp(what, "lua") == 0) {
            struct pb_buf b = {0};
            pb_script_reference(&b);
            print(&b);
        } else
            return help_plugin(a, what);
        return PB_EXIT_OK;
    }
    printf("Patchbay puts models and automation behind the interfaces analysts already use.\n\n");
    for (size_t i = 0; i < pb_verbs_n; i++)
        if (!pb_verbs[i]->hidden) printf("    patchbay %-10s %s\n", pb_verbs[i]->name, pb_verbs[i]->summary);
    printf("\n`patchbay help VERB` says more; `patchbay PLUGIN VERB` runs what a plugin brings;\n`patchbay "
           "help config`, `help PLUGIN` and `help lua` are the "
           "references.\n");
    return PB_EXIT_OK;
}

const struct pb_cli_verb pb_verb_help = {
    .name = "help",
    .args = "[VERB | PLUGIN | config | lua]",
    .summary = "Explain a command, a plugin's options, the configuration, what scripts see.",
    .max_args = 1,
    .run = help};
