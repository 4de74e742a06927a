/* SPDX-License-Identifier: MIT */
/* `patchbay test`: run the Lua tests beside scripts (script/spec.h). */
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "app/verbs.h"
#include "app/site.h"
#include "flow/chain_rehearse.h"
#include "script/spec.h"

struct list {
    char **paths; /* below the script folder */
    size_t n, cap;
};

static int by_name(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Every *_test.lua below dir, deepest folders too. */
static void find(const char *dir, const char *below, struct list *out)
{
    char *path = *below ? pb_sprintf("%s/%s", dir, below) : pb_strdup(dir);
    DIR *d = opendir(path);
    struct dirent *e;
    while (d && (e = readdir(d))) {
        if (e->d_name[0] == '.') continue;
        char *rel = *below ? pb_sprintf("%s/%s", below, e->d_name) : pb_strdup(e->d_name);
        char *full = pb_sprintf("%s/%s", dir, rel);
        struct stat st;
        bool folder = lstat(full, &st) == 0 && S_ISDIR(st.st_mode);
        if (folder) find(dir, rel, out);
        if (!folder && pb_spec_is(pb_str_c(rel))) {
            PB_GROW(out->paths, out->cap, out->n + 1);
            out->paths[out->n++] = rel;
            rel = NULL;
        }
        pb_free(rel);
        pb_free(full);
    }
    if (d) closedir(d);
    pb_free(path);
}

static char *script_dir(const struct pb_args *a)
{
    const char *given = pb_args_get(a, "scripts");
    struct stat st;
    if (given) return pb_strdup(given);
    if (!(pb_args_get(a, "config") != NULL) && stat("scripts", &st) == 0 && S_ISDIR(st.st_mode))
        return pb_strdup("scripts");
    struct pb_site *site = pb_args_site(a);
    char *dir = site ? pb_strdup(site->script_dir) : NULL;
    pb_site_free(site);
    return dir;
}

/* ------------------------------------------------------------------------ chains, rehearsed */

struct chains {
    const char *dir;
    struct pb_rehearsal *r;
};

static int chains_open(void *user, const pbay_str *files, size_t n, struct pb_err *err)
{
    struct chains *c = user;
    return pb_rehearsal_open(&(struct pb_rehearsal_options){.dir = c->dir}, files, n, &c->r, err);
}

static int chains_call(void *user, pbay_str verb, pbay_str args, struct pb_buf *out, struct pb_err *err)
{
    return pb_rehearsal_call(((struct chains *)user)->r, verb, args, out, err);
}

static void chains_close(void *user)
{
    struct chains *c = user;
    pb_rehearsal_close(c->r);
    c->r = NULL;
}

static int test(int argc, char **argv)
{
    struct pb_args args, *a = &args;
    int rc = pb_args_parse(a, &pb_verb_test, argc, argv);
    if (rc >= 0) return rc;
    char *dir = script_dir(a);
    if (!dir) return PB_EXIT_USAGE;
    struct list list = {0};
    for (int i = 0; i < a->n; i++) {
        PB_GROW(list.paths, list.cap, list.n + 1);
        list.paths[list.n++] = pb_strdup(a->args[i]);
    }
    if (!a->n) {
        find(dir, "", &list);
        if (list.n) qsort(list.paths, list.n, sizeof *list.paths, by_name);
    }
    struct pb_spec_result total = {0};
    struct chains rehearsed = {dir, NULL};
    const struct pb_spec_chains chains = {&rehearsed, chains_open, chains_call, chains_close};
    bool broken = false;
    for (size_t i = 0; i < list.n; i++) {
        struct pb_buf report = {0};
        struct pb_spec_result r = {0};
        struct pb_err err;
        printf("# %s\n", list.paths[i]);
        if (pb_spec_run(dir, list.paths[i], &chains, &report, &r, &err)) {
            printf("not ok - %s\n", err.msg);
            broken = true;
        }
        fwrite(report.p, 1, report.n, stdout);
        total.passed += r.passed;
        total.failed += r.failed;
        pb_buf_free(&report);
        pb_free(list.paths[i]);
    }
    pb_free(list.paths);
    if (!list.n) printf("no *_test.lua below %s\n", dir);
    printf("%u passed, %u failed\n", total.passed, total.failed);
    pb_free(dir);
    return broken || total.failed ? PB_EXIT_FAILED : PB_EXIT_OK;
}

static const struct pb_cli_option options[] = {
    PB_OPTION_CONFIG,
    {"scripts", 0, "DIR", "the folder with scripts; by default ./scripts, or as the configuration says"}};
const struct pb_cli_verb pb_verb_test = {.name = "test",
                                         .args = "[FILE_test.lua ...]",
                                         .summary = "Run the Lua tests that stand beside scripts. Offline.",
                                         .options = options,
                                         .n_options = PB_COUNTOF(options),
                                         .max_args = -1,
                                         .run = test};
