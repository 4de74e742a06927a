/* SPDX-License-Identifier: MIT */
#include "data/resolve.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"

bool pb_resolve_split(pbay_str value, pbay_str *scheme, pbay_str *rest)
{
    size_t n = pb_str_chr(value, ':');
    if (n == value.n || !n || value.p[0] < 'a' || value.p[0] > 'z') return false;
    for (size_t i = 1; i < n; i++)
        if (!((value.p[i] >= 'a' && value.p[i] <= 'z') || (value.p[i] >= '0' && value.p[i] <= '9')))
            return false;
    *scheme = pb_str(value.p, n);
    *rest = pb_str(value.p + n + 1, value.n - n - 1);
    return true;
}

char *pb_path_from(const char *dir, pbay_str path)
{
    if (path.n && path.p[0] == '/') return pb_strndup(path.p, path.n);
    return pb_sprintf("%s/%.*s", strcmp(dir, "/") == 0 ? "" : dir, PB_FMT(path));
}

static int from_env(pbay_str name, struct pb_buf *out, struct pb_err *err)
{
    char *c = pb_strndup(name.p, name.n);
    const char *value = getenv(c);
    pb_free(c);
    if (!value)
        return pb_fail(err, PBAY_NOT_FOUND, "the environment variable \"%.*s\" is not set", PB_FMT(name));
    pbay_str v = pb_str_c(value);
    if (v.n > PB_RESOLVE_MAX || !pb_utf8_valid(v))
        return pb_fail(err, PBAY_INVALID_ARGUMENT, "the environment variable \"%.*s\" is %s", PB_FMT(name),
                       v.n > PB_RESOLVE_MAX ? "longer than 64 KiB" : "not valid UTF-8");
    pb_buf_str(out, v);
    return 0;
}

/* Up to n bytes; -1 with errno. */
static ssize_t read_some(int fd, char *p, size_t n)
{
    size_t at = 0;
    while (at < n) {
        ssize_t k = read(fd, p + at, n - at);
        if (k < 0 && errno == EINTR) continue;
        if (k < 0) return -1;
        if (k == 0) break;
        at += (size_t)k;
    }
    return (ssize_t)at;
}

static int take_file(int fd, const char *path, struct pb_buf *out, struct pb_err *err)
{
    struct stat st;
    if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode))
        return pb_fail(err, PBAY_INVALID_ARGUMENT, "%s is not a regular file", path);
    /* In place: a growing buffer would leave copies of a secret behind. */
    char *p = pb_buf_room(out, PB_RESOLVE_MAX + 1);
    ssize_t got = read_some(fd, p, PB_RESOLVE_MAX + 1);
    if (got < 0) return pb_fail(err, PBAY_UNAVAILABLE, "%s cannot be read: %s", path, strerror(errno));
    size_t n = (size_t)got;
    const char *why = n > PB_RESOLVE_MAX             ? "is longer than 64 KiB"
                      : memchr(p, 0, n)              ? "holds a NUL byte"
                      : !pb_utf8_valid(pb_str(p, n)) ? "is not valid UTF-8"
                                                     : NULL;
    if (why) {
        explicit_bzero(p, n);
        return pb_fail(err, PBAY_INVALID_ARGUMENT, "%s %s; a value is expected in it", path, why);
    }
    if (n && p[n - 1] == '\n') n--;
    if (n && p[n - 1] == '\r') n--;
    out->n += n;
    return 0;
}

static int from_file(const char *dir, pbay_str rest, struct pb_buf *out, struct pb_err *err)
{
    if (!rest.n) return pb_fail(err, PBAY_INVALID_ARGUMENT, "a path is expected behind file:");
    char *path = pb_path_from(dir, rest);
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY), rc;
    if (fd < 0) {
        rc = pb_fail(err, errno == ENOENT ? PBAY_NOT_FOUND : PBAY_PERMISSION_DENIED,
                     "%s cannot be opened: %s", path, strerror(errno));
    } else {
        rc = take_file(fd, path, out, err);
        close(fd);
    }
    pb_free(path);
    return rc;
}

int pb_resolve_local(const char *dir, pbay_str scheme, pbay_str rest, struct pb_buf *out, struct pb_err *err)
{
    if (pb_str_is(scheme, "env")) return from_env(rest, out, err);
    if (pb_str_is(scheme, "file")) return from_file(dir, rest, out, err);
    return 1;
}
