/* SPDX-License-Identifier: MIT */
/* Row bundles for the load client; see rows.h. */
#include "rows.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static char g_four[10000][4]; /* "0000" to "9999" */

static void four_init(void)
{
    if (g_four[9999][0] == '9') return;
    for (unsigned i = 0; i < 10000; i++) {
        g_four[i][0] = (char)('0' + i / 1000);
        g_four[i][1] = (char)('0' + i / 100 % 10);
        g_four[i][2] = (char)('0' + i / 10 % 10);
        g_four[i][3] = (char)('0' + i % 10);
    }
}

static inline void patch_value(enum rows_kind kind, uint8_t *at, uint64_t i)
{
    if (kind == ROWS_STRING) {
        uint32_t v = (uint32_t)(i % 100000000u);
        memcpy(at, g_four[v / 10000], 4);
        memcpy(at + 4, g_four[v % 10000], 4);
    } else {
        double d = (double)i + 1.0;
        memcpy(at, &d, 8);
    }
}

static size_t put_varint(uint8_t *out, uint64_t v)
{
    size_t n = 0;
    while (v >= 0x80) {
        out[n++] = (uint8_t)(v | 0x80);
        v >>= 7;
    }
    out[n++] = (uint8_t)v;
    return n;
}

static const uint8_t *get_varint(const uint8_t *p, const uint8_t *end, uint64_t *v)
{
    *v = 0;
    for (unsigned shift = 0; p < end && shift < 64; shift += 7) {
        *v |= (uint64_t)(*p & 0x7f) << shift;
        if (!(*p++ & 0x80)) return p;
    }
    return NULL;
}

bool rows_spec_parse(const char *text, struct rows_spec *out)
{
    static const struct {
        const char *name;
        enum rows_kind kind;
        enum rows_expect expect;
    } kinds[] = {{"echo", ROWS_STRING, ROWS_ECHO},
                 {"suffix", ROWS_STRING, ROWS_SUFFIX},
                 {"sum", ROWS_NUMERIC, ROWS_SUM},
                 {"count", ROWS_STRING, ROWS_COUNT},
                 {"numcount", ROWS_NUMERIC, ROWS_COUNT}};
    char what[16] = "", suffix[16] = "!";
    int id = 0;
    unsigned columns = 0;
    int got = sscanf(text, "%d:%15[a-z]:%u:%15s", &id, what, &columns, suffix);
    if (got < 2) return false;
    for (size_t k = 0; k < sizeof kinds / sizeof kinds[0]; k++) {
        if (strcmp(what, kinds[k].name) != 0) continue;
        if (got < 3) columns = kinds[k].expect == ROWS_SUM ? 2 : 1;
        if (columns < 1 || columns > 32) return false;
        *out = (struct rows_spec){
            .function_id = id, .kind = kinds[k].kind, .expect = kinds[k].expect, .columns = columns};
        if (kinds[k].expect == ROWS_SUFFIX) memcpy(out->suffix, suffix, sizeof suffix);
        return true;
    }
    return false;
}

/* Wraps `len` bytes already at `at` into a length-delimited field of one-byte length or two; returns the new
 * length. */
static size_t wrap(uint8_t *at, size_t len)
{
    uint8_t head[4] = {0x0a};
    size_t n = 1 + put_varint(head + 1, len);
    memmove(at + n, at, len);
    memcpy(at, head, n);
    return n + len;
}

static size_t put_string_dual(uint8_t *at, const char *text)
{
    size_t n = strlen(text);
    at[0] = 0x12;
    at[1] = (uint8_t)n;
    memcpy(at + 2, text, n);
    return wrap(at, n + 2);
}

static size_t put_number_dual(uint8_t *at, double d)
{
    at[0] = 0x09;
    memcpy(at + 1, &d, 8);
    return wrap(at, 9);
}

void rows_form_init(struct rows_form *form, const struct rows_spec *spec)
{
    four_init();
    *form = (struct rows_form){.spec = *spec};
    bool text = spec->kind == ROWS_STRING;
    size_t n = 0, first = 0;
    for (unsigned c = 0; c < spec->columns; c++) {
        char name[16];
        snprintf(name, sizeof name, "p%u", c);
        if (c == 0)
            n += first = text ? put_string_dual(form->row, "id-00000000") : put_number_dual(form->row, 1.0);
        else
            n += text ? put_string_dual(form->row + n, name) : put_number_dual(form->row + n, 0.5);
    }
    form->size = wrap(form->row, n);
    form->patch = form->size - n + first - 8;

    if (text) {
        char want[48];
        snprintf(want, sizeof want, "id-00000000%s", spec->suffix);
        n = put_string_dual(form->reply, want);
        form->reply_size = wrap(form->reply, n);
        form->reply_patch = form->reply_size - strlen(spec->suffix) - 8;
    } else {
        n = put_number_dual(form->reply, 1.0);
        form->reply_size = wrap(form->reply, n);
        form->reply_patch = form->reply_size - 8;
    }
}

size_t rows_message_size(const struct rows_form *form, size_t rows)
{
    return 5 + rows * form->size;
}

void rows_message_patch(const struct rows_form *form, uint64_t first, size_t rows, uint8_t *msg)
{
    uint8_t *at = msg + 5 + form->patch;
    for (size_t r = 0; r < rows; r++, at += form->size) patch_value(form->spec.kind, at, first + r);
}

size_t rows_message_write(const struct rows_form *form, uint64_t first, size_t rows, uint8_t *out)
{
    size_t len = rows * form->size;
    out[0] = 0;
    out[1] = (uint8_t)(len >> 24);
    out[2] = (uint8_t)(len >> 16);
    out[3] = (uint8_t)(len >> 8);
    out[4] = (uint8_t)len;
    for (size_t r = 0; r < rows; r++) memcpy(out + 5 + r * form->size, form->row, form->size);
    rows_message_patch(form, first, rows, out);
    return 5 + len;
}

/* The value of column 0 of one Row, found without assuming how the peer orders or omits fields. */
static bool row_first_value(const uint8_t *p, const uint8_t *end, double *num, const uint8_t **str,
                            size_t *str_len)
{
    uint64_t tag, len;
    *num = 0;
    *str = p;
    *str_len = 0;
    if (!(p = get_varint(p, end, &tag)) || tag != 0x0a) return false;
    if (!(p = get_varint(p, end, &len)) || len > (uint64_t)(end - p)) return false;
    end = p + len;
    while (p < end) {
        if (*p == 0x09 && end - p >= 9) {
            memcpy(num, p + 1, 8);
            p += 9;
        } else if (*p == 0x12) {
            if (!(p = get_varint(p + 1, end, &len)) || len > (uint64_t)(end - p)) return false;
            *str = p;
            *str_len = len;
            p += len;
        } else {
            return false;
        }
    }
    return true;
}

static bool row_is_right(const struct rows_form *form, uint64_t i, const uint8_t *row, size_t len, char *why,
                         size_t why_size)
{
    double num, want_num = 0;
    const uint8_t *str;
    size_t str_len;
    if (!row_first_value(row, row + len, &num, &str, &str_len)) {
        snprintf(why, why_size, "row %" PRIu64 ": not a Row with a Dual", i);
        return false;
    }
    if (form->spec.kind == ROWS_STRING) {
        char want[48];
        int n = snprintf(want, sizeof want, "id-%08u%s", (unsigned)(i % 100000000u), form->spec.suffix);
        if (str_len == (size_t)n && memcmp(str, want, str_len) == 0) return true;
        snprintf(why, why_size, "row %" PRIu64 ": wanted \"%s\", got \"%.*s\"", i, want,
                 (int)(str_len > 60 ? 60 : str_len), (const char *)str);
        return false;
    }
    want_num = (double)i + 1.0 + 0.5 * (form->spec.columns - 1);
    if (num >= want_num && num <= want_num) return true;
    snprintf(why, why_size, "row %" PRIu64 ": wanted %.17g, got %.17g", i, want_num, num);
    return false;
}

int64_t rows_reply_check(const struct rows_form *form, uint64_t first, const uint8_t *msg, size_t len,
                         char *why, size_t why_size)
{
    const uint8_t *p = msg, *end = msg + len;
    uint8_t want[64];
    uint64_t i = first;
    bool content = form->spec.expect != ROWS_COUNT;
    double extra = form->spec.kind == ROWS_NUMERIC ? 0.5 * (form->spec.columns - 1) : 0;
    memcpy(want, form->reply, form->reply_size);
    while (p < end) {
        if (content && (size_t)(end - p) >= form->reply_size) {
            if (form->spec.kind == ROWS_STRING) {
                patch_value(ROWS_STRING, want + form->reply_patch, i);
            } else {
                double d = (double)i + 1.0 + extra;
                memcpy(want + form->reply_patch, &d, 8);
            }
            if (memcmp(p, want, form->reply_size) == 0) {
                p += form->reply_size;
                i++;
                continue;
            }
        }
        uint64_t row_len;
        if (*p != 0x0a || !(p = get_varint(p + 1, end, &row_len)) || row_len > (uint64_t)(end - p)) {
            snprintf(why, why_size, "row %" PRIu64 ": not a BundledRows message", i);
            return -1;
        }
        if (content && !row_is_right(form, i, p, row_len, why, why_size)) return -1;
        p += row_len;
        i++;
    }
    return (int64_t)(i - first);
}

size_t rows_base64(const uint8_t *in, size_t len, char *out)
{
    static const char set[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    size_t n = 0;
    for (size_t i = 0; i < len; i += 3) {
        uint32_t v = (uint32_t)in[i] << 16;
        if (i + 1 < len) v |= (uint32_t)in[i + 1] << 8;
        if (i + 2 < len) v |= in[i + 2];
        out[n++] = set[v >> 18];
        out[n++] = set[v >> 12 & 63];
        if (i + 1 < len) out[n++] = set[v >> 6 & 63];
        if (i + 2 < len) out[n++] = set[v & 63];
    }
    out[n] = '\0';
    return n;
}

void rows_function_header(int32_t function_id, char *out, size_t out_size)
{
    uint8_t raw[32];
    char text[64];
    size_t n = 0;
    if (function_id != 0) {
        raw[n++] = 0x08;
        n += put_varint(raw + n, (uint64_t)(int64_t)function_id);
    }
    raw[n++] = 0x12; /* version: never empty, as the engine sends it */
    raw[n++] = 1;
    raw[n++] = '1';
    rows_base64(raw, n, text);
    snprintf(out, out_size, "%s", text);
}

void rows_common_header(const char *app, const char *user, uint64_t cardinality, char *out, size_t out_size)
{
    uint8_t raw[256];
    char text[400];
    size_t n = 0, app_len = strnlen(app, 100), user_len = strnlen(user, 100);
    raw[n++] = 0x0a;
    raw[n++] = (uint8_t)app_len;
    memcpy(raw + n, app, app_len);
    n += app_len;
    raw[n++] = 0x12;
    raw[n++] = (uint8_t)user_len;
    memcpy(raw + n, user, user_len);
    n += user_len;
    raw[n++] = 0x18;
    n += put_varint(raw + n, cardinality);
    rows_base64(raw, n, text);
    snprintf(out, out_size, "%s", text);
}
