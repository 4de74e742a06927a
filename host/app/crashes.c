/* SPDX-License-Identifier: MIT */
/* How often each connector has taken its worker down. Three times in ten minutes, and it is not let in again.
 */
#include <stdio.h>
#include <string.h>

#include "app/supervisor_priv.h"
#include "base/mem.h"

enum { LIMIT = 3, KNOWN = 64 };
static const int64_t window_ns = 600 * PB_SEC;

struct known {
    char connector[PB_PAGE_NAME];
    int64_t at[LIMIT]; /* the last ones; 0: none */
};

struct pb_crashes {
    struct known list[KNOWN];
};

struct pb_crashes *pb_crashes_new(void)
{
    return pb_zalloc(sizeof(struct pb_crashes));
}

void pb_crashes_free(struct pb_crashes *c)
{
    pb_free(c);
}

void pb_crashes_clear(struct pb_crashes *c)
{
    memset(c, 0, sizeof *c);
}

/* Its entry, or the one whose last crash is longest ago. */
static struct known *entry(struct pb_crashes *c, const char *connector)
{
    struct known *oldest = c->list;
    for (struct known *k = c->list; k < c->list + KNOWN; k++) {
        if (strcmp(k->connector, connector) == 0) return k;
        if (k->at[LIMIT - 1] < oldest->at[LIMIT - 1]) oldest = k;
    }
    *oldest = (struct known){0};
    snprintf(oldest->connector, sizeof oldest->connector, "%s", connector);
    return oldest;
}

bool pb_crashes_add(struct pb_crashes *c, const char *connector, const char *how, int64_t now_ns,
                    char reason[PB_PAGE_REASON])
{
    struct known *k = entry(c, connector);
    memmove(k->at, k->at + 1, (LIMIT - 1) * sizeof *k->at);
    k->at[LIMIT - 1] = now_ns;
    if (!k->at[0] || now_ns - k->at[0] > window_ns) return false;
    snprintf(reason, PB_PAGE_REASON,
             "it crashed %d times within 10 minutes, last by %s; mend the plugin or its configuration, then "
             "reload",
             LIMIT, how);
    *k = (struct known){0};
    return true;
}
