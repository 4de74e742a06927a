/* SPDX-License-Identifier: MIT */
/*
 * What Snowflake says of a batch in its headers: the `sf-` family, with base64 twins for what a header cannot
 * hold. Sans I/O. Threads: any.
 *
 * https://docs.snowflake.com/en/sql-reference/external-functions-data-format (HTTP headers),
 * https://docs.snowflake.com/en/sql-reference/sql/create-external-function (HEADERS, CONTEXT_HEADERS)
 */
#pragma once

#include <patchbay/types.h>

#include "kit/text.h"

/* Borrows from the headers it was read from, or from `mem`. What was not sent is empty. */
struct sf_headers {
    pbay_str batch_id, query_id;
    pbay_str name, signature, return_type; /* as the twin says, else as it stands */
    pbay_str user, account, role;          /* CONTEXT_HEADERS */
    pbay_str format, version;
    pbay_text mem;
};

/* Header names in lower case, as a host hands them out. -1: *wrong says which and why (a twin that is not
 * base64 of UTF-8; a format that is not JSON). */
int sf_headers_read(struct sf_headers *h, const pbay_header *headers, uint32_t n, const char **wrong);
void sf_headers_free(struct sf_headers *h);

/* Is it UTF-8? */
int sf_utf8(pbay_str s);

/* The value of a header, empty when there is none. name in lower case. */
pbay_str sf_header(const pbay_header *headers, uint32_t n, const char *name);

/* Base64 (RFC 4648 section 4, with or without its padding) appended to out. -1: it is none. */
int sf_base64_decode(pbay_str in, pbay_text *out);
