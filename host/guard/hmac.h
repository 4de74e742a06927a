/* SPDX-License-Identifier: MIT */
/*
 * Signatures of bodies: did somebody who knows one of our secrets write these bytes?
 *
 * The bytes are those that came over the wire, before any decoding. Several secrets may be valid at once, so
 * that one can be replaced without losing messages. Every secret is tried, whichever fits. Threads: any.
 */
#pragma once

#include <stddef.h>

#include "base/buf.h"
#include "base/err.h"
#include "guard/digest.h"

enum pb_mac_text { PB_MAC_HEX = 1, PB_MAC_BASE64 };
enum { PB_MAC_SECRETS_MAX = 8, PB_MAC_SECRET_MIN = 8 };

/* Everything borrowed. */
struct pb_mac_rule {
    enum pb_mac_alg alg;
    enum pb_mac_text text;
    pbay_str prefix;         /* stands before the signature: "sha256="; may be empty */
    const pbay_str *secrets; /* as they are: raw bytes */
    size_t n_secrets;
};

/* Is the rule sound? INVALID_ARGUMENT: no secret, too many, or one too short to be one. Secrets are not
 * shown. */
int pb_mac_rule_check(const struct pb_mac_rule *rule, struct pb_err *err) PB_NODISCARD;
/*
 * 0: `given` (the text of a header) is the signature of the concatenation of the parts under one of the
 * secrets. -1: UNAUTHENTICATED; err says for the log whether it was absent, malformed or wrong.
 */
int pb_mac_verify(const struct pb_mac_rule *rule, const pbay_str *parts, size_t n, pbay_str given,
                  struct pb_err *err) PB_NODISCARD;
/* What a sender writes: prefix and the signature under the first secret, appended. */
void pb_mac_sign(const struct pb_mac_rule *rule, const pbay_str *parts, size_t n, struct pb_buf *out);
