/* SPDX-License-Identifier: MIT */
/*
 * Which functions a listener serves: by Qlik's id and by name. The main catalog has the functions of
 * patchbay.ini; each [qrag "NAME"] has one of its own. Immutable while it serves. Threads: the loop.
 */
#pragma once

#include "base/map.h"
#include "flow/function.h"

struct pb_catalog {
    pbay_str name;       /* for log lines: "patchbay", or the qrag section's name */
    pbay_str identifier; /* pluginIdentifier */
    pbay_str version;    /* pluginVersion */
    bool allow_script;
    const struct pb_function **functions; /* in the order they are shown */
    size_t n, cap;
    struct pb_map by_name;
};

void pb_catalog_add(struct pb_catalog *c, const struct pb_function *fn);
/* NULL when there is none. */
const struct pb_function *pb_catalog_id(const struct pb_catalog *c, int32_t id);
const struct pb_function *pb_catalog_name(const struct pb_catalog *c, pbay_str name);
/* "predict_churn (1000), score (1001)": at most a dozen, for messages. */
void pb_catalog_list(const struct pb_catalog *c, struct pb_buf *out);
void pb_catalog_free(struct pb_catalog *c);
