/* SPDX-License-Identifier: MIT */
/*
 * The readers of a configuration as plugins are given them (pbay_host). A name that the table has not, and an
 * option read as what it is not, are faults of the plugin and answer 0 or "". Inside of this room. Threads:
 * [any].
 */
#pragma once

#include <patchbay/plugin.h>

int pb_given_is_set(const pbay_config *cfg, const char *name);
int64_t pb_given_get_int(const pbay_config *cfg, const char *name);
double pb_given_get_num(const pbay_config *cfg, const char *name);
pbay_str pb_given_get_str(const pbay_config *cfg, const char *name);
uint32_t pb_given_count(const pbay_config *cfg, const char *name);
pbay_str pb_given_item(const pbay_config *cfg, const char *name, uint32_t i, pbay_str *key);
pbay_str pb_given_where(const pbay_config *cfg, const char *name);
