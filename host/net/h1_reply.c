/* SPDX-License-Identifier: MIT */
#include "net/h1_reply.h"

#include <string.h>

#include "base/mem.h"

static enum pb_h1_reply_event bad(struct pb_h1_reply *r, const char *why)
{
    r->why = why;
    r->done = true;
    return PB_H1_REPLY_BAD;
}

static pbay_str at(const struct pb_h1_reply *r, uint32_t place, uint32_t n)
{
    return pb_str(r->text.p + place, n);
}

/* HTTP/1.x SP 3DIGIT SP [reason] */
static const char *status_line(struct pb_h1_reply *r, uint32_t begin, uint32_t n)
{
    pbay_str s = at(r, begin, n);
    if (s.n < 12 || memcmp(s.p, "HTTP/1.", 7) != 0 || (s.p[7] != '0' && s.p[7] != '1') || s.p[8] != ' ')
        return "it does not begin with HTTP/1.1 and a status";
    for (int i = 9; i < 12; i++)
        if (s.p[i] < '0' || s.p[i] > '9') return "the status is not a number";
    if (s.p[9] < '1' || s.p[9] > '5' || (s.n > 12 && s.p[12] != ' ')) return "the status is not one of HTTP";
    r->status = (s.p[9] - '0') * 100 + (s.p[10] - '0') * 10 + (s.p[11] - '0');
    uint32_t skip = n > 13 ? 13 : n;
    r->reason = (struct pb_h1_field){.value = begin + skip, .value_n = n - skip};
    return pb_h1_value_ok(at(r, r->reason.value, r->reason.value_n)) ? NULL
                                                                     : "the reason has control characters";
}

static const char *field_line(struct pb_h1_reply *r, uint32_t begin, uint32_t n)
{
    pbay_str line = at(r, begin, n);
    if (line.p[0] == ' ' || line.p[0] == '\t') return "a header is folded over two lines";
    size_t colon = pb_str_chr(line, ':');
    if (colon == line.n) return "a header has no colon";
    if (!pb_h1_token(pb_str(line.p, colon))) return "a header's name is not a token";
    if (r->n_fields == PB_H1_REPLY_FIELDS) return "there are too many headers";
    pbay_str value = pb_str_trim(pb_str(line.p + colon + 1, line.n - colon - 1));
    if (!pb_h1_value_ok(value)) return "a header's value has control characters";
    for (uint32_t i = begin; i < begin + colon; i++)
        if (r->text.p[i] >= 'A' && r->text.p[i] <= 'Z') r->text.p[i] |= 0x20;
    PB_GROW(r->fields, r->fields_cap, r->n_fields + 1);
    r->fields[r->n_fields++] = (struct pb_h1_field){
        begin, (uint32_t)colon, value.n ? (uint32_t)(value.p - r->text.p) : begin, (uint32_t)value.n};
    return NULL;
}

/* The text ends with the empty line. */
static const char *take_apart(struct pb_h1_reply *r)
{
    uint32_t begin = 0;
    bool first = true;
    for (;;) {
        const char *lf = memchr(r->text.p + begin, '\n', r->text.n - begin);
        uint32_t end = (uint32_t)(lf - r->text.p);
        if (end == begin || r->text.p[end - 1] != '\r') return "a line ends without CR";
        uint32_t n = end - 1 - begin;
        if (!first && n == 0) return NULL;
        const char *why = first ? status_line(r, begin, n) : field_line(r, begin, n);
        if (why) return why;
        first = false;
        begin = end + 1;
    }
}

static void again(struct pb_h1_reply *r)
{
    r->text.n = 0;
    r->n_fields = 0;
    r->status = 0;
}

enum pb_h1_reply_event pb_h1_reply_next(struct pb_h1_reply *r, const char **p, size_t *n)
{
    while (*n && !r->done) {
        /* Line by line, so that nothing behind the empty line is taken. */
        const char *lf = memchr(*p, '\n', *n);
        size_t take = lf ? (size_t)(lf - *p) + 1 : *n;
        if (r->text.n + take > PB_H1_REPLY_MAX) return bad(r, "its head is larger than 16 KiB");
        pb_buf_add(&r->text, *p, take);
        *p += take;
        *n -= take;
        if (r->text.n < 5 && memcmp(r->text.p, "HTTP/", r->text.n) != 0) return bad(r, "it is not HTTP");
        if (r->text.n >= 5 && memcmp(r->text.p, "HTTP/", 5) != 0) return bad(r, "it is not HTTP");
        bool ends = r->text.n >= 4 && memcmp(r->text.p + r->text.n - 4, "\r\n\r\n", 4) == 0;
        bool lone = r->text.n >= 2 && memcmp(r->text.p + r->text.n - 2, "\n\n", 2) == 0;
        if (lone) return bad(r, "a line ends without CR");
        if (!ends) continue;
        const char *why = take_apart(r);
        if (why) return bad(r, why);
        if (r->status >= 200 || r->status == 101) {
            r->done = true;
            return PB_H1_REPLY_HEAD;
        }
        again(r);
    }
    return PB_H1_REPLY_MORE;
}

void pb_h1_reply_free(struct pb_h1_reply *r)
{
    pb_buf_free(&r->text);
    pb_free(r->fields);
    *r = (struct pb_h1_reply){0};
}

pbay_str pb_h1_reply_reason(const struct pb_h1_reply *r)
{
    return at(r, r->reason.value, r->reason.value_n);
}

pbay_str pb_h1_reply_field(const struct pb_h1_reply *r, const char *name)
{
    for (uint32_t i = 0; i < r->n_fields; i++)
        if (pb_str_is(at(r, r->fields[i].name, r->fields[i].name_n), name))
            return at(r, r->fields[i].value, r->fields[i].value_n);
    return pb_str(NULL, 0);
}

uint32_t pb_h1_reply_count(const struct pb_h1_reply *r, const char *name)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < r->n_fields; i++)
        count += pb_str_is(at(r, r->fields[i].name, r->fields[i].name_n), name);
    return count;
}
