/* SPDX-License-Identifier: MIT */
#include "members.h"

#include <stdlib.h>
#include <string.h>

enum { NESTED_MAX = 16, NUMBER_MAX = 18 };

/* ------------------------------------------------------------------------------------------------ plain */

struct walk {
    const char *p, *end;
    members *out;
};

static void blank(struct walk *w)
{
    while (w->p < w->end && (*w->p == ' ' || *w->p == '\n' || *w->p == '\t' || *w->p == '\r')) w->p++;
}

static int next_is(struct walk *w, char c)
{
    blank(w);
    if (w->p == w->end || *w->p != c) return 0;
    w->p++;
    return 1;
}

/* The character that begins at p, of more than one byte: RFC 3629. 0: none. */
static int long_character(const unsigned char *p, const unsigned char *end)
{
    int n = *p >= 0xc2 && *p <= 0xdf ? 2 : *p >= 0xe0 && *p <= 0xef ? 3 : *p >= 0xf0 && *p <= 0xf4 ? 4 : 0;
    if (!n || end - p < n) return 0;
    if ((*p == 0xe0 && p[1] < 0xa0) || (*p == 0xed && p[1] > 0x9f) || (*p == 0xf0 && p[1] < 0x90) ||
        (*p == 0xf4 && p[1] > 0x8f))
        return 0;
    for (int i = 1; i < n; i++)
        if ((p[i] & 0xc0) != 0x80) return 0;
    return n;
}

static int string(struct walk *w, pbay_str *out)
{
    if (!next_is(w, '"')) return 0;
    const char *from = w->p;
    while (w->p < w->end && *w->p != '"') {
        unsigned char c = (unsigned char)*w->p;
        int n = c >= 0x80 ? long_character((const unsigned char *)w->p, (const unsigned char *)w->end) : 1;
        if (c < ' ' || c == '\\' || !n) return 0;
        w->p += n;
    }
    if (w->p == w->end) return 0;
    *out = (pbay_str){from, (size_t)(w->p++ - from)};
    return 1;
}

static const char *digits(const char *p, const char *end)
{
    while (p < end && *p >= '0' && *p <= '9') p++;
    return p;
}

static int number(struct walk *w, double *out)
{
    char text[NUMBER_MAX + 1];
    const char *from = w->p, *first = from + (*from == '-'), *p = digits(first, w->end);
    if (p == first || (*first == '0' && p > first + 1)) return 0;
    if (p < w->end && *p == '.') {
        const char *fraction = p + 1;
        p = digits(fraction, w->end);
        if (p == fraction) return 0;
    }
    if ((p < w->end && (*p == 'e' || *p == 'E')) || p - from > NUMBER_MAX) return 0;
    memcpy(text, from, (size_t)(p - from));
    text[p - from] = 0;
    *out = strtod(text, NULL);
    w->p = p;
    return 1;
}

static int word(struct walk *w, const char *s)
{
    size_t n = strlen(s);
    if ((size_t)(w->end - w->p) < n || memcmp(w->p, s, n) != 0) return 0;
    w->p += n;
    return 1;
}

static int same(pbay_str a, pbay_str b)
{
    return a.n == b.n && memcmp(a.p, b.p, a.n) == 0;
}

static int is(pbay_str s, const char *lit)
{
    return same(s, (pbay_str){lit, strlen(lit)});
}

static int value(struct walk *w, int depth, member *m);

/* An object whose members do not matter. */
static int nested(struct walk *w, int depth)
{
    pbay_str seen[NESTED_MAX];
    member m;
    uint32_t n = 0;
    if (next_is(w, '}')) return 1;
    do {
        if (n == NESTED_MAX || !string(w, &seen[n]) || !next_is(w, ':')) return 0;
        for (uint32_t i = 0; i < n; i++)
            if (same(seen[i], seen[n])) return 0;
        n++;
        if (!value(w, depth, &m)) return 0;
    } while (next_is(w, ','));
    return next_is(w, '}');
}

static int array(struct walk *w, int depth, uint32_t *n)
{
    member m;
    *n = 0;
    if (next_is(w, ']')) return 1;
    do {
        if (!value(w, depth, &m)) return 0;
        ++*n;
    } while (next_is(w, ','));
    return next_is(w, ']');
}

static int value(struct walk *w, int depth, member *m)
{
    uint32_t n;
    blank(w);
    if (w->p == w->end || depth > MEMBERS_DEPTH) return 0;
    switch (*w->p) {
    case '"': m->kind = MEMBER_TEXT; return string(w, &m->text);
    case '{':
        w->p++;
        m->kind = MEMBER_OBJECT;
        return nested(w, depth + 1);
    case '[':
        w->p++;
        m->kind = MEMBER_OTHER;
        m->number = 0;
        if (!array(w, depth + 1, &n)) return 0;
        m->number = n;
        return 1;
    case 't': m->kind = MEMBER_TRUE; return word(w, "true");
    case 'f': m->kind = MEMBER_FALSE; return word(w, "false");
    case 'n':
        m->kind = MEMBER_OTHER;
        m->number = 0;
        return word(w, "null");
    default: m->kind = MEMBER_NUMBER; return number(w, &m->number);
    }
}

/* An object whose members are kept; behind its brace. */
static int kept(struct walk *w, enum member_of of, int depth)
{
    members *out = w->out;
    uint32_t first = out->n;
    if (next_is(w, '}')) return 1;
    do {
        if (out->n == MEMBERS_MAX) return 0;
        member *m = &out->list[out->n];
        *m = (member){.of = of};
        if (!string(w, &m->name) || !next_is(w, ':')) return 0;
        for (uint32_t i = first; i < out->n; i++)
            if (out->list[i].of == of && same(out->list[i].name, m->name)) return 0;
        out->n++;
        const char *from = w->p;
        int data = of == OF_EVENT && is(m->name, "data"), more = of == OF_EVENT && is(m->name, "extensions");
        blank(w);
        if ((data || more) && w->p < w->end && *w->p == '{') {
            w->p++;
            m->kind = MEMBER_OBJECT;
            if (!kept(w, data ? OF_DATA : OF_EXTENSIONS, depth + 1)) return 0;
        } else if (!value(w, depth, m)) {
            return 0;
        }
        if (of == OF_DATA && is(m->name, "errors") && m->kind == MEMBER_OTHER && m->number > 0) return 0;
        if (data) {
            blank(w);
            out->data = (pbay_str){from, (size_t)(w->p - from)};
        }
    } while (next_is(w, ','));
    return next_is(w, '}');
}

int members_plain(pbay_str body, members *out)
{
    struct walk w = {body.p, body.p + body.n, out};
    out->n = 0;
    out->data = out->first_error = (pbay_str){NULL, 0};
    out->root = NULL;
    if (!body.n || !next_is(&w, '{') || !kept(&w, OF_EVENT, 1)) return 0;
    blank(&w);
    return w.p == w.end;
}

/* ------------------------------------------------------------------------------------------------ thorough
 */

struct scan {
    pbay_str body;
    size_t at;
};

/* From behind the opening quote to behind the closing one; 0: it does not end. */
static int skip_string(struct scan *s)
{
    while (s->at < s->body.n) {
        char c = s->body.p[s->at++];
        if (c == '"') return 1;
        if (c == '\\') s->at++;
    }
    return 0;
}

/*
 * How deep does it go, and where is the member `data` of the outermost object? Only bytes are looked at; what
 * is no JSON is found by the parser. 0: deeper than MEMBERS_DEPTH.
 */
static int survey(pbay_str body, pbay_str *data)
{
    struct scan s = {body, 0};
    unsigned depth = 0;
    int is_data = 0; /* 1: behind the name, 2: in the value */
    size_t from = 0;
    *data = (pbay_str){NULL, 0};
    while (s.at < body.n) {
        size_t at = s.at;
        char c = body.p[s.at++];
        if (c == '"') {
            if (!skip_string(&s)) return 1;
            if (depth == 1 && is_data == 0 && s.at - at == 6 && memcmp(body.p + at, "\"data\"", 6) == 0)
                is_data = 1;
        } else if (c == '{' || c == '[') {
            if (++depth > MEMBERS_DEPTH) return 0;
        } else if (c == '}' || c == ']') {
            if (depth) depth--;
        }
        if (depth == 1 && is_data == 1 && c == ':') {
            is_data = 2;
            from = s.at;
        } else if (is_data == 2 && ((depth == 1 && c == ',') || (depth == 0 && c == '}'))) {
            *data = (pbay_str){body.p + from, at - from};
            is_data = 3;
        } else if (depth == 1 && is_data == 1 && c == ',') {
            is_data = 0; /* it was a value, not a name */
        }
    }
    return 1;
}

/* Those that somebody asks for: there may be more members than fit. */
static const struct {
    enum member_of of;
    const char *name;
} ASKED[] = {
    {OF_EVENT, "type"},
    {OF_EVENT, "eventType"},
    {OF_EVENT, "time"},
    {OF_EVENT, "eventTime"},
    {OF_EVENT, "id"},
    {OF_EVENT, "eventId"},
    {OF_EVENT, "eventID"},
    {OF_EVENT, "tenantid"},
    {OF_EVENT, "userid"},
    {OF_EVENT, "spaceid"},
    {OF_EVENT, "data"},
    {OF_EVENT, "toplevelresourceid"},
    {OF_EXTENSIONS, "tenantId"},
    {OF_EXTENSIONS, "userId"},
    {OF_EXTENSIONS, "userid"},
    {OF_EXTENSIONS, "spaceId"},
    {OF_EXTENSIONS, "topLevelResourceId"},
    {OF_DATA, "appId"},
    {OF_DATA, "id"},
    {OF_DATA, "type"},
    {OF_DATA, "partial"},
    {OF_DATA, "errorCode"},
    {OF_DATA, "errorMessage"},
    {OF_DATA, "tenantId"},
    {OF_DATA, "durationSeconds"},
    {OF_DATA, "succeeded"},
    {OF_DATA, "duration"},
    {OF_DATA, "reloadId"},
    {OF_DATA, "name"},
    {OF_DATA, "usage"},
    {OF_DATA, "isPartialReload"},
    {OF_DATA, "isSessionApp"},
    {OF_DATA, "spaceId"},
    {OF_DATA, "status"},
    {OF_DATA, "resourceId"},
};

static pbay_str text_of(const json_t *v)
{
    return json_is_string(v) ? (pbay_str){json_string_value(v), json_string_length(v)} : (pbay_str){NULL, 0};
}

static void add(members *out, enum member_of of, const char *name, const json_t *v)
{
    if (!v) return;
    out->list[out->n++] = (member){.name = {name, strlen(name)},
                                   .of = of,
                                   .kind = json_is_string(v)   ? MEMBER_TEXT
                                           : json_is_number(v) ? MEMBER_NUMBER
                                           : json_is_true(v)   ? MEMBER_TRUE
                                           : json_is_false(v)  ? MEMBER_FALSE
                                           : json_is_object(v) ? MEMBER_OBJECT
                                                               : MEMBER_OTHER,
                                   .text = text_of(v),
                                   .number = json_number_value(v)};
}

int members_thorough(pbay_str body, members *out, json_error_t *err)
{
    out->n = 0;
    out->root = NULL;
    out->first_error = (pbay_str){NULL, 0};
    if (!survey(body, &out->data)) return -2;
    out->root = json_loadb(body.n ? body.p : "", body.n, JSON_REJECT_DUPLICATES, err);
    if (!out->root) return -1;
    if (!json_is_object(out->root)) return -3;
    const json_t *of[] = {out->root, json_object_get(out->root, "extensions"),
                          json_object_get(out->root, "data")};
    for (size_t i = 0; i < sizeof ASKED / sizeof *ASKED; i++)
        add(out, ASKED[i].of, ASKED[i].name, json_object_get(of[ASKED[i].of], ASKED[i].name));
    const json_t *first = json_array_get(json_object_get(of[OF_DATA], "errors"), 0);
    out->first_error = json_is_object(first) ? text_of(json_object_get(first, "message")) : text_of(first);
    return 0;
}

void members_free(members *m)
{
    json_decref(m->root);
    m->root = NULL;
}

/* ------------------------------------------------------------------------------------------------ asking */

const member *members_get(const members *m, enum member_of of, const char *name)
{
    pbay_str wanted = {name, strlen(name)};
    for (uint32_t i = 0; i < m->n; i++)
        if (m->list[i].of == of && same(m->list[i].name, wanted)) return &m->list[i];
    return NULL;
}

pbay_str members_text(const members *m, enum member_of of, const char *name)
{
    const member *found = members_get(m, of, name);
    return found && found->kind == MEMBER_TEXT ? found->text : (pbay_str){NULL, 0};
}
