/* SPDX-License-Identifier: MIT */
/* pbay.host.log/1: lines of the gateway's log, with the plugin's and the connector's name. */
#include <patchbay/host_log.h>

#include <string.h>

#include "base/log.h"
#include "plugin/connector_priv.h"
#include "plugin/services.h"

enum { FIELDS_MAX = 16, NAME_CAP = 48, MESSAGE_CAP = 256 };

static enum pb_log_level level_of(uint32_t level)
{
    return level < PBAY_LOG_DEBUG   ? PB_LOG_DEBUG
           : level > PBAY_LOG_ERROR ? PB_LOG_ERROR
                                    : (enum pb_log_level)level;
}

/* The log takes names as they are: what could break a line is replaced. */
static void copy_name(char to[NAME_CAP], pbay_str name)
{
    size_t n = name.n < NAME_CAP - 1 ? name.n : NAME_CAP - 1;
    for (size_t i = 0; i < n; i++) {
        char c = name.p[i];
        bool good = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
                    c == '.';
        to[i] = good ? c : '_';
    }
    to[n] = 0;
}

static int log_enabled(const pbay_host *host, uint32_t level)
{
    (void)host;
    return pb_log_enabled(level_of(level), "plugin");
}

static void log_write(const pbay_host *host, uint32_t level, pbay_str message, const pbay_header *fields,
                      uint32_t n)
{
    const struct pb_connector *c = pb_connector_of(host);
    if (!pb_log_enabled(level_of(level), "plugin")) return;
    if (n > FIELDS_MAX) n = FIELDS_MAX;
    char text[MESSAGE_CAP], names[FIELDS_MAX][NAME_CAP];
    size_t len = pb_utf8_floor(message, message.n < sizeof text ? message.n : sizeof text - 1);
    if (len) memcpy(text, message.p, len);
    text[len] = 0;
    for (size_t i = 0; i < len; i++)
        if ((unsigned char)text[i] < ' ') text[i] = ' ';
    struct pb_field out[FIELDS_MAX + 2] = {PB_S("plugin", c->plugin->name), PB_S("connector", c->name)};
    for (uint32_t i = 0; i < n; i++) {
        copy_name(names[i], fields[i].name);
        out[i + 2] = PB_V(names[i], fields[i].value);
    }
    pb_log_write(level_of(level), "plugin", text, out, n + 2);
}

const pbay_log_1 pb_service_log = {
    .struct_size = sizeof(pbay_log_1),
    .enabled = log_enabled,
    .write = log_write,
};
