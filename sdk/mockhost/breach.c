/* SPDX-License-Identifier: MIT */
#include "mockhost/breach.h"

#include <string.h>
#include <unistd.h>

#include "base/log.h"

enum { TAIL = 1 << 16 };

/* Of `key=` in a line: its value without the quotes and what they needed. */
static size_t value(const char *line, const char *end, const char *key, char *to, size_t cap)
{
    const size_t n = strlen(key);
    size_t got = 0;
    const char *p = line;
    while (p < end && strncmp(p, key, n)) p++;
    if (p >= end) return 0;
    p += n;
    const bool quoted = *p == '"';
    for (p += quoted; p < end && *p != (quoted ? '"' : ' ') && got + 1 < cap; p++) {
        if (quoted && *p == '\\' && p + 1 < end) p++;
        to[got++] = *p;
    }
    to[got] = 0;
    return got;
}

bool pb_breach_last(int log_fd, char *to, size_t cap)
{
    static char text[TAIL];
    char what[256], of[512];
    const char *at = NULL;
    pb_log_flush();
    const off_t size = lseek(log_fd, 0, SEEK_END);
    const off_t from = size > (off_t)sizeof text - 1 ? size - (off_t)sizeof text + 1 : 0;
    const ssize_t n = pread(log_fd, text, sizeof text - 1, from);
    text[n < 0 ? 0 : n] = 0;
    for (const char *p = text; (p = strstr(p, "a plugin broke the rules")); p++) at = p;
    if (!at) return false;
    const char *end = at + strcspn(at, "\n");
    if (!value(at, end, " fault=", what, sizeof what)) return false;
    const bool more = value(at, end, " detail=", of, sizeof of) > 0;
    const char *const parts[] = {what, more ? " (" : "", more ? of : "", more ? ")" : ""};
    size_t used = 0;
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
        for (const char *p = parts[i]; *p && used + 1 < cap; p++) to[used++] = *p;
    to[used] = 0;
    return true;
}
