/* SPDX-License-Identifier: MIT */
/* `patchbay new-plugin`: a small project from sdk/template, which builds outside this tree against an
 * installed SDK. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "app/verbs.h"
#include "base/str.h"
#include "base/trust.h"

/* The files of sdk/template, made by host/cmake/Embed.cmake. */
extern const unsigned char pb_template_cmakelists[], pb_template_plugin[], pb_template_unit[],
    pb_template_ini[], pb_template_test[], pb_template_readme[];
extern const size_t pb_template_cmakelists_size, pb_template_plugin_size, pb_template_unit_size,
    pb_template_ini_size, pb_template_test_size, pb_template_readme_size;

static const struct template
{
    const char *name;
    const unsigned char *text;
    const size_t *n;
    mode_t mode;
}
templates[] = {
    {"CMakeLists.txt", pb_template_cmakelists, &pb_template_cmakelists_size, 0644},
    {"plugin.c", pb_template_plugin, &pb_template_plugin_size, 0644},
    {"unit.c", pb_template_unit, &pb_template_unit_size, 0644},
    {"patchbay.ini", pb_template_ini, &pb_template_ini_size, 0644},
    {"test.sh", pb_template_test, &pb_template_test_size, 0755},
    {"README.md", pb_template_readme, &pb_template_readme_size, 0644},
};

enum { NAME_MOST = 32 };

/* As a plugin may be called, and what C and file names bear. */
static bool good_name(const char *s)
{
    size_t n = strlen(s);
    return n && n <= NAME_MOST && s[0] >= 'a' && s[0] <= 'z' &&
           strspn(s, "abcdefghijklmnopqrstuvwxyz0123456789_") == n;
}

/* NULL: it is free. */
static const char *taken_by(const char *name)
{
    static const char *const ours[] = {"modeldb", "qlik_saas", "sagemaker", "snowflake"};
    /* https://cmake.org/cmake/help/v3.25/policy/CMP0037.html: no target may have one of these names. */
    static const char *const targets[] = {"all",  "clean",         "edit_cache", "install", "package",
                                          "test", "rebuild_cache", "help",       "depend",  "package_source"};
    for (size_t i = 0; i < PB_COUNTOF(ours); i++)
        if (!strcmp(ours[i], name)) return "Patchbay itself";
    for (size_t i = 0; i < pb_verbs_n; i++) /* `patchbay NAME VERB` would never reach it */
        if (!strcmp(pb_verbs[i]->name, name)) return "Patchbay itself";
    for (size_t i = 0; i < PB_COUNTOF(targets); i++)
        if (!strcmp(targets[i], name)) return "CMake";
    return NULL;
}

/* The template with its name in it. -1 with errno; what was there is left alone. */
static int write_one(int dir, const struct template *t, const char *name)
{
    static const char mark[] = "@name@";
    const int fd = openat(dir, t->name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, t->mode);
    FILE *f = fd < 0 ? NULL : fdopen(fd, "w");
    if (!f) return -1;
    for (size_t at = 0; at < *t->n;) {
        const char *p = (const char *)t->text + at;
        if (*t->n - at >= sizeof mark - 1 && !memcmp(p, mark, sizeof mark - 1)) {
            fputs(name, f);
            at += sizeof mark - 1;
        } else {
            putc(*p, f);
            at++;
        }
    }
    const int bad = ferror(f);
    return fclose(f) || bad ? -1 : 0;
}

/* A gateway trusts no file that another one could have written (base/trust.h), and compilers leave that to
 * the umask. */
static bool others_could_write(void)
{
    const mode_t mask = umask(022);
    umask(mask);
    return (mask & 022) != 022;
}

static bool is_trusted(const char *dir, struct pb_err *err)
{
    const int fd = pb_trust_open_dir(dir, err);
    if (fd >= 0) close(fd);
    return fd >= 0;
}

static int new_plugin(int argc, char **argv)
{
    struct pb_args args, *a = &args;
    struct pb_err err;
    int rc = pb_args_parse(a, &pb_verb_new_plugin, argc, argv);
    if (rc >= 0) return rc;
    const char *name = a->args[0], *dir = pb_args_get(a, "dir");
    if (!dir) dir = name;
    if (!good_name(name))
        return pb_args_error(
            a, PB_EXIT_USAGE,
            "\"%s\" is no name for a plugin: a letter, then letters, digits and _, all small, at "
            "most %d",
            name, NAME_MOST);
    if (taken_by(name)) return pb_args_error(a, PB_EXIT_USAGE, "\"%s\" is taken by %s", name, taken_by(name));
    if (mkdir(dir, 0755) && errno != EEXIST) return pb_args_error(a, 1, "%s: %s", dir, strerror(errno));
    const int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) return pb_args_error(a, 1, "%s: %s", dir, strerror(errno));
    for (size_t i = 0; i < PB_COUNTOF(templates); i++) {
        if (!write_one(fd, &templates[i], name)) continue;
        rc = pb_args_error(a, 1, "%s/%s: %s", dir, templates[i].name,
                           errno == EEXIST ? "is there already; nothing is written over" : strerror(errno));
        close(fd);
        return rc;
    }
    close(fd);
    printf("%s has the plugin \"%s\". Next:\n\n"
           "%s"
           "    cd %s\n"
           "    cmake -S . -B build && cmake --build build && ctest --test-dir build\n",
           dir, name,
           others_could_write()
               ? "    umask 022    # else others may write what is built, and no gateway loads that\n"
               : "",
           dir);
    if (!is_trusted(dir, &err))
        fprintf(stderr, "patchbay new-plugin: no gateway loads a plugin from here: %s\n", err.msg);
    return PB_EXIT_OK;
}

static const struct pb_cli_option options[] = {
    {"dir", 0, "DIR", "where; a new folder of the plugin's name unless given"},
};
const struct pb_cli_verb pb_verb_new_plugin = {
    .name = "new-plugin",
    .args = "NAME",
    .summary = "Begin a connector of your own.",
    .text = "Writes a small project (CMake, source, test, README) that builds against the installed SDK and "
            "runs: a function\n"
            "that greets, to be changed. Files that are there already are not touched.",
    .options = options,
    .n_options = PB_COUNTOF(options),
    .min_args = 1,
    .max_args = 1,
    .run = new_plugin};
