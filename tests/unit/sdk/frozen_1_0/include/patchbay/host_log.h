/* SPDX-License-Identifier: MIT */
/*
 * Service pbay.host.log/1: one line of the gateway's log, with room=plugin and connector=NAME added.
 *
 * Text from outside goes into fields, never into the message: fields are quoted and escaped. No secrets, no
 * rows.
 *
 * Example: a warning with what the other side said.
 *
 *     static void warn(const struct mine *m, pbay_str said)
 *     {
 *         const pbay_header fields[] = {{{"said", 4}, said}};
 *         m->log->write(m->host, PBAY_LOG_WARN, pbay_str_c("the other side refuses"), fields, 1);
 *     }
 */
#pragma once

#include <patchbay/plugin.h>

#ifdef __cplusplus
extern "C" {
#endif

#define PBAY_SVC_LOG "pbay.host.log/1"

#define PBAY_LOG_DEBUG 1u
#define PBAY_LOG_INFO  2u
#define PBAY_LOG_WARN  3u
#define PBAY_LOG_ERROR 4u

typedef struct pbay_log_1 {
    uint32_t struct_size;
    uint32_t reserved;
    /* [any] Is this level written? To spare the work of making fields. */
    int (*enabled)(const pbay_host *host, uint32_t level);
    /* [any] message: constant text, at most 255 bytes; fields: name and value, the first 16. All is borrowed
     * until return; what is too long is cut, what could break a line is replaced. */
    void (*write)(const pbay_host *host, uint32_t level, pbay_str message, const pbay_header *fields,
                  uint32_t n);
} pbay_log_1;

#ifdef __cplusplus
}
#endif
