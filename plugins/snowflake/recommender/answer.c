/* SPDX-License-Identifier: MIT */
/* The body of /invocations: pairs to estimates, some dozens at a time, so that rows are on their way from
 * memory while others are looked up. */
#include "serve.h"

enum { GROUP = 32 };

/* With six decimals, which is what single precision can tell at the scale of ratings. At most 24 bytes. */
static char *put_estimate(char *to, float v)
{
    double scaled = (double)v * 1e6;
    uint64_t u = (uint64_t)(scaled < 0 ? 0.5 - scaled : scaled + 0.5);
    uint32_t micro = (uint32_t)(u % 1000000);
    char whole[20];
    size_t n = 0;
    if (scaled < 0 && u) *to++ = '-';
    u /= 1000000;
    do whole[n++] = (char)('0' + u % 10);
    while (u /= 10);
    while (n) *to++ = whole[--n];
    to[0] = '.';
    for (int i = 6; i > 0; i--, micro /= 10) to[i] = (char)('0' + micro % 10);
    to[7] = '\n';
    return to + 8;
}

/* A run of up to 18 digits up to `stop`: what nearly every id is. Returns what stands behind stop, or NULL.
 */
static const char *plain_id(const char *p, const char *end, char stop, int64_t *id)
{
    uint64_t v = 0;
    const char *first = p;
    while (p < end && (unsigned)(*p - '0') < 10) v = v * 10 + (unsigned)(*p++ - '0');
    if (p == first || p - first > 18 || p == end || *p != stop) return NULL;
    *id = (int64_t)v;
    return p + 1;
}

static int bad_line(uint64_t line, pbay_str text, const char *what, struct pb_err *err)
{
    return pb_fail(err, PBAY_INVALID_ARGUMENT, "line %llu, \"%.*s\": %s; expected user,item",
                   (unsigned long long)line, (int)(text.n < 80 ? text.n : 80), text.p ? text.p : "", what);
}

/* A line with blanks, quotes of numbers, signs, CR, or a fault. */
static int any_line(uint64_t n, pbay_str line, int64_t ids[2], struct pb_err *err)
{
    pbay_str rest = line, field;
    if (!line.n) return bad_line(n, line, "the line is empty", err);
    pb_str_split(&rest, ',', &field);
    if (!rest.p) return bad_line(n, line, "one value", err);
    if (!rec_parse_id(pb_str_trim(field), &ids[0]))
        return bad_line(n, line, "the user is not a whole number", err);
    pb_str_split(&rest, ',', &field);
    if (rest.p) return bad_line(n, line, "more than two values", err);
    if (!rec_parse_id(pb_str_trim(field), &ids[1]))
        return bad_line(n, line, "the item is not a whole number", err);
    return 0;
}

/* The next pair. 1: there it is; 0: there is none; -1: err. */
static int next_pair(pbay_str *body, uint64_t *line, int64_t ids[2], struct pb_err *err)
{
    const char *end = body->p + body->n, *item = plain_id(body->p, end, ',', &ids[0]);
    const char *next = item ? plain_id(item, end, '\n', &ids[1]) : NULL;
    if (next) {
        ++*line;
        *body = pb_str(next, (size_t)(end - next));
        return 1;
    }
    if (!body->n) return 0;
    size_t n = pb_str_chr(*body, '\n');
    int rc = any_line(++*line, pb_str_trim(pb_str(body->p, n)), ids, err);
    if (n < body->n) n++;
    *body = pb_str(body->p + n, body->n - n);
    return rc ? -1 : 1;
}

static void fetch(const struct rec_model *m, uint32_t user, uint32_t item)
{
    if (user == REC_NO_ID || item == REC_NO_ID) return;
    for (uint32_t k = 0; k < m->stride; k += 16) {
        __builtin_prefetch(m->p + (size_t)user * m->stride + k);
        __builtin_prefetch(m->q + (size_t)item * m->stride + k);
    }
}

int rec_answer(const struct rec_model *m, pbay_str body, struct pb_buf *out, struct pb_err *err)
{
    uint32_t users[GROUP], items[GROUP];
    uint64_t line = 0;
    int more = 1;
    if (pb_str_starts(body, PB_STR("\xef\xbb\xbf"))) body = pb_str(body.p + 3, body.n - 3);
    while (body.n && (body.p[body.n - 1] == '\n' || body.p[body.n - 1] == '\r' || body.p[body.n - 1] == ' '))
        body.n--;
    while (more > 0) {
        int64_t ids[2];
        uint32_t n = 0;
        while (n < GROUP && (more = next_pair(&body, &line, ids, err)) > 0) {
            users[n] = rec_ids_find(&m->users, ids[0]);
            items[n] = rec_ids_find(&m->items, ids[1]);
            fetch(m, users[n], items[n]);
            n++;
        }
        char *first = pb_buf_room(out, GROUP * 24), *to = first;
        for (uint32_t i = 0; i < n; i++) to = put_estimate(to, rec_estimate(m, users[i], items[i]));
        out->n += (size_t)(to - first);
    }
    return more;
}
