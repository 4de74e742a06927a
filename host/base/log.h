/* SPDX-License-Identifier: MIT */
/*
 * One line per happening, as logfmt or JSON: time, level, room, message, then fields.
 *
 *     pb_log(PB_LOG_INFO, "flow", "call", PB_S("function", name), PB_I("rows", n), PB_F("ms", 1.25));
 *
 * Text from outside goes into fields: they are quoted, control characters and invalid UTF-8 escaped, and cut
 * at 1 KiB. The message is a constant. Lines are gathered and written once per turn of the loop
 * (pb_log_flush); warnings and errors are written at once. Threads: any; each thread has its own line buffer,
 * whole lines are written.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/str.h"

enum pb_log_level { PB_LOG_DEBUG = 1, PB_LOG_INFO, PB_LOG_WARN, PB_LOG_ERROR, PB_LOG_OFF };
enum { PB_LOG_ROOMS = 24 };
enum pb_log_format { PB_LOG_LOGFMT, PB_LOG_JSON };

enum pb_field_type { PB_FIELD_STR, PB_FIELD_INT, PB_FIELD_NUM };

struct pb_field {
    const char *name;
    enum pb_field_type type;
    pbay_str s;
    int64_t i;
    double d;
};

#define PB_S(name, cstr) ((struct pb_field){(name), PB_FIELD_STR, pb_str_c(cstr), 0, 0})
#define PB_V(name, str)  ((struct pb_field){(name), PB_FIELD_STR, (str), 0, 0})
#define PB_I(name, int)  ((struct pb_field){(name), PB_FIELD_INT, {NULL, 0}, (int64_t)(int), 0})
#define PB_F(name, num)  ((struct pb_field){(name), PB_FIELD_NUM, {NULL, 0}, 0, (num)}) /* three decimals */

/* Where lines go and what they look like; fd stays the caller's. Before threads start. */
void pb_log_open(int fd, enum pb_log_format format);
/* Every line from here on says which worker of which supervisor wrote it: worker=SLOT pid=PID. Before threads
 * start. */
void pb_log_worker(unsigned slot, int pid);
/* The least level written, for a room or (room NULL) for all that have none of their own. Any time. */
void pb_log_level(const char *room, enum pb_log_level level);
bool pb_log_enabled(enum pb_log_level level, const char *room);
void pb_log_write(enum pb_log_level level, const char *room, const char *message,
                  const struct pb_field *fields, size_t n);
/* The rooms that may have levels of their own, "net", in a fixed order; NULL: there is no such number. */
const char *pb_log_room_at(size_t i);
/* All of the above, to hand it to a process of ours; no pointers. `fd` is to be replaced by what it is there.
 */
struct pb_log_setup {
    int fd, format, level, worker; /* worker: -1: none */
    int rooms[PB_LOG_ROOMS];
};
void pb_log_setup_get(struct pb_log_setup *out);
/* Before threads start; the process's own pid stands in its lines. */
void pb_log_setup_use(const struct pb_log_setup *setup);
/* Write what this thread gathered. */
void pb_log_flush(void);
/* "info" */
const char *pb_log_level_name(enum pb_log_level level);
bool pb_log_level_parse(pbay_str s, enum pb_log_level *out);

#define pb_log(level, room, message, ...)                                                                    \
    do {                                                                                                     \
        if (pb_log_enabled((level), (room))) {                                                               \
            const struct pb_field pb_fields_[] = {__VA_ARGS__};                                              \
            pb_log_write((level), (room), (message), pb_fields_, sizeof pb_fields_ / sizeof *pb_fields_);    \
        }                                                                                                    \
    } while (0)

/* Without fields. */
#define pb_log0(level, room, message)                                                                        \
    do {                                                                                                     \
        if (pb_log_enabled((level), (room))) pb_log_write((level), (room), (message), NULL, 0);              \
    } while (0)
