/* SPDX-License-Identifier: MIT */
#include "base/trust.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"

static int fail_errno(struct pb_err *err, const char *path, int e)
{
    int32_t code = e == ENOENT || e == ENOTDIR ? PBAY_NOT_FOUND
                   : e == EACCES || e == EPERM ? PBAY_PERMISSION_DENIED
                                               : PBAY_INTERNAL;
    return pb_fail(err, code, "%s: %s", path, strerror(e));
}

/* Who may change this? what: "file", "directory" and so on, for the message. */
static int check_stat(const struct stat *st, const char *path, const char *what, struct pb_err *err)
{
    if (st->st_uid != 0 && st->st_uid != geteuid())
        return pb_fail(
            err, PBAY_PERMISSION_DENIED,
            "%s: this %s belongs to user %u, wanted is root or the running user (%u): whoever owns it "
            "decides what runs here; chown it",
            path, what, (unsigned)st->st_uid, (unsigned)geteuid());
    unsigned open = st->st_mode & (S_IWGRP | S_IWOTH);
    if (!open) return 0;
    /* In a sticky directory nobody can rename or remove what is not his own, and the next part of the path is
     * ours. */
    if (S_ISDIR(st->st_mode) && st->st_mode & S_ISVTX) return 0;
    return pb_fail(err, PBAY_PERMISSION_DENIED, "%s: this %s is writable by %s (mode %04o): chmod go-w %s",
                   path, what, open & S_IWOTH ? "everybody" : "its group", (unsigned)st->st_mode & 07777,
                   path);
}

/* Every directory above an absolute path. */
static int check_above(const char *path, struct pb_err *err)
{
    PB_AUTO_FREE char *dir = pb_strdup(path);
    for (;;) {
        char *slash = strrchr(dir, '/');
        if (!slash) return 0;
        bool root = slash == dir;
        slash[root ? 1 : 0] = 0;
        struct stat st;
        if (stat(dir, &st)) return fail_errno(err, dir, errno);
        if (check_stat(&st, dir, "directory", err)) return -1;
        if (root) return 0;
    }
}

/* A name that someone else may repoint is no name to go by: both where it was looked for and where it truly
 * is. */
static int check_places(int fd, const char *path, struct pb_err *err)
{
    char link[64], real[PATH_MAX];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t n = readlink(link, real, sizeof real - 1);
    if (n < 0) return fail_errno(err, path, errno);
    real[n] = 0;
    if (check_above(real, err)) return -1;
    if (path[0] == '/') return strcmp(path, real) ? check_above(path, err) : 0;
    PB_AUTO_FREE char *cwd = getcwd(NULL, 0);
    if (!cwd) return fail_errno(err, path, errno);
    PB_AUTO_FREE char *full = pb_sprintf("%s/%s", cwd, path);
    return strcmp(full, real) ? check_above(full, err) : 0;
}

static int check_fd(int fd, const char *path, bool dir, struct pb_err *err)
{
    struct stat st;
    if (fstat(fd, &st)) return fail_errno(err, path, errno);
    if (dir ? !S_ISDIR(st.st_mode) : !S_ISREG(st.st_mode))
        return pb_fail(err, PBAY_INVALID_ARGUMENT, "%s: not a %s", path, dir ? "directory" : "regular file");
    return check_stat(&st, path, dir ? "directory" : "file", err);
}

static int open_checked(int at, const char *name, const char *path, bool dir, struct pb_err *err)
{
    /* Not blocking, for what turns out to be a pipe. */
    int fd = openat(at, name, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY | (dir ? O_DIRECTORY : 0));
    if (fd < 0) return fail_errno(err, path, errno);
    if (check_fd(fd, path, dir, err) || check_places(fd, path, err)) {
        close(fd);
        return -1;
    }
    return fd;
}

int pb_trust_open(const char *path, struct pb_err *err)
{
    return open_checked(AT_FDCWD, path, path, false, err);
}

int pb_trust_open_dir(const char *path, struct pb_err *err)
{
    return open_checked(AT_FDCWD, path, path, true, err);
}

int pb_trust_open_at(int dir, const char *dir_path, const char *name, struct pb_err *err)
{
    PB_AUTO_FREE char *path = pb_sprintf("%s/%s", dir_path, name);
    return open_checked(dir, name, path, false, err);
}
