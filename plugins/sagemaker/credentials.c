/* SPDX-License-Identifier: MIT */
#include "credentials.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "aws_files.h"

enum { FILE_MAX = 1 << 20 };

static const char *env(const char *name)
{
    const char *v = getenv(name);
    return v && *v ? v : NULL;
}

static void put(char *to, size_t room, const char *from, size_t n)
{
    if (n >= room) n = 0; /* longer than any real one: not a value */
    if (n) memcpy(to, from, n);
    to[n] = 0;
}

static void option(const pbay_host *host, const pbay_config *config, const char *name, char *to, size_t room)
{
    pbay_str v = host->get_str(config, name);
    put(to, room, v.p, v.n);
}

/* An option that may have changed since start: secrets are resolved again when they were refused. */
static void secret_option(const pbay_host *host, const pbay_config *config, const pbay_secret_1 *secrets,
                          const char *name, char *to, size_t room)
{
    pbay_str v = {NULL, 0};
    pbay_result ignored = PBAY_RESULT_OK;
    to[0] = 0;
    if (!host->is_set(config, name)) return;
    if (secrets && secrets->get(host, name, &v, &ignored) == PBAY_OK)
        put(to, room, v.p, v.n);
    else
        option(host, config, name, to, room);
}

static void read_file(const char *variable, const char *in_home, pbay_str profile, int is_config,
                      struct aws_profile *out)
{
    char path[4096];
    const char *given = env(variable), *home = env("HOME");
    if (given)
        snprintf(path, sizeof path, "%s", given);
    else if (home)
        snprintf(path, sizeof path, "%s/%s", home, in_home);
    else
        return;
    FILE *f = fopen(path, "re");
    char *text = f ? malloc(FILE_MAX) : NULL;
    if (text) {
        pbay_str s = {text, fread(text, 1, FILE_MAX, f)};
        aws_profile_read(s, profile, is_config, out);
    }
    if (f) fclose(f);
    free(text);
}

int region_valid(pbay_str region)
{
    for (size_t i = 0; i < region.n; i++) {
        char c = region.p[i];
        if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || (c == '-' && i))) return 0;
    }
    return region.n > 0 && region.n < 64;
}

static void set_endpoint(struct credentials *out, const char *url)
{
    snprintf(out->endpoint, sizeof out->endpoint, "%s", url);
    size_t n = strlen(out->endpoint);
    while (n && out->endpoint[n - 1] == '/') out->endpoint[--n] = 0;
}

static void find_endpoint(const pbay_host *host, const pbay_config *config, const struct aws_profile *p,
                          struct credentials *out)
{
    char url[512];
    option(host, config, "endpoint_url", url, sizeof url);
    const char *ignore = env("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS");
    int look = !ignore || strcmp(ignore, "true") != 0;
    if (url[0])
        set_endpoint(out, url);
    else if (look && env("AWS_ENDPOINT_URL_SAGEMAKER_RUNTIME"))
        set_endpoint(out, env("AWS_ENDPOINT_URL_SAGEMAKER_RUNTIME"));
    else if (look && env("AWS_ENDPOINT_URL"))
        set_endpoint(out, env("AWS_ENDPOINT_URL"));
    else if (look && p->endpoint_url[0])
        set_endpoint(out, p->endpoint_url);
    else
        snprintf(out->endpoint, sizeof out->endpoint, "https://runtime.sagemaker.%s.amazonaws.com%s",
                 out->region, strncmp(out->region, "cn-", 3) == 0 ? ".cn" : "");
}

/* What a profile asks for that is not understood, or NULL. */
static const char *not_understood(const struct aws_profile *p)
{
    return p->role_arn[0]             ? "role_arn"
           : p->credential_process[0] ? "credential_process"
           : p->sso[0]                ? "sso_session"
           : p->web_identity[0]       ? "web_identity_token_file"
                                      : NULL;
}

int32_t credentials_load(const pbay_host *host, const pbay_config *config, const pbay_secret_1 *secrets,
                         struct credentials *out, char why[CREDENTIALS_WHY])
{
    char profile[256];
    memset(out, 0, sizeof *out);
    option(host, config, "profile", profile, sizeof profile);
    int named = profile[0] != 0;
    if (!named && env("AWS_PROFILE")) {
        snprintf(profile, sizeof profile, "%s", env("AWS_PROFILE"));
        named = 1;
    }
    if (!named) snprintf(profile, sizeof profile, "default");
    struct aws_profile *p = calloc(1, sizeof *p);
    if (!p) abort();
    pbay_str name = {profile, strlen(profile)};
    read_file("AWS_CONFIG_FILE", ".aws/config", name, 1, p);
    read_file("AWS_SHARED_CREDENTIALS_FILE", ".aws/credentials", name, 0, p);

    int32_t rc = PBAY_OK;
    option(host, config, "region", out->region, sizeof out->region);
    if (!out->region[0]) {
        const char *r = env("AWS_REGION") ? env("AWS_REGION") : env("AWS_DEFAULT_REGION");
        snprintf(out->region, sizeof out->region, "%s", r ? r : p->region);
    }
    if (!region_valid((pbay_str){out->region, strlen(out->region)})) {
        snprintf(why, CREDENTIALS_WHY, "%s",
                 out->region[0] ? "the region is not one of a-z, 0-9 and -"
                                : "no region: set region =, AWS_REGION or the profile's region");
        rc = PBAY_FAILED_PRECONDITION;
    }
    if (rc == PBAY_OK) find_endpoint(host, config, p, out);

    secret_option(host, config, secrets, "access_key_id", out->id, sizeof out->id);
    if (out->id[0]) {
        secret_option(host, config, secrets, "secret_access_key", out->secret, sizeof out->secret);
        secret_option(host, config, secrets, "session_token", out->token, sizeof out->token);
        out->source = "the connector's options";
    } else if (!named && env("AWS_ACCESS_KEY_ID") && env("AWS_SECRET_ACCESS_KEY")) {
        snprintf(out->id, sizeof out->id, "%s", env("AWS_ACCESS_KEY_ID"));
        snprintf(out->secret, sizeof out->secret, "%s", env("AWS_SECRET_ACCESS_KEY"));
        snprintf(out->token, sizeof out->token, "%s",
                 env("AWS_SESSION_TOKEN") ? env("AWS_SESSION_TOKEN") : "");
        out->source = "the environment";
    } else {
        snprintf(out->id, sizeof out->id, "%s", p->access_key_id);
        snprintf(out->secret, sizeof out->secret, "%s", p->secret_access_key);
        snprintf(out->token, sizeof out->token, "%s", p->session_token);
        out->source = "the shared files";
    }
    if (rc == PBAY_OK && (!out->id[0] || !out->secret[0])) {
        rc = PBAY_UNAUTHENTICATED;
        if (named && !p->found)
            snprintf(why, CREDENTIALS_WHY, "the profile \"%s\" is in neither of the shared files", profile);
        else if (not_understood(p))
            snprintf(why, CREDENTIALS_WHY,
                     "the profile \"%s\" uses %s, which this version does not: give it keys", profile,
                     not_understood(p));
        else
            snprintf(why, CREDENTIALS_WHY,
                     "no AWS credentials: set access_key_id = and secret_access_key =, AWS_ACCESS_KEY_ID and "
                     "AWS_SECRET_ACCESS_KEY, or keys in the profile \"%s\"",
                     profile);
    }
    volatile char *wipe = (volatile char *)p;
    for (size_t i = 0; i < sizeof *p; i++) wipe[i] = 0;
    free(p);
    return rc;
}

pbay_aws_keys credentials_keys(const struct credentials *c)
{
    pbay_aws_keys k;
    k.id = (pbay_str){c->id, strlen(c->id)};
    k.secret = (pbay_str){c->secret, strlen(c->secret)};
    k.token = (pbay_str){c->token, strlen(c->token)};
    return k;
}
