/* SPDX-License-Identifier: MIT */
#include "parameter.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/clock.h"
#include "base/mem.h"
#include "crypto.h"
#include "data/json_object.h"
#include "kit/aws_error.h"
#include "kit/sigv4.h"
#include "net/http_rules.h"

static pbay_str env(const char *name)
{
    return pb_str_c(getenv(name));
}

/* A member of a JSON object that is a string; empty when there is none. */
static pbay_str member(pbay_str json, const char *name, struct pb_arena *a)
{
    struct pb_json_object o;
    struct pb_err ignored;
    pbay_str v = {0};
    if (pb_json_object(json, 64, 16, a, &o, &ignored)) return v;
    if (!pb_json_string(pb_json_get(&o, name), a, &v)) return pb_str(NULL, 0);
    return v;
}

/* What the container's endpoint wants to see: a token from a variable or from a file. */
static pbay_str container_token(struct pb_arena *a)
{
    const char *path = getenv("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE");
    FILE *f = path ? fopen(path, "re") : NULL;
    if (!f) return env("AWS_CONTAINER_AUTHORIZATION_TOKEN");
    char *text = pb_arena_alloc(a, 16384);
    size_t n = fread(text, 1, 16384, f);
    fclose(f);
    return pb_str_trim(pb_str(text, n));
}

static int ask_container(struct rec_fetcher *f, struct pb_arena *a, pbay_aws_keys *keys, struct pb_err *err)
{
    pbay_str relative = env("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI");
    pbay_str url = env("AWS_CONTAINER_CREDENTIALS_FULL_URI"), token = container_token(a);
    if (relative.n) url = pb_str_c(pb_arena_printf(a, "http://169.254.170.2%.*s", PB_FMT(relative)));
    if (!url.n)
        return pb_fail(
            err, PBAY_UNAUTHENTICATED,
            "no AWS credentials: neither AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY nor a container's "
            "endpoint in the environment");
    const pbay_header header = {PB_STR("authorization"), token};
    const struct pb_fetch_request q = {.flags = PB_FETCH_CONFIGURED | PB_FETCH_METADATA,
                                       .method = PB_STR("GET"),
                                       .url = url,
                                       .headers = &header,
                                       .n_headers = token.n ? 1 : 0,
                                       .timeout_ms = 10000};
    struct rec_reply reply;
    if (rec_fetch(f, &q, &reply, err)) return pb_fail_in(err, "the container's credentials");
    pbay_str json = pb_str_c(pb_arena_printf(a, "%.*s", PB_FMT(pb_buf_view(&reply.body))));
    int32_t status = reply.status;
    rec_reply_free(&reply);
    *keys = (pbay_aws_keys){member(json, "AccessKeyId", a), member(json, "SecretAccessKey", a),
                            member(json, "Token", a)};
    if (status != 200 || !keys->id.n || !keys->secret.n)
        return pb_fail(err, PBAY_UNAUTHENTICATED,
                       "the container's endpoint for credentials answered %d without keys", status);
    return 0;
}

static int credentials(struct rec_fetcher *f, struct pb_arena *a, pbay_aws_keys *keys, struct pb_err *err)
{
    *keys = (pbay_aws_keys){env("AWS_ACCESS_KEY_ID"), env("AWS_SECRET_ACCESS_KEY"), env("AWS_SESSION_TOKEN")};
    if (keys->id.n && keys->secret.n) return 0;
    return ask_container(f, a, keys, err);
}

/* A region goes into a host name. */
static bool is_region(const char *region)
{
    size_t n = strlen(region);
    return n >= 6 && n <= 32 && strspn(region, "abcdefghijklmnopqrstuvwxyz0123456789-") == n;
}

static const char *endpoint(const char *region, struct pb_arena *a)
{
    static const char *const names[] = {"AWS_ENDPOINT_URL_SSM", "AWS_ENDPOINT_URL"};
    for (size_t i = 0; i < PB_COUNTOF(names); i++)
        if (env(names[i]).n) return getenv(names[i]);
    return pb_arena_printf(a, "https://ssm.%s.amazonaws.com%s", region,
                           strncmp(region, "cn-", 3) ? "" : ".cn");
}

static int get(struct rec_fetcher *f, const char *region, const char *name, struct pb_arena *a,
               const pbay_aws_keys *keys, struct rec_reply *reply, struct pb_err *err)
{
    struct pb_buf body = {0};
    struct pb_http_url url;
    const char *base = endpoint(region, a), *why = "";
    pbay_sigv4_signed out;
    if (pb_http_url_parse(pb_str_c(base), &url, err)) return -1;
    pb_buf_c(&body, "{\"Name\":");
    pb_buf_json(&body, pb_str_c(name));
    pb_buf_c(&body, ",\"WithDecryption\":true}");
    pbay_header headers[2 + PBAY_SIGV4_HEADERS] = {
        {PB_STR("content-type"), PB_STR("application/x-amz-json-1.1")},
        {PB_STR("x-amz-target"), PB_STR("AmazonSSM.GetParameter")}};
    const pbay_sigv4_request s = {.method = PB_STR("POST"),
                                  .host = url.authority,
                                  .path = PB_STR("/"),
                                  .headers = headers,
                                  .n_headers = 2,
                                  .body = pb_buf_view(&body)};
    pbay_sigv4 *signer = pbay_sigv4_new(&rec_crypto);
    int rc = -1;
    if (!signer ||
        pbay_sigv4_sign(signer, keys, pb_str_c(region), PB_STR("ssm"), pb_now_ms(), &s, &out, &why))
        pb_fail(err, PBAY_INTERNAL, "the request to SSM cannot be signed: %s", why);
    else {
        memcpy(headers + 2, out.headers, out.n_headers * sizeof *headers);
        const struct pb_fetch_request q = {.flags = PB_FETCH_CONFIGURED,
                                           .method = s.method,
                                           .url = pb_str_c(pb_arena_printf(a, "%s/", base)),
                                           .headers = headers,
                                           .n_headers = 2 + out.n_headers,
                                           .body = s.body,
                                           .timeout_ms = 30000};
        rc = rec_fetch(f, &q, reply, err);
    }
    pbay_sigv4_free(signer);
    pb_buf_free(&body);
    return rc;
}

/* {"Parameter":{"Value":"..."}}, or {"__type":"...","message":"..."}. */
static int take(const struct rec_reply *reply, const char *name, struct pb_arena *a, struct pb_buf *out,
                struct pb_err *err)
{
    struct pb_json_object o = {0};
    struct pb_err ignored;
    pbay_str json = pb_buf_view(&reply->body), value, none = {0};
    if (reply->status == 200 && !pb_json_object(json, 64, 16, a, &o, &ignored)) {
        value = member(pb_json_get(&o, "Parameter"), "Value", a);
        if (value.n) {
            pb_buf_str(out, value);
            return 0;
        }
    }
    pbay_str code = pbay_aws_error_code(none, member(json, "__type", a), none),
             said = member(json, "message", a);
    if (!said.n) said = member(json, "Message", a);
    return pb_fail(err, PBAY_FAILED_PRECONDITION, "the SSM parameter \"%s\" cannot be read: %d %.*s %.*s",
                   name, reply->status, PB_FMT(code), PB_FMT(said));
}

int rec_parameter_get(struct rec_fetcher *f, const char *region, const char *name, struct pb_buf *out,
                      struct pb_err *err)
{
    struct pb_arena a = {0};
    pbay_aws_keys keys;
    struct rec_reply reply = {0};
    int rc = 0;
    if (!region || !is_region(region))
        rc = pb_fail(err, PBAY_INVALID_ARGUMENT,
                     "region is \"%s\"; expected one such as us-east-1, for the SSM parameter %s",
                     region ? region : "", name);
    if (!rc) rc = credentials(f, &a, &keys, err);
    /* A few tries: training would be for nothing if one answer was lost. */
    for (int attempt = 1; !rc; attempt++) {
        rc = get(f, region, name, &a, &keys, &reply, err);
        bool again = rc || reply.status >= 500 || reply.status == 429;
        if (!again || attempt == 4) break;
        rec_reply_free(&reply);
        rec_sleep_ms(INT64_C(250) << attempt);
        rc = 0;
    }
    if (!rc) rc = take(&reply, name, &a, out, err);
    rec_reply_free(&reply);
    pb_arena_free(&a);
    return rc;
}
