/* SPDX-License-Identifier: MIT */
/* The matcher: a backtracking walk over pattern and subject, every comparison counted. */
#include "script/pattern.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

enum { POLL_EVERY = 16384 };

static const char *walk(struct pb_pattern *m, const char *s, const char *p);

static const char *subject_end(const struct pb_pattern *m)
{
    return m->subject.p + m->subject.n;
}

static const char *pattern_end(const struct pb_pattern *m)
{
    return m->text.p + m->text.n;
}

static const char *malformed(struct pb_pattern *m, const char *why)
{
    if (!m->error[0]) snprintf(m->error, sizeof m->error, "%s", why);
    return NULL;
}

/* Pay for n comparisons; false when there is nothing left to pay with. */
static bool pay(struct pb_pattern *m, uint64_t n)
{
    if (m->error[0]) return false;
    if (n > m->steps) {
        m->steps = 0;
        malformed(m, "pattern too complex");
        return false;
    }
    uint64_t before = m->steps / POLL_EVERY;
    m->steps -= n;
    if (m->poll && m->steps / POLL_EVERY != before && m->poll(m->poll_arg)) {
        m->stopped = true;
        malformed(m, "pattern stopped");
        return false;
    }
    return true;
}

/* Past the single-character item that begins at p: x, %x or [set]. NULL: malformed. */
static const char *item_end(struct pb_pattern *m, const char *p)
{
    const char *end = pattern_end(m);
    if (*p == '%') {
        if (p + 1 == end) return malformed(m, "malformed pattern (ends with '%')");
        return p + 2;
    }
    if (*p != '[') return p + 1;
    p++;
    if (p < end && *p == '^') p++;
    /* A ] that comes first stands for itself. */
    for (bool first = true; p < end; first = false) {
        if (*p == ']' && !first) return p + 1;
        p += *p == '%' && p + 1 < end ? 2 : 1;
    }
    return malformed(m, "malformed pattern (missing ']')");
}

static bool in_class(unsigned char c, unsigned char class)
{
    int yes;
    switch (tolower(class)) {
    case 'a': yes = isalpha(c); break;
    case 'c': yes = iscntrl(c); break;
    case 'd': yes = isdigit(c); break;
    case 'g': yes = isgraph(c); break;
    case 'l': yes = islower(c); break;
    case 'p': yes = ispunct(c); break;
    case 's': yes = isspace(c); break;
    case 'u': yes = isupper(c); break;
    case 'w': yes = isalnum(c); break;
    case 'x': yes = isxdigit(c); break;
    default: return class == c;
    }
    return isupper(class) ? !yes : yes;
}

/* Is c in the set [p .. end)? p stands on the [ and end behind the ]. */
static bool in_set(unsigned char c, const char *p, const char *end)
{
    bool yes = true;
    const char *close = end - 1;
    p++;
    if (*p == '^') {
        yes = false;
        p++;
    }
    while (p < close) {
        if (*p == '%' && p + 1 < close) {
            if (in_class(c, (unsigned char)p[1])) return yes;
            p += 2;
        } else if (p + 2 < close && p[1] == '-') {
            if ((unsigned char)p[0] <= c && c <= (unsigned char)p[2]) return yes;
            p += 3;
        } else {
            if ((unsigned char)*p == c) return yes;
            p++;
        }
    }
    return !yes;
}

static bool one(const struct pb_pattern *m, const char *s, const char *p, const char *end)
{
    if (s >= subject_end(m)) return false;
    unsigned char c = (unsigned char)*s;
    switch (*p) {
    case '.': return true;
    case '%': return in_class(c, (unsigned char)p[1]);
    case '[': return in_set(c, p, end);
    default: return (unsigned char)*p == c;
    }
}

/* %bxy, p behind the b */
static const char *balance(struct pb_pattern *m, const char *s, const char *p)
{
    if (pattern_end(m) - p < 2) return malformed(m, "malformed pattern (missing arguments to '%b')");
    if (s >= subject_end(m) || *s != p[0]) return NULL;
    size_t open = 1;
    for (const char *at = s + 1; at < subject_end(m); at++) {
        if (!pay(m, 1)) return NULL;
        if (*at == p[1]) {
            if (--open == 0) return at + 1;
        } else if (*at == p[0]) {
            open++;
        }
    }
    return NULL;
}

/* %f[set], p on the [; the end of the item in *after, true when a frontier is here */
static bool frontier(struct pb_pattern *m, const char *s, const char *p, const char **after)
{
    if (p >= pattern_end(m) || *p != '[') {
        malformed(m, "missing '[' after '%f' in pattern");
        return false;
    }
    *after = item_end(m, p);
    if (!*after) return false;
    unsigned char before = s == m->subject.p ? '\0' : (unsigned char)s[-1];
    unsigned char here = s < subject_end(m) ? (unsigned char)*s : '\0';
    return !in_set(before, p, *after) && in_set(here, p, *after);
}

static const char *open_capture(struct pb_pattern *m, const char *s, const char *p, ptrdiff_t kind)
{
    if (m->n_captures >= PB_PATTERN_CAPTURES) return malformed(m, "too many captures");
    m->captures[m->n_captures].at = s;
    m->captures[m->n_captures].n = kind;
    m->n_captures++;
    const char *end = walk(m, s, p);
    if (!end) m->n_captures--;
    return end;
}

static const char *close_capture(struct pb_pattern *m, const char *s, const char *p)
{
    int i = m->n_captures - 1;
    while (i >= 0 && m->captures[i].n != PB_CAPTURE_OPEN) i--;
    if (i < 0) return malformed(m, "invalid pattern capture");
    m->captures[i].n = s - m->captures[i].at;
    const char *end = walk(m, s, p);
    if (!end) m->captures[i].n = PB_CAPTURE_OPEN;
    return end;
}

/* %1 .. %9: the same text again. True with its end in *at. */
static bool repeat_capture(struct pb_pattern *m, const char *s, char digit, const char **at)
{
    int i = digit - '1';
    if (i < 0 || i >= m->n_captures || m->captures[i].n == PB_CAPTURE_OPEN) {
        if (!m->error[0]) snprintf(m->error, sizeof m->error, "invalid capture index %%%d in pattern", i + 1);
        return false;
    }
    if (m->captures[i].n < 0) return false; /* a position has no text to come again */
    size_t n = (size_t)m->captures[i].n;
    if (!pay(m, n / 16)) return false;
    if ((size_t)(subject_end(m) - s) < n || memcmp(s, m->captures[i].at, n) != 0) return false;
    *at = s + n;
    return true;
}

/* As many as there are, then fewer. */
static const char *greedy(struct pb_pattern *m, const char *s, const char *p, const char *end,
                          ptrdiff_t least)
{
    ptrdiff_t n = 0;
    while (one(m, s + n, p, end)) {
        if (!pay(m, 1)) return NULL;
        n++;
    }
    for (; n >= least; n--) {
        const char *to = walk(m, s + n, end + 1);
        if (to || m->error[0]) return to;
    }
    return NULL;
}

/* As few as will do, then more. */
static const char *lazy(struct pb_pattern *m, const char *s, const char *p, const char *end)
{
    for (;;) {
        const char *to = walk(m, s, end + 1);
        if (to || m->error[0]) return to;
        if (!one(m, s, p, end) || !pay(m, 1)) return NULL;
        s++;
    }
}

/* The walk proper: items that need no decision are taken in a loop, the others recurse. */
static const char *walk_on(struct pb_pattern *m, const char *s, const char *p)
{
    const char *stop = pattern_end(m);
    while (p < stop) {
        if (!pay(m, 1)) return NULL;
        if (*p == '(') {
            if (p + 1 < stop && p[1] == ')') return open_capture(m, s, p + 2, PB_CAPTURE_POSITION);
            return open_capture(m, s, p + 1, PB_CAPTURE_OPEN);
        }
        if (*p == ')') return close_capture(m, s, p + 1);
        if (*p == '$' && p + 1 == stop) return s == subject_end(m) ? s : NULL;
        if (*p == '%' && p + 1 < stop) {
            if (p[1] == 'b') {
                s = balance(m, s, p + 2);
                if (!s) return NULL;
                p += 4;
                continue;
            }
            if (p[1] == 'f') {
                const char *after;
                if (!frontier(m, s, p + 2, &after)) return NULL;
                p = after;
                continue;
            }
            if (isdigit((unsigned char)p[1])) {
                if (!repeat_capture(m, s, p[1], &s)) return NULL;
                p += 2;
                continue;
            }
        }
        const char *end = item_end(m, p);
        if (!end) return NULL;
        char suffix = end < stop ? *end : '\0';
        if (suffix == '*') return greedy(m, s, p, end, 0);
        if (suffix == '+') return greedy(m, s, p, end, 1);
        if (suffix == '-') return lazy(m, s, p, end);
        bool here = one(m, s, p, end);
        if (suffix == '?') {
            if (here) {
                const char *to = walk(m, s + 1, end + 1);
                if (to || m->error[0]) return to;
            }
            p = end + 1;
            continue;
        }
        if (!here) return NULL;
        s++;
        p = end;
    }
    return s;
}

static const char *walk(struct pb_pattern *m, const char *s, const char *p)
{
    if (m->depth >= PB_PATTERN_DEPTH) return malformed(m, "pattern too complex");
    m->depth++;
    const char *to = walk_on(m, s, p);
    m->depth--;
    return m->error[0] ? NULL : to;
}

const char *pb_pattern_at(struct pb_pattern *m, size_t at)
{
    m->n_captures = 0;
    m->depth = 0;
    m->error[0] = '\0';
    const char *end = walk(m, m->subject.p + at, m->text.p);
    if (!end) return NULL;
    for (int i = 0; i < m->n_captures; i++)
        if (m->captures[i].n == PB_CAPTURE_OPEN) return malformed(m, "unfinished capture");
    return end;
}

bool pb_pattern_special(pbay_str text)
{
    for (size_t i = 0; i < text.n; i++)
        if (text.p[i] && strchr("^$*+?.([%-", text.p[i])) return true;
    return false;
}
