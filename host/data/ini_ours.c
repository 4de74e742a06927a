/* SPDX-License-Identifier: MIT */
/* The dialect of patchbay.ini: one line, one thing. */
#include "data/ini_text.h"

#include <string.h>

static bool blank(char c)
{
    return c == ' ' || c == '\t';
}

static char *skip_blanks(char *p, const char *end)
{
    while (p < end && blank(*p)) p++;
    return p;
}

static bool next_line(struct pb_ini_reader *r)
{
    if (r->at == r->end) return false;
    char *nl = memchr(r->at, '\n', (size_t)(r->end - r->at));
    char *stop = nl ? nl : r->end;
    r->line++;
    r->line_p = r->at;
    r->at = nl ? nl + 1 : r->end;
    if (stop > r->line_p && stop[-1] == '\r') stop--;
    r->line_n = (size_t)(stop - r->line_p);
    return true;
}

static int no_control(struct pb_ini_reader *r)
{
    for (size_t i = 0; i < r->line_n; i++) {
        unsigned char c = (unsigned char)r->line_p[i];
        if ((c < 0x20 && c != '\t') || c == 0x7f)
            return PB_INI_FAIL(r, r->line_p + i,
                               "a control character (0x%02x); write \\n or \\t in a quoted value", c);
    }
    return 0;
}

/*
 * The text in quotes from *p, which is at the opening one, its escapes still there. *p ends behind the
 * closing one.
 */
static int quoted(struct pb_ini_reader *r, char **p, char *end, char **from, size_t *n)
{
    char *open = *p, *in = open + 1;
    for (; in < end && *in != '"'; in++) {
        if (*in != '\\') continue;
        if (++in == end) break;
        if (!strchr("\"\\nt", *in))
            return PB_INI_FAIL(r, in - 1,
                               "unknown escape in a quoted value; there are \\\" \\\\ \\n and \\t");
    }
    if (in >= end) return PB_INI_FAIL(r, open, "the closing quote is missing");
    *from = open + 1;
    *n = (size_t)(in - *from);
    *p = in + 1;
    return 0;
}

/* In place, once no column of this line is asked for any more. */
static pbay_str unescape(char *p, size_t n)
{
    char *w = p, *end = p + n;
    for (char *in = p; in < end; in++) {
        if (*in == '\\') {
            in++;
            *w++ = *in == 'n' ? '\n' : *in == 't' ? '\t' : *in;
        } else {
            *w++ = *in;
        }
    }
    return pb_str(p, (size_t)(w - p));
}

/* Behind a closing quote or bracket there is nothing, or a comment. */
static int nothing_behind(struct pb_ini_reader *r, char *p, char *end, const char *what)
{
    p = skip_blanks(p, end);
    if (p == end || *p == ';') return 0;
    return PB_INI_FAIL(r, p, "unexpected text behind the closing %s (a comment there begins with \";\")",
                       what);
}

static bool kind_ok(pbay_str k)
{
    if (!k.n || k.p[0] < 'a' || k.p[0] > 'z') return false;
    for (size_t i = 1; i < k.n; i++)
        if (!((k.p[i] >= 'a' && k.p[i] <= 'z') || (k.p[i] >= '0' && k.p[i] <= '9') || k.p[i] == '_'))
            return false;
    return true;
}

static int section(struct pb_ini_reader *r, char *open, char *end)
{
    char *p = skip_blanks(open + 1, end);
    pbay_str kind = {p, 0};
    char *name = NULL;
    size_t name_n = 0;
    char *kind_at = p;
    while (p < end && !blank(*p) && *p != ']' && *p != '"') p++;
    kind.n = (size_t)(p - kind.p);
    p = skip_blanks(p, end);
    if (!kind_ok(kind))
        return PB_INI_FAIL(r, kind_at, "expected [kind] or [kind \"name\"], the kind in a-z, 0-9 and _");
    if (p < end && *p == '"') {
        char *name_at = p;
        if (quoted(r, &p, end, &name, &name_n) != 0) return -1;
        if (!name_n) return PB_INI_FAIL(r, name_at, "the name is empty");
        p = skip_blanks(p, end);
    } else if (p < end && *p != ']') {
        return PB_INI_FAIL(r, p, "a section's name stands in double quotes: [%.*s \"name\"]", PB_FMT(kind));
    }
    if (p >= end || *p != ']') return PB_INI_FAIL(r, p, "expected \"]\"");
    if (nothing_behind(r, p + 1, end, "bracket") != 0) return -1;
    return pb_ini_open_section(r, kind, name ? unescape(name, name_n) : pb_str(NULL, 0), open);
}

/* The bare value in [p, end): up to a comment, without the blanks around it. */
static pbay_str bare(char *p, const char *end)
{
    const char *stop = end;
    for (const char *q = p; q < end; q++) {
        if (*q != ';') continue;
        if ((q > p && q[-1] == '\t') || (q - p >= 2 && blank(q[-1]) && blank(q[-2]))) {
            stop = q;
            break;
        }
    }
    p = skip_blanks(p, stop);
    while (stop > p && blank(stop[-1])) stop--;
    return pb_str(p, (size_t)(stop - p));
}

static int entry(struct pb_ini_reader *r, char *p, char *end)
{
    char *eq = memchr(p, '=', (size_t)(end - p));
    if (!eq && p > r->line_p && r->sec && r->sec->n)
        return PB_INI_FAIL(
            r, p, "expected \"key = value\"; a value stands on one line, there are no continuation lines");
    if (!eq) return PB_INI_FAIL(r, p, "expected \"key = value\", [kind \"name\"] or a comment");
    if (!r->sec) return PB_INI_FAIL(r, p, "a key before the first [section]");
    pbay_str key = pb_str_trim(pb_str(p, (size_t)(eq - p)));
    if (!key.n) return PB_INI_FAIL(r, eq, "the key before \"=\" is missing");
    char *v = skip_blanks(eq + 1, end);
    if (v < end && *v == '"') {
        char *text = NULL, *behind = v;
        size_t n = 0;
        if (quoted(r, &behind, end, &text, &n) != 0 || nothing_behind(r, behind, end, "quote") != 0)
            return -1;
        return pb_ini_add(r, key, p, unescape(text, n), v, true);
    }
    pbay_str value = bare(eq + 1, end);
    return pb_ini_add(r, key, p, value, value.p, false);
}

int pb_ini_read_ours(struct pb_ini_reader *r)
{
    while (next_line(r)) {
        char *end = r->line_p + r->line_n, *p = skip_blanks(r->line_p, end);
        if (no_control(r) != 0) return -1;
        if (p == end || *p == ';' || *p == '#') continue;
        if ((*p == '[' ? section(r, p, end) : entry(r, p, end)) != 0) return -1;
    }
    return 0;
}
