/* SPDX-License-Identifier: MIT */
/* Lists that come in pages ({"data": [...], "links": {"next": {"href"}}}), gathered into one array. [loop] */
#pragma once

#include "api.h"

/* result OK: all (or the first max_pages) in `all`, an array borrowed until return. cut: there was more. */
typedef void (*pages_done)(void *user, const pbay_result *result, const json_t *all, int cut);

struct pages;
struct pages_request {
    pbay_str path; /* with its query; copied */
    int64_t deadline;
    int max_pages; /* 0: 50 */
    /* Is the rest wanted, after this page? NULL: it is. */
    int (*more)(void *user, const json_t *page);
};
/* done comes once, never from inside. */
struct pages *pages_get(struct qlik *q, const struct pages_request *request, pages_done done, void *user);
void pages_cancel(struct pages *p); /* done comes with PBAY_CANCELLED; NULL is fine */

/* The path that webhooks have at this tenant, as far as is known: /api/core/webhooks or /api/v1/webhooks
 * (https://qlik.dev/changelog/263-webhooks-new-path). */
const char *hooks_path(const struct qlik *q);
/* All webhooks; finds out which path it is when `webhooks_api = auto`. */
struct pages *hooks_list(struct qlik *q, int64_t deadline, pages_done done, void *user);
