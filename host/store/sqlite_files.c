/* SPDX-License-Identifier: MIT */
/* The store's directory and files: whose they are and who may write there. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "store/sqlite.h"

static int check_dir(const char *dir, int fd, struct pb_err *err)
{
    struct stat st;
    if (fstat(fd, &st) != 0)
        return pb_fail(err, PBAY_UNAVAILABLE, "store directory %s: %s", dir, strerror(errno));
    if (st.st_uid != geteuid())
        return pb_fail(err, PBAY_PERMISSION_DENIED,
                       "store directory %s belongs to user %u; it must belong to user %u, "
                       "who runs this",
                       dir, st.st_uid, geteuid());
    if (st.st_mode & 022)
        return pb_fail(err, PBAY_PERMISSION_DENIED,
                       "store directory %s can be written by others (mode %04o); run: "
                       "chmod go-w %s",
                       dir, st.st_mode & 07777, dir);
    return 0;
}

/* Its descriptor, or -1. */
static int open_dir(const char *dir, struct pb_err *err)
{
    if (mkdir(dir, 0700) != 0 && errno != EEXIST)
        return pb_fail(err, errno == ENOENT ? PBAY_NOT_FOUND : PBAY_PERMISSION_DENIED,
                       "store directory %s cannot be made: %s", dir, strerror(errno));
    int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return pb_fail(err, PBAY_PERMISSION_DENIED, "store directory %s cannot be opened: %s", dir,
                       strerror(errno));
    if (check_dir(dir, fd, err) == 0) return fd;
    close(fd);
    return -1;
}

/*
 * The database is never opened here when it exists: closing a descriptor of it would drop the locks that
 * another connection of this process holds on it.
 */
static int make_db(struct pb_sq *s, int dir, const char *name, struct pb_err *err)
{
    int fd = openat(dir, name, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd >= 0) {
        close(fd);
        return 0;
    }
    if (errno != EEXIST)
        return pb_fail(err, errno == EROFS ? PBAY_FAILED_PRECONDITION : PBAY_PERMISSION_DENIED,
                       "store %s cannot be made: %s", s->path, strerror(errno));
    struct stat st;
    if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) != 0)
        return pb_fail(err, PBAY_UNAVAILABLE, "store %s: %s", s->path, strerror(errno));
    if (!S_ISREG(st.st_mode))
        return pb_fail(err, PBAY_PERMISSION_DENIED, "store %s is %s, not a regular file", s->path,
                       S_ISLNK(st.st_mode)   ? "a symbolic link"
                       : S_ISDIR(st.st_mode) ? "a directory"
                                             : "a device");
    if (st.st_uid != geteuid())
        return pb_fail(err, PBAY_PERMISSION_DENIED,
                       "store %s belongs to user %u; it must belong to user %u, who runs "
                       "this",
                       s->path, st.st_uid, geteuid());
    if ((st.st_mode & 077) && fchmodat(dir, name, 0600, 0) != 0)
        return pb_fail(err, PBAY_PERMISSION_DENIED, "store %s can be read by others and chmod failed: %s",
                       s->path, strerror(errno));
    return 0;
}

static int open_lock(struct pb_sq *s, int dir, const char *name, struct pb_err *err)
{
    char *lock = pb_sprintf("%s.lock", name);
    s->lock_fd = openat(dir, lock, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
    int rc = s->lock_fd >= 0
                 ? 0
                 : pb_fail(err, errno == EROFS ? PBAY_FAILED_PRECONDITION : PBAY_PERMISSION_DENIED,
                           "store lock %s.lock cannot be opened: %s", s->path, strerror(errno));
    pb_free(lock);
    return rc;
}

int pb_sq_files(struct pb_sq *s, struct pb_err *err)
{
    const char *slash = strrchr(s->path, '/'), *name = slash ? slash + 1 : s->path;
    char *dir = !slash             ? pb_strdup(".")
                : slash == s->path ? pb_strdup("/")
                                   : pb_strndup(s->path, (size_t)(slash - s->path));
    int fd = -1, rc;
    if (!*name || strlen(name) > 240)
        rc = pb_fail(err, PBAY_INVALID_ARGUMENT, "store url \"sqlite:%s\": expected the path of a file",
                     s->path);
    else if ((fd = open_dir(dir, err)) < 0)
        rc = -1;
    else
        rc = make_db(s, fd, name, err) != 0 || open_lock(s, fd, name, err) != 0 ? -1 : 0;
    if (fd >= 0) close(fd);
    pb_free(dir);
    return rc;
}
