/* SPDX-License-Identifier: MIT */
#include "data/js_literal.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/buf.h"

enum { TEXT_MAX_BYTES = 1 << 20, DEPTH_MAX = 16, VALUES_MAX = 100000 };

struct reader {
    const char *p, *end;
    uint32_t line, values;
    struct pb_arena *mem;
    pb_js_mended_fn mended;
    void *user;
    struct pb_err *err;
    struct pb_buf scratch;
};

static int bad(struct reader *r, const char *fmt, ...) PB_PRINTF(2, 3);
static int bad(struct reader *r, const char *fmt, ...)
{
    char text[300];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    return pb_fail(r->err, PBAY_INVALID_ARGUMENT, "line %u: %s", r->line, text);
}

static void mend(struct reader *r, uint32_t line, const char *what)
{
    if (r->mended) r->mended(r->user, line, what);
}

static bool at(const struct reader *r, const char *s)
{
    size_t n = strlen(s);
    return (size_t)(r->end - r->p) >= n && memcmp(r->p, s, n) == 0;
}

/* Blanks and comments. */
static int skip(struct reader *r)
{
    while (r->p < r->end) {
        if (*r->p == '\n') {
            r->line++;
            r->p++;
        } else if (*r->p == ' ' || *r->p == '\t' || *r->p == '\r' || *r->p == '\f' || *r->p == '\v') {
            r->p++;
        } else if (at(r, "\xc2\xa0")) { /* a blank that documents are full of */
            r->p += 2;
        } else if (at(r, "\xef\xbb\xbf")) {
            r->p += 3;
        } else if (at(r, "//")) {
            while (r->p < r->end && *r->p != '\n') r->p++;
        } else if (at(r, "/*")) {
            uint32_t line = r->line;
            for (r->p += 2; !at(r, "*/"); r->p++) {
                if (r->p >= r->end) {
                    r->line = line;
                    return bad(r, "this comment does not end");
                }
                if (*r->p == '\n') r->line++;
            }
            r->p += 2;
        } else {
            return 0;
        }
    }
    return 0;
}

static bool letter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '$';
}

static pbay_str word(struct reader *r)
{
    const char *from = r->p;
    while (r->p < r->end && letter(*r->p)) r->p++;
    return pb_str(from, (size_t)(r->p - from));
}

/* ------------------------------------------------------------------------ texts */

static bool hex(const char *p, int n, uint32_t *out)
{
    *out = 0;
    for (int i = 0; i < n; i++) {
        char c = p[i];
        int v = c >= '0' && c <= '9'   ? c - '0'
                : c >= 'a' && c <= 'f' ? c - 'a' + 10
                : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                       : -1;
        if (v < 0) return false;
        *out = *out << 4 | (uint32_t)v;
    }
    return true;
}

static void utf8(struct pb_buf *b, uint32_t c)
{
    if (c >= 0xd800 && c < 0xe000) c = 0xfffd;
    if (c < 0x80) {
        pb_buf_ch(b, (char)c);
    } else if (c < 0x800) {
        pb_buf_ch(b, (char)(0xc0 | c >> 6));
        pb_buf_ch(b, (char)(0x80 | (c & 63)));
    } else {
        pb_buf_ch(b, (char)(0xe0 | c >> 12));
        pb_buf_ch(b, (char)(0x80 | (c >> 6 & 63)));
        pb_buf_ch(b, (char)(0x80 | (c & 63)));
    }
}

static int escape(struct reader *r)
{
    static const char from[] = "nrtbfv0", to[] = "\n\r\t\b\f\v";
    uint32_t code;
    if (r->p >= r->end) return bad(r, "this text does not end");
    char c = *r->p++;
    const char *known = c ? strchr(from, c) : NULL;
    if (c == 'x' || c == 'u') {
        int n = c == 'x' ? 2 : 4;
        if (r->end - r->p < n || !hex(r->p, n, &code)) return bad(r, "\\%c wants %d hex digits", c, n);
        r->p += n;
        utf8(&r->scratch, code);
    } else if (c == '\r' || c == '\n') { /* the line goes on */
        if (c == '\r' && r->p < r->end && *r->p == '\n') r->p++;
        r->line++;
    } else if (known && c != '0') {
        pb_buf_ch(&r->scratch, to[known - from]);
    } else if (c == '0') {
        return bad(r, "a text with NUL");
    } else {
        pb_buf_ch(&r->scratch, c);
    }
    return 0;
}

/* A line was broken in a text, as documents do it: it is put together, without blanks at the seam. */
static void seam(struct reader *r, uint32_t line)
{
    while (r->scratch.n && strchr(" \t\r", r->scratch.p[r->scratch.n - 1])) r->scratch.n--;
    while (r->p < r->end && strchr(" \t\r\n", *r->p)) {
        if (*r->p == '\n') r->line++;
        r->p++;
    }
    mend(r, line, "a text was broken over two lines; it is joined");
}

static int text(struct reader *r, pbay_str *out)
{
    char quote = *r->p++;
    uint32_t first = r->line;
    r->scratch.n = 0;
    for (;;) {
        if (r->p >= r->end) {
            r->line = first;
            return bad(r, "this text does not end");
        }
        char c = *r->p++;
        if (c == quote) break;
        if (c == '\\') {
            if (escape(r) != 0) return -1;
        } else if (c == 0) {
            return bad(r, "a text with NUL");
        } else if (quote == '`' && c == '$' && r->p < r->end && *r->p == '{') {
            return bad(r, "${…} is code, which is not run");
        } else if (c == '\n' && quote != '`') {
            r->line++;
            if (r->line > first + 2) {
                r->line = first;
                return bad(r, "this text does not end");
            }
            seam(r, first);
        } else {
            if (c == '\n') r->line++;
            pb_buf_ch(&r->scratch, c);
        }
    }
    *out = pb_arena_str(r->mem, pb_buf_view(&r->scratch));
    return pb_utf8_valid(*out) ? 0 : bad(r, "a text that is not UTF-8");
}

/* ------------------------------------------------------------------------ values */

static int value(struct reader *r, int depth, struct pb_js **out);

static int word_value(struct reader *r, struct pb_js *v)
{
    pbay_str w = word(r);
    v->text = pb_arena_str(r->mem, w);
    if (pb_str_is(w, "null") || pb_str_is(w, "undefined"))
        v->kind = PB_JS_NULL;
    else if (pb_str_is(w, "true") || pb_str_is(w, "false"))
        v->kind = PB_JS_BOOL;
    else
        return bad(r, "\"%.*s\" is code, which is not run; expected a text, a list or { … }",
                   (int)(w.n > 60 ? 60 : w.n), w.p);
    return 0;
}

static int number(struct reader *r, struct pb_js *v)
{
    const char *from = r->p;
    double d;
    while (r->p < r->end && (letter(*r->p) || strchr("+-.", *r->p))) r->p++;
    v->kind = PB_JS_NUMBER;
    v->text = pb_arena_str(r->mem, pb_str(from, (size_t)(r->p - from)));
    return v->text.n <= 40 && pb_parse_f64(v->text, &d) ? 0 : bad(r, "this is no number");
}

/* The name of a member and its colon. */
static int member_name(struct reader *r, pbay_str *out)
{
    if (*r->p == '\'' || *r->p == '"' || *r->p == '`') {
        if (text(r, out) != 0) return -1;
    } else {
        pbay_str w = word(r);
        if (!w.n) return bad(r, "expected the name of a member");
        *out = pb_arena_str(r->mem, w);
    }
    if (skip(r) != 0) return -1;
    if (r->p >= r->end || *r->p != ':')
        return bad(r, "\"%.*s\" is not followed by a colon", (int)(out->n > 60 ? 60 : out->n), out->p);
    r->p++;
    return skip(r);
}

static int items(struct reader *r, int depth, struct pb_js *v)
{
    char close = v->kind == PB_JS_LIST ? ']' : '}', other = v->kind == PB_JS_LIST ? '}' : ']';
    struct pb_js **tail = &v->first;
    r->p++;
    for (;;) {
        pbay_str name = {NULL, 0};
        if (skip(r) != 0) return -1;
        if (r->p >= r->end) {
            r->line = v->line;
            return bad(r, "this %s does not end", v->kind == PB_JS_LIST ? "list" : "object");
        }
        if (*r->p == close || *r->p == other) {
            if (*r->p == other)
                mend(r, r->line,
                     v->kind == PB_JS_LIST ? "a list is closed with }; it is taken as ]"
                                           : "an object is closed with ]; it is taken as }");
            r->p++;
            return 0;
        }
        if (*r->p == ',') { /* at the end, or one too many */
            r->p++;
            continue;
        }
        if (at(r, "...")) return bad(r, "... is code, which is not run");
        if (v->kind == PB_JS_OBJECT && member_name(r, &name) != 0) return -1;
        struct pb_js *item;
        if (r->p >= r->end) return bad(r, "the text ends in the middle");
        if (value(r, depth, &item) != 0) return -1;
        item->name = name;
        *tail = item;
        tail = &item->next;
        if (skip(r) != 0) return -1;
        if (r->p < r->end && *r->p != ',' && *r->p != close && *r->p != other)
            return bad(r, "expected a comma or %c", close);
    }
}

static int value(struct reader *r, int depth, struct pb_js **out)
{
    struct pb_js *v = pb_arena_zalloc(r->mem, sizeof *v);
    v->line = r->line;
    *out = v;
    if (depth > DEPTH_MAX) return bad(r, "nested more than %d levels", DEPTH_MAX);
    if (++r->values > VALUES_MAX) return bad(r, "more than %d values", VALUES_MAX);
    char c = *r->p;
    if (c == '[' || c == '{') {
        v->kind = c == '[' ? PB_JS_LIST : PB_JS_OBJECT;
        return items(r, depth + 1, v);
    }
    if (c == '\'' || c == '"' || c == '`') {
        v->kind = PB_JS_TEXT;
        return text(r, &v->text);
    }
    if ((c >= '0' && c <= '9') || c == '-' || c == '+' || c == '.') return number(r, v);
    if (letter(c)) return word_value(r, v);
    return bad(r, "\"%c\" was not expected here", c >= ' ' && c < 127 ? c : '?');
}

/* What may stand before the list: module.exports =, export default, const apps = */
static int start(struct reader *r)
{
    for (;;) {
        if (skip(r) != 0) return -1;
        if (r->p >= r->end) return bad(r, "there is no list [ … ]");
        if (*r->p == '[' || *r->p == '{') return 0;
        if (*r->p == '=' || *r->p == '.' || *r->p == ';') {
            r->p++;
            continue;
        }
        if (*r->p == '\'' || *r->p == '"') { /* 'use strict' */
            pbay_str ignored;
            if (text(r, &ignored) != 0) return -1;
            continue;
        }
        static const char *const words[] = {"module", "exports", "export", "default", "const", "let", "var"};
        pbay_str w = word(r);
        if (!w.n) return bad(r, "expected module.exports = [ … ]");
        bool known = false;
        for (size_t i = 0; i < sizeof words / sizeof *words; i++) known |= pb_str_is(w, words[i]);
        if (known) continue;
        /* The name of a variable. */
        if (skip(r) != 0) return -1;
        if (r->p >= r->end || *r->p != '=')
            return bad(r, "\"%.*s\" is code, which is not run", (int)(w.n > 60 ? 60 : w.n), w.p);
    }
}

int pb_js_read(pbay_str in, struct pb_arena *mem, pb_js_mended_fn mended, void *user, struct pb_js **out,
               struct pb_err *err)
{
    struct reader r = {
        .p = in.p, .end = in.p + in.n, .line = 1, .mem = mem, .mended = mended, .user = user, .err = err};
    int rc = 0;
    if (in.n > TEXT_MAX_BYTES)
        return pb_fail(err, PBAY_INVALID_ARGUMENT, "more than %d bytes", TEXT_MAX_BYTES);
    if (!in.n) return pb_fail(err, PBAY_INVALID_ARGUMENT, "line 1: there is no list [ … ]");
    rc = start(&r);
    if (rc == 0) rc = value(&r, 0, out);
    pb_buf_free(&r.scratch);
    return rc;
}

const struct pb_js *pb_js_get(const struct pb_js *object, const char *name)
{
    for (const struct pb_js *m = object->first; m && object->kind == PB_JS_OBJECT; m = m->next)
        if (pb_str_is(m->name, name)) return m;
    return NULL;
}
