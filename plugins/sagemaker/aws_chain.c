/* SPDX-License-Identifier: MIT */
#include "aws_chain.h"

#include <jansson.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "aws_process.h"
#include "kit/percent.h"
#include "kit/time.h"
#include "kit/xml.h"
#include "text.h"

enum {
    TRIES = 3,
    METADATA_MS = 1000,
    STS_MS = 10000,
    REPLY_MAX = 256 << 10,
    TOKEN_MAX = 16 << 10,
    HEADERS = 12,
    SHOWN = 300,
};

enum step { PROCESS, WEB, SSO, CONTAINER, IMDS_TOKEN, IMDS_ROLE, IMDS_KEYS, IMDS_REGION, ROLE, ENDED };

struct aws_chain {
    struct aws_tools t;
    const struct aws_settings *s;
    int64_t skew_ms;
    aws_chain_done *done;
    void *user;
    enum step step;
    uint32_t hop, tries;
    struct aws_keys keys;
    char region[AWS_REGION];
    char imds_token[256], imds_role[128];
    struct text token; /* of a container or a web identity */
    struct text body;
    struct process *process;
    pbay_http exchange;
    pbay_timer timer;
    int cancelled;
    int32_t code;
    char why[AWS_WHY];
};

static void begin(struct aws_chain *c);

static const char *env(const char *name)
{
    const char *v = getenv(name);
    return v && *v ? v : NULL;
}

static void clear(struct text *t)
{
    volatile char *v = t->p;
    for (size_t i = 0; i < t->cap; i++) v[i] = 0;
    t->n = 0;
}

/* ------------------------------------------------------------------------------------------------ ends */

static void finish(void *user)
{
    struct aws_chain *c = user;
    if (c->cancelled) c->code = PBAY_CANCELLED;
    c->done(c->user, c->code, &c->keys, c->region, c->why);
    aws_chain_free(c);
}

void aws_chain_free(struct aws_chain *c)
{
    if (!c) return;
    clear(&c->token);
    clear(&c->body);
    free(c->token.p);
    free(c->body.p);
    volatile char *v = (volatile char *)c;
    for (size_t i = 0; i < sizeof *c; i++) v[i] = 0;
    free(c);
}

/* On a later turn: begin() may be on the stack of aws_chain_run. */
static void end(struct aws_chain *c)
{
    c->step = ENDED;
    c->t.timer->start(c->t.host, 0, 0, finish, c);
}

static void fail(struct aws_chain *c, int32_t code, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
static void fail(struct aws_chain *c, int32_t code, const char *fmt, ...)
{
    char text[AWS_WHY - 64];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    c->code = code;
    snprintf(c->why, sizeof c->why, "%s: %s", c->s->recipe.source, text);
    end(c);
}

static void next(struct aws_chain *c, enum step step)
{
    c->step = step;
    c->tries = 0;
    begin(c);
}

/* The first keys are there, or one more role was taken. */
static void have_keys(struct aws_chain *c)
{
    if (c->hop < c->s->recipe.n_hops)
        next(c, ROLE);
    else if (!c->s->region[0] && c->s->recipe.base == AWS_IMDS && c->step != IMDS_REGION)
        next(c, IMDS_REGION);
    else
        end(c);
}

/* ------------------------------------------------------------------------------------------------ answers */

static void again(void *user)
{
    struct aws_chain *c = user;
    c->timer = 0;
    if (c->cancelled)
        end(c);
    else
        begin(c);
}

static const char *who(const struct aws_chain *c)
{
    static const char *const NAMES[] = {
        [WEB] = "AssumeRoleWithWebIdentity", [SSO] = "GetRoleCredentials", [ROLE] = "AssumeRole"};
    const char *n = c->step <= ROLE ? NAMES[c->step] : NULL;
    return n ? n : "the service";
}

static int cut(pbay_str s)
{
    return s.n < SHOWN ? (int)s.n : SHOWN;
}

/* A reply that brings nothing: try again, or say why not. */
static void refused(struct aws_chain *c, const pbay_http_reply *r)
{
    int later = r->result.code != PBAY_OK || r->status >= 500 || r->status == 429;
    if (later && ++c->tries < TRIES) {
        c->timer = c->t.timer->start(c->t.host, 100 << c->tries, 0, again, c);
        return;
    }
    int32_t code = later ? PBAY_UNAVAILABLE : PBAY_UNAUTHENTICATED;
    if (r->result.code != PBAY_OK) {
        pbay_str m = r->result.message;
        fail(c, code, "%s did not answer: %.*s", who(c), cut(m), m.n ? m.p : "");
        return;
    }
    pbay_str error = pbay_xml_element(r->body, "Code"), message = pbay_xml_element(r->body, "Message");
    if (!error.n) message = r->body;
    fail(c, code, "%s%s%s answered %.*s%s%.*s (HTTP %d)", who(c), c->step == ROLE ? " of " : "",
         c->step == ROLE ? c->s->recipe.hops[c->hop].arn : "", cut(error), error.n ? error.p : "",
         error.n && message.n ? ": " : "", cut(message), message.n ? message.p : "", (int)r->status);
}

static int token_ok(pbay_str s, size_t room)
{
    for (size_t i = 0; i < s.n; i++)
        if (s.p[i] <= ' ' || s.p[i] >= 0x7f) return 0;
    return s.n && s.n < room;
}

static pbay_str trimmed(pbay_str s)
{
    while (s.n && (s.p[s.n - 1] == '\n' || s.p[s.n - 1] == '\r' || s.p[s.n - 1] == ' ')) s.n--;
    return s;
}

/* {"roleCredentials": {...}} has its expiration in milliseconds and other names. */
static int sso_keys(pbay_str body, struct aws_keys *out);

static void good(struct aws_chain *c, pbay_str body)
{
    const char *wrong = "";
    pbay_str word = trimmed(body);
    switch (c->step) {
    case IMDS_TOKEN:
        if (!token_ok(word, sizeof c->imds_token)) break;
        memcpy(c->imds_token, word.p, word.n);
        c->imds_token[word.n] = 0;
        next(c, IMDS_ROLE);
        return;
    case IMDS_ROLE: {
        const char *nl = word.n ? memchr(word.p, '\n', word.n) : NULL;
        if (nl) word.n = (size_t)(nl - word.p);
        if (!token_ok(word, sizeof c->imds_role)) break;
        memcpy(c->imds_role, word.p, word.n);
        c->imds_role[word.n] = 0;
        next(c, IMDS_KEYS);
        return;
    }
    case IMDS_REGION:
        if (!aws_region_valid(word)) break;
        memcpy(c->region, word.p, word.n);
        c->region[word.n] = 0;
        end(c);
        return;
    case IMDS_KEYS:
    case CONTAINER:
        if (aws_keys_from_json(body, 0, c->t.timer->now_ms(), &c->keys, &wrong)) break;
        have_keys(c);
        return;
    case SSO:
        if (sso_keys(body, &c->keys)) break;
        have_keys(c);
        return;
    case WEB:
    case ROLE:
        if (aws_keys_from_sts(body, &c->keys)) break;
        if (c->step == ROLE) c->hop++;
        have_keys(c);
        return;
    default: break;
    }
    fail(c, PBAY_UNAVAILABLE, "%s answered something else than was asked for%s%s", who(c), *wrong ? ": " : "",
         wrong);
}

static void on_done(void *user, pbay_http exchange, const pbay_http_reply *r)
{
    struct aws_chain *c = user;
    (void)exchange;
    c->exchange = 0;
    if (c->cancelled) {
        end(c);
        return;
    }
    /* Metadata of the first version: no token is given, and none is asked for. */
    if (c->step == IMDS_TOKEN &&
        (r->status == 403 || r->status == 404 || r->status == 405 ||
         (r->result.code == PBAY_DEADLINE_EXCEEDED && c->tries + 1 == TRIES)) &&
        !env("AWS_EC2_METADATA_V1_DISABLED")) {
        c->imds_token[0] = 0;
        next(c, IMDS_ROLE);
    } else if (r->status == 401 && c->step > IMDS_TOKEN && c->step <= IMDS_REGION && c->tries == 0) {
        next(c, IMDS_TOKEN);
        c->tries = 1;
    } else if (r->result.code != PBAY_OK || r->status != 200)
        refused(c, r);
    else
        good(c, r->body);
}

/* ------------------------------------------------------------------------------------------------ questions
 */

struct ask {
    const char *method, *url;
    pbay_header headers[HEADERS];
    uint32_t n;
    uint32_t flags;
    int64_t timeout_ms;
};

static void add(struct ask *a, const char *name, const char *value)
{
    a->headers[a->n++] = (pbay_header){pbay_str_c(name), pbay_str_c(value)};
}

static void send_it(struct aws_chain *c, const struct ask *a)
{
    static const pbay_http_events events = {sizeof events, 0, NULL, NULL, NULL, on_done};
    pbay_result why = PBAY_RESULT_OK;
    pbay_http_request rq = {
        .struct_size = sizeof rq,
        .flags = a->flags,
        .method = pbay_str_c(a->method),
        .url = pbay_str_c(a->url),
        .headers = a->headers,
        .n_headers = a->n,
        .body = {c->body.p, c->body.n},
        .timeout_ms = a->timeout_ms,
        .connect_timeout_ms = a->timeout_ms,
        .max_reply = REPLY_MAX,
    };
    c->exchange = c->t.http->send(c->t.host, &rq, &events, c, &why);
    if (!c->exchange) fail(c, why.code, "%.*s", cut(why.message), why.message.n ? why.message.p : "");
}

static const char *metadata_base(void)
{
    const char *given = env("AWS_EC2_METADATA_SERVICE_ENDPOINT"),
               *mode = env("AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE");
    if (given) return given;
    return mode && (mode[0] | 32) == 'i' && strchr(mode, '6') ? "http://[fd00:ec2::254]"
                                                              : "http://169.254.169.254";
}

static void ask_imds(struct aws_chain *c)
{
    char url[AWS_URL + 256];
    const char *base = metadata_base();
    size_t n = strlen(base);
    while (n && base[n - 1] == '/') n--;
    if (n > AWS_URL || aws_url_wrong((pbay_str){base, n})) {
        fail(c, PBAY_FAILED_PRECONDITION, "AWS_EC2_METADATA_SERVICE_ENDPOINT is not a URL");
        return;
    }
    const char *path = c->step == IMDS_TOKEN    ? "/latest/api/token"
                       : c->step == IMDS_REGION ? "/latest/meta-data/placement/region"
                                                : "/latest/meta-data/iam/security-credentials/";
    snprintf(url, sizeof url, "%.*s%s%s", (int)n, base, path, c->step == IMDS_KEYS ? c->imds_role : "");
    struct ask a = {.method = c->step == IMDS_TOKEN ? "PUT" : "GET",
                    .url = url,
                    .flags = PBAY_HTTP_METADATA,
                    .timeout_ms = METADATA_MS};
    if (c->step == IMDS_TOKEN)
        add(&a, "x-aws-ec2-metadata-token-ttl-seconds", "21600");
    else if (c->imds_token[0])
        add(&a, "x-aws-ec2-metadata-token", c->imds_token);
    c->body.n = 0;
    send_it(c, &a);
}

/* A file of one line. 0, or -1 and the chain has failed. */
static int read_token(struct aws_chain *c, const char *path)
{
    FILE *f = fopen(path, "re");
    clear(&c->token);
    if (!f) {
        fail(c, PBAY_FAILED_PRECONDITION, "the token file %s cannot be opened", path);
        return -1;
    }
    char *p = malloc(TOKEN_MAX);
    if (!p) abort();
    pbay_str s = trimmed((pbay_str){p, fread(p, 1, TOKEN_MAX, f)});
    fclose(f);
    int ok = token_ok(s, TOKEN_MAX);
    if (ok) text_add(&c->token, s.p, s.n);
    memset(p, 0, TOKEN_MAX);
    free(p);
    if (!ok) fail(c, PBAY_FAILED_PRECONDITION, "the token file %s does not hold one token", path);
    return ok ? 0 : -1;
}

static void ask_container(struct aws_chain *c)
{
    const char *file = env("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"),
               *token = env("AWS_CONTAINER_AUTHORIZATION_TOKEN");
    struct ask a = {.method = "GET",
                    .url = c->s->recipe.container_url,
                    .flags = PBAY_HTTP_METADATA,
                    .timeout_ms = METADATA_MS};
    clear(&c->token);
    if (file && read_token(c, file)) return;
    if (!file && token) {
        if (strpbrk(token, "\r\n")) {
            fail(c, PBAY_FAILED_PRECONDITION, "AWS_CONTAINER_AUTHORIZATION_TOKEN has a line end in it");
            return;
        }
        text_add(&c->token, token, strlen(token));
    }
    if (c->token.n) a.headers[a.n++] = (pbay_header){pbay_str_c("Authorization"), {c->token.p, c->token.n}};
    add(&a, "Accept", "application/json");
    c->body.n = 0;
    send_it(c, &a);
}

static void form(struct aws_chain *c, const char *name, pbay_str value)
{
    char *p = malloc(PBAY_PERCENT_ROOM(value.n) + 1);
    if (!p) abort();
    if (c->body.n) text_add(&c->body, "&", 1);
    text_add(&c->body, name, strlen(name));
    text_add(&c->body, "=", 1);
    text_add(&c->body, p, pbay_percent_encode(value, p));
    free(p);
}

static void form_role(struct aws_chain *c, const char *action, const struct aws_role *role)
{
    char session[72], seconds[24];
    int n = snprintf(session, sizeof session, "%s", role->session);
    if (!n) snprintf(session, sizeof session, "patchbay-%lld", (long long)c->t.timer->now_ms());
    snprintf(seconds, sizeof seconds, "%lld", (long long)role->duration_s);
    c->body.n = 0;
    form(c, "Action", pbay_str_c(action));
    form(c, "Version", pbay_str_c("2011-06-15"));
    form(c, "RoleArn", pbay_str_c(role->arn));
    form(c, "RoleSessionName", pbay_str_c(session));
    form(c, "DurationSeconds", pbay_str_c(seconds));
    if (role->external_id[0]) form(c, "ExternalId", pbay_str_c(role->external_id));
}

static void ask_sts(struct aws_chain *c, const struct aws_role *role)
{
    char url[AWS_URL + 1];
    struct ask a = {.method = "POST", .url = url, .flags = PBAY_HTTP_CONFIGURED, .timeout_ms = STS_MS};
    if (!c->s->region[0]) {
        fail(c, PBAY_FAILED_PRECONDITION, "a role is to be taken and there is no region: set region =");
        return;
    }
    aws_settings_url(c->s, AWS_STS, c->s->region, url);
    pbay_str host, prefix;
    aws_url_parts(url, &host, &prefix);
    if (!prefix.n) strcat(url, "/");
    aws_url_parts(url, &host, &prefix);
    form_role(c, c->step == WEB ? "AssumeRoleWithWebIdentity" : "AssumeRole", role);
    if (c->step == WEB) form(c, "WebIdentityToken", (pbay_str){c->token.p, c->token.n});
    add(&a, "Content-Type", "application/x-www-form-urlencoded; charset=utf-8");
    if (c->step == ROLE) {
        pbay_sigv4_request rq = {.method = pbay_str_c("POST"),
                                 .host = host,
                                 .path = prefix,
                                 .headers = a.headers,
                                 .n_headers = a.n,
                                 .body = {c->body.p, c->body.n}};
        pbay_aws_keys keys = {pbay_str_c(c->keys.id), pbay_str_c(c->keys.secret), pbay_str_c(c->keys.token)};
        pbay_sigv4_signed sig;
        const char *wrong = "";
        if (pbay_sigv4_sign(c->t.signer, &keys, pbay_str_c(c->s->region), pbay_str_c("sts"),
                            c->t.timer->now_ms() + c->skew_ms, &rq, &sig, &wrong) != PBAY_OK) {
            fail(c, PBAY_INTERNAL, "%s", wrong);
            return;
        }
        for (uint32_t i = 0; i < sig.n_headers; i++) a.headers[a.n++] = sig.headers[i];
        send_it(c, &a);
        return;
    }
    send_it(c, &a);
}

/* ------------------------------------------------------------------------------------------------ single
 * sign-on */

static int sso_keys(pbay_str body, struct aws_keys *out)
{
    json_t *o = json_loadb(body.n ? body.p : "", body.n, 0, NULL), *r = json_object_get(o, "roleCredentials");
    const char *id = json_string_value(json_object_get(r, "accessKeyId"));
    const char *secret = json_string_value(json_object_get(r, "secretAccessKey"));
    const char *token = json_string_value(json_object_get(r, "sessionToken"));
    const json_t *at = json_object_get(r, "expiration");
    int ok = id && secret && token && strlen(id) < sizeof out->id && strlen(secret) < sizeof out->secret &&
             strlen(token) < sizeof out->token && json_is_integer(at) && json_integer_value(at) > 0;
    if (ok) {
        snprintf(out->id, sizeof out->id, "%s", id);
        snprintf(out->secret, sizeof out->secret, "%s", secret);
        snprintf(out->token, sizeof out->token, "%s", token);
        out->expires_ms = json_integer_value(at);
    }
    json_decref(o);
    return ok ? 0 : -1;
}

/* The cached token is named after the SHA-1 of the session's name or the start URL. */
static void ask_sso(struct aws_chain *c)
{
    const struct aws_recipe *r = &c->s->recipe;
    char path[AWS_PATH], hex[41], url[AWS_URL + 768], base[AWS_URL];
    uint8_t digest[20];
    pbay_str name = pbay_str_c(r->token_file);
    const char *home = env("HOME");
    c->t.crypto->hash(PBAY_HASH_SHA1, &name, 1, digest);
    for (size_t i = 0; i < sizeof digest; i++) snprintf(hex + 2 * i, 3, "%02x", digest[i]);
    snprintf(path, sizeof path, "%s/.aws/sso/cache/%s.json", home ? home : "", hex);
    json_t *o = json_load_file(path, 0, NULL);
    const char *token = json_string_value(json_object_get(o, "accessToken"));
    const char *expires = json_string_value(json_object_get(o, "expiresAt"));
    int64_t until = expires ? pbay_time_rfc3339(pbay_str_c(expires)) : -1;
    int good_token = token && token_ok(pbay_str_c(token), TOKEN_MAX) && until > c->t.timer->now_ms();
    clear(&c->token);
    if (good_token) text_add(&c->token, token, strlen(token));
    json_decref(o);
    if (!good_token) {
        fail(c, PBAY_UNAUTHENTICATED,
             "it is not there or has ended: run `aws sso login --profile %s` as the user that runs the "
             "gateway",
             r->profile);
        return;
    }
    char account[PBAY_PERCENT_ROOM(sizeof r->sso_account)], role[PBAY_PERCENT_ROOM(sizeof r->sso_role)];
    size_t n_account = pbay_percent_encode(pbay_str_c(r->sso_account), account);
    size_t n_role = pbay_percent_encode(pbay_str_c(r->sso_role), role);
    aws_settings_url(c->s, AWS_SSO, r->sso_region, base);
    snprintf(url, sizeof url, "%s/federation/credentials?role_name=%.*s&account_id=%.*s", base, (int)n_role,
             role, (int)n_account, account);
    struct ask a = {.method = "GET", .url = url, .flags = PBAY_HTTP_CONFIGURED, .timeout_ms = STS_MS};
    a.headers[a.n++] = (pbay_header){pbay_str_c("x-amz-sso_bearer_token"), {c->token.p, c->token.n}};
    c->body.n = 0;
    send_it(c, &a);
}

/* ------------------------------------------------------------------------------------------------ a command
 */

static void process_done(void *user, struct process *p)
{
    struct aws_chain *c = user;
    const char *wrong = p->wrong;
    c->process = NULL;
    if (!c->cancelled && !wrong[0] &&
        aws_keys_from_json((pbay_str){p->out, p->n}, 1, c->t.timer->now_ms(), &c->keys, &wrong) == 0)
        have_keys(c);
    else if (c->cancelled)
        end(c);
    else
        fail(c, PBAY_UNAVAILABLE, "the command%s%s", p->wrong[0] ? " " : "'s output cannot be used: ", wrong);
    process_free(p);
}

static void ask_process(struct aws_chain *c)
{
    c->process = c->t.work ? process_run(c->t.host, c->t.work, c->s->recipe.command, process_done, c) : NULL;
    if (!c->process) fail(c, PBAY_UNAVAILABLE, "there is no thread to run the command in");
}

/* ------------------------------------------------------------------------------------------------ life */

static void begin(struct aws_chain *c)
{
    const struct aws_recipe *r = &c->s->recipe;
    switch (c->step) {
    case PROCESS: ask_process(c); break;
    case WEB:
        if (read_token(c, r->token_file) == 0) ask_sts(c, &r->web);
        break;
    case SSO: ask_sso(c); break;
    case CONTAINER: ask_container(c); break;
    case IMDS_TOKEN:
    case IMDS_ROLE:
    case IMDS_KEYS:
    case IMDS_REGION: ask_imds(c); break;
    case ROLE: ask_sts(c, &r->hops[c->hop]); break;
    case ENDED: break;
    }
}

struct aws_chain *aws_chain_run(const struct aws_tools *tools, const struct aws_settings *settings,
                                int64_t skew_ms, aws_chain_done *done, void *user)
{
    static const enum step FIRST[] = {
        [AWS_STATIC] = ROLE,   [AWS_PROCESS] = PROCESS,     [AWS_WEB] = WEB,
        [AWS_SSO_CACHE] = SSO, [AWS_CONTAINER] = CONTAINER, [AWS_IMDS] = IMDS_TOKEN,
    };
    struct aws_chain *c = calloc(1, sizeof *c);
    if (!c) abort();
    c->t = *tools;
    c->s = settings;
    c->skew_ms = skew_ms;
    c->done = done;
    c->user = user;
    c->keys = settings->recipe.keys;
    snprintf(c->region, sizeof c->region, "%s", settings->region);
    next(c, FIRST[settings->recipe.base]);
    return c;
}

void aws_chain_cancel(struct aws_chain *c)
{
    c->cancelled = 1;
    if (c->exchange)
        c->t.http->cancel(c->exchange);
    else if (c->process)
        process_kill(c->process);
    else if (c->timer) {
        c->t.timer->cancel(c->timer);
        c->timer = 0;
        end(c);
    }
}
