/* SPDX-License-Identifier: MIT */
/* `patchbay import-apps`: apps.js of Serverless Task Chaining as chains in Lua. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "app/verbs.h"
#include "base/buf.h"
#include "data/apps_js.h"

enum { FILE_MAX_BYTES = 1 << 20 };

static int read_file(const char *path, struct pb_buf *out)
{
    FILE *f = strcmp(path, "-") == 0 ? stdin : fopen(path, "rb");
    if (!f) return errno;
    while (!feof(f) && !ferror(f) && out->n <= FILE_MAX_BYTES)
        out->n += fread(pb_buf_room(out, 65536), 1, 65536, f);
    int rc = ferror(f) ? EIO : 0;
    if (f != stdin) fclose(f);
    return rc;
}

/* Text from the file reaches a terminal. */
static void print_report(const struct pb_buf *b)
{
    for (size_t i = 0; i < b->n; i++) {
        unsigned char c = (unsigned char)b->p[i];
        if (c < ' ' && c != '\n')
            fprintf(stderr, "\\x%02x", c);
        else
            fputc(c, stderr);
    }
}

static int import(int argc, char **argv)
{
    struct pb_args args, *a = &args;
    int rc = pb_args_parse(a, &pb_verb_import_apps, argc, argv);
    if (rc >= 0) return rc;
    struct pb_buf text = {0}, lua = {0}, report = {0};
    struct pb_err err;
    enum pb_import_grade grade = PB_IMPORT_CLEAN;
    struct pb_import_options o = {.faithful = pb_args_get(a, "faithful") != NULL,
                                  .connector = pb_str_c(pb_args_get(a, "connector")),
                                  .chain = pb_str_c(pb_args_get(a, "chain"))};
    const char *to = pb_args_get(a, "output");
    int why = read_file(a->args[0], &text);
    rc = PB_EXIT_OK;
    if (why) {
        rc = pb_args_error(a, PB_EXIT_INPUT, "%s: %s", a->args[0], strerror(why));
    } else if (pb_import_apps(pb_buf_view(&text), &o, &lua, &report, &grade, &err) != 0) {
        print_report(&report);
        rc = pb_args_error(a, PB_EXIT_INPUT, "%s: %s", a->args[0], err.msg);
    } else {
        FILE *f = to ? fopen(to, "wx") : stdout;
        print_report(&report);
        if (!f) {
            rc = pb_args_error(a, PB_EXIT_FAILED, "%s: %s", to, strerror(errno));
        } else {
            bool bad = lua.n && fwrite(lua.p, 1, lua.n, f) != lua.n;
            if ((to ? fclose(f) : fflush(f)) != 0 || bad)
                rc = pb_args_error(a, PB_EXIT_FAILED, "%s: %s", to ? to : "output", strerror(errno));
        }
        if (rc == PB_EXIT_OK) rc = (int)grade;
    }
    pb_buf_free(&text);
    pb_buf_free(&lua);
    pb_buf_free(&report);
    return rc;
}

static const struct pb_cli_option options[] = {
    {"faithful", 0, NULL,
     "as the old code would have run it, mistakes included; by default they are repaired"},
    {"connector", 0, "NAME", "the connector of the apps, when the configuration has several"},
    {"chain", 0, "NAME", "the name of the chain; by default \"imported\""},
    {"output", 'o', "FILE", "write the Lua there, which must not exist yet, instead of to standard output"}};
const struct pb_cli_verb pb_verb_import_apps = {
    .name = "import-apps",
    .args = "apps.js|-",
    .summary = "Turn the apps.js of Serverless Task Chaining into chains.",
    .text = "No JavaScript is run. What is wrong in the file is told on standard error, with its line. The "
            "exit code is 0 when\n"
            "nothing is, 1 after warnings, 2 after errors (the Lua leaves out what they are about), 4 when "
            "it is not a list of apps.",
    .options = options,
    .n_options = PB_COUNTOF(options),
    .min_args = 1,
    .max_args = 1,
    .run = import};
