/* SPDX-License-Identifier: MIT */
#include "headers.h"

#include <stdio.h>
#include <string.h>

static int eq(pbay_str a, const char *b)
{
    size_t n = strlen(b);
    return a.n == n && memcmp(a.p, b, n) == 0;
}

static int digit(char c)
{
    if (c >= 'A' && c <= 'Z') return c - 'A';
    if (c >= 'a' && c <= 'z') return c - 'a' + 26;
    if (c >= '0' && c <= '9') return c - '0' + 52;
    return c == '+' ? 62 : c == '/' ? 63 : -1;
}

int sf_base64_decode(pbay_str in, pbay_text *out)
{
    size_t n = in.n, was = out->n;
    while (n && in.n - n < 2 && in.p[n - 1] == '=') n--;
    if (n % 4 == 1 || (n < in.n && in.n % 4)) return -1;
    uint32_t bits = 0;
    for (size_t i = 0; i < n; i++) {
        int d = digit(in.p[i]);
        if (d < 0) {
            out->n = was;
            return -1;
        }
        bits = bits << 6 | (uint32_t)d;
        /* A whole byte is there after the second, third and fourth digit. */
        if (i % 4) {
            char c = (char)(bits >> (i % 4 == 1 ? 4 : i % 4 == 2 ? 2 : 0));
            pbay_text_add(out, (pbay_str){&c, 1});
        }
    }
    return 0;
}

/* RFC 3629, as Unicode's table 3-7 has it. */
int sf_utf8(pbay_str s)
{
    unsigned char all = 0;
    for (size_t i = 0; i < s.n; i++) all |= (unsigned char)s.p[i];
    if (all < 0x80) return 1;
    const unsigned char *p = (const unsigned char *)s.p, *end = p + s.n;
    while (p < end) {
        unsigned char c = *p++;
        if (c < 0x80) continue;
        int more = c >= 0xc2 && c <= 0xdf ? 1 : c >= 0xe0 && c <= 0xef ? 2 : c >= 0xf0 && c <= 0xf4 ? 3 : 0;
        if (!more || end - p < more) return 0;
        if ((c == 0xe0 && *p < 0xa0) || (c == 0xed && *p > 0x9f) || (c == 0xf0 && *p < 0x90) ||
            (c == 0xf4 && *p > 0x8f))
            return 0;
        for (; more; more--, p++)
            if ((*p & 0xc0) != 0x80) return 0;
    }
    return 1;
}

pbay_str sf_header(const pbay_header *headers, uint32_t n, const char *name)
{
    size_t len = strlen(name);
    for (uint32_t i = 0; i < n; i++)
        if (headers[i].name.n == len && memcmp(headers[i].name.p, name, len) == 0) return headers[i].value;
    return (pbay_str){NULL, 0};
}

enum { FIELDS = 10 };

int sf_headers_read(struct sf_headers *h, const pbay_header *headers, uint32_t n, const char **wrong)
{
    static const struct {
        const char *name, *twin;
        const char *complaint;
    } KNOWN[FIELDS] = {
        {"sf-external-function-query-batch-id", NULL, NULL},
        {"sf-external-function-current-query-id", NULL, NULL},
        {"sf-external-function-name", "sf-external-function-name-base64",
         "sf-external-function-name-base64 is not base64 of UTF-8"},
        {"sf-external-function-signature", "sf-external-function-signature-base64",
         "sf-external-function-signature-base64 is not base64 of UTF-8"},
        {"sf-external-function-return-type", "sf-external-function-return-type-base64",
         "sf-external-function-return-type-base64 is not base64 of UTF-8"},
        {"sf-context-current-user", "sf-context-current-user-base64",
         "sf-context-current-user-base64 is not base64 of UTF-8"},
        {"sf-context-current-account", "sf-context-current-account-base64",
         "sf-context-current-account-base64 is not base64 of UTF-8"},
        {"sf-context-current-role", "sf-context-current-role-base64",
         "sf-context-current-role-base64 is not base64 of UTF-8"},
        {"sf-external-function-format", NULL, NULL},
        {"sf-external-function-format-version", NULL, NULL},
    };
    *h = (struct sf_headers){0};
    pbay_str *fields[FIELDS] = {&h->batch_id, &h->query_id, &h->name, &h->signature, &h->return_type,
                                &h->user,     &h->account,  &h->role, &h->format,    &h->version};
    size_t from[FIELDS], len[FIELDS];
    uint32_t first = 0; /* the proxies' own headers come before, and are many */
    while (first < n && (headers[first].name.n < 3 || memcmp(headers[first].name.p, "sf-", 3) != 0)) first++;
    if (first == n) return 0;
    headers += first;
    n -= first;
    for (uint32_t k = 0; k < FIELDS; k++) {
        from[k] = SIZE_MAX;
        *fields[k] = sf_header(headers, n, KNOWN[k].name);
        pbay_str twin = KNOWN[k].twin ? sf_header(headers, n, KNOWN[k].twin) : (pbay_str){NULL, 0};
        if (!twin.n) {
            if (sf_utf8(*fields[k])) continue;
            *fields[k] = (pbay_str){NULL, 0};
            *wrong = "a header of Snowflake's is not UTF-8, and has no twin in base64";
            return -1;
        }
        from[k] = h->mem.n;
        if (sf_base64_decode(twin, &h->mem) || !sf_utf8((pbay_str){h->mem.p + from[k], h->mem.n - from[k]})) {
            *wrong = KNOWN[k].complaint;
            return -1;
        }
        len[k] = h->mem.n - from[k];
    }
    /* The text does not move any more. */
    for (uint32_t k = 0; k < FIELDS; k++)
        if (from[k] != SIZE_MAX) *fields[k] = (pbay_str){h->mem.p + from[k], len[k]};
    if (h->format.n && !eq(h->format, "json")) {
        *wrong = "sf-external-function-format is not json, and nothing else is known";
        return -1;
    }
    if (h->version.n && (h->version.p[0] != '1' || (h->version.n > 1 && h->version.p[1] != '.'))) {
        *wrong = "sf-external-function-format-version is not 1.0, and nothing else is known";
        return -1;
    }
    return 0;
}

void sf_headers_free(struct sf_headers *h)
{
    pbay_text_free(&h->mem);
}
