/* SPDX-License-Identifier: MIT */
/*
 * What the gateway may talk to, and what a request may look like: the outgoing rules, sans I/O.
 *
 * A URL is checked before a library parses it, and every address after it was resolved, because names change
 * what they mean in between. Threads: any.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include <patchbay/types.h>

#include "base/err.h"

struct sockaddr;

/* Borrows from the URL. */
struct pb_http_url {
    bool tls;
    pbay_str authority; /* as written: "[::1]:8443", "example.com" */
    pbay_str host;      /* "::1", "example.com" */
    uint16_t port;      /* the scheme's own when the URL names none */
};

/*
 * Take an absolute http or https URL apart. Refused: user names, fragments, control characters, blanks,
 * backslashes, and hosts of digits that are not four decimal numbers ("2130706433", "0x7f.1": other programs
 * read them as addresses). 0, or -1 with err.
 */
int pb_http_url_parse(pbay_str url, struct pb_http_url *out, struct pb_err *err) PB_NODISCARD;

/* Is it a name or a literal address (IPv6 without brackets) as a URL could have it? 0, or -1 with err. */
int pb_http_host_check(pbay_str host, struct pb_err *err) PB_NODISCARD;

/*
 * May a connection be made to this address? Not to link-local ones and not to the metadata services of
 * clouds, which hand out credentials to whoever asks. IPv4 addresses inside IPv6 ones are looked at too.
 */
bool pb_http_address_allowed(const struct sockaddr *addr);
/* The same for a host written as a literal address; true for names. */
bool pb_http_host_allowed(pbay_str host);

/* Method and headers: tokens and values as RFC 9110 has them, none that the client writes itself. 0, or -1
 * with err. */
int pb_http_head_check(pbay_str method, const pbay_header *headers, uint32_t n,
                       struct pb_err *err) PB_NODISCARD;
