/* SPDX-License-Identifier: MIT */
#include "guard/identity.h"

#include <stdarg.h>
#include <stdio.h>

#include "data/config.h"

const char *pb_auth_method_name(enum pb_auth_method method)
{
    static const char *const NAMES[] = {"none", "key", "certificate", "token", "signature", "local user"};
    return method <= PB_AUTH_LOCAL ? NAMES[method] : "?";
}

pbay_str pb_identity_account(const struct pb_identity *id)
{
    return id->method == PB_AUTH_TOKEN ? id->token : id->principal;
}

void pb_identity_text(const struct pb_identity *id, struct pb_buf *out)
{
    if (id->method == PB_AUTH_NONE)
        pb_buf_c(out, "nobody");
    else
        pb_buf_printf(out, "%s \"%.*s\"", pb_auth_method_name(id->method), PB_FMT(id->principal));
}

bool pb_pattern_match(pbay_str pattern, pbay_str value)
{
    if (!value.n) return false;
    if (pattern.n && pattern.p[pattern.n - 1] == '*')
        return pb_str_starts(value, pb_str(pattern.p, pattern.n - 1));
    return pb_str_eq(pattern, value);
}

static bool matches(const struct pb_allow_list *list, pbay_str value)
{
    for (size_t i = 0; i < list->n; i++)
        if (pb_pattern_match(list->patterns[i], value)) return true;
    return false;
}

static int denied(const char *kind, pbay_str name, const struct pb_identity *id, struct pb_err *err,
                  const char *fmt, ...) PB_PRINTF(5, 6);
static int denied(const char *kind, pbay_str name, const struct pb_identity *id, struct pb_err *err,
                  const char *fmt, ...)
{
    char why[256];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(why, sizeof why, fmt, ap);
    va_end(ap);
    struct pb_buf who = {0};
    pb_identity_text(id, &who);
    pb_fail(err, PBAY_PERMISSION_DENIED, "%s \"%.*s\" is not for %.*s: %s", kind, PB_FMT(name),
            PB_FMT(pb_buf_view(&who)), why);
    pb_buf_free(&who);
    return -1;
}

static int check_caller(const struct pb_allow *allow, const char *kind, pbay_str name,
                        const struct pb_identity *id, struct pb_err *err)
{
    if (!allow->keys.set && !allow->subjects.set && !allow->tokens.set) return 0;
    if (matches(&allow->keys, id->key) || matches(&allow->subjects, id->subject) ||
        matches(&allow->tokens, id->token))
        return 0;
    if (id->method == PB_AUTH_NONE)
        return pb_fail(
            err, PBAY_UNAUTHENTICATED,
            "%s \"%.*s\" is for some callers only, and this one showed neither a key nor a token nor a "
            "certificate",
            kind, PB_FMT(name));
    return denied(kind, name, id, err, "no pattern of%s%s%s matches", allow->keys.set ? " allow_keys" : "",
                  allow->subjects.set ? " allow_subjects" : "", allow->tokens.set ? " allow_tokens" : "");
}

int pb_allow_check(const struct pb_allow *allow, const char *kind, pbay_str name,
                   const struct pb_identity *id, struct pb_err *err)
{
    if (check_caller(allow, kind, name, id, err)) return -1;
    if (allow->scopes.set) {
        bool good = false;
        for (size_t i = 0; i < id->n_scopes; i++) good |= matches(&allow->scopes, id->scopes[i]);
        if (!good && id->method == PB_AUTH_NONE)
            return pb_fail(err, PBAY_UNAUTHENTICATED,
                           "%s \"%.*s\" asks for a scope, and the caller showed nothing", kind, PB_FMT(name));
        if (!good)
            return denied(kind, name, id, err, "none of its %zu scopes is in allow_scopes", id->n_scopes);
    }
    if (allow->users.set && !matches(&allow->users, id->user)) {
        if (!id->user.n) return denied(kind, name, id, err, "allow_users is set, and no Qlik user was named");
        return denied(kind, name, id, err, "Qlik user \"%.*s\" is not in allow_users", PB_FMT(id->user));
    }
    if (allow->apps.set && !matches(&allow->apps, id->app)) {
        if (!id->app.n) return denied(kind, name, id, err, "allow_apps is set, and no Qlik app was named");
        return denied(kind, name, id, err, "Qlik app \"%.*s\" is not in allow_apps", PB_FMT(id->app));
    }
    return 0;
}

const char *pb_denial_public(int32_t code)
{
    return code == PBAY_UNAUTHENTICATED ? "authentication is required" : "not allowed";
}

/* ------------------------------------------------------------------------------------------------
 * patchbay.ini */

static const pbay_option OPTIONS[] = {
    {"allow_keys", PBAY_OPT_LIST, 0, NULL, NULL,
     "Names of API keys that may call this; NAME, PREFIX* or *. With allow_subjects and allow_tokens: one of "
     "them "
     "must match."},
    {"allow_subjects", PBAY_OPT_LIST, 0, NULL, NULL,
     "Subjects of client certificates that may call this, as RFC 2253 writes them (CN=sse_client). Put one "
     "that has "
     "commas in it into a pattern: CN=name*."},
    {"allow_tokens", PBAY_OPT_LIST, 0, NULL, NULL,
     "Bearer tokens that may call this, as ISSUER:SUBJECT with the name of the [issuer] section; SUBJECT "
     "alone "
     "where there is one issuer; * for all."},
    {"allow_users", PBAY_OPT_LIST, 0, NULL, NULL, "Qlik users that may call this, as the log shows them."},
    {"allow_apps", PBAY_OPT_LIST, 0, NULL, NULL, "Qlik apps (ids) that may call this."},
    {"allow_scopes", PBAY_OPT_LIST, 0, NULL, NULL,
     "Scopes, one of which the caller's key or token must have."},
};
const pbay_option_table pb_allow_options = {OPTIONS, PB_COUNTOF(OPTIONS), sizeof *OPTIONS};

void pb_allow_from_config(const struct pbay_config *cfg, struct pb_arena *a, struct pb_allow *out)
{
    struct pb_allow_list *const lists[] = {&out->keys,  &out->subjects, &out->tokens,
                                           &out->users, &out->apps,     &out->scopes};
    _Static_assert(PB_COUNTOF(lists) == PB_COUNTOF(OPTIONS), "a list per option, in the same order");
    for (size_t i = 0; i < PB_COUNTOF(lists); i++) {
        uint32_t n = pb_config_count(cfg, OPTIONS[i].name);
        pbay_str *items = pb_arena_alloc(a, (n ? n : 1) * sizeof *items);
        for (uint32_t j = 0; j < n; j++) items[j] = pb_config_item(cfg, OPTIONS[i].name, j, NULL);
        *lists[i] = (struct pb_allow_list){items, n, pb_config_is_given(cfg, OPTIONS[i].name) != 0};
    }
}
