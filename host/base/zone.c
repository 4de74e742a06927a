/* SPDX-License-Identifier: MIT */
#include "base/zone.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/map.h"
#include "base/mem.h"

enum { DAY = 86400, FILE_MAX = 1 << 20, TYPES_MAX = 256, OFFSET_MAX = 26 * 3600, NAME_MAX_ = 64 };

/* A day of the year with a time, as the footer writes it (RFC 9636 3.3.1). */
struct rule {
    char form; /* 'M' month.week.day, 'J' 1..365 without leap days, 'n' 0..365 */
    int month, week, day;
    int64_t time;
};

struct pb_zone {
    size_t n;
    int64_t *at;   /* n instants, ascending */
    int64_t *from; /* offsets from then on */
    int64_t first; /* before at[0] */
    bool footer, dst;
    int64_t std_offset, dst_offset;
    struct rule start, end;
};

/* ------------------------------------------------------------------------ the footer */

static bool digits(const char **p, const char *end, int least, int most, int64_t *out)
{
    int n = 0;
    int64_t v = 0;
    while (*p < end && n < most && **p >= '0' && **p <= '9') v = v * 10 + (*(*p)++ - '0'), n++;
    *out = v;
    return n >= least;
}

static bool word(const char **p, const char *end)
{
    const char *from = *p;
    if (*p < end && **p == '<') {
        while (*p < end && **p != '>') (*p)++;
        if (*p == end) return false;
        (*p)++;
        return true;
    }
    while (*p < end && ((**p >= 'A' && **p <= 'Z') || (**p >= 'a' && **p <= 'z'))) (*p)++;
    return *p - from >= 3;
}

/* [+-]hh[:mm[:ss]], hours up to 167 */
static bool clock_time(const char **p, const char *end, int64_t *out)
{
    int64_t sign = 1, part[3] = {0, 0, 0};
    if (*p < end && (**p == '+' || **p == '-')) sign = *(*p)++ == '-' ? -1 : 1;
    if (!digits(p, end, 1, 3, &part[0])) return false;
    for (int i = 1; i < 3 && *p < end && **p == ':'; i++) {
        (*p)++;
        if (!digits(p, end, 2, 2, &part[i])) return false;
    }
    *out = sign * (part[0] * 3600 + part[1] * 60 + part[2]);
    return part[0] <= 167 && part[1] < 60 && part[2] < 60;
}

static bool read_rule(const char **p, const char *end, struct rule *r)
{
    int64_t v[3] = {0, 0, 0};
    if (*p == end || *(*p)++ != ',' || *p == end) return false;
    r->form = **p == 'M' || **p == 'J' ? *(*p)++ : 'n';
    if (!digits(p, end, 1, 3, &v[0])) return false;
    for (int i = 1; r->form == 'M' && i < 3; i++) {
        if (*p == end || *(*p)++ != '.' || !digits(p, end, 1, 1, &v[i])) return false;
    }
    if (r->form == 'M') {
        if (v[0] < 1 || v[0] > 12 || v[1] < 1 || v[1] > 5 || v[2] > 6) return false;
        r->month = (int)v[0];
        r->week = (int)v[1];
        r->day = (int)v[2];
    } else {
        if (v[0] > 365 || (r->form == 'J' && v[0] < 1)) return false;
        r->day = (int)v[0];
    }
    r->time = 7200;
    if (*p < end && **p == '/') {
        (*p)++;
        return clock_time(p, end, &r->time);
    }
    return true;
}

static bool read_footer(struct pb_zone *z, pbay_str text)
{
    const char *p = text.p, *end = text.p + text.n;
    int64_t west;
    if (p == end) return true; /* there is none */
    if (!word(&p, end) || !clock_time(&p, end, &west) || west > OFFSET_MAX || west < -OFFSET_MAX)
        return false;
    z->std_offset = -west;
    z->footer = true;
    if (p == end) return true;
    if (!word(&p, end)) return false;
    z->dst = true;
    z->dst_offset = z->std_offset + 3600;
    if (p < end && *p != ',') {
        if (!clock_time(&p, end, &west) || west > OFFSET_MAX || west < -OFFSET_MAX) return false;
        z->dst_offset = -west;
    }
    return read_rule(&p, end, &z->start) && read_rule(&p, end, &z->end) && p == end;
}

/* ------------------------------------------------------------------------ the file */

static int64_t big(const unsigned char *p, int n)
{
    uint64_t v = p[0] & 0x80 ? ~UINT64_C(0) : 0;
    for (int i = 0; i < n; i++) v = v << 8 | p[i];
    return (int64_t)v;
}

struct header {
    uint64_t isut, isstd, leap, times, types, chars;
};

static bool read_header(const unsigned char *p, size_t left, struct header *h)
{
    uint64_t *to[] = {&h->isut, &h->isstd, &h->leap, &h->times, &h->types, &h->chars};
    if (left < 44 || memcmp(p, "TZif", 4) != 0) return false;
    for (int i = 0; i < 6; i++) *to[i] = (uint64_t)big(p + 20 + 4 * i, 4) & 0xffffffff;
    for (int i = 0; i < 6; i++)
        if (*to[i] > FILE_MAX) return false;
    return h->types >= 1 && h->types <= TYPES_MAX;
}

static uint64_t body_size(const struct header *h, uint64_t width)
{
    return h->times * (width + 1) + h->types * 6 + h->chars + h->leap * (width + 4) + h->isstd + h->isut;
}

static bool read_body(struct pb_zone *z, const unsigned char *p, const struct header *h, int width)
{
    const unsigned char *index = p + h->times * (uint64_t)width, *types = index + h->times;
    z->n = h->times;
    z->at = pb_array(z->n + 1, sizeof *z->at);
    z->from = pb_array(z->n + 1, sizeof *z->from);
    for (uint64_t i = 0; i < h->types; i++) {
        int64_t offset = big(types + 6 * i, 4);
        if (offset > OFFSET_MAX || offset < -OFFSET_MAX) return false;
    }
    z->first = big(types, 4);
    for (size_t i = 0; i < z->n; i++) {
        z->at[i] = big(p + i * (size_t)width, width);
        if ((i && z->at[i] <= z->at[i - 1]) || index[i] >= h->types) return false;
        z->from[i] = big(types + 6 * index[i], 4);
    }
    return true;
}

static bool parse(struct pb_zone *z, pbay_str text)
{
    const unsigned char *p = (const unsigned char *)text.p;
    size_t left = text.n;
    struct header h;
    if (!read_header(p, left, &h)) return false;
    if (p[4] < '2') /* version 1: 32 bits, no footer */
        return body_size(&h, 4) <= left - 44 && read_body(z, p + 44, &h, 4);
    uint64_t skip = 44 + body_size(&h, 4);
    if (skip > left || !read_header(p + skip, left - skip, &h)) return false;
    p += skip + 44;
    left -= skip + 44;
    uint64_t size = body_size(&h, 8);
    if (size > left || !read_body(z, p, &h, 8)) return false;
    p += size;
    left -= size;
    if (left < 2 || p[0] != '\n') return false;
    pbay_str footer = pb_str((const char *)p + 1, left - 1);
    size_t n = pb_str_chr(footer, '\n');
    return n < footer.n && read_footer(z, pb_str(footer.p, n));
}

int pb_zone_parse(pbay_str tzif, struct pb_zone **out, struct pb_err *err)
{
    struct pb_zone *z = pb_zalloc(sizeof *z);
    if (tzif.n <= FILE_MAX && parse(z, tzif)) {
        *out = z;
        return 0;
    }
    pb_zone_free(z);
    return pb_fail(err, PBAY_DATA_LOSS, "this is not a time zone file (TZif)");
}

void pb_zone_free(struct pb_zone *z)
{
    if (!z) return;
    pb_free(z->at);
    pb_free(z->from);
    pb_free(z);
}

static bool name_ok(pbay_str name)
{
    if (!name.n || name.n > NAME_MAX_ || name.p[0] == '/' || name.p[0] == '.') return false;
    for (size_t i = 0; i < name.n; i++) {
        char c = name.p[i];
        bool alnum = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
        if (!alnum && c != '/' && c != '_' && c != '-' && c != '+') return false;
    }
    return true;
}

int pb_zone_load(pbay_str name, struct pb_zone **out, struct pb_err *err)
{
    if (!name_ok(name))
        return pb_fail(
            err, PBAY_INVALID_ARGUMENT,
            "\"%.*s\" is not the name of a time zone; expected one such as Europe/Stockholm or UTC",
            PB_FMT(name));
    if (pb_str_is(name, "UTC")) {
        struct pb_zone *z = pb_zalloc(sizeof *z);
        z->at = pb_array(1, sizeof *z->at);
        z->from = pb_array(1, sizeof *z->from);
        *out = z;
        return 0;
    }
    char *path PB_AUTO_FREE = pb_sprintf("/usr/share/zoneinfo/%.*s", PB_FMT(name));
    struct pb_buf text = {0};
    int fd = open(path, O_RDONLY | O_CLOEXEC), why = errno;
    ssize_t n = -1;
    while (fd >= 0 && text.n <= FILE_MAX) {
        n = read(fd, pb_buf_room(&text, 65536), 65536);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) break;
        text.n += (size_t)n;
    }
    if (fd >= 0 && n < 0) why = errno;
    if (fd >= 0) close(fd);
    int rc = n < 0 ? pb_fail(err, PBAY_NOT_FOUND,
                             "there is no time zone \"%.*s\" on this machine (%s: %s); is tzdata installed?",
                             PB_FMT(name), path, strerror(why))
                   : pb_zone_parse(pb_buf_view(&text), out, err);
    if (rc && n >= 0) pb_fail_in(err, "%s", path);
    pb_buf_free(&text);
    return rc;
}

int pb_zone_get(pbay_str name, const struct pb_zone **out, struct pb_err *err)
{
    static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    static struct pb_map known;
    struct pb_zone *z;
    int rc = 0;
    pthread_mutex_lock(&lock);
    *out = z = pb_map_get(&known, name);
    if (!z && (rc = pb_zone_load(name, &z, err)) == 0) {
        *out = z;
        pb_map_add(&known, pb_str(pb_strndup(name.p, name.n), name.n), z);
    }
    pthread_mutex_unlock(&lock);
    return rc;
}

/* ------------------------------------------------------------------------ questions */

static int64_t floor_div(int64_t a, int64_t b)
{
    return a / b - (a % b < 0);
}

/* When a rule's day and time is in a year, on the wall clock. */
static int64_t rule_local(const struct rule *r, int64_t year)
{
    bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    int64_t day;
    if (r->form == 'M') {
        int64_t first = pb_days_from_civil(year, (unsigned)r->month, 1);
        int64_t next = r->month == 12 ? pb_days_from_civil(year + 1, 1, 1)
                                      : pb_days_from_civil(year, (unsigned)r->month + 1, 1);
        int64_t weekday = ((first + 4) % 7 + 7) % 7; /* 1970-01-01 was a Thursday */
        day = first + (r->day - weekday + 7) % 7 + 7 * (r->week - 1);
        while (day >= next) day -= 7;
    } else {
        int64_t nth = r->form == 'J' ? r->day - 1 + (leap && r->day > 59) : r->day;
        day = pb_days_from_civil(year, 1, 1) + nth;
    }
    return day * DAY + r->time;
}

static int64_t by_footer(const struct pb_zone *z, int64_t utc)
{
    if (!z->dst) return z->std_offset;
    int64_t year;
    unsigned month, day;
    pb_civil_from_days(floor_div(utc + z->std_offset, DAY), &year, &month, &day);
    int64_t start = rule_local(&z->start, year) - z->std_offset;
    int64_t end = rule_local(&z->end, year) - z->dst_offset;
    bool dst = start < end ? utc >= start && utc < end : utc >= start || utc < end;
    return dst ? z->dst_offset : z->std_offset;
}

int64_t pb_zone_offset(const struct pb_zone *z, int64_t utc)
{
    if (!z->n || utc < z->at[0]) return z->n || !z->footer ? z->first : by_footer(z, utc);
    if (utc >= z->at[z->n - 1]) return z->footer ? by_footer(z, utc) : z->from[z->n - 1];
    size_t lo = 0, hi = z->n - 1; /* at[lo] <= utc < at[hi] */
    while (hi - lo > 1) {
        size_t mid = lo + (hi - lo) / 2;
        if (z->at[mid] <= utc)
            lo = mid;
        else
            hi = mid;
    }
    return z->from[lo];
}

int64_t pb_zone_utc(const struct pb_zone *z, int64_t local)
{
    /* No zone changes twice within two days: the offset is the one before or the one after. */
    int64_t before = pb_zone_offset(z, local - 2 * DAY), after = pb_zone_offset(z, local + 2 * DAY);
    int64_t early = local - (before > after ? before : after),
            late = local - (before > after ? after : before);
    if (pb_zone_local(z, early) == local) return early;
    if (pb_zone_local(z, late) == local) return late;
    /* In a gap, which ends between the two. */
    while (late - early > 1) {
        int64_t mid = early + (late - early) / 2;
        if (pb_zone_local(z, mid) > local)
            late = mid;
        else
            early = mid;
    }
    return late;
}
