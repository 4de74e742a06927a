/* SPDX-License-Identifier: MIT */
#include "base/log.h"

#include <errno.h>
#include <math.h>
#include <stdatomic.h>
#include <stdio.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"

enum { FIELD_MAX = 1024, GATHER = 64 * 1024, ROOMS = PB_LOG_ROOMS };

static int out_fd = 2;
static enum pb_log_format out_format = PB_LOG_LOGFMT;
static char who_logfmt[48], who_json[48]; /* " worker=1 pid=77"; empty: there is one process */
static int worker = -1;
static _Atomic int level_all = PB_LOG_INFO;

static struct room_level {
    const char *name;
    _Atomic int level; /* 0: as level_all */
} rooms[ROOMS] = {{"base", 0},  {"loop", 0},   {"data", 0}, {"net", 0},       {"guard", 0}, {"script", 0},
                  {"store", 0}, {"plugin", 0}, {"flow", 0}, {"endpoints", 0}, {"app", 0},   {"lua", 0}};

static _Thread_local struct pb_buf line;
static _Thread_local int64_t stamp_ms = -1;
static _Thread_local char stamp[PB_TIME_MAX];

static struct room_level *room_of(const char *name)
{
    for (size_t i = 0; i < ROOMS && rooms[i].name; i++)
        if (rooms[i].name == name || (rooms[i].name[0] == name[0] && strcmp(rooms[i].name, name) == 0))
            return &rooms[i];
    return NULL;
}

void pb_log_open(int fd, enum pb_log_format format)
{
    pb_log_flush();
    out_fd = fd;
    out_format = format;
}

void pb_log_worker(unsigned slot, int pid)
{
    worker = (int)slot;
    snprintf(who_logfmt, sizeof who_logfmt, " worker=%u pid=%d", slot, pid);
    snprintf(who_json, sizeof who_json, ",\"worker\":%u,\"pid\":%d", slot, pid);
}

void pb_log_level(const char *room, enum pb_log_level level)
{
    if (!room) {
        atomic_store(&level_all, (int)level);
        return;
    }
    struct room_level *r = room_of(room);
    if (r) atomic_store(&r->level, (int)level);
}

void pb_log_setup_get(struct pb_log_setup *out)
{
    *out = (struct pb_log_setup){.fd = out_fd, .format = (int)out_format, .worker = worker};
    out->level = atomic_load(&level_all);
    for (size_t i = 0; i < ROOMS; i++) out->rooms[i] = atomic_load(&rooms[i].level);
}

void pb_log_setup_use(const struct pb_log_setup *setup)
{
    pb_log_open(setup->fd, setup->format == PB_LOG_JSON ? PB_LOG_JSON : PB_LOG_LOGFMT);
    atomic_store(&level_all, setup->level);
    for (size_t i = 0; i < ROOMS; i++) atomic_store(&rooms[i].level, setup->rooms[i]);
    if (setup->worker >= 0) pb_log_worker((unsigned)setup->worker, (int)getpid());
}

const char *pb_log_room_at(size_t i)
{
    return i < ROOMS ? rooms[i].name : NULL;
}

bool pb_log_enabled(enum pb_log_level level, const char *room)
{
    struct room_level *r = room_of(room);
    int own = r ? atomic_load_explicit(&r->level, memory_order_relaxed) : 0;
    return (int)level >= (own ? own : atomic_load_explicit(&level_all, memory_order_relaxed));
}

const char *pb_log_level_name(enum pb_log_level level)
{
    static const char *const names[] = {"", "debug", "info", "warn", "error", "off"};
    return names[level];
}

bool pb_log_level_parse(pbay_str s, enum pb_log_level *out)
{
    for (int l = PB_LOG_DEBUG; l <= PB_LOG_OFF; l++)
        if (pb_str_is(s, pb_log_level_name((enum pb_log_level)l))) {
            *out = (enum pb_log_level)l;
            return true;
        }
    return false;
}

static bool plain(pbay_str s)
{
    if (!s.n) return false;
    for (size_t i = 0; i < s.n; i++) {
        unsigned char c = (unsigned char)s.p[i];
        if (c <= ' ' || c >= 0x7f || c == '"' || c == '=' || c == '\\') return false;
    }
    return true;
}

static void add_value(const struct pb_field *f)
{
    char num[PB_F64_MAX];
    switch (f->type) {
    case PB_FIELD_INT: pb_buf_add(&line, num, pb_format_i64(f->i, num)); return;
    case PB_FIELD_NUM: {
        if (!isfinite(f->d)) {
            pb_buf_c(&line, out_format == PB_LOG_JSON ? "null" : "nan");
            return;
        }
        /* Three decimals by hand: this is on the path of every call. */
        if (fabs(f->d) < 1e15) {
            int64_t t = (int64_t)(fabs(f->d) * 1000 + 0.5);
            if (f->d < 0 && t) pb_buf_ch(&line, '-');
            pb_buf_add(&line, num, pb_format_i64(t / 1000, num));
            const char frac[4] = {'.', (char)('0' + t / 100 % 10), (char)('0' + t / 10 % 10),
                                  (char)('0' + t % 10)};
            pb_buf_add(&line, frac, 4);
            return;
        }
        pb_buf_printf(&line, "%.17g", f->d);
        return;
    }
    case PB_FIELD_STR: break;
    }
    pbay_str s = f->s;
    bool cut = s.n > FIELD_MAX;
    if (cut) s.n = pb_utf8_floor(s, FIELD_MAX);
    if (out_format == PB_LOG_LOGFMT && !cut && plain(s))
        pb_buf_str(&line, s);
    else
        pb_buf_json(&line, s);
    if (cut) {
        line.n--;
        pb_buf_c(&line, "...\"");
    }
}

/* A name of a few letters: its end is found on the way. */
static void add_name(const char *name)
{
    while (*name) pb_buf_ch(&line, *name++);
}

void pb_log_write(enum pb_log_level level, const char *room, const char *message,
                  const struct pb_field *fields, size_t n)
{
    /* Lines of calls, which are many, have the time of the kernel's last tick. */
    int64_t now = level >= PB_LOG_WARN ? pb_now_ms() : pb_now_coarse_ms();
    if (now != stamp_ms) {
        pb_format_time(now, stamp);
        stamp_ms = now;
    }
    bool json = out_format == PB_LOG_JSON;
    pb_buf_c(&line, json ? "{\"time\":\"" : "time=");
    pb_buf_add(&line, stamp, 24);
    pb_buf_c(&line, json ? "\",\"level\":\"" : " level=");
    add_name(pb_log_level_name(level));
    pb_buf_c(&line, json ? "\",\"room\":\"" : " room=");
    add_name(room);
    pb_buf_c(&line, json ? "\",\"msg\":" : " msg=");
    struct pb_field m = PB_S("msg", message);
    add_value(&m);
    if (*who_logfmt) pb_buf_c(&line, json ? who_json : who_logfmt);
    for (size_t i = 0; i < n; i++) {
        if (json) {
            pb_buf_c(&line, ",\"");
            pb_buf_c(&line, fields[i].name);
            pb_buf_c(&line, "\":");
        } else {
            pb_buf_ch(&line, ' ');
            add_name(fields[i].name);
            pb_buf_ch(&line, '=');
        }
        add_value(&fields[i]);
    }
    pb_buf_c(&line, json ? "}\n" : "\n");
    if (level >= PB_LOG_WARN || line.n >= GATHER) pb_log_flush();
}

void pb_log_flush(void)
{
    size_t at = 0;
    while (at < line.n) {
        ssize_t w = write(out_fd, line.p + at, line.n - at);
        if (w < 0 && errno == EINTR) continue;
        if (w <= 0) break; /* a full disk or a closed pipe must not stop the gateway */
        at += (size_t)w;
    }
    pb_buf_reset(&line, GATHER * 2);
}
