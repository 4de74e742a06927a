/* SPDX-License-Identifier: MIT */
#include "app/channel.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

union control {
    struct cmsghdr align;
    char room[CMSG_SPACE(sizeof(int))];
};

static bool again(int channel, short events, bool wait)
{
    if (errno == EINTR) return true;
    if (errno != EAGAIN || !wait) return false;
    struct pollfd p = {channel, events, 0};
    return poll(&p, 1, -1) >= 0 || errno == EINTR;
}

static void copy(char *to, size_t cap, const char *from)
{
    size_t n = strnlen(from, cap - 1);
    memcpy(to, from, n);
    to[n] = 0;
}

int pb_msg_send(int channel, enum pb_msg_type type, const char *name, const char *text, int fd, bool wait)
{
    uint32_t t = type;
    char n[PB_MSG_NAME], x[PB_MSG_TEXT];
    copy(n, sizeof n, name ? name : "");
    copy(x, sizeof x, text ? text : "");
    struct iovec parts[] = {{&t, sizeof t}, {n, strlen(n) + 1}, {x, strlen(x) + 1}};
    union control c;
    struct msghdr h = {.msg_iov = parts, .msg_iovlen = 3};
    if (fd >= 0) {
        memset(&c, 0, sizeof c);
        h.msg_control = c.room;
        h.msg_controllen = sizeof c.room;
        struct cmsghdr *m = CMSG_FIRSTHDR(&h);
        m->cmsg_level = SOL_SOCKET;
        m->cmsg_type = SCM_RIGHTS;
        m->cmsg_len = CMSG_LEN(sizeof fd);
        memcpy(CMSG_DATA(m), &fd, sizeof fd);
    }
    for (;;) {
        if (sendmsg(channel, &h, MSG_DONTWAIT | MSG_NOSIGNAL) >= 0) return 0;
        if (again(channel, POLLOUT, wait)) continue;
        return errno == EAGAIN || errno == ETOOMANYREFS ? 1 : -1;
    }
}

static void take_fd(struct msghdr *h, struct pb_msg *m)
{
    for (struct cmsghdr *c = CMSG_FIRSTHDR(h); c; c = CMSG_NXTHDR(h, c))
        if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS &&
            c->cmsg_len == CMSG_LEN(sizeof m->fd))
            memcpy(&m->fd, CMSG_DATA(c), sizeof m->fd);
}

int pb_msg_receive(int channel, struct pb_msg *m, bool wait)
{
    char texts[PB_MSG_NAME + PB_MSG_TEXT + 2];
    struct iovec parts[] = {{&m->type, sizeof m->type}, {texts, sizeof texts - 1}};
    union control c;
    struct msghdr h = {
        .msg_iov = parts, .msg_iovlen = 2, .msg_control = c.room, .msg_controllen = sizeof c.room};
    ssize_t n;
    m->fd = -1;
    while ((n = recvmsg(channel, &h, MSG_DONTWAIT | MSG_CMSG_CLOEXEC)) < 0)
        if (!again(channel, POLLIN, wait)) return errno == EAGAIN ? 0 : -1;
    if (n < (ssize_t)sizeof m->type + 2) return -1; /* the end; both ends are one program */
    take_fd(&h, m);
    size_t got = (size_t)n - sizeof m->type;
    texts[got] = 0;
    size_t first = strlen(texts);
    copy(m->name, sizeof m->name, texts);
    copy(m->text, sizeof m->text, first + 1 < got ? texts + first + 1 : "");
    return 1;
}
