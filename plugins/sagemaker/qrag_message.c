/* SPDX-License-Identifier: MIT */
#include "qrag_message.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void add(struct text *t, const char *s)
{
    text_add(t, s, strlen(s));
}

/* ------------------------------------------------------------------------------------------------ Python's
 */

/* The shortest decimal that is v again; exponents from 16 on and below -4, as float.__repr__ has them. */
size_t py_float(double v, char out[PY_FLOAT_MAX])
{
    if (isnan(v)) return (size_t)snprintf(out, PY_FLOAT_MAX, "nan");
    if (isinf(v)) return (size_t)snprintf(out, PY_FLOAT_MAX, v < 0 ? "-inf" : "inf");
    char e[PY_FLOAT_MAX];
    for (int digits = 0; digits <= 16; digits++) {
        snprintf(e, sizeof e, "%.*e", digits, v);
        if (strtod(e, NULL) == v) break;
    }
    const char *exponent = strchr(e, 'e');
    int at = atoi(exponent + 1);
    if (at < -4 || at >= 16)
        return (size_t)snprintf(out, PY_FLOAT_MAX, "%s", e); /* also two digits at least */
    int decimals = (int)(exponent - e) - (e[0] == '-') - 2;  /* behind the point of d.ddd */
    if (decimals < 0) decimals = 0;
    decimals -= at;
    return (size_t)snprintf(out, PY_FLOAT_MAX, "%.*f", decimals > 1 ? decimals : 1, v);
}

static void put_unit(struct text *t, unsigned u)
{
    char six[8];
    text_add(t, six, (size_t)snprintf(six, sizeof six, "\\u%04x", u));
}

/* One character of valid UTF-8; returns its length. */
static size_t character(const unsigned char *p, size_t n, unsigned *c)
{
    size_t len = p[0] < 0x80 ? 1 : p[0] < 0xe0 ? 2 : p[0] < 0xf0 ? 3 : 4;
    if (len > n) len = n;
    *c = len == 1 ? p[0] : p[0] & (0x3fu >> (len - 1));
    for (size_t i = 1; i < len; i++) *c = *c << 6 | (p[i] & 0x3fu);
    return len;
}

void py_json_text(struct text *out, pbay_str s)
{
    static const char plain[] = "\"\\\n\r\t\b\f", escaped[] = "\"\\nrtbf";
    add(out, "\"");
    for (size_t i = 0; i < s.n;) {
        unsigned c;
        size_t len = character((const unsigned char *)s.p + i, s.n - i, &c);
        const char *at = c && c < 0x80 ? strchr(plain, (int)c) : NULL;
        if (at) {
            const char two[2] = {'\\', escaped[at - plain]};
            text_add(out, two, 2);
        } else if (c >= 0x20 && c < 0x7f)
            text_add(out, s.p + i, 1);
        else if (c > 0xffff) {
            put_unit(out, 0xd800 + ((c - 0x10000) >> 10));
            put_unit(out, 0xdc00 + ((c - 0x10000) & 0x3ff));
        } else
            put_unit(out, c);
        i += len;
    }
    add(out, "\"");
}

/* ------------------------------------------------------------------------------------------------ questions
 */

/* As in qrag_body.c: what must be escaped is, and nothing else. */
static void put_plain(struct text *t, pbay_str s)
{
    static const char plain[] = "\"\\\n\r\t\b\f", escaped[] = "\"\\nrtbf";
    for (size_t i = 0; i < s.n; i++) {
        unsigned char c = (unsigned char)s.p[i];
        const char *at = c ? strchr(plain, c) : NULL;
        if (at) {
            const char two[2] = {'\\', escaped[at - plain]};
            text_add(t, two, 2);
        } else if (c < 0x20 || c == 0x7f)
            put_unit(t, c);
        else
            text_add(t, s.p + i, 1);
    }
}

void qrag_ws_single(struct text *out, pbay_str route, pbay_str value)
{
    out->n = 0;
    add(out, "{\"action\":\"");
    put_plain(out, route);
    add(out, "\",\"data\":\"");
    put_plain(out, value);
    add(out, "\"}");
}

void qrag_ws_batch_begin(struct text *out, pbay_str route)
{
    out->n = 0;
    add(out, "{\"action\": ");
    py_json_text(out, route);
    add(out, ", \"data\": [");
}

void qrag_ws_batch_open(struct text *out, int first_row)
{
    add(out, first_row ? "{\"duals\": [" : ", {\"duals\": [");
}

static void put_num(struct text *t, double v)
{
    char number[PY_FLOAT_MAX];
    add(t, "\"numData\": ");
    if (isnan(v))
        add(t, "\"NaN\"");
    else if (isinf(v))
        add(t, v < 0 ? "\"-Infinity\"" : "\"Infinity\"");
    else
        text_add(t, number, py_float(v, number));
}

/* 0.0 is the default, which protobuf leaves out; -0.0 is not. */
static int is_default(double v)
{
    return v == 0 && !signbit(v);
}

void qrag_ws_batch_dual(struct text *out, int first_cell, double v, pbay_str s)
{
    add(out, first_cell ? "{" : ", {");
    if (!is_default(v)) put_num(out, v);
    if (s.n) {
        add(out, is_default(v) ? "\"strData\": " : ", \"strData\": ");
        py_json_text(out, s);
    }
    add(out, "}");
}

void qrag_ws_batch_num(struct text *out, int first_cell, double v)
{
    qrag_ws_batch_dual(out, first_cell, v, (pbay_str){NULL, 0});
}

void qrag_ws_batch_str(struct text *out, int first_cell, pbay_str v)
{
    qrag_ws_batch_dual(out, first_cell, 0, v);
}

void qrag_ws_batch_close(struct text *out)
{
    add(out, "]}");
}

void qrag_ws_batch_end(struct text *out)
{
    add(out, "]}");
}

/* ------------------------------------------------------------------------------------------------ answers */

static int no_answer(struct text *out, const char *why, pbay_str shown)
{
    out->n = 0;
    add(out, why);
    size_t n = shown.n < 200 ? shown.n : 200;
    while (n && n < shown.n && ((unsigned char)shown.p[n] & 0xc0) == 0x80) n--;
    text_add(out, shown.p, n);
    return -1;
}

int py_str(const json_t *v, struct text *out)
{
    char number[PY_FLOAT_MAX];
    if (json_is_null(v)) return 1;
    if (json_is_string(v))
        text_add(out, json_string_value(v), json_string_length(v));
    else if (json_is_boolean(v))
        add(out, json_is_true(v) ? "True" : "False");
    else if (json_is_real(v))
        text_add(out, number, py_float(json_real_value(v), number));
    else {
        char *s = json_dumps(v, JSON_ENCODE_ANY);
        if (!s) abort();
        add(out, s);
        free(s);
    }
    return 0;
}

int qrag_ws_reply(pbay_str message, pbay_str keys, struct text *out)
{
    out->n = 0;
    json_t *v = json_loadb(message.n ? message.p : "", message.n, JSON_ALLOW_NUL, NULL);
    if (!json_is_object(v)) {
        json_decref(v);
        return no_answer(out, "what came back is no JSON object: ", message);
    }
    int rc = -2;
    while (keys.n && rc == -2) {
        const char *comma = memchr(keys.p, ',', keys.n);
        pbay_str key = {keys.p, comma ? (size_t)(comma - keys.p) : keys.n};
        keys.p += key.n + (comma != NULL);
        keys.n -= key.n + (comma != NULL);
        while (key.n && key.p[0] == ' ') key.p++, key.n--;
        while (key.n && key.p[key.n - 1] == ' ') key.n--;
        const json_t *found = json_object_getn(v, key.p, key.n);
        if (found) rc = py_str(found, out);
    }
    if (rc == -2) {
        const json_t *said = json_object_get(v, "message");
        rc = json_is_string(said)
                 ? no_answer(out, "", (pbay_str){json_string_value(said), json_string_length(said)})
                 : no_answer(out, "what came back holds no result: ", message);
    }
    json_decref(v);
    return rc;
}
