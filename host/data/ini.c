/* SPDX-License-Identifier: MIT */
#include "data/ini.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "base/mem.h"
#include "data/ini_text.h"

int pb_ini_fail(struct pb_err *err, const char *file, uint32_t line, uint32_t col, const char *fmt, ...)
{
    char text[PB_ERR_TEXT];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    if (!line) return pb_fail(err, PBAY_INVALID_ARGUMENT, "%s: %s", file, text);
    if (!col) return pb_fail(err, PBAY_INVALID_ARGUMENT, "%s:%u: %s", file, line, text);
    return pb_fail(err, PBAY_INVALID_ARGUMENT, "%s:%u:%u: %s", file, line, col, text);
}

uint32_t pb_ini_col(const struct pb_ini_reader *r, const char *at)
{
    uint32_t col = 1;
    for (const char *p = r->line_p; p < at; p++) col += ((unsigned char)*p & 0xc0) != 0x80;
    return col;
}

void pb_ini_header(const struct pb_ini_section *sec, struct pb_buf *b)
{
    pb_buf_ch(b, '[');
    pb_buf_str(b, sec->kind);
    if (sec->name.p) {
        pb_buf_ch(b, ' ');
        pb_buf_json(b, sec->name);
    }
    pb_buf_ch(b, ']');
}

/* What tells sections apart: a quote cannot stand in a kind of ours. */
static pbay_str header_key(struct pb_arena *a, pbay_str kind, pbay_str name)
{
    pbay_str k = {NULL, kind.n + 1 + name.n};
    char *p = pb_arena_alloc(a, k.n + 1);
    if (kind.p) memcpy(p, kind.p, kind.n);
    p[kind.n] = name.p ? '"' : '\0';
    if (name.p) memcpy(p + kind.n + 1, name.p, name.n);
    k.p = p;
    return k;
}

int pb_ini_open_section(struct pb_ini_reader *r, pbay_str kind, pbay_str name, const char *at)
{
    struct pb_ini *doc = r->doc;
    pbay_str key = header_key(&doc->names, kind, name);
    bool dflt = doc->dialect == PB_INI_PYTHON && pb_str_is(kind, "DEFAULT");
    struct pb_ini_section *old = pb_map_get(&doc->by_header, key);
    if (old && dflt) {
        r->sec = old;
        return 0;
    }
    if (old) {
        struct pb_buf b = {0};
        pb_ini_header(old, &b);
        PB_INI_FAIL(r, at, "%.*s stands twice; the first is in line %u", PB_FMT(pb_buf_view(&b)), old->line);
        pb_buf_free(&b);
        return -1;
    }
    struct pb_ini_section *sec = pb_zalloc(sizeof *sec);
    sec->doc = doc;
    sec->kind = kind;
    sec->name = name;
    sec->line = r->line;
    sec->col = pb_ini_col(r, at);
    pb_map_add(&doc->by_header, key, sec);
    if (dflt) {
        doc->defaults = sec;
    } else {
        /* NOLINTNEXTLINE(bugprone-sizeof-expression): the items are pointers */
        PB_GROW(doc->sections, doc->cap, doc->n + 1);
        doc->sections[doc->n++] = sec;
    }
    r->sec = sec;
    return 0;
}

int pb_ini_add(struct pb_ini_reader *r, pbay_str key, const char *key_at, pbay_str value,
               const char *value_at, bool quoted)
{
    struct pb_ini_section *sec = r->sec;
    uintptr_t old = (uintptr_t)pb_map_get(&sec->by_key, key);
    if (old) {
        struct pb_buf b = {0};
        pb_ini_header(sec, &b);
        PB_INI_FAIL(r, key_at, "\"%.*s\" stands twice in %.*s; the first is in line %u", PB_FMT(key),
                    PB_FMT(pb_buf_view(&b)), sec->entries[old - 1].line);
        pb_buf_free(&b);
        return -1;
    }
    PB_GROW(sec->entries, sec->cap, sec->n + 1);
    sec->entries[sec->n++] = (struct pb_ini_entry){
        .key = key,
        .value = value,
        .line = r->line,
        .col = pb_ini_col(r, value_at),
        .key_col = pb_ini_col(r, key_at),
        .quoted = quoted,
    };
    pb_map_add(&sec->by_key, key, (void *)(uintptr_t)sec->n); /* an index: the array moves when it grows */
    return 0;
}

/* The first byte that no text has, or NULL. */
static const char *bad_byte(pbay_str s)
{
    if (pb_utf8_valid(s) && !(s.n && memchr(s.p, 0, s.n))) return NULL;
    for (size_t i = 0, k; i < s.n; i += k) {
        for (k = 1; k <= 4 && i + k <= s.n && !pb_utf8_valid(pb_str(s.p + i, k)); k++) continue;
        if (!s.p[i] || k > 4 || i + k > s.n) return s.p + i;
    }
    return NULL;
}

static int check_text(struct pb_ini_reader *r)
{
    pbay_str s = pb_str(r->at, (size_t)(r->end - r->at));
    const char *bad = bad_byte(s);
    if (!bad) return 0;
    r->line = 1;
    r->line_p = r->at;
    for (char *p = r->at; p < bad; p++)
        if (*p == '\n') r->line++, r->line_p = p + 1;
    if (s.n >= 2 && (memcmp(s.p, "\xff\xfe", 2) == 0 || memcmp(s.p, "\xfe\xff", 2) == 0))
        return PB_INI_FAIL(r, bad, "this file is UTF-16; save it as UTF-8");
    if (!*bad) return PB_INI_FAIL(r, bad, "a NUL byte; this is not a text file");
    return PB_INI_FAIL(r, bad, "byte 0x%02x is not valid UTF-8; save the file as UTF-8", (unsigned char)*bad);
}

int pb_ini_parse(const char *file, pbay_str text, enum pb_ini_dialect dialect, struct pb_ini **out,
                 struct pb_err *err)
{
    *out = NULL;
    if (text.n > PB_INI_MAX)
        return pb_ini_fail(err, file, 0, 0, "%zu bytes are too many for a configuration file (at most %d)",
                           text.n, PB_INI_MAX);
    struct pb_ini *doc = pb_zalloc(sizeof *doc);
    doc->file = pb_strdup(file);
    doc->dialect = dialect;
    doc->text = pb_strndup(text.n ? text.p : "", text.n);
    doc->text_n = text.n;
    struct pb_ini_reader r = {.doc = doc, .at = doc->text, .end = doc->text + text.n, .err = err};
    if (pb_str_starts(text, PB_STR("\xef\xbb\xbf"))) r.at += 3;
    int rc = check_text(&r);
    if (rc == 0) rc = dialect == PB_INI_OURS ? pb_ini_read_ours(&r) : pb_ini_read_python(&r);
    if (rc != 0) {
        pb_ini_free(doc);
        return -1;
    }
    *out = doc;
    return 0;
}

static void free_section(struct pb_ini_section *sec)
{
    if (!sec) return;
    pb_free(sec->entries);
    pb_map_free(&sec->by_key);
    pb_free(sec);
}

void pb_ini_free(struct pb_ini *doc)
{
    if (!doc) return;
    for (size_t i = 0; i < doc->n; i++) free_section(doc->sections[i]);
    free_section(doc->defaults);
    pb_free(doc->sections);
    pb_map_free(&doc->by_header);
    pb_arena_free(&doc->names);
    explicit_bzero(doc->text, doc->text_n);
    pb_free(doc->text);
    pb_free((char *)doc->file);
    pb_free(doc);
}

const struct pb_ini_section *pb_ini_find(const struct pb_ini *doc, const char *kind, const char *name)
{
    struct pb_arena a = {0};
    struct pb_ini_section *sec = pb_map_get(&doc->by_header, header_key(&a, pb_str_c(kind), pb_str_c(name)));
    pb_arena_free(&a);
    return sec;
}

const struct pb_ini_entry *pb_ini_get(const struct pb_ini_section *sec, const char *key)
{
    uintptr_t i;
    pbay_str k = pb_str_c(key);
    if (sec->doc->dialect == PB_INI_OURS) {
        i = (uintptr_t)pb_map_get(&sec->by_key, k);
        return i ? &sec->entries[i - 1] : NULL;
    }
    char *low = pb_strdup(key);
    for (char *p = low; *p; p++)
        if (*p >= 'A' && *p <= 'Z') *p = (char)(*p + 32);
    k.p = low;
    const struct pb_ini_entry *found = NULL;
    i = (uintptr_t)pb_map_get(&sec->by_key, k);
    if (i)
        found = &sec->entries[i - 1];
    else if (sec->doc->defaults && (i = (uintptr_t)pb_map_get(&sec->doc->defaults->by_key, k)))
        found = &sec->doc->defaults->entries[i - 1];
    pb_free(low);
    return found;
}
