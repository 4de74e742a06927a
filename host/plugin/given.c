/* SPDX-License-Identifier: MIT */
#include "plugin/given.h"

#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "data/config.h"
#include "plugin/connector_priv.h"
#include "plugin/current.h"
#include "plugin/services.h"

#define TYPE(t) (1u << PBAY_OPT_##t)

enum {
    INTS = TYPE(INT) | TYPE(BOOL) | TYPE(DURATION) | TYPE(SIZE) | TYPE(ENUM),
    NUMS = TYPE(NUM),
    TEXTS = INTS | NUMS | TYPE(STR) | TYPE(FILE),
    MANY = TYPE(LIST) | TYPE(FAMILY),
    ALL = TEXTS | MANY,
};

static const char *type_name(uint32_t type)
{
    static const char *const names[] = {"?",    "STR",  "INT",  "NUM",  "BOOL",  "DURATION",
                                        "SIZE", "ENUM", "LIST", "FILE", "FAMILY"};
    return names[type < PB_COUNTOF(names) ? type : 0];
}

/* In a thread of the plugin's own nobody counts: then the log alone says it. */
static void fault(const char *what, const char *detail)
{
    if (pb_current.connector)
        pb_connector_fault(pb_current.connector, what, detail);
    else
        pb_log(PB_LOG_WARN, "plugin", "a plugin broke the rules", PB_S("fault", what),
               PB_S("detail", detail));
}

static bool may(const pbay_config *cfg, const char *name, const char *reader, uint32_t types)
{
    char detail[160];
    const uint32_t type = pb_config_type(cfg, name);
    if (PB_LIKELY(type && types & (1u << type))) return true;
    if (type)
        snprintf(detail, sizeof detail, "%s of %.64s, which is a %s", reader, name, type_name(type));
    else
        snprintf(detail, sizeof detail, "%s of %.64s", reader, name);
    fault(type ? "an option was read as another type than its own"
               : "an option was read that is not in its table",
          detail);
    return false;
}

int pb_given_is_set(const pbay_config *cfg, const char *name)
{
    return may(cfg, name, "is_set", ALL) ? pb_config_is_set(cfg, name) : 0;
}

int64_t pb_given_get_int(const pbay_config *cfg, const char *name)
{
    return may(cfg, name, "get_int", INTS) ? pb_config_get_int(cfg, name) : 0;
}

double pb_given_get_num(const pbay_config *cfg, const char *name)
{
    return may(cfg, name, "get_num", NUMS) ? pb_config_get_num(cfg, name) : 0;
}

pbay_str pb_given_get_str(const pbay_config *cfg, const char *name)
{
    return may(cfg, name, "get_str", TEXTS) ? pb_config_get_str(cfg, name) : PB_STR("");
}

uint32_t pb_given_count(const pbay_config *cfg, const char *name)
{
    return may(cfg, name, "count", MANY) ? pb_config_count(cfg, name) : 0;
}

pbay_str pb_given_item(const pbay_config *cfg, const char *name, uint32_t i, pbay_str *key)
{
    if (may(cfg, name, "item", MANY)) return pb_config_item(cfg, name, i, key);
    if (key) *key = PB_STR("");
    return PB_STR("");
}

/* The section's place at least: it is for messages, also for those about what is not there. */
pbay_str pb_given_where(const pbay_config *cfg, const char *name)
{
    may(cfg, name, "where", ALL);
    return pb_config_where(cfg, name);
}

void pb_copy_known(void *to, size_t size, const void *from, uint32_t has, const char *name)
{
    char detail[80];
    memset(to, 0, size);
    memcpy(to, from, has < size ? has : size);
    if (PB_LIKELY(has > sizeof(void *))) return;
    snprintf(detail, sizeof detail, "%s.struct_size is %u", name, has);
    fault("a struct whose size was not set", detail);
}
