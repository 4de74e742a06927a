/* SPDX-License-Identifier: MIT */
/* The scoring functions of the two older gateways (score.c), and which connector a region is. */
#pragma once

#include "flight.h"

extern const struct work score_arrays, score_pairs;

/* The sagemaker connector for a region that a caller named (empty: the one of `sagemaker`). 0, or -1 with
 * *why: the list of regions does not have it. */
int snowflake_region(struct snowflake *s, pbay_str region, pbay_str *connector, pbay_result *why);
