/* SPDX-License-Identifier: MIT */
#include "net/bound.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/str.h"

/* The host without brackets, owned, and the port; NULL with err. */
static char *parts(const char *address, const char **port_text, struct pb_err *err)
{
    const char *colon = strrchr(address, ':');
    int64_t port;
    if (!colon || !pb_parse_i64(pb_str_c(colon + 1), &port) || port < 0 || port > 65535) {
        pb_fail(err, PBAY_INVALID_ARGUMENT,
                "address \"%s\" is not HOST:PORT, such as 0.0.0.0:50058 or [::]:50058", address);
        return NULL;
    }
    *port_text = colon + 1;
    if (address[0] == '[' && colon > address + 1 && colon[-1] == ']')
        return pb_strndup(address + 1, (size_t)(colon - address) - 2);
    char *host = pb_strndup(address, (size_t)(colon - address));
    if (address[0] == '[' || !strchr(host, ':')) return host;
    pb_fail(err, PBAY_INVALID_ARGUMENT, "address \"%s\": write an IPv6 address in brackets, [%s]:%lld",
            address, host, (long long)port);
    pb_free(host);
    return NULL;
}

int pb_bound_check(const char *address, struct pb_err *err)
{
    const char *port;
    PB_AUTO_FREE char *host = parts(address, &port, err);
    return host ? 0 : -1;
}

/* "host:port", "[v6]:port" to the first address it means. */
static int resolve(const char *address, struct sockaddr_storage *out, struct pb_err *err)
{
    const char *port;
    PB_AUTO_FREE char *host = parts(address, &port, err);
    if (!host) return -1;
    struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE},
                    *found;
    int rc = getaddrinfo(*host ? host : NULL, port, &hints, &found);
    if (rc) return pb_fail(err, PBAY_INVALID_ARGUMENT, "address \"%s\": %s", address, gai_strerror(rc));
    memcpy(out, found->ai_addr, found->ai_addrlen);
    freeaddrinfo(found);
    return 0;
}

static socklen_t length(const struct sockaddr_storage *a)
{
    return a->ss_family == AF_INET6 ? sizeof(struct sockaddr_in6) : sizeof(struct sockaddr_in);
}

int pb_bound_open(const char *address, int backlog, struct pb_err *err)
{
    struct sockaddr_storage a;
    if (resolve(address, &a, err)) return -1;
    int on = 1, off = 0;
    int fd = socket(a.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    int rc = fd < 0 ? -1 : setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (!rc && a.ss_family == AF_INET6) rc = setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off);
    if (!rc) rc = bind(fd, (const struct sockaddr *)&a, length(&a));
    if (!rc) rc = listen(fd, backlog);
    if (!rc) return fd;
    pb_fail(err, PBAY_UNAVAILABLE, "cannot listen on %s: %s%s", address, strerror(errno),
            errno == EADDRINUSE ? "; another program, or another listener, has this port" : "");
    if (fd >= 0) close(fd);
    return -1;
}

static int local(int fd, struct sockaddr_storage *a)
{
    socklen_t n = sizeof *a;
    return getsockname(fd, (struct sockaddr *)a, &n);
}

static uint16_t port_of(const struct sockaddr_storage *a)
{
    return ntohs(a->ss_family == AF_INET6 ? ((const struct sockaddr_in6 *)a)->sin6_port
                                          : ((const struct sockaddr_in *)a)->sin_port);
}

uint16_t pb_bound_name(int fd, char out[PB_BOUND_NAME])
{
    struct sockaddr_storage a;
    char host[INET6_ADDRSTRLEN] = "?";
    *out = 0;
    if (local(fd, &a)) return 0;
    uint16_t port = port_of(&a);
    if (a.ss_family == AF_INET6) {
        inet_ntop(AF_INET6, &((const struct sockaddr_in6 *)&a)->sin6_addr, host, sizeof host);
        snprintf(out, PB_BOUND_NAME, "[%s]:%u", host, port);
    } else {
        inet_ntop(AF_INET, &((const struct sockaddr_in *)&a)->sin_addr, host, sizeof host);
        snprintf(out, PB_BOUND_NAME, "%s:%u", host, port);
    }
    return port;
}

bool pb_bound_is(int fd, const char *address)
{
    struct sockaddr_storage want, is;
    if (resolve(address, &want, NULL) || local(fd, &is) || want.ss_family != is.ss_family) return false;
    if (port_of(&want) != port_of(&is)) return false;
    if (is.ss_family == AF_INET6)
        return memcmp(&((const struct sockaddr_in6 *)&want)->sin6_addr,
                      &((const struct sockaddr_in6 *)&is)->sin6_addr, sizeof(struct in6_addr)) == 0;
    return ((const struct sockaddr_in *)&want)->sin_addr.s_addr ==
           ((const struct sockaddr_in *)&is)->sin_addr.s_addr;
}
