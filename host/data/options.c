/* SPDX-License-Identifier: MIT */
#include "data/options.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "base/clock.h"

static const uint32_t KNOWN_FLAGS = PBAY_OPTF_REQUIRED | PBAY_OPTF_SECRET | PBAY_OPTF_PER_CALL;

static const char *const type_words[] = {
    NULL,   "text",   "whole number", "number", "yes or no",     "duration",
    "size", "one of", "list",         "path",   "texts by name",
};

const pbay_option *pb_option_find(const pbay_option_table *t, pbay_str key)
{
    size_t dot = pb_str_chr(key, '.');
    bool family = dot > 0 && dot + 1 < key.n;
    for (uint32_t i = 0; i < t->count; i++) {
        const pbay_option *o = pb_option_at(t, i);
        if (o->type == PBAY_OPT_FAMILY ? family && pb_str_is(pb_str(key.p, dot), o->name)
                                       : pb_str_is(key, o->name))
            return o;
    }
    return NULL;
}

/* The value in quotes, escaped and cut, or a placeholder. Returns owned. */
static char *shown(const pbay_option *opt, pbay_str text)
{
    if (opt->flags & PBAY_OPTF_SECRET) return pb_strdup("the value");
    struct pb_buf b = {0};
    size_t cut = pb_utf8_floor(text, 80);
    pb_buf_json(&b, pb_str(text.p, cut));
    if (cut < text.n) pb_buf_c(&b, "...");
    pb_buf_ch(&b, '\0');
    return b.p;
}

static bool parse_bool(pbay_str s, int64_t *out)
{
    static const char *const words[] = {"no", "yes", "false", "true", "off", "on", "0", "1"};
    for (size_t i = 0; i < PB_COUNTOF(words); i++) {
        if (!pb_str_ieq(s, pb_str_c(words[i]))) continue;
        *out = (int64_t)(i & 1);
        return true;
    }
    return false;
}

static bool parse_enum(const char *choices, pbay_str s, int64_t *out)
{
    pbay_str rest = pb_str_c(choices), one;
    for (int64_t i = 0; pb_str_split(&rest, '|', &one); i++) {
        if (!pb_str_eq(one, s)) continue;
        *out = i;
        return true;
    }
    return false;
}

/* Without range. */
static bool parse_scalar(uint32_t type, const char *choices, pbay_str s, struct pb_option_value *v)
{
    uint64_t u;
    switch (type) {
    case PBAY_OPT_INT: return pb_parse_i64(s, &v->i);
    case PBAY_OPT_NUM: return pb_parse_f64(s, &v->num) && isfinite(v->num);
    case PBAY_OPT_BOOL: return parse_bool(s, &v->i);
    case PBAY_OPT_DURATION: return pb_parse_duration(s, &v->i);
    case PBAY_OPT_SIZE:
        if (!pb_parse_size(s, &u) || u > INT64_MAX) return false;
        v->i = (int64_t)u;
        return true;
    case PBAY_OPT_ENUM: return parse_enum(choices, s, &v->i);
    case PBAY_OPT_FILE: return s.n > 0;
    default: return true;
    }
}

static bool has_range(uint32_t type)
{
    return type == PBAY_OPT_INT || type == PBAY_OPT_NUM || type == PBAY_OPT_DURATION || type == PBAY_OPT_SIZE;
}

/* "MIN..MAX", either side may be missing. False: not one. */
static bool parse_range(const pbay_option *o, struct pb_option_value *lo, struct pb_option_value *hi)
{
    const char *dots = strstr(o->choices, "..");
    if (!dots) return false;
    pbay_str min = pb_str(o->choices, (size_t)(dots - o->choices)), max = pb_str_c(dots + 2);
    *lo = (struct pb_option_value){INT64_MIN, -INFINITY};
    *hi = (struct pb_option_value){INT64_MAX, INFINITY};
    if ((min.n && !parse_scalar(o->type, NULL, min, lo)) || (max.n && !parse_scalar(o->type, NULL, max, hi)))
        return false;
    return (min.n || max.n) && (o->type == PBAY_OPT_NUM ? lo->num <= hi->num : lo->i <= hi->i);
}

static bool in_range(const pbay_option *o, const struct pb_option_value *v)
{
    struct pb_option_value lo, hi;
    if (!has_range(o->type) || !o->choices || !parse_range(o, &lo, &hi)) return true;
    if (o->type == PBAY_OPT_NUM) return v->num >= lo.num && v->num <= hi.num;
    return v->i >= lo.i && v->i <= hi.i;
}

static void add_choices(struct pb_buf *b, const char *choices)
{
    pbay_str rest = pb_str_c(choices), one;
    for (const char *sep = ""; pb_str_split(&rest, '|', &one); sep = ", ") {
        pb_buf_c(b, sep);
        pb_buf_str(b, one);
    }
}

static int wrong_value(const pbay_option *o, const char *value, struct pb_err *err)
{
    struct pb_buf want = {0};
    switch (o->type) {
    case PBAY_OPT_INT: pb_buf_c(&want, "a whole number"); break;
    case PBAY_OPT_NUM: pb_buf_c(&want, "a number"); break;
    case PBAY_OPT_BOOL: pb_buf_c(&want, "yes or no"); break;
    case PBAY_OPT_DURATION: pb_buf_c(&want, "a duration such as 250ms, 30s, 5m, 2h or 7d"); break;
    case PBAY_OPT_SIZE: pb_buf_c(&want, "a size such as 512, 64k, 6M or 1G"); break;
    case PBAY_OPT_FILE: pb_buf_c(&want, "a path"); break;
    default: pb_buf_c(&want, "one of "), add_choices(&want, o->choices); break;
    }
    pb_fail(err, PBAY_INVALID_ARGUMENT, "%s; expected %.*s", value, PB_FMT(pb_buf_view(&want)));
    pb_buf_free(&want);
    return -1;
}

int pb_option_parse(const pbay_option *opt, pbay_str text, struct pb_option_value *out, struct pb_err *err)
{
    *out = (struct pb_option_value){0, 0};
    bool read = parse_scalar(opt->type, opt->choices, text, out);
    if (read && in_range(opt, out)) return 0;
    char *value = shown(opt, text);
    if (!read)
        wrong_value(opt, value, err);
    else
        pb_fail(err, PBAY_INVALID_ARGUMENT, "%s is out of range; expected %s", value, opt->choices);
    pb_free(value);
    return -1;
}

/* ------------------------------------------------------------------------ lint */

static bool lower(char c)
{
    return c >= 'a' && c <= 'z';
}

static bool upper(char c)
{
    return c >= 'A' && c <= 'Z';
}

static bool name_ok(const char *s, bool upper_too)
{
    if (!s || !(lower(*s) || (upper_too && upper(*s)))) return false;
    for (; *s; s++)
        if (!(lower(*s) || (upper_too && upper(*s)) || (*s >= '0' && *s <= '9') || *s == '_')) return false;
    return true;
}

static int lint_choices(const pbay_option *o, struct pb_err *err)
{
    struct pb_option_value lo, hi;
    if (o->type == PBAY_OPT_ENUM) {
        pbay_str rest = pb_str_c(o->choices), one;
        int64_t n = 0, at;
        if (!rest.n)
            return pb_fail(err, PBAY_INVALID_ARGUMENT, "option %s: an ENUM without choices", o->name);
        for (; pb_str_split(&rest, '|', &one); n++)
            if (!one.n || !parse_enum(o->choices, one, &at) || at != n)
                return pb_fail(err, PBAY_INVALID_ARGUMENT,
                               "option %s: choices \"%s\": one is empty or twice there", o->name, o->choices);
        return 0;
    }
    if (!o->choices) return 0;
    if (!has_range(o->type))
        return pb_fail(err, PBAY_INVALID_ARGUMENT, "option %s: choices \"%s\" on a type that has none",
                       o->name, o->choices);
    if (!parse_range(o, &lo, &hi))
        return pb_fail(err, PBAY_INVALID_ARGUMENT, "option %s: choices \"%s\" is not MIN..MAX", o->name,
                       o->choices);
    return 0;
}

static int lint_default(const pbay_option *o, struct pb_err *err)
{
    struct pb_option_value v;
    if (!o->dflt) return 0;
    if (o->flags & (PBAY_OPTF_REQUIRED | PBAY_OPTF_SECRET))
        return pb_fail(err, PBAY_INVALID_ARGUMENT, "option %s: %s with a default", o->name,
                       o->flags & PBAY_OPTF_REQUIRED ? "REQUIRED" : "SECRET");
    if (o->type == PBAY_OPT_FAMILY)
        return pb_fail(err, PBAY_INVALID_ARGUMENT, "option %s: a FAMILY with a default", o->name);
    if (!pb_utf8_valid(pb_str_c(o->dflt)) || pb_option_parse(o, pb_str_c(o->dflt), &v, err) != 0)
        return pb_fail_in(err, "option %s: the default cannot be read", o->name);
    return 0;
}

static int lint_option(const pbay_option *o, bool argument, struct pb_err *err)
{
    if (!name_ok(o->name, argument))
        return pb_fail(err, PBAY_INVALID_ARGUMENT, "option name \"%s\" is not [a-z%s][a-z%s0-9_]*",
                       o->name ? o->name : "", argument ? "A-Z" : "", argument ? "A-Z" : "");
    /* Arguments come from callers, and are stored. */
    if (argument && (o->type == PBAY_OPT_FILE || (o->flags & PBAY_OPTF_SECRET)))
        return pb_fail(err, PBAY_INVALID_ARGUMENT, "option %s: a %s is no argument", o->name,
                       o->type == PBAY_OPT_FILE ? "FILE" : "SECRET");
    if (o->type < PBAY_OPT_STR || o->type > PBAY_OPT_FAMILY)
        return pb_fail(err, PBAY_INVALID_ARGUMENT, "option %s: type %u is unknown", o->name, o->type);
    if (o->flags & ~KNOWN_FLAGS)
        return pb_fail(err, PBAY_INVALID_ARGUMENT, "option %s: flags 0x%x are unknown", o->name, o->flags);
    /* A caller must not be able to name files of ours, nor to hand over secrets that would end in a cache's
     * key. */
    if ((o->flags & PBAY_OPTF_PER_CALL) && (o->type == PBAY_OPT_FILE || (o->flags & PBAY_OPTF_SECRET)))
        return pb_fail(err, PBAY_INVALID_ARGUMENT, "option %s: a %s cannot be set per call", o->name,
                       o->type == PBAY_OPT_FILE ? "FILE" : "SECRET");
    if (!o->doc || !pb_str_trim(pb_str_c(o->doc)).n || !pb_utf8_valid(pb_str_c(o->doc)))
        return pb_fail(err, PBAY_INVALID_ARGUMENT, "option %s: doc is missing", o->name);
    return lint_choices(o, err) != 0 || lint_default(o, err) != 0 ? -1 : 0;
}

/* In which table it stood before; n: in none. */
static size_t earlier(const pbay_option_table *const *tables, size_t n_tables, size_t t, uint32_t at,
                      const char *name)
{
    for (size_t k = 0; k <= t; k++) {
        uint32_t n = !tables[k] ? 0 : k == t ? at : tables[k]->count;
        for (uint32_t i = 0; i < n; i++)
            if (strcmp(pb_option_at(tables[k], i)->name, name) == 0) return k;
    }
    return n_tables;
}

static int lint(const pbay_option_table *const *tables, size_t n, bool arguments, struct pb_err *err)
{
    for (size_t t = 0; t < n; t++) {
        if (!tables[t] || !tables[t]->count) continue;
        if (!tables[t]->options || tables[t]->stride < sizeof(pbay_option))
            return pb_fail(err, PBAY_INVALID_ARGUMENT,
                           "option table: stride %u is less than the %zu of an option", tables[t]->stride,
                           sizeof(pbay_option));
        for (uint32_t i = 0; i < tables[t]->count; i++) {
            const pbay_option *o = pb_option_at(tables[t], i);
            if (lint_option(o, arguments, err) != 0) return -1;
            const size_t before = earlier(tables, n, t, i, o->name);
            if (before == t) return pb_fail(err, PBAY_INVALID_ARGUMENT, "option %s stands twice", o->name);
            if (before < t)
                return pb_fail(err, PBAY_INVALID_ARGUMENT,
                               "option %s: the gateway itself has a key of this name in the same section",
                               o->name);
        }
    }
    return 0;
}

int pb_options_lint(const pbay_option_table *const *tables, size_t n, struct pb_err *err)
{
    return lint(tables, n, false, err);
}

int pb_options_lint_arguments(const pbay_option_table *table, struct pb_err *err)
{
    return lint(&table, 1, true, err);
}

/* ------------------------------------------------------------------------ help */

void pb_option_describe(const pbay_option *opt, struct pb_buf *out)
{
    pb_buf_c(out, opt->type < PB_COUNTOF(type_words) && opt->type ? type_words[opt->type] : "?");
    if (!opt->choices) return;
    if (opt->type == PBAY_OPT_ENUM)
        pb_buf_ch(out, ' '), add_choices(out, opt->choices);
    else
        pb_buf_printf(out, ", %s", opt->choices);
}

static void add_flags(const pbay_option *o, struct pb_buf *out)
{
    if (o->flags & PBAY_OPTF_REQUIRED) pb_buf_c(out, ", required");
    if (o->flags & PBAY_OPTF_SECRET) pb_buf_c(out, ", secret");
    if (o->flags & PBAY_OPTF_PER_CALL) pb_buf_c(out, ", per call");
}

static void wrap(struct pb_buf *out, const char *text, size_t indent, size_t width)
{
    size_t col = 0;
    for (pbay_str rest = pb_str_c(text), word; pb_str_split(&rest, ' ', &word);) {
        if (!word.n) continue;
        if (col && col + 1 + word.n > width) pb_buf_ch(out, '\n'), col = 0;
        if (!col)
            pb_buf_printf(out, "%*s", (int)indent, ""), col = indent;
        else
            pb_buf_ch(out, ' '), col++;
        pb_buf_str(out, word);
        col += word.n;
    }
    pb_buf_ch(out, '\n');
}

void pb_options_help(const pbay_option_table *t, struct pb_buf *out)
{
    for (uint32_t i = 0; i < t->count; i++) {
        const pbay_option *o = pb_option_at(t, i);
        pb_buf_printf(out, "  %s%s    ", o->name, o->type == PBAY_OPT_FAMILY ? ".NAME" : "");
        pb_option_describe(o, out);
        add_flags(o, out);
        if (o->dflt) pb_buf_printf(out, ", default %s", *o->dflt ? o->dflt : "empty");
        pb_buf_ch(out, '\n');
        wrap(out, o->doc, 6, 78);
    }
}

static void cell(struct pb_buf *out, const char *text, bool code)
{
    pb_buf_c(out, code ? " `" : " ");
    for (const char *p = text; *p; p++) {
        if (*p == '|') pb_buf_ch(out, '\\');
        pb_buf_ch(out, *p == '\n' ? ' ' : *p);
    }
    pb_buf_c(out, code ? "` |" : " |");
}

void pb_options_markdown(const pbay_option_table *t, struct pb_buf *out)
{
    pb_buf_c(out, "| Key | Value | Default | Meaning |\n|---|---|---|---|\n");
    for (uint32_t i = 0; i < t->count; i++) {
        const pbay_option *o = pb_option_at(t, i);
        pb_buf_printf(out, "| `%s%s` | ", o->name, o->type == PBAY_OPT_FAMILY ? ".NAME" : "");
        pb_option_describe(o, out);
        add_flags(o, out);
        pb_buf_c(out, " |");
        if (!o->dflt)
            pb_buf_c(out, " |");
        else
            cell(out, *o->dflt ? o->dflt : "empty", *o->dflt != 0);
        cell(out, o->doc, false);
        pb_buf_ch(out, '\n');
    }
}
