/* SPDX-License-Identifier: MIT */
#include "guard/auth.h"

#include <arpa/inet.h>
#include <string.h>

#include "base/encode.h"
#include "guard/bearer.h"

static int check_cert(const struct pb_auth *auth, pbay_str subject, struct pb_identity *out,
                      struct pb_err *err)
{
    bool good = !auth->clients.set;
    for (size_t i = 0; !good && i < auth->clients.n; i++)
        good = pb_pattern_match(auth->clients.patterns[i], subject);
    if (!good)
        return pb_fail(err, PBAY_PERMISSION_DENIED,
                       "certificate \"%.*s\" is good, but its subject is not one of the %zu in `clients`",
                       PB_FMT(subject), auth->clients.n);
    out->method = PB_AUTH_CERT;
    out->principal = out->subject = subject;
    return 0;
}

static bool has_admin(const pbay_str *scopes, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (pb_str_is(scopes[i], PB_ADMIN_SCOPE)) return true;
    return false;
}

static pbay_str qualified(struct pb_arena *a, pbay_str issuer, pbay_str subject)
{
    char *text = pb_arena_alloc(a, issuer.n + subject.n + 1);
    if (issuer.n) memcpy(text, issuer.p, issuer.n);
    text[issuer.n] = ':';
    if (subject.n) memcpy(text + issuer.n + 1, subject.p, subject.n);
    return pb_str(text, issuer.n + subject.n + 1);
}

static int check_key(const struct pb_auth *auth, pbay_str shown, int64_t now_ms, struct pb_identity *out,
                     struct pb_err *err)
{
    if (!auth->keys) return pb_fail(err, PBAY_UNAUTHENTICATED, "an API key was shown; none are taken here");
    const struct pb_apikey *k = pb_apikeys_check(auth->keys, shown, now_ms, err);
    if (!k) return -1;
    out->method = PB_AUTH_KEY;
    out->principal = out->key = k->name;
    out->scopes = k->scopes;
    out->n_scopes = k->n_scopes;
    out->admin = has_admin(k->scopes, k->n_scopes);
    return 0;
}

static int check_token(const struct pb_auth *auth, pbay_str token, int64_t now_ms, struct pb_arena *a,
                       struct pb_identity *out, struct pb_auth_stale *stale, struct pb_err *err)
{
    if (!auth->n_issuers)
        return pb_fail(err, PBAY_UNAUTHENTICATED, "a bearer token was shown; none are taken here");
    size_t i = 0;
    if (auth->n_issuers > 1) {
        pbay_str iss;
        if (!pb_jwt_unverified_issuer(token, a, &iss))
            return pb_fail(err, PBAY_UNAUTHENTICATED, "token: it names no issuer, or is no token");
        while (i < auth->n_issuers && !pb_str_eq(auth->issuers[i].rule.issuer, iss)) i++;
        if (i == auth->n_issuers)
            return pb_fail(err, PBAY_UNAUTHENTICATED,
                           "token: its issuer \"%.*s\" is none of the %zu whose tokens are "
                           "taken",
                           PB_FMT(iss), auth->n_issuers);
    }
    const struct pb_auth_issuer *issuer = &auth->issuers[i];
    struct pb_jwt jwt;
    enum pb_jwt_fault fault = PB_JWT_UNKNOWN_KEY;
    if (issuer->keys)
        fault = pb_jwt_verify(&issuer->rule, issuer->keys, token, now_ms, a, &jwt, err);
    else
        pb_fail(err, PBAY_UNAUTHENTICATED, "token: the keys of \"%.*s\" could not be fetched yet",
                PB_FMT(issuer->rule.issuer));
    if (fault) {
        if (stale && fault == PB_JWT_UNKNOWN_KEY) *stale = (struct pb_auth_stale){true, i};
        return -1;
    }
    out->method = PB_AUTH_TOKEN;
    out->principal = jwt.subject;
    out->token = qualified(a, issuer->name, jwt.subject);
    out->scopes = jwt.scopes;
    out->n_scopes = jwt.n_scopes;
    out->admin = issuer->admin && has_admin(jwt.scopes, jwt.n_scopes);
    return 0;
}

/* The bearer that is not an API key, if there is one. 0: none; -1: two. */
static int token_of(const struct pb_auth_request *req, pbay_str *out, struct pb_err *err)
{
    *out = pb_str(NULL, 0);
    for (size_t i = 0; i < req->n_headers; i++) {
        pbay_str got;
        if (!pb_bearer_of(&req->headers[i], &got) || pb_str_starts(got, PB_STR("pbk_"))) continue;
        if (out->n) return pb_fail(err, PBAY_UNAUTHENTICATED, "the request shows two bearer tokens");
        *out = got;
    }
    return out->n > 0;
}

/*
 * Basic (RFC 7617), for callers that know nothing else, such as EventBridge: the password is the API key,
 * whatever the user name is. 0: none.
 */
static int basic_of(const struct pb_auth_request *req, struct pb_arena *a, pbay_str *out, struct pb_err *err)
{
    for (size_t i = 0; i < req->n_headers; i++) {
        pbay_str v = pb_str_trim(req->headers[i].value);
        size_t n = pb_str_chr(v, ' ');
        if (!pb_str_is(req->headers[i].name, "authorization") || n == v.n ||
            !pb_str_ieq(pb_str(v.p, n), PB_STR("basic")))
            continue;
        struct pb_buf text = {0};
        bool good = pb_base64_decode(pb_str_trim(pb_str(v.p + n, v.n - n)), &text);
        pbay_str both = pb_buf_view(&text);
        size_t colon = pb_str_chr(both, ':');
        good = good && colon < both.n;
        if (good) *out = pb_arena_str(a, pb_str(both.p + colon + 1, both.n - colon - 1));
        pb_buf_free(&text);
        return good ? 1
                    : pb_fail(err, PBAY_UNAUTHENTICATED,
                              "\"Authorization: Basic\" without a name, a colon and a password");
    }
    return 0;
}

int pb_auth_check(const struct pb_auth *auth, const struct pb_auth_request *req, struct pb_arena *a,
                  struct pb_identity *out, struct pb_auth_stale *stale, struct pb_err *err)
{
    *out = (struct pb_identity){.peer = req->peer};
    if (stale) *stale = (struct pb_auth_stale){false, 0};
    struct pb_identity id = *out;
    pbay_str key, token;
    int has_key = pb_apikey_of(req->headers, req->n_headers, &key, err);
    if (!has_key) has_key = basic_of(req, a, &key, err);
    int has_token = has_key < 0 ? -1 : token_of(req, &token, err);
    if (has_token < 0) return -1;
    if (has_key && has_token)
        return pb_fail(err, PBAY_UNAUTHENTICATED, "the request shows an API key and a token");
    if (req->subject.n && check_cert(auth, req->subject, &id, err)) return -1;
    if (has_key && check_key(auth, key, req->now_ms, &id, err)) return -1;
    if (has_token && check_token(auth, token, req->now_ms, a, &id, stale, err)) return -1;
    if (auth->required && id.method == PB_AUTH_NONE)
        return pb_fail(err, PBAY_UNAUTHENTICATED, "the request shows no %s",
                       auth->keys && auth->n_issuers ? "API key, token or certificate"
                       : auth->keys                  ? "API key"
                       : auth->n_issuers             ? "token"
                                                     : "certificate");
    *out = id;
    return 0;
}

/* ------------------------------------------------------------------------------------------------ exposure
 */

bool pb_address_is_local(pbay_str address)
{
    char host[64];
    pbay_str h = address;
    if (h.n && h.p[0] == '[') {
        size_t n = pb_str_chr(h, ']');
        if (n == h.n || (n + 1 < h.n && h.p[n + 1] != ':')) return false;
        h = pb_str(h.p + 1, n - 1);
    } else {
        size_t colon = pb_str_chr(h, ':');
        bool several =
            colon < h.n && pb_str_chr(pb_str(h.p + colon + 1, h.n - colon - 1), ':') < h.n - colon - 1;
        if (!several) h.n = colon; /* else an IPv6 address without brackets */
    }
    if (!h.n || h.n >= sizeof host) return false;
    memcpy(host, h.p, h.n);
    host[h.n] = 0;
    struct in_addr v4;
    struct in6_addr v6;
    if (pb_str_ieq(h, PB_STR("localhost"))) return true;
    if (inet_pton(AF_INET, host, &v4) == 1) return (ntohl(v4.s_addr) >> 24) == 127;
    if (inet_pton(AF_INET6, host, &v6) != 1) return false;
    return IN6_IS_ADDR_LOOPBACK(&v6) || (IN6_IS_ADDR_V4MAPPED(&v6) && v6.s6_addr[12] == 127);
}

int pb_exposure_check(const struct pb_exposure *e, struct pb_err *err)
{
    if (e->authenticated || e->insecure || pb_address_is_local(e->address)) return 0;
    return pb_fail(
        err, PBAY_FAILED_PRECONDITION,
        "%s: other machines can reach %.*s, and nobody there has to say who they are. Ask for certificates "
        "(tls_dir), API keys or tokens, listen on 127.0.0.1, or write insecure = yes when the network itself "
        "keeps strangers away",
        e->listener, PB_FMT(e->address));
}
