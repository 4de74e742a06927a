/* SPDX-License-Identifier: MIT */
#include "aws_settings.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { FILE_MAX = 1 << 20, DURATION = 3600 };

/* The shared files while they are read. */
struct shared {
    pbay_str config, credentials;
    struct aws_settings *s;
};

static const char *env(const char *name)
{
    const char *v = getenv(name);
    return v && *v ? v : NULL;
}

/* Longer than any real one: not a value. */
static void put(char *to, size_t room, pbay_str v)
{
    if (v.n >= room) v.n = 0;
    if (v.n) memcpy(to, v.p, v.n);
    to[v.n] = 0;
}

static void put_c(char *to, size_t room, const char *v)
{
    put(to, room, (pbay_str){v ? v : "", v ? strlen(v) : 0});
}
#define PUT(to, v) put_c((to), sizeof(to), (v))

static void wipe(void *p, size_t n)
{
    volatile char *v = (volatile char *)p;
    for (size_t i = 0; i < n; i++) v[i] = 0;
}

static int no(struct aws_settings *s, int32_t code, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
static int no(struct aws_settings *s, int32_t code, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(s->why, sizeof s->why, fmt, ap);
    va_end(ap);
    s->state = code;
    return -1;
}

static int yes(const char *text)
{
    return text && (strcmp(text, "true") == 0 || strcmp(text, "TRUE") == 0 || strcmp(text, "True") == 0);
}

/* ------------------------------------------------------------------------------------------------ files */

static pbay_str read_all(const char *variable, const char *in_home)
{
    char path[AWS_PATH];
    const char *given = env(variable), *home = env("HOME");
    pbay_str none = {NULL, 0};
    if (given)
        snprintf(path, sizeof path, "%s", given);
    else if (home)
        snprintf(path, sizeof path, "%s/%s", home, in_home);
    else
        return none;
    FILE *f = fopen(path, "re");
    char *text = f ? malloc(FILE_MAX) : NULL;
    pbay_str s = {text, text ? fread(text, 1, FILE_MAX, f) : 0};
    if (f) fclose(f);
    return s;
}

static void read_profile(const struct shared *f, const char *name, struct aws_profile *p)
{
    pbay_str n = {name, strlen(name)};
    memset(p, 0, sizeof *p);
    aws_profile_read(f->config, n, 1, p);
    aws_profile_read(f->credentials, n, 0, p);
}

/* ------------------------------------------------------------------------------------------------ options */

/* An option that may have changed since start: secrets are resolved again when they were refused. */
static void secret_option(const pbay_host *host, const pbay_config *config, const pbay_secret_1 *secrets,
                          const char *name, char *to, size_t room)
{
    pbay_str v = {NULL, 0};
    pbay_result ignored = PBAY_RESULT_OK;
    to[0] = 0;
    if (!host->is_set(config, name)) return;
    if (!secrets || secrets->get(host, name, &v, &ignored) != PBAY_OK) v = host->get_str(config, name);
    put(to, room, v);
}

const char *aws_settings_wrong(const pbay_host *host, const pbay_config *config, const char **why)
{
    pbay_str region = host->get_str(config, "region"), url = host->get_str(config, "endpoint_url");
    if (region.n && !aws_region_valid(region)) {
        *why = "has characters besides a-z, 0-9 and inner hyphens";
        return "region";
    }
    if (url.n && (*why = aws_url_wrong(url))) return "endpoint_url";
    for (uint32_t i = 0; i < host->count(config, "service_url"); i++) {
        pbay_str id, v = host->item(config, "service_url", i, &id);
        size_t known = 0;
        while (known < AWS_SERVICES &&
               (strlen(aws_services[known].id) != id.n || memcmp(aws_services[known].id, id.p, id.n) != 0))
            known++;
        *why = "names a service besides sagemaker_runtime, sagemaker, s3, sts, ssm, secrets_manager, sqs and "
               "sso";
        if (known == AWS_SERVICES || (*why = aws_url_wrong(v))) return "service_url";
    }
    *why = "and its other half go together: access_key_id and secret_access_key";
    if (host->is_set(config, "access_key_id") && !host->is_set(config, "secret_access_key"))
        return "access_key_id";
    if (!host->is_set(config, "access_key_id") && host->is_set(config, "secret_access_key"))
        return "secret_access_key";
    return NULL;
}

/* ------------------------------------------------------------------------------------------------ endpoints
 */

static void set_url(char to[AWS_URL], pbay_str url)
{
    if (to[0] || aws_url_wrong(url)) return;
    put(to, AWS_URL, url);
    size_t n = strlen(to);
    while (n && to[n - 1] == '/') to[--n] = 0;
}

static void from_services(void *user, pbay_str key, pbay_str sub, pbay_str value)
{
    struct aws_settings *s = user;
    if (sub.n != 12 || memcmp(sub.p, "endpoint_url", 12) != 0) return;
    for (size_t i = 0; i < AWS_SERVICES; i++)
        if (strlen(aws_services[i].id) == key.n && memcmp(aws_services[i].id, key.p, key.n) == 0)
            set_url(s->url[i], value);
}

static void find_urls(const pbay_host *host, const pbay_config *config, const struct shared *f,
                      const struct aws_profile *p)
{
    struct aws_settings *s = f->s;
    for (uint32_t k = 0; k < host->count(config, "service_url"); k++) {
        pbay_str id, v = host->item(config, "service_url", k, &id);
        from_services(s, id, (pbay_str){"endpoint_url", 12}, v);
    }
    pbay_str all = host->get_str(config, "endpoint_url");
    int look = !(env("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS") ? yes(env("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS"))
                                                            : yes(p->ignore_configured_endpoint_urls));
    for (size_t i = 0; i < AWS_SERVICES; i++) {
        char name[64];
        if (all.n) set_url(s->url[i], all);
        if (!look) continue;
        snprintf(name, sizeof name, "AWS_ENDPOINT_URL_%s", aws_services[i].env);
        const char *v = env(name) ? env(name) : env("AWS_ENDPOINT_URL");
        if (v) set_url(s->url[i], (pbay_str){v, strlen(v)});
    }
    if (!look) return;
    if (p->services[0])
        aws_file_section(f->config, "services", (pbay_str){p->services, strlen(p->services)}, from_services,
                         s);
    for (size_t i = 0; i < AWS_SERVICES && p->endpoint_url[0]; i++)
        set_url(s->url[i], (pbay_str){p->endpoint_url, strlen(p->endpoint_url)});
}

void aws_settings_url(const struct aws_settings *s, enum aws_service service, const char *region,
                      char out[AWS_URL])
{
    if (s->url[service][0])
        snprintf(out, AWS_URL, "%s", s->url[service]);
    else
        aws_endpoint(service, region, s->fips, s->dualstack, out);
}

/* ------------------------------------------------------------------------------------------------ recipe */

int aws_container_url_ok(const char *url)
{
    static const char *const HOSTS[] = {"localhost", "[::1]", "169.254.170.2", "169.254.170.23",
                                        "[fd00:ec2::23]"};
    if (aws_url_wrong((pbay_str){url, strlen(url)}) && !strchr(url, '?')) return 0;
    if (strncmp(url, "https://", 8) == 0) return 1;
    if (strncmp(url, "http://", 7) != 0) return 0;
    const char *host = url + 7;
    size_t n = strcspn(host, "/?");
    if (memchr(host, '@', n)) return 0;
    if (host[0] == '[') {
        const char *close = memchr(host, ']', n);
        n = close ? (size_t)(close + 1 - host) : 0;
    } else {
        const char *colon = memchr(host, ':', n);
        if (colon) n = (size_t)(colon - host);
    }
    for (size_t i = 0; i < sizeof HOSTS / sizeof *HOSTS; i++)
        if (strlen(HOSTS[i]) == n && memcmp(HOSTS[i], host, n) == 0) return 1;
    if (n < 8 || memcmp(host, "127.", 4) != 0) return 0;
    for (size_t i = 0; i < n; i++)
        if ((host[i] < '0' || host[i] > '9') && host[i] != '.') return 0;
    return 1;
}

static int container(struct aws_settings *s)
{
    struct aws_recipe *r = &s->recipe;
    const char *relative = env("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI");
    const char *full = env("AWS_CONTAINER_CREDENTIALS_FULL_URI");
    r->base = AWS_CONTAINER;
    r->source = "the container's credentials";
    if (relative)
        snprintf(r->container_url, sizeof r->container_url, "http://169.254.170.2%s%s",
                 *relative == '/' ? "" : "/", relative);
    else if (!full)
        return no(
            s, PBAY_FAILED_PRECONDITION,
            "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI and AWS_CONTAINER_CREDENTIALS_FULL_URI are not set");
    else if (!aws_container_url_ok(full))
        return no(s, PBAY_PERMISSION_DENIED,
                  "AWS_CONTAINER_CREDENTIALS_FULL_URI is neither https nor the address of this machine or of "
                  "ECS or "
                  "EKS: no keys are fetched from there");
    else
        PUT(r->container_url, full);
    return 0;
}

static void imds(struct aws_settings *s)
{
    s->recipe.base = AWS_IMDS;
    s->recipe.source = "the instance's metadata";
}

static int web_from_env(struct aws_settings *s)
{
    struct aws_recipe *r = &s->recipe;
    if (!env("AWS_ROLE_ARN"))
        return no(s, PBAY_FAILED_PRECONDITION, "AWS_WEB_IDENTITY_TOKEN_FILE is set and AWS_ROLE_ARN is not");
    r->base = AWS_WEB;
    r->source = "AWS_WEB_IDENTITY_TOKEN_FILE";
    PUT(r->token_file, env("AWS_WEB_IDENTITY_TOKEN_FILE"));
    PUT(r->web.arn, env("AWS_ROLE_ARN"));
    PUT(r->web.session, env("AWS_ROLE_SESSION_NAME"));
    r->web.duration_s = DURATION;
    return 0;
}

static int from_env(struct aws_settings *s)
{
    struct aws_recipe *r = &s->recipe;
    r->base = AWS_STATIC;
    r->source = "the environment";
    PUT(r->keys.id, env("AWS_ACCESS_KEY_ID"));
    PUT(r->keys.secret, env("AWS_SECRET_ACCESS_KEY"));
    PUT(r->keys.token, env("AWS_SESSION_TOKEN"));
    if (r->keys.id[0] && r->keys.secret[0]) return 0;
    return no(s, PBAY_UNAUTHENTICATED, "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY are not both set");
}

static void role_of(const struct aws_profile *p, struct aws_role *role)
{
    PUT(role->arn, p->role_arn);
    PUT(role->external_id, p->external_id);
    PUT(role->session, p->role_session_name);
    role->duration_s = strtol(p->duration_seconds, NULL, 10);
    if (role->duration_s < 900 || role->duration_s > 43200) role->duration_s = DURATION;
}

static void sso_session(void *user, pbay_str key, pbay_str sub, pbay_str value)
{
    struct aws_profile *p = user;
    if (sub.n) return;
    if (key.n == 10 && memcmp(key.p, "sso_region", 10) == 0) put(p->sso_region, sizeof p->sso_region, value);
    if (key.n == 13 && memcmp(key.p, "sso_start_url", 13) == 0)
        put(p->sso_start_url, sizeof p->sso_start_url, value);
}

static int sso(struct shared *f, struct aws_profile *p, const char *name)
{
    struct aws_recipe *r = &f->s->recipe;
    if (p->sso_session[0] &&
        !aws_file_section(f->config, "sso-session", (pbay_str){p->sso_session, strlen(p->sso_session)},
                          sso_session, p))
        return no(f->s, PBAY_FAILED_PRECONDITION,
                  "the profile \"%s\" names sso_session \"%s\", which is not in the "
                  "config file",
                  name, p->sso_session);
    if (!p->sso_region[0] || !p->sso_account_id[0] || !p->sso_role_name[0] ||
        !aws_region_valid((pbay_str){p->sso_region, strlen(p->sso_region)}))
        return no(f->s, PBAY_FAILED_PRECONDITION,
                  "the profile \"%s\" needs sso_region, sso_account_id and sso_role_name", name);
    r->base = AWS_SSO_CACHE;
    r->source = "the sign-on of aws sso login";
    /* What its file is named after; the chain hashes it. */
    PUT(r->token_file, p->sso_session[0] ? p->sso_session : p->sso_start_url);
    PUT(r->sso_region, p->sso_region);
    PUT(r->sso_account, p->sso_account_id);
    PUT(r->sso_role, p->sso_role_name);
    return 0;
}

static int static_keys(struct aws_settings *s, const struct aws_profile *p)
{
    struct aws_recipe *r = &s->recipe;
    if (!p->access_key_id[0] || !p->secret_access_key[0]) return 0;
    r->base = AWS_STATIC;
    r->source = "the shared files";
    PUT(r->keys.id, p->access_key_id);
    PUT(r->keys.secret, p->secret_access_key);
    PUT(r->keys.token, p->session_token);
    return 1;
}

/* 0: taken. 1: the profile says nothing about keys. -1: it says something that does not work. */
static int from_profile(struct shared *f, const char *name, uint32_t depth)
{
    struct aws_settings *s = f->s;
    struct aws_recipe *r = &s->recipe;
    struct aws_profile *p = calloc(1, sizeof *p);
    if (!p) abort();
    read_profile(f, name, p);
    int rc = 1;
    if (depth == AWS_HOPS) {
        rc = no(s, PBAY_FAILED_PRECONDITION,
                "the profile \"%s\" is behind more than %d source_profile: is it a circle?", name, AWS_HOPS);
    } else if (depth && !p->found) {
        rc = no(s, PBAY_FAILED_PRECONDITION,
                "source_profile names the profile \"%s\", which is in neither of the shared "
                "files",
                name);
    } else if (p->role_arn[0] && p->mfa_serial[0]) {
        rc = no(s, PBAY_FAILED_PRECONDITION,
                "the profile \"%s\" asks for mfa_serial: a service has nobody to type it", name);
    } else if (p->role_arn[0] && p->web_identity_token_file[0]) {
        r->base = AWS_WEB;
        r->source = "the profile's web_identity_token_file";
        PUT(r->token_file, p->web_identity_token_file);
        role_of(p, &r->web);
        rc = 0;
    } else if (p->role_arn[0]) {
        if (p->source_profile[0] && strcmp(p->source_profile, name) == 0)
            rc = static_keys(s, p) ? 0
                                   : no(s, PBAY_FAILED_PRECONDITION,
                                        "the profile \"%s\" is its own source_profile and has no keys", name);
        else if (p->source_profile[0])
            rc = from_profile(f, p->source_profile, depth + 1);
        else if (strcmp(p->credential_source, "Environment") == 0)
            rc = from_env(s);
        else if (strcmp(p->credential_source, "EcsContainer") == 0)
            rc = container(s);
        else if (strcmp(p->credential_source, "Ec2InstanceMetadata") == 0) {
            imds(s);
            rc = 0;
        } else
            rc = no(s, PBAY_FAILED_PRECONDITION,
                    "the profile \"%s\" has role_arn, and neither source_profile nor a credential_source of "
                    "Environment, EcsContainer and Ec2InstanceMetadata",
                    name);
        if (rc == 1)
            rc = no(s, PBAY_FAILED_PRECONDITION, "the profile \"%s\", a source_profile, has no keys",
                    p->source_profile);
        if (rc == 0) role_of(p, &r->hops[r->n_hops++]);
    } else if (static_keys(s, p)) {
        rc = 0;
    } else if (p->sso_session[0] || p->sso_start_url[0]) {
        rc = sso(f, p, name);
    } else if (p->credential_process[0]) {
        r->base = AWS_PROCESS;
        r->source = "credential_process";
        PUT(r->command, p->credential_process);
        rc = 0;
    }
    wipe(p, sizeof *p);
    free(p);
    return rc;
}

/* The chain: the first that is configured. */
static void choose(const pbay_host *host, const pbay_config *config, const pbay_secret_1 *secrets,
                   struct shared *f, const struct aws_profile *p, int named)
{
    enum { AUTO, ENVIRONMENT, PROFILE, WEB, CONTAINER, METADATA };
    struct aws_settings *s = f->s;
    struct aws_recipe *r = &s->recipe;
    int64_t want = host->get_int(config, "credential_source");
    int rc = 1;
    secret_option(host, config, secrets, "access_key_id", r->keys.id, sizeof r->keys.id);
    if (r->keys.id[0] && want == AUTO) {
        secret_option(host, config, secrets, "secret_access_key", r->keys.secret, sizeof r->keys.secret);
        secret_option(host, config, secrets, "session_token", r->keys.token, sizeof r->keys.token);
        r->source = "the connector's options";
        return;
    }
    if (want == ENVIRONMENT ||
        (want == AUTO && !named && env("AWS_ACCESS_KEY_ID") && env("AWS_SECRET_ACCESS_KEY")))
        rc = from_env(s);
    if (rc == 1 && (want == AUTO || want == PROFILE)) {
        rc = from_profile(f, r->profile, 0);
        if (rc == 1 && named && !p->found)
            rc = no(s, PBAY_UNAUTHENTICATED, "the profile \"%s\" is in neither of the shared files",
                    r->profile);
        else if (rc == 1 && (named || want == PROFILE))
            rc = no(s, PBAY_UNAUTHENTICATED, "the profile \"%s\" has no keys and no way to get some",
                    r->profile);
    }
    if (rc == 1 && (want == WEB || (want == AUTO && env("AWS_WEB_IDENTITY_TOKEN_FILE"))))
        rc = web_from_env(s);
    if (rc == 1 && (want == CONTAINER || (want == AUTO && (env("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI") ||
                                                           env("AWS_CONTAINER_CREDENTIALS_FULL_URI")))))
        rc = container(s);
    if (rc == 1 && !yes(env("AWS_EC2_METADATA_DISABLED"))) {
        imds(s);
        rc = 0;
    }
    if (rc == 1)
        no(s, PBAY_UNAUTHENTICATED,
           "no AWS credentials: set access_key_id = and secret_access_key =, AWS_ACCESS_KEY_ID and "
           "AWS_SECRET_ACCESS_KEY, or keys in the profile \"%s\"",
           r->profile);
}

static void own_role(const pbay_host *host, const pbay_config *config, struct aws_settings *s)
{
    struct aws_recipe *r = &s->recipe;
    pbay_str arn = host->get_str(config, "role_arn");
    if (!arn.n || s->state != PBAY_OK) return;
    if (r->n_hops == AWS_HOPS) {
        no(s, PBAY_FAILED_PRECONDITION, "role_arn comes behind %d roles of profiles", AWS_HOPS);
        return;
    }
    struct aws_role *role = &r->hops[r->n_hops++];
    put(role->arn, sizeof role->arn, arn);
    put(role->external_id, sizeof role->external_id, host->get_str(config, "external_id"));
    put(role->session, sizeof role->session, host->get_str(config, "role_session_name"));
    role->duration_s = DURATION;
}

struct aws_settings *aws_settings_read(const pbay_host *host, const pbay_config *config,
                                       const pbay_secret_1 *secrets)
{
    struct aws_settings *s = calloc(1, sizeof *s);
    struct aws_profile *p = calloc(1, sizeof *p);
    if (!s || !p) abort();
    struct shared f = {read_all("AWS_CONFIG_FILE", ".aws/config"),
                       read_all("AWS_SHARED_CREDENTIALS_FILE", ".aws/credentials"), s};
    pbay_str profile = host->get_str(config, "profile");
    int named = profile.n || env("AWS_PROFILE");
    if (profile.n)
        put(s->recipe.profile, sizeof s->recipe.profile, profile);
    else
        PUT(s->recipe.profile, named ? env("AWS_PROFILE") : "default");
    read_profile(&f, s->recipe.profile, p);

    put(s->region, sizeof s->region, host->get_str(config, "region"));
    if (!s->region[0]) PUT(s->region, env("AWS_REGION") ? env("AWS_REGION") : env("AWS_DEFAULT_REGION"));
    if (!s->region[0]) PUT(s->region, p->region);
    s->fips = host->is_set(config, "use_fips")
                  ? (int)host->get_int(config, "use_fips")
                  : yes(env("AWS_USE_FIPS_ENDPOINT") ? env("AWS_USE_FIPS_ENDPOINT") : p->use_fips_endpoint);
    s->dualstack = yes(env("AWS_USE_DUALSTACK_ENDPOINT") ? env("AWS_USE_DUALSTACK_ENDPOINT")
                                                         : p->use_dualstack_endpoint);
    const char *attempts = env("AWS_MAX_ATTEMPTS") ? env("AWS_MAX_ATTEMPTS") : p->max_attempts;
    long n = strtol(attempts, NULL, 10);
    s->max_attempts = n > 0 && n <= 100 ? (uint32_t)n : 3;
    find_urls(host, config, &f, p);
    choose(host, config, secrets, &f, p, named);
    own_role(host, config, s);
    if (s->state == PBAY_OK) {
        size_t len = strlen(s->region);
        if (s->region[0] && !aws_region_valid((pbay_str){s->region, len}))
            no(s, PBAY_FAILED_PRECONDITION, "the region is not one of a-z, 0-9 and -");
        else if (!s->region[0] && s->recipe.base != AWS_IMDS)
            no(s, PBAY_FAILED_PRECONDITION, "no region: set region =, AWS_REGION or the profile's region");
    }
    if (f.config.p) wipe((char *)f.config.p, f.config.n);
    if (f.credentials.p) wipe((char *)f.credentials.p, f.credentials.n);
    free((char *)f.config.p);
    free((char *)f.credentials.p);
    wipe(p, sizeof *p);
    free(p);
    return s;
}

void aws_settings_free(struct aws_settings *s)
{
    if (s) wipe(s, sizeof *s);
    free(s);
}
