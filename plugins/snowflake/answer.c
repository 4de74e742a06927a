/* SPDX-License-Identifier: MIT */
/*
 * What goes back over HTTP. Snowflake repeats a batch after 429 and 5xx, and ends the query on anything else
 * but 200 and 202: so what would fail again must not be 5xx, and what a minute may mend must.
 * https://docs.snowflake.com/en/sql-reference/external-functions-implementation
 */
#include "flight.h"

static const char base64[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

int32_t status_of(const pbay_result *r)
{
    switch (r->code) {
    case PBAY_OK: return 200;
    case PBAY_NOT_FOUND: return 404;
    case PBAY_UNAUTHENTICATED:
    case PBAY_PERMISSION_DENIED: return 403;
    case PBAY_RESOURCE_EXHAUSTED: return r->advice ? 429 : 413;
    case PBAY_DEADLINE_EXCEEDED: return 504;
    case PBAY_UNAVAILABLE:
    case PBAY_ABORTED:
    case PBAY_CANCELLED: return 503;
    case PBAY_ALREADY_EXISTS: return 409;
    case PBAY_UNKNOWN:
    case PBAY_INTERNAL:
    case PBAY_DATA_LOSS: return r->advice ? 503 : 422;
    default: return 400;
    }
}

void hash_hex(const struct snowflake *s, const pbay_str *parts, uint32_t n_parts, char *out, size_t n)
{
    static const char digits[] = "0123456789abcdef";
    uint8_t h[32];
    s->crypto->hash(PBAY_HASH_SHA256, parts, n_parts, h);
    for (size_t i = 0; i < n; i++) out[i] = digits[i % 2 ? h[i / 2] & 15 : h[i / 2] >> 4];
    out[n] = 0;
}

/* RFC 1864, of the body as it is sent: a compressed one has none, because nothing says which bytes are meant.
 */
static void md5_text(const struct snowflake *s, pbay_str body, char out[25])
{
    uint8_t h[18] = {0};
    s->crypto->hash(PBAY_HASH_MD5, &body, 1, h);
    for (int i = 0, at = 0; i < 18; i += 3) {
        uint32_t v = (uint32_t)h[i] << 16 | (uint32_t)h[i + 1] << 8 | h[i + 2];
        out[at++] = base64[v >> 18];
        out[at++] = base64[v >> 12 & 63];
        out[at++] = base64[v >> 6 & 63];
        out[at++] = base64[v & 63];
    }
    out[22] = out[23] = '=';
    out[24] = 0;
}

enum { WORTH_PACKING = 1024 };

void answer_as(struct snowflake *s, pbay_request request, int32_t status, pbay_str type, pbay_str body,
               int coded)
{
    char md5[25];
    pbay_header headers[4];
    uint32_t n = 0;
    pbay_str packed = {NULL, 0};
    headers[n++] = (pbay_header){STR("Content-Type"), type};
    if (coded && body.n >= WORTH_PACKING &&
        s->crypto->deflate(coded == CODED_GZIP ? PBAY_ZIP_GZIP : PBAY_ZIP_ZLIB, 1, body, &packed) ==
            PBAY_OK) {
        headers[n++] =
            (pbay_header){STR("Content-Encoding"), coded == CODED_GZIP ? STR("gzip") : STR("deflate")};
        body = packed;
    } else if (status == 200 && s->md5) {
        md5_text(s, body, md5);
        headers[n++] = (pbay_header){STR("Content-MD5"), {md5, 24}};
    }
    if (status == 429 || status == 503) headers[n++] = (pbay_header){STR("Retry-After"), STR("1")};
    s->request->respond(request, status, headers, n, body);
    if (packed.p) s->crypto->release(packed);
}

void answer(struct snowflake *s, pbay_request request, int32_t status, pbay_str body, int coded)
{
    answer_as(s, request, status, STR("application/json"), body, coded);
}

void error_text(pbay_text *t, const char *code, pbay_str message, pbay_str batch_id, pbay_str query_id)
{
    pbay_text_c(t, "{\"error\":");
    pbay_text_json(t, message);
    pbay_text_printf(t, ",\"code\":\"%s\",\"batch_id\":", code);
    pbay_text_json(t, batch_id);
    pbay_text_c(t, ",\"query_id\":");
    pbay_text_json(t, query_id);
    pbay_text_c(t, "}\n");
}

void answer_error(struct snowflake *s, pbay_request request, int32_t status, const char *code,
                  pbay_str message, pbay_str batch_id, pbay_str query_id)
{
    pbay_text t = {0};
    error_text(&t, code, message, batch_id, query_id);
    if (s->log) {
        char st[12];
        pbay_text said = {0}; /* rows are not for the log */
        pbay_text_unquoted(&said, message);
        int k = snprintf(st, sizeof st, "%d", (int)status);
        const pbay_header fields[] = {{STR("status"), {st, (size_t)k}},
                                      {STR("batch_id"), batch_id},
                                      {STR("query_id"), query_id},
                                      {STR("error"), pbay_text_view(&said)}};
        s->log->write(s->host, status >= 500 ? PBAY_LOG_WARN : PBAY_LOG_INFO, STR("batch refused"), fields,
                      4);
        pbay_text_free(&said);
    }
    /* The ids may be the request's, which ends here. */
    if (request) answer(s, request, status, pbay_text_view(&t), 0);
    pbay_text_free(&t);
}
