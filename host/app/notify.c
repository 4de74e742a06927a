/* SPDX-License-Identifier: MIT */
#include "app/notify.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/str.h"

void pb_notify(const char *fmt, ...)
{
    const char *path = getenv("NOTIFY_SOCKET");
    struct sockaddr_un to = {.sun_family = AF_UNIX};
    if (!path || (*path != '/' && *path != '@') || strlen(path) >= sizeof to.sun_path) return;
    size_t n = strlen(path);
    memcpy(to.sun_path, path, n);
    if (*path == '@') to.sun_path[0] = 0; /* the abstract name space */
    char text[512];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0) return;
    (void)!sendto(fd, text, strlen(text), MSG_NOSIGNAL | MSG_DONTWAIT, (const struct sockaddr *)&to,
                  (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n));
    close(fd);
}

void pb_notify_reloading(void)
{
    pb_notify("RELOADING=1\nMONOTONIC_USEC=%lld", (long long)(pb_mono_ns() / 1000));
}

int64_t pb_notify_watchdog_ms(void)
{
    const char *usec = getenv("WATCHDOG_USEC"), *pid = getenv("WATCHDOG_PID");
    int64_t n;
    if (!usec || !pb_parse_i64(pb_str_c(usec), &n) || n < 2000) return 0;
    if (pid && atoll(pid) != (long long)getpid()) return 0;
    return n / 2000;
}
