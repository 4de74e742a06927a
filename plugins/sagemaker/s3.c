/* SPDX-License-Identifier: MIT */
#include "s3.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "http_error.h"
#include "kit/percent.h"
#include "kit/xml.h"
#include "text.h"

enum { MAX_PARTS = 10000, ETAG = 160, WHO = 160, HEADERS = 12 };

int s3_bucket_valid(pbay_str b)
{
    for (size_t i = 0; i < b.n; i++) {
        char c = b.p[i];
        int alnum = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
        if (!alnum && !((c == '-' || c == '.') && i && i + 1 < b.n && b.p[i - 1] != '.')) return 0;
    }
    return b.n >= 3 && b.n <= S3_BUCKET;
}

int s3_uri(pbay_str uri, pbay_str *bucket, pbay_str *key)
{
    if (uri.n < 6 || memcmp(uri.p, "s3://", 5) != 0) return -1;
    const char *from = uri.p + 5, *slash = memchr(from, '/', uri.n - 5);
    *bucket = (pbay_str){from, slash ? (size_t)(slash - from) : uri.n - 5};
    *key = slash ? (pbay_str){slash + 1, uri.n - 5 - bucket->n - 1} : (pbay_str){NULL, 0};
    return s3_bucket_valid(*bucket) && key->n <= S3_KEY ? 0 : -1;
}

void s3_address(const struct aws *a, pbay_str bucket, pbay_str key, char *room, struct aws_request *r)
{
    size_t n = 0;
    r->service = AWS_S3;
    if (aws_is_own(a, AWS_S3) && !memchr(bucket.p, '.', bucket.n)) {
        r->host_label = bucket;
    } else {
        room[n++] = '/';
        memcpy(room + n, bucket.p, bucket.n);
        n += bucket.n;
    }
    room[n++] = '/';
    n += pbay_percent_encode_path(key, room + n);
    r->path = (pbay_str){room, n};
}

/* ------------------------------------------------------------------------------------------------ uploads */

struct part {
    struct s3_upload *u;
    struct aws_call *call;
    struct part *next; /* under way */
    uint32_t number;
    char *body;
    size_t n;
};

struct s3_upload {
    struct aws *a;
    struct text keep; /* bucket, key, header texts */
    pbay_str bucket, key;
    pbay_header headers[HEADERS];
    uint32_t n_headers;
    int64_t deadline_ns;
    s3_upload_done *done;
    void (*room)(void *user);
    void *user;
    struct text buffer;    /* not yet a part */
    struct aws_call *call; /* create, put, complete, abort */
    struct part *parts;    /* under way */
    uint32_t n_flying, n_parts;
    char (*etags)[ETAG];
    char id[1100]; /* of the multipart upload, percent-encoded; empty: there is none */
    char who[WHO];
    int finished, completing, waiting, over, creating;
    pbay_result result; /* the failure, texts in why */
    char why[1024], etag[ETAG];
    char *body; /* of `call` */
};

static void advance(struct s3_upload *u);

static void end(struct s3_upload *u)
{
    u->done(u->user, &u->result, pbay_str_c(u->etag));
    free(u->keep.p);
    free(u->buffer.p);
    free(u->etags);
    free(u->body);
    free(u);
}

static void fail(struct s3_upload *u, const pbay_result *r)
{
    if (u->over) return;
    u->over = 1;
    u->result = *r;
    u->result.vendor_code = (pbay_str){NULL, 0};
    snprintf(u->why, sizeof u->why, "%.*s", (int)(r->message.n < 1000 ? r->message.n : 1000),
             r->message.n ? r->message.p : "");
    u->result.message = pbay_str_c(u->why);
    for (struct part *p = u->parts; p; p = p->next) aws_call_cancel(p->call);
}

static struct aws_call *call(struct s3_upload *u, const char *method, pbay_str query,
                             const pbay_header *headers, uint32_t n, pbay_str body, int64_t deadline,
                             aws_call_done *done, void *user)
{
    char room[S3_BUCKET + 3 * S3_KEY + 3];
    struct aws_request r = {.method = pbay_str_c(method),
                            .query = query,
                            .headers = headers,
                            .n_headers = n,
                            .body = body,
                            .timeout_ms = 300000,
                            .max_reply = 1 << 20};
    s3_address(u->a, u->bucket, u->key, room, &r);
    return aws_call_start(u->a, &r, 0, deadline, u->who, done, user);
}

/* ------------------------------------------------------------------------------------------------ abort */

static void aborted(void *user, const pbay_result *result, const pbay_http_reply *reply)
{
    struct s3_upload *u = user;
    (void)result; /* a lifecycle rule of the bucket takes away what cannot be taken back */
    (void)reply;
    u->call = NULL;
    end(u);
}

static void clean_up(struct s3_upload *u)
{
    char query[sizeof u->id + 16];
    if (u->n_flying || u->call) return;
    if (!u->id[0]) {
        end(u);
        return;
    }
    int n = snprintf(query, sizeof query, "uploadId=%s", u->id);
    u->id[0] = 0;
    /* It has a time of its own: the caller's may be over. */
    u->call = call(u, "DELETE", (pbay_str){query, (size_t)n}, NULL, 0, (pbay_str){NULL, 0},
                   u->a->t.timer->monotonic_ns() + 10000000000, aborted, u);
}

/* ------------------------------------------------------------------------------------------------ steps */

static void keep_etag(char to[ETAG], pbay_str etag)
{
    snprintf(to, ETAG, "%.*s", (int)(etag.n < ETAG ? etag.n : ETAG - 1), etag.n ? etag.p : "");
}

static void put_done(void *user, const pbay_result *result, const pbay_http_reply *reply)
{
    struct s3_upload *u = user;
    u->call = NULL;
    if (result->code != PBAY_OK)
        fail(u, result);
    else
        keep_etag(u->etag, http_header(reply, "etag"));
    u->over = 1;
    end(u);
}

static void completed(void *user, const pbay_result *result, const pbay_http_reply *reply)
{
    struct s3_upload *u = user;
    pbay_result r = *result;
    u->call = NULL;
    char text[512];
    if (r.code == PBAY_OK) {
        /* 200 with an error in it,
         * https://docs.aws.amazon.com/AmazonS3/latest/API/API_CompleteMultipartUpload.html */
        pbay_str error = pbay_xml_element(reply->body, "Error"), code = pbay_xml_element(error, "Code");
        if (error.p) {
            snprintf(text, sizeof text, "%s: %.*s", u->who, (int)(code.n < 100 ? code.n : 100),
                     code.n ? code.p : "");
            r.code = PBAY_UNAVAILABLE;
            r.advice = PBAY_ADVICE_RETRY;
            r.message = pbay_str_c(text);
        } else {
            pbay_str etag = pbay_xml_element(reply->body, "ETag");
            ptrdiff_t n = etag.n && etag.n < sizeof text ? pbay_xml_text(etag, text) : 0;
            keep_etag(u->etag, (pbay_str){text, n > 0 ? (size_t)n : 0});
            u->id[0] = 0;
            end(u);
            return;
        }
    }
    fail(u, &r);
    clean_up(u);
}

static void complete(struct s3_upload *u)
{
    struct text t = {0};
    char query[sizeof u->id + 16], one[ETAG + 96];
    u->completing = 1;
    text_add(&t, "<CompleteMultipartUpload xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">", 73);
    for (uint32_t i = 0; i < u->n_parts; i++) {
        int n = snprintf(one, sizeof one, "<Part><PartNumber>%u</PartNumber><ETag>%s</ETag></Part>", i + 1,
                         u->etags[i]);
        text_add(&t, one, (size_t)n);
    }
    text_add(&t, "</CompleteMultipartUpload>", 26);
    u->body = t.p;
    pbay_header type = {pbay_str_c("Content-Type"), pbay_str_c("application/xml")};
    int n = snprintf(query, sizeof query, "uploadId=%s", u->id);
    u->call = call(u, "POST", (pbay_str){query, (size_t)n}, &type, 1, (pbay_str){t.p, t.n}, u->deadline_ns,
                   completed, u);
}

static void part_done(void *user, const pbay_result *result, const pbay_http_reply *reply)
{
    struct part *p = user;
    struct s3_upload *u = p->u;
    for (struct part **at = &u->parts; *at; at = &(*at)->next)
        if (*at == p) {
            *at = p->next;
            break;
        }
    u->n_flying--;
    pbay_str etag = result->code == PBAY_OK ? http_header(reply, "etag") : (pbay_str){NULL, 0};
    int bad = memchr(etag.n ? etag.p : "", '<', etag.n) || memchr(etag.n ? etag.p : "", '&', etag.n);
    if (result->code != PBAY_OK) {
        fail(u, result);
    } else if (!etag.n || etag.n >= ETAG || bad) {
        pbay_result r = PBAY_RESULT_OK;
        r.code = PBAY_DATA_LOSS;
        r.message = pbay_str_c("a part of the upload was answered without an ETag");
        fail(u, &r);
    } else
        keep_etag(u->etags[p->number - 1], etag);
    free(p->body);
    free(p);
    if (u->over)
        clean_up(u);
    else
        advance(u);
}

static void send_part(struct s3_upload *u, size_t n)
{
    char query[sizeof u->id + 48];
    struct part *p = calloc(1, sizeof *p);
    if (!p || !(p->body = malloc(n ? n : 1))) abort();
    memcpy(p->body, u->buffer.p, n);
    memmove(u->buffer.p, u->buffer.p + n, u->buffer.n - n);
    u->buffer.n -= n;
    p->u = u;
    p->n = n;
    p->number = ++u->n_parts;
    u->etags = realloc(u->etags, u->n_parts * sizeof *u->etags);
    if (!u->etags) abort();
    p->next = u->parts;
    u->parts = p;
    u->n_flying++;
    int k = snprintf(query, sizeof query, "partNumber=%u&uploadId=%s", p->number, u->id);
    p->call = call(u, "PUT", (pbay_str){query, (size_t)k}, NULL, 0, (pbay_str){p->body, n}, u->deadline_ns,
                   part_done, p);
}

static void created(void *user, const pbay_result *result, const pbay_http_reply *reply)
{
    struct s3_upload *u = user;
    char text[400];
    u->call = NULL;
    u->creating = 0;
    if (result->code == PBAY_OK) {
        pbay_str id = pbay_xml_element(reply->body, "UploadId");
        ptrdiff_t n = id.n && id.n < sizeof text ? pbay_xml_text(id, text) : -1;
        if (n > 0)
            u->id[pbay_percent_encode((pbay_str){text, (size_t)n}, u->id)] = 0;
        else {
            pbay_result r = PBAY_RESULT_OK;
            r.code = PBAY_DATA_LOSS;
            r.message = pbay_str_c("the upload was begun without an UploadId");
            fail(u, &r);
        }
    } else {
        fail(u, result);
    }
    if (u->over)
        clean_up(u);
    else
        advance(u);
}

/* Whatever can be done now. */
static void advance(struct s3_upload *u)
{
    if (u->over || u->call || u->completing) return;
    if (!u->id[0] && u->finished && u->buffer.n <= S3_PART) {
        u->completing = 1;
        u->call = call(u, "PUT", (pbay_str){NULL, 0}, u->headers, u->n_headers,
                       (pbay_str){u->buffer.p, u->buffer.n}, u->deadline_ns, put_done, u);
        return;
    }
    if (!u->id[0]) {
        if (u->buffer.n < S3_PART) return;
        u->creating = 1;
        u->call = call(u, "POST", pbay_str_c("uploads="), u->headers, u->n_headers, (pbay_str){NULL, 0},
                       u->deadline_ns, created, u);
        return;
    }
    while (u->n_flying < S3_PARALLEL && u->n_parts < MAX_PARTS &&
           (u->buffer.n >= S3_PART || (u->finished && u->buffer.n)))
        send_part(u, u->buffer.n > S3_PART ? S3_PART : u->buffer.n);
    if (u->finished && !u->buffer.n && !u->n_flying) complete(u);
    if (u->waiting && u->buffer.n < (size_t)2 * S3_PART) {
        u->waiting = 0;
        if (u->room) u->room(u->user);
    }
}

/* ------------------------------------------------------------------------------------------------ outside */

struct s3_upload *s3_upload_open(struct aws *a, pbay_str bucket, pbay_str key, const pbay_header *headers,
                                 uint32_t n, int64_t deadline_ns, s3_upload_done *done,
                                 void (*room)(void *user), void *user)
{
    struct s3_upload *u = calloc(1, sizeof *u);
    if (!u || n > HEADERS) abort();
    size_t total = bucket.n + key.n + 1;
    for (uint32_t i = 0; i < n; i++) total += headers[i].name.n + headers[i].value.n;
    char *at = u->keep.p = malloc(total);
    if (!at) abort();
#define KEEP(s) (memcpy(at, (s).n ? (s).p : "", (s).n), at += (s).n, (pbay_str){at - (s).n, (s).n})
    u->bucket = KEEP(bucket);
    u->key = KEEP(key);
    for (uint32_t i = 0; i < n; i++) {
        u->headers[i].name = KEEP(headers[i].name);
        u->headers[i].value = KEEP(headers[i].value);
    }
#undef KEEP
    u->a = a;
    u->n_headers = n;
    u->deadline_ns = deadline_ns;
    u->done = done;
    u->room = room;
    u->user = user;
    u->result = (pbay_result)PBAY_RESULT_OK;
    snprintf(u->who, sizeof u->who, "s3://%.*s/%.80s", (int)u->bucket.n, u->bucket.p, "");
    size_t k = strlen(u->who), more = key.n < sizeof u->who - k - 1 ? key.n : sizeof u->who - k - 1;
    memcpy(u->who + k, key.n ? key.p : "", more);
    u->who[k + more] = 0;
    return u;
}

int32_t s3_upload_write(struct s3_upload *u, pbay_str piece)
{
    if (u->over) return PBAY_CANCELLED;
    text_add(&u->buffer, piece.p, piece.n);
    advance(u);
    if (u->over) return PBAY_CANCELLED;
    if (u->buffer.n < (size_t)2 * S3_PART) return PBAY_OK;
    u->waiting = 1;
    return PBAY_LATER;
}

void s3_upload_finish(struct s3_upload *u)
{
    u->finished = 1;
    advance(u);
}

static void cancelled(void *user)
{
    clean_up(user);
}

void s3_upload_cancel(struct s3_upload *u)
{
    pbay_result r = PBAY_RESULT_OK;
    if (u->over) return;
    r.code = PBAY_CANCELLED;
    r.message = pbay_str_c("cancelled");
    int idle = !u->n_flying && !u->call;
    fail(u, &r);
    /* Beginning an upload is seen to its end, or it could not be taken back. */
    if (u->call && !u->creating) aws_call_cancel(u->call);
    if (idle) u->a->t.timer->start(u->a->t.host, 0, 0, cancelled, u);
}
