/* SPDX-License-Identifier: MIT */
#include "plugin/loader.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/str.h"
#include "base/trust.h"
#include "plugin/describe.h"
#include "plugin/image.h"
#include "plugin/tables.h"

#define ENTRY_SYMBOL "pbay_plugin_entry"

typedef const pbay_entry *(*entry_fn)(void);

/* dlerror says "/proc/self/fd/9: undefined symbol: x"; an operator knows the file by its own name. */
static int fail_dl(struct pb_err *err, const char *path, const char *alias)
{
    const char *why = dlerror();
    if (!why) why = "cannot be loaded";
    size_t n = strlen(alias);
    if (!strncmp(why, alias, n)) {
        why += n;
        while (*why == ':' || *why == ' ') why++;
    }
    return pb_fail(err, PBAY_INVALID_ARGUMENT, "%s: %s", path, why);
}

/* What dlopen has mapped, by pb_plugin.dl. On failure nothing is kept. */
static int open_library(int fd, const char *path, void **dl, entry_fn *get_entry, struct pb_err *err)
{
    /*
     * The library is known to the linker by this name, and the linker answers a name it knows with what it
     * has. So the descriptor stays open, and its number taken, as long as the library is mapped: for the
     * process's life.
     */
    int own = fcntl(fd, F_DUPFD_CLOEXEC, 3);
    if (own < 0) return pb_fail(err, PBAY_RESOURCE_EXHAUSTED, "%s: no file descriptor left", path);
    char alias[64];
    snprintf(alias, sizeof alias, "/proc/self/fd/%d", own);
    *dl = dlopen(alias, RTLD_NOW | RTLD_LOCAL);
    if (!*dl) {
        fail_dl(err, path, alias);
        close(own);
        return -1;
    }
    void *symbol = dlsym(*dl, ENTRY_SYMBOL);
    if (!symbol) {
        dlclose(*dl);
        close(own);
        return pb_fail(err, PBAY_INVALID_ARGUMENT, "%s: exports no " ENTRY_SYMBOL ", so it is not a plugin",
                       path);
    }
    memcpy(get_entry, &symbol, sizeof symbol); /* ISO C has no cast between the two */
    return 0;
}

static int finish(struct pb_plugin *p, entry_fn get_entry, struct pb_plugin **out, struct pb_err *err)
{
    if (pb_tables_read(p, get_entry(), err)) {
        pb_fail_in(err, "%s", p->path);
        pb_plugin_free(p);
        return -1;
    }
    *out = p;
    return 0;
}

int pb_plugin_load_fd(int fd, const char *path, struct pb_plugin **out, struct pb_err *err)
{
    void *dl = NULL;
    entry_fn get_entry = NULL;
    if (pb_image_check(fd, path, err) || open_library(fd, path, &dl, &get_entry, err)) return -1;
    struct pb_plugin *p = pb_zalloc(sizeof *p);
    p->path = pb_strdup(path);
    p->dl = dl;
    p->fd = fcntl(fd, F_DUPFD_CLOEXEC, 10);
    return finish(p, get_entry, out, err);
}

int pb_plugin_load(const char *path, struct pb_plugin **out, struct pb_err *err)
{
    int fd = pb_trust_open(path, err);
    if (fd < 0) return -1;
    int rc = pb_plugin_load_fd(fd, path, out, err);
    close(fd);
    return rc;
}

int pb_plugin_adopt(const pbay_entry *(*get_entry)(void), const char *path, struct pb_plugin **out,
                    struct pb_err *err)
{
    struct pb_plugin *p = pb_zalloc(sizeof *p);
    p->path = pb_strdup(path);
    p->fd = -1;
    return finish(p, get_entry, out, err);
}

struct pb_plugin *pb_plugin_here(struct pb_plugin *p, struct pb_err *err)
{
    if (!p->apart) return p;
    if (!p->other) pb_plugin_load_fd(p->fd, p->path, &p->other, err);
    return p->other;
}

struct pb_plugin *pb_plugin_apart(struct pb_plugin *p, struct pb_err *err)
{
    if (p->apart || p->other) return p->apart ? p : p->other;
    if (p->fd < 0) {
        pb_fail(err, PBAY_INVALID_ARGUMENT, "plugin %s is part of the program", p->name);
        return NULL;
    }
    struct pb_buf told = {0};
    pb_describe(p, &told);
    if (!pb_described(pb_buf_view(&told), p->path, &p->other, err))
        p->other->fd = fcntl(p->fd, F_DUPFD_CLOEXEC, 10);
    pb_buf_free(&told);
    return p->other;
}

/* Only arrays that were copied are ours: read_options leaves the copy, or NULL, in every table it has seen.
 */
void pb_plugin_free(struct pb_plugin *p)
{
    if (!p) return;
    pb_free((void *)(uintptr_t)p->descriptor.options.options);
    if (p->has_functions)
        for (uint32_t i = 0; i < p->functions.n_operations; i++)
            pb_free((void *)(uintptr_t)p->operations[i].options.options);
    if (p->has_commands)
        for (uint32_t i = 0; i < p->commands.n_commands; i++)
            pb_free((void *)(uintptr_t)p->command_table[i].arguments.options);
    pb_free(p->command_table);
    if (p->has_actions)
        for (uint32_t i = 0; i < p->actions.n_actions; i++)
            pb_free((void *)(uintptr_t)p->action_table[i].arguments.options);
    pb_free(p->action_table);
    pb_free(p->source_table);
    pb_free(p->operations);
    pb_free(p->route_table);
    pb_plugin_free(p->other);
    if (p->fd >= 0) close(p->fd);
    pb_arena_free(&p->mem);
    pb_free(p->path);
    pb_free(p);
}

int pb_plugin_operation(const struct pb_plugin *p, pbay_str name)
{
    for (uint32_t i = 0; p->has_functions && i < p->functions.n_operations; i++)
        if (pb_str_is(name, p->operations[i].name)) return (int)i;
    return -1;
}

int pb_plugin_action(const struct pb_plugin *p, pbay_str name)
{
    for (uint32_t i = 0; p->has_actions && i < p->actions.n_actions; i++)
        if (pb_str_is(name, p->action_table[i].name)) return (int)i;
    return -1;
}
