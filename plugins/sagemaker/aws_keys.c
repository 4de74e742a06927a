/* SPDX-License-Identifier: MIT */
/* Credentials out of the texts that carry them. Sans I/O. */
#include <jansson.h>
#include <string.h>

#include "aws_chain.h"
#include "kit/time.h"
#include "kit/xml.h"

static int put(char *to, size_t room, pbay_str v)
{
    if (!v.n || v.n >= room || memchr(v.p, '\r', v.n) || memchr(v.p, '\n', v.n) || memchr(v.p, 0, v.n))
        return -1;
    memcpy(to, v.p, v.n);
    to[v.n] = 0;
    return 0;
}

static pbay_str member(const json_t *o, const char *name)
{
    const json_t *v = json_object_get(o, name);
    return json_is_string(v) ? (pbay_str){json_string_value(v), json_string_length(v)} : (pbay_str){NULL, 0};
}

static int take(const json_t *o, int process, int64_t now_ms, struct aws_keys *out, const char **why)
{
    const json_t *version = json_object_get(o, "Version");
    pbay_str code = member(o, "Code"), token = member(o, process ? "SessionToken" : "Token");
    pbay_str expires = member(o, "Expiration");
    if (!json_is_object(o)) {
        *why = "it is not a JSON object";
        return -1;
    }
    if (process && (!json_is_integer(version) || json_integer_value(version) != 1)) {
        *why = "its Version is not 1";
        return -1;
    }
    if (code.n && !(code.n == 7 && memcmp(code.p, "Success", 7) == 0)) {
        *why = "its Code is not Success";
        return -1;
    }
    if (!token.n) token = member(o, process ? "Token" : "SessionToken");
    if (put(out->id, sizeof out->id, member(o, "AccessKeyId")) ||
        put(out->secret, sizeof out->secret, member(o, "SecretAccessKey")) ||
        (token.n && put(out->token, sizeof out->token, token))) {
        *why = "it has no AccessKeyId and SecretAccessKey";
        return -1;
    }
    if (!token.n) out->token[0] = 0;
    out->expires_ms = expires.n ? pbay_time_rfc3339(expires) : 0;
    if (out->expires_ms < 0) {
        *why = "its Expiration is not a time of RFC 3339";
        return -1;
    }
    if (process && out->expires_ms && out->expires_ms <= now_ms) {
        *why = "its keys have expired already";
        return -1;
    }
    return 0;
}

int aws_keys_from_json(pbay_str json, int process, int64_t now_ms, struct aws_keys *out, const char **why)
{
    json_t *o = json_loadb(json.n ? json.p : "", json.n, 0, NULL);
    memset(out, 0, sizeof *out);
    int rc = take(o, process, now_ms, out, why);
    json_decref(o);
    return rc;
}

static int element(pbay_str xml, const char *name, char *to, size_t room)
{
    char text[8192];
    pbay_str raw = pbay_xml_element(xml, name);
    if (!raw.n || raw.n > sizeof text) return -1;
    ptrdiff_t n = pbay_xml_text(raw, text);
    return n < 0 ? -1 : put(to, room, (pbay_str){text, (size_t)n});
}

int aws_keys_from_sts(pbay_str xml, struct aws_keys *out)
{
    pbay_str c = pbay_xml_element(xml, "Credentials");
    memset(out, 0, sizeof *out);
    out->expires_ms = pbay_time_rfc3339(pbay_xml_element(c, "Expiration"));
    if (element(c, "AccessKeyId", out->id, sizeof out->id) ||
        element(c, "SecretAccessKey", out->secret, sizeof out->secret) ||
        element(c, "SessionToken", out->token, sizeof out->token) || out->expires_ms < 0)
        return -1;
    return 0;
}
