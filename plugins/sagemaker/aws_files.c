/* SPDX-License-Identifier: MIT */
#include "aws_files.h"

#include <stddef.h>
#include <string.h>

static const struct {
    const char *key;
    size_t at, room;
} KEYS[] = {
#define KEY(name, member)                                                                                    \
    {                                                                                                        \
        name, offsetof(struct aws_profile, member), sizeof((struct aws_profile *)0)->member                  \
    }
    KEY("aws_access_key_id", access_key_id),
    KEY("aws_secret_access_key", secret_access_key),
    KEY("aws_session_token", session_token),
    KEY("region", region),
    KEY("endpoint_url", endpoint_url),
    KEY("services", services),
    KEY("role_arn", role_arn),
    KEY("source_profile", source_profile),
    KEY("credential_source", credential_source),
    KEY("external_id", external_id),
    KEY("mfa_serial", mfa_serial),
    KEY("duration_seconds", duration_seconds),
    KEY("role_session_name", role_session_name),
    KEY("web_identity_token_file", web_identity_token_file),
    KEY("credential_process", credential_process),
    KEY("sso_session", sso_session),
    KEY("sso_start_url", sso_start_url),
    KEY("sso_region", sso_region),
    KEY("sso_account_id", sso_account_id),
    KEY("sso_role_name", sso_role_name),
    KEY("max_attempts", max_attempts),
    KEY("use_fips_endpoint", use_fips_endpoint),
    KEY("use_dualstack_endpoint", use_dualstack_endpoint),
    KEY("ignore_configured_endpoint_urls", ignore_configured_endpoint_urls),
#undef KEY
};

static int blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r';
}

static pbay_str trim(pbay_str s)
{
    while (s.n && blank(s.p[0])) s.p++, s.n--;
    while (s.n && blank(s.p[s.n - 1])) s.n--;
    return s;
}

static int same(pbay_str a, pbay_str b)
{
    return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0);
}

/* `[default]`, `[profile x]`, `[x]`, `[services x]`: is it the one? */
static int section_is(pbay_str title, const char *kind, pbay_str wanted)
{
    static const pbay_str DEFAULT = {"default", 7};
    size_t n = strlen(kind);
    title = trim(title);
    if (n && !(strcmp(kind, "profile") == 0 && same(title, DEFAULT))) {
        if (title.n <= n || memcmp(title.p, kind, n) != 0 || !blank(title.p[n])) return 0;
        title.p += n;
        title.n -= n;
        title = trim(title);
    }
    if (title.n >= 2 && title.p[0] == '"' && title.p[title.n - 1] == '"') {
        title.p++;
        title.n -= 2;
    }
    return same(title, wanted);
}

static int pair(pbay_str line, pbay_str *key, pbay_str *value)
{
    const char *eq = line.n ? memchr(line.p, '=', line.n) : NULL;
    if (!eq) return 0;
    *key = trim((pbay_str){line.p, (size_t)(eq - line.p)});
    *value = (pbay_str){eq + 1, line.n - (size_t)(eq + 1 - line.p)};
    for (size_t i = 1; i < value->n; i++)
        if ((value->p[i] == '#' || value->p[i] == ';') && blank(value->p[i - 1])) value->n = i;
    *value = trim(*value);
    return 1;
}

int aws_file_section(pbay_str text, const char *kind, pbay_str name, aws_file_fn *fn, void *user)
{
    static const pbay_str none = {NULL, 0};
    int ours = 0, found = 0;
    pbay_str above = none, key, value;
    const char *p = text.p, *end = text.p + text.n;
    while (p < end) {
        const char *nl = memchr(p, '\n', (size_t)(end - p));
        pbay_str line = {p, (size_t)((nl ? nl : end) - p)};
        p = nl ? nl + 1 : end;
        if (trim(line).n == 0 || line.p[0] == '#' || line.p[0] == ';') continue;
        if (line.p[0] == '[') {
            const char *close = memchr(line.p, ']', line.n);
            ours = close && section_is((pbay_str){line.p + 1, (size_t)(close - line.p - 1)}, kind, name);
            found |= ours;
            above = none;
            continue;
        }
        if (!ours) continue;
        int inner = blank(line.p[0]);
        line = trim(line);
        if (line.p[0] == '#' || line.p[0] == ';' || !pair(line, &key, &value)) continue;
        if (!inner) {
            above = key;
            fn(user, key, none, value);
        } else if (above.n) {
            fn(user, above, key, value);
        }
    }
    return found;
}

static void set(void *user, pbay_str key, pbay_str sub, pbay_str value)
{
    if (sub.n) return;
    for (size_t i = 0; i < sizeof KEYS / sizeof *KEYS; i++) {
        char *to = (char *)user + KEYS[i].at;
        if (!same(key, (pbay_str){KEYS[i].key, strlen(KEYS[i].key)}) || value.n >= KEYS[i].room) continue;
        if (value.n) memcpy(to, value.p, value.n);
        to[value.n] = 0;
    }
}

void aws_profile_read(pbay_str text, pbay_str profile, int is_config, struct aws_profile *out)
{
    out->found |= aws_file_section(text, is_config ? "profile" : "", profile, set, out);
}
