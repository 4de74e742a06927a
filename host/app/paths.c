/* SPDX-License-Identifier: MIT */
#include "app/paths.h"

#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"

static bool is_dir(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

char *pb_path_config(void)
{
    static const char *const places[] = {"patchbay.ini", "/etc/patchbay/patchbay.ini"};
    for (size_t i = 0; i < PB_COUNTOF(places); i++)
        if (access(places[i], F_OK) == 0) return pb_strdup(places[i]);
    return NULL;
}

char *pb_path_state(void)
{
    const char *dir = getenv("STATE_DIRECTORY");
    if (dir && *dir) return pb_strdup(dir);
    if (geteuid() == 0) return pb_strdup("/var/lib/patchbay");
    dir = getenv("XDG_STATE_HOME");
    if (dir && *dir == '/') return pb_sprintf("%s/patchbay", dir);
    dir = getenv("HOME");
    return pb_sprintf("%s/.local/state/patchbay", dir && *dir ? dir : "/tmp");
}

char *pb_path_self(void)
{
    char self[PATH_MAX];
    ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);
    return n > 0 ? pb_strndup(self, (size_t)n) : pb_strdup("patchbay");
}

char *pb_path_plugins(void)
{
    char *self = pb_path_self();
    char *slash = strrchr(self, '/');
    if (slash) *slash = 0;
    char *beside = pb_sprintf("%s/plugins", self);
    if (!is_dir(beside)) { /* PREFIX/bin/patchbay: the prefix may have been moved as a whole */
        pb_free(beside);
        beside = pb_sprintf("%s/../%s", self, PB_PLUGIN_SUBDIR);
        if (!is_dir(beside)) {
            pb_free(beside);
            beside = pb_strdup(PB_PLUGIN_DIR);
        }
    }
    pb_free(self);
    return beside;
}

int pb_path_make(const char *path, struct pb_err *err)
{
    char *p = pb_strdup(path);
    int rc = 0;
    for (char *s = p + 1; !rc && *s; s++) {
        if (*s != '/') continue;
        *s = 0;
        if (mkdir(p, 0755) && errno != EEXIST) rc = -1;
        *s = '/';
    }
    if (!rc && mkdir(p, 0700) && errno != EEXIST) rc = -1;
    if (rc)
        pb_fail(err, PBAY_FAILED_PRECONDITION, "the state directory %s cannot be made: %s", p,
                strerror(errno));
    pb_free(p);
    return rc;
}

char *pb_path_runtime(const char *given_state, const char *state)
{
    const char *dir = getenv("RUNTIME_DIRECTORY"), *system = "/run/patchbay";
    if (!given_state && dir && *dir) return pb_strdup(dir);
    if (!given_state && geteuid() == 0 && is_dir(system)) return pb_strdup(system);
    return pb_sprintf("%s/run", state);
}
