/* SPDX-License-Identifier: MIT */
#include "app/control.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"
#include "loop/loop.h"
#include "loop/watch.h"

enum { LINE = 256, CALLS = 16, ASK_S = 10 };
#define SOCKET_NAME "control"

struct pb_control_call {
    struct pb_control *control;
    int fd; /* -1: the place is free */
    struct pb_watch *watch;
    struct pb_timer limit; /* for the line to come */
    bool asked;
    size_t n;
    char line[LINE];
};

struct pb_control {
    struct pb_loop *loop;
    pb_control_fn fn;
    void *user;
    int fd;
    char *path;
    struct pb_watch *watch;
    struct pb_control_call calls[CALLS];
};

static int address(const char *dir, struct sockaddr_un *a, struct pb_err *err)
{
    *a = (struct sockaddr_un){.sun_family = AF_UNIX};
    if ((size_t)snprintf(a->sun_path, sizeof a->sun_path, "%s/" SOCKET_NAME, dir) < sizeof a->sun_path)
        return 0;
    return pb_fail(err, PBAY_INVALID_ARGUMENT,
                   "%s is too long a path for a socket; name a shorter one with --state", dir);
}

/* ------------------------------------------------------------------------------------------------ calls */

static void end_call(struct pb_control_call *call)
{
    pb_watch_close(call->watch);
    pb_timer_cancel(&call->limit);
    close(call->fd);
    *call = (struct pb_control_call){.control = call->control, .fd = -1};
}

void pb_control_answer(struct pb_control_call *call, const char *text)
{
    size_t n = strlen(text);
    while (n) {
        ssize_t w = send(call->fd, text, n, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (w <= 0) break; /* short texts: the socket takes them at once, or nobody reads */
        text += w;
        n -= (size_t)w;
    }
    end_call(call);
}

static void too_slow(void *user)
{
    end_call(user);
}

static void on_line(void *user)
{
    struct pb_control_call *call = user;
    ssize_t n = recv(call->fd, call->line + call->n, LINE - 1 - call->n, MSG_DONTWAIT);
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (n > 0) call->n += (size_t)n;
    char *end = memchr(call->line, '\n', call->n);
    if (!end) {
        if (n <= 0 || call->n == LINE - 1) end_call(call);
        return;
    }
    *end = 0;
    pb_timer_cancel(&call->limit);
    pb_watch_close(call->watch);
    call->watch = NULL;
    call->control->fn(call->control->user, call, call->line);
}

static bool may(int fd)
{
    struct ucred who;
    socklen_t n = sizeof who;
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &n)) return false;
    if (who.uid == 0 || who.uid == geteuid()) return true;
    pb_log(PB_LOG_WARN, "app", "a command of another user was refused", PB_I("uid", who.uid),
           PB_I("pid", who.pid));
    return false;
}

static void on_caller(void *user)
{
    struct pb_control *c = user;
    int fd = accept4(c->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (fd < 0) return;
    struct pb_control_call *call = c->calls;
    while (call < c->calls + CALLS && call->fd >= 0) call++;
    struct pb_err err;
    if (!may(fd) || call == c->calls + CALLS ||
        !(call->watch = pb_watch_open(c->loop, fd, on_line, call, &err))) {
        close(fd);
        return;
    }
    call->fd = fd;
    call->limit.fn = too_slow;
    call->limit.user = call;
    pb_timer_set(c->loop, &call->limit, ASK_S * 1000);
}

/* ------------------------------------------------------------------------------------------------ the socket
 */

static int make_dir(const char *dir, struct pb_err *err)
{
    struct stat st;
    if (mkdir(dir, 0700) && errno != EEXIST)
        return pb_fail(err, PBAY_FAILED_PRECONDITION, "the runtime directory %s cannot be made: %s", dir,
                       strerror(errno));
    if (lstat(dir, &st) || !S_ISDIR(st.st_mode) || st.st_uid != geteuid() || (st.st_mode & 077))
        return pb_fail(err, PBAY_PERMISSION_DENIED,
                       "the runtime directory %s must be a directory of the running user and nobody else's: "
                       "chmod 700 it",
                       dir);
    return 0;
}

/* What a gateway that was killed left behind is removed; one that answers stays. */
static int clear(const struct sockaddr_un *a, struct pb_err *err)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int rc = connect(fd, (const struct sockaddr *)a, sizeof *a);
    close(fd);
    if (rc == 0)
        return pb_fail(err, PBAY_ALREADY_EXISTS,
                       "another gateway runs on this state directory: it answers on %s", a->sun_path);
    unlink(a->sun_path);
    return 0;
}

struct pb_control *pb_control_open(struct pb_loop *loop, const char *dir, pb_control_fn fn, void *user,
                                   struct pb_err *err)
{
    struct sockaddr_un a;
    if (address(dir, &a, err) || make_dir(dir, err) || clear(&a, err)) return NULL;
    struct pb_control *c = pb_zalloc(sizeof *c);
    *c = (struct pb_control){.loop = loop, .fn = fn, .user = user, .path = pb_strdup(a.sun_path)};
    for (size_t i = 0; i < CALLS; i++) c->calls[i] = (struct pb_control_call){.control = c, .fd = -1};
    c->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (c->fd < 0 || bind(c->fd, (const struct sockaddr *)&a, sizeof a) || chmod(a.sun_path, 0600) ||
        listen(c->fd, CALLS))
        pb_fail(err, PBAY_UNAVAILABLE, "the control socket %s: %s", a.sun_path, strerror(errno));
    else
        c->watch = pb_watch_open(loop, c->fd, on_caller, c, err);
    if (c->watch) return c;
    pb_control_close(c);
    return NULL;
}

void pb_control_close(struct pb_control *c)
{
    if (!c) return;
    for (size_t i = 0; i < CALLS; i++)
        if (c->calls[i].fd >= 0) end_call(&c->calls[i]);
    pb_watch_close(c->watch);
    if (c->fd >= 0) close(c->fd);
    if (c->watch) unlink(c->path);
    pb_free(c->path);
    pb_free(c);
}

/* ------------------------------------------------------------------------------------------------ the other
 * end */

int pb_control_ask(const char *dir, const char *line, struct pb_buf *answer, struct pb_err *err)
{
    struct sockaddr_un a;
    if (address(dir, &a, err)) return -1;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || connect(fd, (const struct sockaddr *)&a, sizeof a)) {
        pb_fail(err, PBAY_UNAVAILABLE,
                "no gateway answers on %s (%s); is it running, with workers, on this state directory?",
                a.sun_path, strerror(errno));
        if (fd >= 0) close(fd);
        return -1;
    }
    char text[LINE];
    int n = snprintf(text, sizeof text, "%s\n", line);
    ssize_t got = send(fd, text, (size_t)n, MSG_NOSIGNAL);
    while (got >= 0 && (got = recv(fd, pb_buf_room(answer, 4096), 4096, 0)) > 0) answer->n += (size_t)got;
    close(fd);
    if (got < 0 || !answer->n) return pb_fail(err, PBAY_UNAVAILABLE, "the gateway ended before it answered");
    return 0;
}
