/* SPDX-License-Identifier: MIT */
/*
 * Is it our own page that sends this, or another site's? What a browser can be made to do by a stranger's
 * page: post to loopback, reach us under the stranger's own name (DNS rebinding), send a form where JSON is
 * expected.
 *
 * Browsers say where a request comes from, programs do not: a request without Origin and Sec-Fetch-Site is
 * judged by its key or token alone. Sans I/O. Threads: any; everything here only reads.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <patchbay/types.h>

#include "base/err.h"

/* One HTTP listener as its clients see it; everything borrowed. */
struct pb_vhost {
    const pbay_str *hosts; /* names it is known by: "gw.example.com" under any port, "gw.example.com:8443" */
    size_t n_hosts;
    bool loopback;  /* localhost, 127.0.0.1 and [::1] are its names too */
    bool addresses; /* any IP address as Host is fine: no name, no rebinding */
    bool tls;
    const pbay_str *origins; /* other sites whose pages may call: "https://portal.example.com" */
    size_t n_origins;
};

/* Are the entries well-formed? INVALID_ARGUMENT naming the one that is not. */
int pb_vhost_check(const struct pb_vhost *site, struct pb_err *err) PB_NODISCARD;
/* Host (or :authority). -1: PERMISSION_DENIED (421 for HTTP), and what to configure. */
int pb_host_check(const struct pb_vhost *site, pbay_str host, struct pb_err *err) PB_NODISCARD;

struct pb_origin_request {
    pbay_str method;
    pbay_str host;       /* checked before with pb_host_check */
    pbay_str origin;     /* Origin; p NULL: absent */
    pbay_str fetch_site; /* Sec-Fetch-Site; empty: absent */
};

/* -1: PERMISSION_DENIED: another site's page sends it. */
int pb_origin_check(const struct pb_vhost *site, const struct pb_origin_request *req,
                    struct pb_err *err) PB_NODISCARD;
/* Does the method change nothing (GET, HEAD, OPTIONS)? */
bool pb_method_is_safe(pbay_str method);
/* -1: INVALID_ARGUMENT (415): not application/json; charset, when given, must be utf-8. A form cannot say
 * this. */
int pb_json_type_check(pbay_str content_type, struct pb_err *err) PB_NODISCARD;

/* ------------------------------------------------------------------------------------------------ forms */

/*
 * The token that a page puts into its forms: whoever posts has seen the page. Bound to the session and the
 * time, made of an HMAC: nothing is stored, and every worker with the key can check it.
 */
enum { PB_CSRF_KEY = 32, PB_CSRF_LEN = 54, PB_CSRF_AGE_MS = 12 * 3600 * 1000 };

void pb_csrf_issue(const uint8_t key[PB_CSRF_KEY], pbay_str session, int64_t now_ms,
                   char out[PB_CSRF_LEN + 1]);
/* -1: PERMISSION_DENIED: not ours, another session's, or older than PB_CSRF_AGE_MS. */
int pb_csrf_check(const uint8_t key[PB_CSRF_KEY], pbay_str session, pbay_str token, int64_t now_ms,
                  struct pb_err *err) PB_NODISCARD;
