/* SPDX-License-Identifier: MIT */
/*
 * Bodies that a request translator made (POST /CONNECTOR/raw/NAME): CSV, or {"instances": [...]}, instead of
 * Snowflake's envelope. NAME, the translator's urlSuffix, is a map function or an endpoint. The answer is
 * what an endpoint would have said: CSV lines, or {"predictions": [...]}.
 * https://docs.snowflake.com/en/sql-reference/external-functions-translators
 */
#pragma once

#include "headers.h"
#include "snowflake.h"

/* The request is answered now or later. name: percent-decoded. inflated: what info->body is borrowed from, or
 * empty; released. */
void translate(struct snowflake *s, pbay_request request, const pbay_request_info *info,
               const struct sf_headers *h, pbay_str name, int coded, pbay_str inflated);
