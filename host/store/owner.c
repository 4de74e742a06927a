/* SPDX-License-Identifier: MIT */
#include "store/owner.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/str.h"

enum { BOOT = 8 };

/* The beginning of a file; "" when it cannot be read. */
static void slurp(const char *path, char *out, size_t cap)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd >= 0 ? read(fd, out, cap - 1) : 0;
    if (fd >= 0) close(fd);
    out[n > 0 ? n : 0] = 0;
}

static void boot_id(char out[BOOT + 1])
{
    char text[64];
    slurp("/proc/sys/kernel/random/boot_id", text, sizeof text);
    memcpy(out, strlen(text) < BOOT ? "unknown?" : text, BOOT);
    out[BOOT] = 0;
}

static unsigned long long name_space(void)
{
    struct stat st;
    return stat("/proc/self/ns/pid", &st) == 0 ? (unsigned long long)st.st_ino : 0;
}

/* When a process was begun, in ticks since the boot; 0: there is none, or it has ended. proc(5). */
static unsigned long long begun(unsigned long long pid)
{
    char path[64], text[1024];
    unsigned long long start = 0;
    char state;
    snprintf(path, sizeof path, "/proc/%llu/stat", pid);
    slurp(path, text, sizeof text);
    /* Behind the name, which may hold anything: state, then 18 numbers, then this one. */
    const char *at = strrchr(text, ')');
    if (!at ||
        sscanf(at + 1, " %c %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %llu",
               &state, &start) != 2)
        return 0;
    return state == 'Z' || state == 'X' ? 0 : start;
}

char *pb_owner_make(uint32_t worker)
{
    char boot[BOOT + 1];
    boot_id(boot);
    unsigned long long pid = (unsigned long long)getpid();
    return pb_sprintf("worker %u, pid %llu (%s/%llu/%llu)", worker, pid, boot, name_space(), begun(pid));
}

bool pb_owner_gone(pbay_str owner)
{
    char text[128], boot[BOOT + 1], here[BOOT + 1];
    unsigned worker;
    unsigned long long pid, space, start;
    int end = 0;
    if (owner.n >= sizeof text) return false;
    snprintf(text, sizeof text, "%.*s", PB_FMT(owner));
    if (sscanf(text, "worker %u, pid %llu (%8[^/]/%llu/%llu)%n", &worker, &pid, boot, &space, &start, &end) !=
            5 ||
        (size_t)end != owner.n || !start || !space)
        return false;
    boot_id(here);
    /* Without /proc nobody is seen to run, this process included. */
    if (strcmp(boot, here) != 0 || space != name_space() || !begun((unsigned long long)getpid()))
        return false;
    return begun(pid) != start;
}
