/* SPDX-License-Identifier: MIT */
/*
 * Objects of S3 as actions: get_object, head_object, put_object. All may be repeated: the same again does no
 * harm.
 *
 * https://docs.aws.amazon.com/AmazonS3/latest/API/API_GetObject.html, API_HeadObject, API_PutObject
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "actions.h"
#include "aws_shape.h"
#include "base64.h"
#include "http_error.h"
#include "kit/percent.h"
#include "s3.h"

enum { BODY_MAX = 32 << 20, HEADERS = 10, WHO = 160 };

static const char GET[] = "{Bucket!:s63 Key!:s1024 VersionId:s1024 Range:s100 IfNoneMatch:s256}";
static const char HEAD[] = "{Bucket!:s63 Key!:s1024 VersionId:s1024}";
static const char PUT[] =
    "{Bucket!:s63 Key!:s1024 Body:s BodyBase64:s ContentType:s256 ContentEncoding:s256 "
    "CacheControl:s256 ServerSideEncryption:(AES256|aws:kms|aws:kms:dsse) SSEKMSKeyId:s2048 "
    "Metadata:m}";

struct object {
    struct running r;
    json_t *args;
    struct aws_call *call;
    struct s3_upload *upload;
    char room[S3_BUCKET + 3 * S3_KEY + 3];
    int head;
};

static pbay_str text(const json_t *args, const char *name)
{
    const json_t *v = json_object_get(args, name);
    return json_is_string(v) ? (pbay_str){json_string_value(v), json_string_length(v)} : (pbay_str){NULL, 0};
}

static void drop(struct object *o)
{
    running_remove(&o->r);
    json_decref(o->args);
    free(o);
}

static void end_failed(struct object *o, const pbay_result *result)
{
    pbay_result r = *result;
    r.effect = PBAY_EFFECT_NONE; /* the same again does no harm */
    o->r.sm->action->failed(o->r.run, &r);
    drop(o);
}

static void cancel(struct running *r)
{
    struct object *o = (struct object *)r;
    if (o->call) aws_call_cancel(o->call);
    if (o->upload) s3_upload_cancel(o->upload);
}

static struct object *begin(struct sagemaker *sm, const char *shape, pbay_action_run run,
                            const pbay_action_info *info, pbay_result *why)
{
    char wrong[SHAPE_WHY];
    json_t *args = action_arguments(sm, info, why);
    if (!args) return NULL;
    if (aws_shape_check(shape, args, wrong) == 0 && !s3_bucket_valid(text(args, "Bucket")))
        snprintf(wrong, sizeof wrong, "Bucket is not the name of one: 3 to 63 of a-z, 0-9, - and .");
    if (!wrong[0] && !text(args, "Key").n) snprintf(wrong, sizeof wrong, "Key is empty");
    if (wrong[0]) {
        sagemaker_refuse(sm, why, PBAY_INVALID_ARGUMENT, "%s", wrong);
        json_decref(args);
        return NULL;
    }
    struct object *o = calloc(1, sizeof *o);
    if (!o) abort();
    o->args = args;
    running_add(&o->r, sm, run, cancel);
    return o;
}

/* ------------------------------------------------------------------------------------------------ get */

static void add(json_t *v, const char *name, pbay_str s)
{
    if (!s.n) return;
    json_t *t = json_stringn(s.p, s.n);
    if (t) json_object_set_new(v, name, t);
}

static json_int_t number(pbay_str s)
{
    json_int_t v = 0;
    for (size_t i = 0; i < s.n && i < 15 && s.p[i] >= '0' && s.p[i] <= '9'; i++) v = v * 10 + (s.p[i] - '0');
    return v;
}

static json_t *described(const pbay_http_reply *reply)
{
    json_t *v = json_object(), *meta = json_object();
    pbay_str length = http_header(reply, "content-length");
    add(v, "ContentType", http_header(reply, "content-type"));
    add(v, "ETag", http_header(reply, "etag"));
    add(v, "LastModified", http_header(reply, "last-modified"));
    add(v, "VersionId", http_header(reply, "x-amz-version-id"));
    json_object_set_new(v, "ContentLength", json_integer(number(length)));
    for (uint32_t i = 0; i < reply->n_headers; i++) {
        pbay_str n = reply->headers[i].name;
        char name[128];
        if (n.n <= 11 || n.n - 11 >= sizeof name || memcmp(n.p, "x-amz-meta-", 11) != 0) continue;
        snprintf(name, sizeof name, "%.*s", (int)n.n - 11, n.p + 11);
        add(meta, name, reply->headers[i].value);
    }
    json_object_set_new(v, "Metadata", meta);
    return v;
}

static void got(void *user, const pbay_result *result, const pbay_http_reply *reply)
{
    struct object *o = user;
    o->call = NULL;
    if (result->code != PBAY_OK) {
        pbay_result r = *result;
        if (reply && reply->status == 404) r.code = PBAY_NOT_FOUND; /* HEAD has no body to say so */
        end_failed(o, &r);
        return;
    }
    json_t *v = described(reply);
    if (!o->head && reply->status != 304) {
        json_t *body = json_stringn(reply->body.n ? reply->body.p : "", reply->body.n);
        if (body) {
            json_object_set_new(v, "Body", body);
        } else { /* not UTF-8 */
            char *b = malloc(BASE64_ROOM(reply->body.n) + 1);
            if (!b) abort();
            json_object_set_new(v, "BodyBase64", json_stringn(b, base64_encode(reply->body, b)));
            free(b);
        }
        json_object_set_new(v, "ContentLength", json_integer((json_int_t)reply->body.n));
    }
    if (reply->status == 304) json_object_set_new(v, "NotModified", json_true());
    action_done(&o->r, v);
    drop(o);
}

static void query_version(const json_t *args, char *out, size_t room, pbay_str *query)
{
    pbay_str v = text(args, "VersionId");
    if (!v.n || 3 * v.n + 16 > room) return;
    int n = snprintf(out, room, "versionId=");
    *query = (pbay_str){out, (size_t)n + pbay_percent_encode(v, out + n)};
}

static int32_t ask(struct sagemaker *sm, const struct action *a, pbay_action_run run,
                   const pbay_action_info *info, pbay_result *why)
{
    int head = a->spec == HEAD;
    char query[3 * 1024 + 16], who[WHO];
    struct object *o = begin(sm, a->spec, run, info, why);
    if (!o) return why->code;
    o->head = head;
    pbay_header headers[2];
    struct aws_request r = {
        .method = head ? STR("HEAD") : STR("GET"), .headers = headers, .max_reply = BODY_MAX};
    pbay_str range = text(o->args, "Range"), none = text(o->args, "IfNoneMatch");
    if (range.n) headers[r.n_headers++] = (pbay_header){STR("Range"), range};
    if (none.n) headers[r.n_headers++] = (pbay_header){STR("If-None-Match"), none};
    s3_address(&sm->aws, text(o->args, "Bucket"), text(o->args, "Key"), o->room, &r);
    query_version(o->args, query, sizeof query, &r.query);
    snprintf(who, sizeof who, "s3://%s/%.80s", json_string_value(json_object_get(o->args, "Bucket")),
             json_string_value(json_object_get(o->args, "Key")));
    o->call = aws_call_start(&sm->aws, &r, 0, info->deadline ? info->deadline : INT64_MAX, who, got, o);
    return PBAY_OK;
}

/* ------------------------------------------------------------------------------------------------ put */

static void put_done(void *user, const pbay_result *result, pbay_str etag)
{
    struct object *o = user;
    o->upload = NULL;
    if (result->code != PBAY_OK) {
        end_failed(o, result);
        return;
    }
    json_t *v = json_object();
    add(v, "ETag", etag);
    action_done(&o->r, v);
    drop(o);
}

static int32_t put(struct sagemaker *sm, const struct action *a, pbay_action_run run,
                   const pbay_action_info *info, pbay_result *why)
{
    static const struct {
        const char *member, *header;
    } NAMES[] = {
        {"ContentType", "Content-Type"},
        {"ContentEncoding", "Content-Encoding"},
        {"CacheControl", "Cache-Control"},
        {"ServerSideEncryption", "x-amz-server-side-encryption"},
        {"SSEKMSKeyId", "x-amz-server-side-encryption-aws-kms-key-id"},
    };
    struct object *o = begin(sm, a->spec, run, info, why);
    if (!o) return why->code;
    pbay_header headers[HEADERS];
    char names[HEADERS][160];
    uint32_t n = 0;
    const char *wrong = NULL, *key;
    json_t *v, *meta = json_object_get(o->args, "Metadata");
    for (size_t i = 0; i < sizeof NAMES / sizeof *NAMES; i++) {
        pbay_str s = text(o->args, NAMES[i].member);
        if (s.n) headers[n++] = (pbay_header){{NAMES[i].header, strlen(NAMES[i].header)}, s};
    }
    json_object_foreach(meta, key, v)
    {
        if (n == HEADERS || strlen(key) > 128) wrong = "Metadata has more than a few short names";
        if (wrong) break;
        int k = snprintf(names[n], sizeof names[n], "x-amz-meta-%s", key);
        headers[n] = (pbay_header){{names[n], (size_t)k}, {json_string_value(v), json_string_length(v)}};
        n++;
    }
    pbay_str body = text(o->args, "Body"), coded = text(o->args, "BodyBase64");
    char *decoded = NULL;
    if (json_object_get(o->args, "Body") && json_object_get(o->args, "BodyBase64"))
        wrong = "Body and BodyBase64 are given: one is enough";
    if (!wrong && coded.n) {
        decoded = malloc(coded.n);
        if (!decoded) abort();
        ptrdiff_t k = base64_decode(coded, decoded);
        if (k < 0) wrong = "BodyBase64 is not base64";
        body = (pbay_str){decoded, k < 0 ? 0 : (size_t)k};
    }
    if (wrong) {
        sagemaker_refuse(sm, why, PBAY_INVALID_ARGUMENT, "%s", wrong);
        free(decoded);
        drop(o);
        return why->code;
    }
    o->upload = s3_upload_open(&sm->aws, text(o->args, "Bucket"), text(o->args, "Key"), headers, n,
                               info->deadline ? info->deadline : INT64_MAX, put_done, NULL, o);
    s3_upload_write(o->upload, body);
    s3_upload_finish(o->upload);
    free(decoded);
    return PBAY_OK;
}

#define OBJECT(id, shape, how, text)                                                                         \
    {                                                                                                        \
        {id, text, PBAY_REPEAT_SAFE, PBAY_ACTF_MORE, {NULL, 0, sizeof(pbay_option)}}, shape, how, NULL, NULL \
    }

const struct action object_actions[] = {
    OBJECT("get_object", GET, ask, "S3 GetObject, up to 32 MiB: Body, or BodyBase64 when it is not UTF-8."),
    OBJECT("head_object", HEAD, ask, "S3 HeadObject."),
    OBJECT("put_object", PUT, put, "S3 PutObject of Body or BodyBase64, as a multipart upload above 8 MiB."),
};
const uint32_t object_n_actions = sizeof object_actions / sizeof *object_actions;
