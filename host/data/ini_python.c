/* SPDX-License-Identifier: MIT */
/*
 * The dialect of Python's configparser with its defaults and interpolation=None. Where configparser gathers
 * errors and raises at the end, this stops at the first; what is accepted, and every value, is the same.
 */
#include "data/ini_text.h"

#include <string.h>

/* Bytes of the blank at p as Python's str.isspace() and \s see it, 0 when it is none. */
static size_t space(const char *p, const char *end)
{
    const unsigned char *u = (const unsigned char *)p;
    size_t n = (size_t)(end - p);
    if (!n) return 0;
    if (u[0] == ' ' || (u[0] >= 0x09 && u[0] <= 0x0d) || (u[0] >= 0x1c && u[0] <= 0x1f)) return 1;
    if (n >= 2 && u[0] == 0xc2 && (u[1] == 0x85 || u[1] == 0xa0)) return 2;
    if (n < 3) return 0;
    unsigned c = (unsigned)(u[0] & 0x0f) << 12 | (unsigned)(u[1] & 0x3f) << 6 | (u[2] & 0x3fu);
    if ((u[0] & 0xf0) != 0xe0) return 0;
    bool is = c == 0x1680 || (c >= 0x2000 && c <= 0x200a) || c == 0x2028 || c == 0x2029 || c == 0x202f ||
              c == 0x205f || c == 0x3000;
    return is ? 3 : 0;
}

/* Without leading blanks; *width counts them in characters. */
static char *lstrip(char *p, const char *end, uint32_t *width)
{
    *width = 0;
    for (size_t k; (k = space(p, end)) > 0; p += k) ++*width;
    return p;
}

/* The end without trailing blanks. */
static char *rstrip(const char *p, char *end)
{
    for (;;) {
        size_t cut = 0;
        for (size_t k = 1; k <= 3 && k <= (size_t)(end - p); k++)
            if (space(end - k, end) == k) cut = k;
        if (!cut) return end;
        end -= cut;
    }
}

/* Lines end as in a file opened in text mode: LF, CR LF or a lone CR. */
static bool next_line(struct pb_ini_reader *r)
{
    if (r->at == r->end) return false;
    char *p = r->at;
    while (p < r->end && *p != '\n' && *p != '\r') p++;
    r->line++;
    r->line_p = r->at;
    r->line_n = (size_t)(p - r->at);
    if (p < r->end && *p == '\r' && p + 1 < r->end && p[1] == '\n') p++;
    r->at = p < r->end ? p + 1 : p;
    return true;
}

/* The entry whose value still grows, and where its next byte goes: always before the line being read. */
struct growing {
    struct pb_ini_section *sec;
    char *w;
};

static void grow(struct growing *g, const char *p, size_t n)
{
    *g->w++ = '\n';
    memmove(g->w, p, n);
    g->w += n;
    struct pb_ini_entry *e = &g->sec->entries[g->sec->n - 1];
    e->value.n = (size_t)(g->w - e->value.p);
}

/* Empty lines behind a value were kept in case it went on. */
static void finish(struct growing *g)
{
    if (!g->sec) return;
    struct pb_ini_entry *e = &g->sec->entries[g->sec->n - 1];
    if (e->value.n) e->value.n = (size_t)(rstrip(e->value.p, (char *)e->value.p + e->value.n) - e->value.p);
    g->sec = NULL;
}

static int entry(struct pb_ini_reader *r, char *p, char *end, struct growing *g)
{
    char *cut = p;
    while (cut < end && *cut != '=' && *cut != ':') cut++;
    if (cut == end) return PB_INI_FAIL(r, p, "expected \"key = value\", \"key: value\" or \"[section]\"");
    char *key_end = rstrip(p, cut);
    if (key_end == p) return PB_INI_FAIL(r, cut, "the key before \"%c\" is missing", *cut);
    for (char *c = p; c < key_end; c++)
        if (*c >= 'A' && *c <= 'Z') *c = (char)(*c + 32);
    uint32_t width;
    char *v = lstrip(cut + 1, end, &width);
    if (pb_ini_add(r, pb_str(p, (size_t)(key_end - p)), p, pb_str(v, (size_t)(end - v)), v, false) != 0)
        return -1;
    *g = (struct growing){r->sec, end};
    return 0;
}

int pb_ini_read_python(struct pb_ini_reader *r)
{
    struct growing g = {0};
    uint32_t level = 0, indent;
    while (next_line(r)) {
        char *end = rstrip(r->line_p, r->line_p + r->line_n), *p = lstrip(r->line_p, end, &indent);
        if (p == end) {
            if (g.sec) grow(&g, p, 0);
            continue;
        }
        if (*p == '#' || *p == ';') continue;
        if (g.sec && indent > level) {
            grow(&g, p, (size_t)(end - p));
            continue;
        }
        finish(&g);
        level = indent;
        char *close = *p == '[' ? memrchr(p, ']', (size_t)(end - p)) : NULL;
        int rc;
        if (close && close > p + 1) {
            rc = pb_ini_open_section(r, pb_str(p + 1, (size_t)(close - p - 1)), pb_str(NULL, 0), p);
        } else if (!r->sec) {
            rc = PB_INI_FAIL(r, p, "a key before the first [section]");
        } else {
            rc = entry(r, p, end, &g);
        }
        if (rc != 0) return -1;
    }
    finish(&g);
    return 0;
}
