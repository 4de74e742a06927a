/* SPDX-License-Identifier: MIT */
#include "aws_shape.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kit/time.h"

enum { PLACE = 256, DEPTH = 16, SHOWN = 60, NEAR = 64 };

struct check {
    char *why;
    char place[PLACE]; /* "InputDataConfig[0].DataSource" */
    size_t n;
    uint32_t depth;
};

static int wrong(struct check *c, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static int wrong(struct check *c, const char *fmt, ...)
{
    char text[SHAPE_WHY - PLACE];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    snprintf(c->why, SHAPE_WHY, "%s%s%s", c->n ? c->place : "the arguments", " ", text);
    return -1;
}

/* ------------------------------------------------------------------------------------------------ shape
 * texts */

/* Behind a type: shapes are our own, so they are well-formed. */
static const char *skip(const char *p)
{
    int depth = 0;
    for (;; p++) {
        if (*p == '{' || *p == '[' || *p == '(') depth++;
        if (*p == '}' || *p == ']' || *p == ')') {
            if (depth == 0) return p;
            if (--depth == 0) return p + 1;
        }
        if (depth == 0 && (*p == ' ' || *p == 0)) return p;
    }
}

/* The next member of "{...": its name, whether it must be there, its type. NULL: there is none. */
static const char *member(const char *p, const char **name, size_t *n, int *must, const char **type)
{
    while (*p == ' ' || *p == '{') p++;
    if (*p == '}' || !*p) return NULL;
    *name = p;
    *n = strcspn(p, "!:");
    *must = p[*n] == '!';
    *type = p + *n + 1 + *must;
    return skip(*type);
}

static const char *find(const char *shape, const char *key)
{
    const char *name, *type;
    size_t n;
    int must;
    for (const char *p = shape; (p = member(p, &name, &n, &must, &type));)
        if (strlen(key) == n && memcmp(name, key, n) == 0) return type;
    return NULL;
}

/* ------------------------------------------------------------------------------------------------ what was
 * meant */

size_t aws_shape_distance(const char *a, const char *b, size_t nb)
{
    size_t na = strlen(a), row[NEAR + 1];
    if (na > NEAR || nb > NEAR) return NEAR;
    for (size_t j = 0; j <= nb; j++) row[j] = j;
    for (size_t i = 1; i <= na; i++) {
        size_t corner = row[0];
        row[0] = i;
        for (size_t j = 1; j <= nb; j++) {
            size_t same = corner + ((a[i - 1] | 32) != (b[j - 1] | 32)), up = row[j] + 1,
                   left = row[j - 1] + 1;
            corner = row[j];
            row[j] = same < up ? (same < left ? same : left) : (up < left ? up : left);
        }
    }
    return row[nb];
}

static int unknown(struct check *c, const char *shape, const char *key)
{
    const char *name, *type, *best = NULL;
    size_t n, n_best = 0, least = strlen(key) / 3 + 2;
    int must;
    for (const char *p = shape; (p = member(p, &name, &n, &must, &type));) {
        size_t d = aws_shape_distance(key, name, n);
        if (d >= least) continue;
        least = d;
        best = name;
        n_best = n;
    }
    if (best)
        return wrong(c, "has no member \"%.*s\"; did you mean \"%.*s\"?", SHOWN, key, (int)n_best, best);
    return wrong(c, "has no member \"%.*s\"", SHOWN, key);
}

/* ------------------------------------------------------------------------------------------------ values */

static int any(struct check *c, const char *type, json_t **v);

static int deeper(struct check *c, const char *type, json_t **v, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));
static int deeper(struct check *c, const char *type, json_t **v, const char *fmt, ...)
{
    size_t n = c->n;
    va_list ap;
    va_start(ap, fmt);
    int k = vsnprintf(c->place + n, PLACE - n, fmt, ap);
    va_end(ap);
    c->n = k < 0 || (size_t)k >= PLACE - n ? PLACE - 1 : n + (size_t)k;
    int rc = c->depth < DEPTH ? 0 : wrong(c, "is nested too deeply");
    c->depth++;
    if (rc == 0) rc = any(c, type, v);
    c->depth--;
    c->n = n;
    c->place[n] = 0;
    return rc;
}

static int object(struct check *c, const char *shape, json_t *v)
{
    const char *key, *name, *type;
    json_t *item;
    void *next;
    size_t n;
    int must;
    if (!json_is_object(v)) return wrong(c, "must be an object");
    json_object_foreach_safe(v, next, key, item)
    {
        type = find(shape, key);
        if (!type) return unknown(c, shape, key);
        json_t *fresh = item;
        if (deeper(c, type, &fresh, "%s%.*s", c->n ? "." : "", SHOWN, key)) return -1;
        if (fresh != item) json_object_set_new(v, key, fresh);
    }
    for (const char *p = shape; (p = member(p, &name, &n, &must, &type));) {
        char text[128];
        snprintf(text, sizeof text, "%.*s", (int)n, name);
        if (must && !json_object_get(v, text)) return wrong(c, "must have \"%s\"", text);
    }
    return 0;
}

static int list(struct check *c, const char *type, json_t *v)
{
    if (!json_is_array(v)) return wrong(c, "must be a list");
    for (size_t i = 0; i < json_array_size(v); i++) {
        json_t *item = json_array_get(v, i), *fresh = item;
        if (deeper(c, type, &fresh, "[%zu]", i)) return -1;
        if (fresh != item) json_array_set_new(v, i, fresh);
    }
    return 0;
}

static int one_of(struct check *c, const char *type, const json_t *v)
{
    const char *s = json_string_value(v), *end = strchr(type, ')');
    size_t n = s ? strlen(s) : 0;
    for (const char *p = type + 1; s && p < end;) {
        size_t k = strcspn(p, "|)");
        if (k == n && memcmp(p, s, n) == 0) return 0;
        p += k + 1;
    }
    int shown = (int)(end - type - 1) < 200 ? (int)(end - type - 1) : 200;
    if (!s) return wrong(c, "must be one of %.*s", shown, type + 1);
    return wrong(c, "is \"%.*s\", and must be one of %.*s", SHOWN, s, shown, type + 1);
}

static size_t characters(const char *s)
{
    size_t n = 0;
    for (; *s; s++) n += (*s & 0xc0) != 0x80;
    return n;
}

static int is_name(const char *s)
{
    size_t n = strlen(s);
    for (size_t i = 0; i < n; i++) {
        char ch = s[i];
        int alnum = (ch >= 'a' && ch <= 'z') || (ch >= 'A' && ch <= 'Z') || (ch >= '0' && ch <= '9');
        if (!alnum && !(ch == '-' && i && i + 1 < n)) return 0;
    }
    return n > 0 && n <= 63;
}

static int text(struct check *c, const char *type, const json_t *v)
{
    const char *s = json_string_value(v);
    if (!s) return wrong(c, "must be a text");
    if (strlen(s) != json_string_length(v)) return wrong(c, "has a NUL character");
    if (strncmp(type, "name", 4) == 0)
        return is_name(s)
                   ? 0
                   : wrong(c, "is \"%.*s\", and must be 1 to 63 letters, digits and inner hyphens", SHOWN, s);
    if (strncmp(type, "arn", 3) == 0)
        return strncmp(s, "arn:", 4) == 0 && strlen(s) <= 2048
                   ? 0
                   : wrong(c, "is \"%.*s\", and must be an ARN (arn:aws:...)", SHOWN, s);
    if (strncmp(type, "s3", 2) == 0 && (type[2] < '0' || type[2] > '9'))
        return strncmp(s, "s3://", 5) == 0 && s[5] && strlen(s) <= 1024
                   ? 0
                   : wrong(c, "is \"%.*s\", and must be an address as s3://bucket/key", SHOWN, s);
    long most = strtol(type + 1, NULL, 10);
    if (most > 0 && characters(s) > (size_t)most)
        return wrong(c, "has %zu characters, and %ld are allowed", characters(s), most);
    return 0;
}

static int integer(struct check *c, const char *type, const json_t *v)
{
    char *dots;
    if (!json_is_integer(v)) return wrong(c, "must be an integer");
    if (type[1] < '0' || type[1] > '9') return 0;
    long long low = strtoll(type + 1, &dots, 10), high = strtoll(dots + 2, NULL, 10),
              n = json_integer_value(v);
    return n >= low && n <= high ? 0 : wrong(c, "is %lld, and must be from %lld to %lld", n, low, high);
}

static int moment(struct check *c, json_t **v)
{
    if (json_is_number(*v)) return 0;
    const char *s = json_string_value(*v);
    int64_t ms = s ? pbay_time_rfc3339((pbay_str){s, strlen(s)}) : -1;
    if (ms < 0) return wrong(c, "must be a time: seconds since 1970, or as 2026-11-21T08:00:00Z");
    *v = ms % 1000 ? json_real((double)ms / 1000) : json_integer(ms / 1000);
    return 0;
}

static int texts(struct check *c, json_t *v)
{
    const char *key;
    json_t *item;
    if (!json_is_object(v)) return wrong(c, "must be an object of texts");
    json_object_foreach(v, key, item)
    {
        if (!json_is_string(item))
            return wrong(c, "has the member \"%.*s\", whose value must be a text: write \"%s\"", SHOWN, key,
                         json_is_number(item) ? "1" : "...");
    }
    return 0;
}

static int any(struct check *c, const char *type, json_t **v)
{
    switch (*type) {
    case '{': return object(c, type, *v);
    case '[': return list(c, type + 1, *v);
    case '(': return one_of(c, type, *v);
    case 's':
    case 'a': return text(c, type, *v);
    case 'i': return integer(c, type, *v);
    case 'n':
        if (strncmp(type, "name", 4) == 0) return text(c, type, *v);
        return json_is_number(*v) ? 0 : wrong(c, "must be a number");
    case 'b': return json_is_boolean(*v) ? 0 : wrong(c, "must be true or false");
    case 't': return moment(c, v);
    case 'm': return texts(c, *v);
    default: return 0;
    }
}

int aws_shape_check(const char *shape, json_t *v, char why[SHAPE_WHY])
{
    struct check c = {.why = why};
    why[0] = 0;
    return any(&c, shape, &v);
}
