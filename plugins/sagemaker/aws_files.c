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
    KEY("role_arn", role_arn),
    KEY("source_profile", source_profile),
    KEY("credential_process", credential_process),
    KEY("sso_session", sso),
    KEY("sso_start_url", sso),
    KEY("web_identity_token_file", web_identity),
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

/* `[default]`, `[profile x]`, `[x]`: is it ours? */
static int section_is(pbay_str name, pbay_str profile, int is_config)
{
    static const pbay_str DEFAULT = {"default", 7};
    name = trim(name);
    if (is_config && !same(name, DEFAULT)) {
        if (name.n < 8 || memcmp(name.p, "profile", 7) != 0 || !blank(name.p[7])) return 0;
        name.p += 7;
        name.n -= 7;
        name = trim(name);
    }
    if (name.n >= 2 && name.p[0] == '"' && name.p[name.n - 1] == '"') {
        name.p++;
        name.n -= 2;
    }
    return same(name, profile);
}

static void set(struct aws_profile *out, pbay_str key, pbay_str value)
{
    for (size_t i = 0; i < sizeof KEYS / sizeof *KEYS; i++) {
        char *to = (char *)out + KEYS[i].at;
        if (!same(key, (pbay_str){KEYS[i].key, strlen(KEYS[i].key)}) || value.n >= KEYS[i].room) continue;
        if (value.n) memcpy(to, value.p, value.n);
        to[value.n] = 0;
    }
}

void aws_profile_read(pbay_str text, pbay_str profile, int is_config, struct aws_profile *out)
{
    int ours = 0;
    const char *p = text.p, *end = text.p + text.n;
    while (p < end) {
        const char *nl = memchr(p, '\n', (size_t)(end - p));
        pbay_str line = {p, (size_t)((nl ? nl : end) - p)};
        p = nl ? nl + 1 : end;
        if (line.n == 0 || blank(line.p[0]) || line.p[0] == '#' || line.p[0] == ';') continue;
        if (line.p[0] == '[') {
            const char *close = memchr(line.p, ']', line.n);
            ours =
                close && section_is((pbay_str){line.p + 1, (size_t)(close - line.p - 1)}, profile, is_config);
            out->found |= ours;
            continue;
        }
        const char *eq = ours ? memchr(line.p, '=', line.n) : NULL;
        if (!eq) continue;
        pbay_str key = trim((pbay_str){line.p, (size_t)(eq - line.p)});
        pbay_str value = {eq + 1, line.n - (size_t)(eq + 1 - line.p)};
        for (size_t i = 1; i < value.n; i++)
            if ((value.p[i] == '#' || value.p[i] == ';') && blank(value.p[i - 1])) value.n = i;
        set(out, key, trim(value));
    }
}
