/* SPDX-License-Identifier: MIT */
#include "app/sockets.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "app/channel.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "loop/loop.h"
#include "loop/watch.h"

enum { BACKLOG = 65535, AT_ONCE = 8, PAUSE_MS = 20, FIRST_FD = 3 };

struct sock {
    struct sock *next;
    struct pb_sockets *all;
    char name[PB_MSG_NAME], address[PB_MSG_NAME], where[PB_BOUND_NAME];
    int fd;
    uint32_t generation;    /* the last that wanted it */
    struct pb_watch *watch; /* NULL: not accepted from yet */
    struct pb_timer pause;
    int held; /* accepted, and nobody could take it; -1: none */
    int64_t warned_ns;
};

struct pb_sockets {
    struct pb_loop *loop;
    bool (*fn)(void *user, const char *name, int fd);
    void *user;
    struct sock *list;
    int n_given; /* inherited descriptors, from FIRST_FD; those in use are -1 */
    int *given;
    char **given_names;
    bool said_unused;
};

/* ------------------------------------------------------------------------------------------------ handed
 * over */

static void take_given(struct pb_sockets *s)
{
    const char *pid = getenv("LISTEN_PID"), *fds = getenv("LISTEN_FDS"), *names = getenv("LISTEN_FDNAMES");
    int64_t n = 0;
    if (fds && (!pid || atoll(pid) == (long long)getpid())) pb_parse_i64(pb_str_c(fds), &n);
    if (n > 0 && n <= 64) {
        s->n_given = (int)n;
        s->given = pb_zalloc((size_t)n * sizeof *s->given);
        s->given_names = pb_zalloc((size_t)n * sizeof *s->given_names);
    }
    for (int i = 0; i < s->n_given; i++) {
        size_t len = names ? strcspn(names, ":") : 0;
        s->given[i] = FIRST_FD + i;
        s->given_names[i] = len ? pb_strndup(names, len) : pb_strdup("");
        if (names) names += len + (names[len] == ':');
        fcntl(s->given[i], F_SETFD, FD_CLOEXEC);
        fcntl(s->given[i], F_SETFL, fcntl(s->given[i], F_GETFL) | O_NONBLOCK);
    }
    unsetenv("LISTEN_PID");
    unsetenv("LISTEN_FDS");
    unsetenv("LISTEN_FDNAMES");
}

static int find_given(struct pb_sockets *s, const char *name, const char *address)
{
    for (int by_name = 1; by_name >= 0; by_name--)
        for (int i = 0; i < s->n_given; i++) {
            int fd = s->given[i];
            if (fd < 0 || !(by_name ? strcmp(s->given_names[i], name) == 0 : pb_bound_is(fd, address)))
                continue;
            s->given[i] = -1;
            pb_log(PB_LOG_INFO, "app", "a socket was handed over", PB_S("listener", name), PB_I("fd", fd));
            return fd;
        }
    return -1;
}

struct pb_sockets *pb_sockets_new(struct pb_loop *loop, bool (*fn)(void *user, const char *name, int fd),
                                  void *user)
{
    struct pb_sockets *s = pb_zalloc(sizeof *s);
    s->loop = loop;
    s->fn = fn;
    s->user = user;
    take_given(s);
    return s;
}

/* ------------------------------------------------------------------------------------------------ accepting
 */

static void rest(struct sock *k, const char *why)
{
    int64_t now = pb_mono_ns();
    if (now - k->warned_ns > PB_SEC || !k->warned_ns)
        pb_log(PB_LOG_WARN, "app", "connections have to wait", PB_S("listener", k->name), PB_S("why", why));
    k->warned_ns = now;
    pb_watch_pause(k->watch, true);
    pb_timer_set(k->all->loop, &k->pause, PAUSE_MS);
}

static void on_readable(void *user)
{
    struct sock *k = user;
    struct pb_sockets *s = k->all;
    for (int i = 0; i < AT_ONCE; i++) {
        int fd = k->held;
        k->held = -1;
        if (fd < 0) fd = accept4(k->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (fd < 0) {
            if (errno == EINTR || errno == ECONNABORTED) continue;
            if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM)
                rest(k, strerror(errno));
            return;
        }
        if (!s->fn(s->user, k->name, fd)) {
            k->held = fd;
            rest(k, "no worker can take one now");
            return;
        }
    }
}

static void resume(void *user)
{
    struct sock *k = user;
    pb_watch_pause(k->watch, false);
    on_readable(k);
}

/* ------------------------------------------------------------------------------------------------ the list
 */

int pb_sockets_want(struct pb_sockets *s, uint32_t generation, const char *name, const char *address,
                    char out[PB_BOUND_NAME], struct pb_err *err)
{
    struct sock *k = s->list, **at = &s->list;
    while (k && (strcmp(k->name, name) || strcmp(k->address, address))) k = k->next;
    if (!k) {
        int fd = find_given(s, name, address);
        if (fd < 0) fd = pb_bound_open(address, BACKLOG, err);
        if (fd < 0) return -1;
        k = pb_zalloc(sizeof *k);
        k->all = s;
        k->fd = fd;
        k->held = -1;
        k->pause.fn = resume;
        k->pause.user = k;
        snprintf(k->name, sizeof k->name, "%s", name);
        snprintf(k->address, sizeof k->address, "%s", address);
        pb_bound_name(fd, k->where);
        while (*at) at = &(*at)->next;
        *at = k;
    }
    if (generation > k->generation) k->generation = generation;
    memcpy(out, k->where, PB_BOUND_NAME);
    return 0;
}

static void drop(struct sock **at)
{
    struct sock *k = *at;
    *at = k->next;
    pb_watch_close(k->watch);
    pb_timer_cancel(&k->pause);
    if (k->held >= 0) close(k->held);
    close(k->fd);
    pb_free(k);
}

/* Who connects there would wait for ever. */
static void say_unused(struct pb_sockets *s)
{
    char where[PB_BOUND_NAME];
    for (int i = 0; i < s->n_given && !s->said_unused; i++) {
        if (s->given[i] < 0) continue;
        pb_bound_name(s->given[i], where);
        pb_log(PB_LOG_WARN, "app",
               "a socket that was handed over is not used: no listener has its name or its address",
               PB_S("name", s->given_names[i]), PB_S("address", where));
    }
    s->said_unused = true;
}

void pb_sockets_switch(struct pb_sockets *s, uint32_t generation)
{
    for (struct sock **at = &s->list; *at;) {
        struct sock *k = *at;
        struct pb_err err;
        if (k->generation != generation) {
            pb_log(PB_LOG_INFO, "app", "not listening any more", PB_S("listener", k->name),
                   PB_S("address", k->where));
            drop(at);
            continue;
        }
        if (!k->watch) {
            k->watch = pb_watch_open(s->loop, k->fd, on_readable, k, &err);
            pb_log(PB_LOG_INFO, "app", "listening", PB_S("listener", k->name), PB_S("address", k->where));
            if (!k->watch)
                pb_log(PB_LOG_ERROR, "app", "cannot accept", PB_S("listener", k->name), PB_S("why", err.msg));
        }
        at = &k->next;
    }
    say_unused(s);
}

void pb_sockets_forget(struct pb_sockets *s, uint32_t generation)
{
    for (struct sock **at = &s->list; *at;) {
        if (!(*at)->watch && (*at)->generation == generation)
            drop(at);
        else
            at = &(*at)->next;
    }
}

void pb_sockets_close(struct pb_sockets *s)
{
    while (s->list) drop(&s->list);
}

void pb_sockets_each(const struct pb_sockets *s, void (*fn)(void *user, const char *name, const char *where),
                     void *user)
{
    for (const struct sock *k = s->list; k; k = k->next)
        if (k->watch) fn(user, k->name, k->where);
}

void pb_sockets_fds(const struct pb_sockets *s, void (*fn)(void *user, const char *name, int fd), void *user)
{
    for (const struct sock *k = s->list; k; k = k->next)
        if (k->watch) fn(user, k->name, k->fd);
}

void pb_sockets_free(struct pb_sockets *s)
{
    if (!s) return;
    pb_sockets_close(s);
    for (int i = 0; i < s->n_given; i++) {
        if (s->given[i] >= 0) close(s->given[i]);
        pb_free(s->given_names[i]);
    }
    pb_free(s->given);
    pb_free(s->given_names);
    pb_free(s);
}
