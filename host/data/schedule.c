/* SPDX-License-Identifier: MIT */
#include "data/schedule.h"

#include "base/clock.h"

enum { DAY_S = 86400, DAYS_AHEAD = 8 * 366 + 1 };

static const char *const month_names[] = {"jan", "feb", "mar", "apr", "may", "jun",
                                          "jul", "aug", "sep", "oct", "nov", "dec"};
static const char *const day_names[] = {"sun", "mon", "tue", "wed", "thu", "fri", "sat"};

struct field {
    const char *name;
    int64_t least, most;
    const char *const *words;
    size_t n_words;
    int64_t first_word;
};

static const struct field fields[5] = {
    {"minute", 0, 59, NULL, 0, 0},        {"hour", 0, 23, NULL, 0, 0},        {"day", 1, 31, NULL, 0, 0},
    {"month", 1, 12, month_names, 12, 1}, {"weekday", 0, 7, day_names, 7, 0},
};

static int64_t floor_div(int64_t a, int64_t b)
{
    return a / b - (a % b < 0);
}

static bool value_of(const struct field *f, pbay_str s, int64_t *out)
{
    for (size_t i = 0; i < f->n_words; i++)
        if (pb_str_ieq(s, pb_str_c(f->words[i]))) {
            *out = f->first_word + (int64_t)i;
            return true;
        }
    return s.n && s.p[0] >= '0' && s.p[0] <= '9' && pb_parse_i64(s, out) && *out >= f->least &&
           *out <= f->most;
}

static int bad_field(const struct field *f, pbay_str text, struct pb_err *err)
{
    return pb_fail(err, PBAY_INVALID_ARGUMENT,
                   "\"%.*s\" is no %s; expected %lld to %lld%s, lists (a,b), ranges (a-b), steps (*/5) or *",
                   PB_FMT(text), f->name, (long long)f->least, (long long)f->most, f->words ? ", names" : "");
}

/* One field into bits. *any: it was *, or * in steps of one. */
static int read_field(const struct field *f, pbay_str text, uint64_t *bits, bool *any, struct pb_err *err)
{
    pbay_str rest = text, part;
    *bits = 0;
    *any = false;
    if (!text.n || text.p[text.n - 1] == ',') return bad_field(f, text, err);
    while (pb_str_split(&rest, ',', &part)) {
        int64_t from, to, step = 1;
        size_t slash = pb_str_chr(part, '/');
        pbay_str range = pb_str(part.p, slash);
        bool stepped = slash < part.n;
        if (stepped && (!pb_parse_i64(pb_str(part.p + slash + 1, part.n - slash - 1), &step) || step < 1 ||
                        step > f->most))
            return bad_field(f, text, err);
        size_t dash = pb_str_chr(range, '-');
        if (pb_str_is(range, "*")) {
            from = f->least;
            to = f->words == day_names ? 6 : f->most;
            if (step == 1) *any = true;
        } else if (!value_of(f, pb_str(range.p, dash), &from)) {
            return bad_field(f, text, err);
        } else if (dash < range.n) {
            if (!value_of(f, pb_str(range.p + dash + 1, range.n - dash - 1), &to))
                return bad_field(f, text, err);
        } else {
            to = stepped ? f->most : from;
        }
        /* "fri-mon" goes round the week; others do not go round. */
        if (to < from) {
            if (f->words != day_names) return bad_field(f, text, err);
            to += 7;
        }
        for (int64_t v = from; v <= to; v += step)
            *bits |= UINT64_C(1) << (f->words == day_names ? v % 7 : v);
    }
    return 0;
}

static int load_zone(pbay_str name, const struct pb_zone **out, struct pb_err *err)
{
    return pb_zone_get(name.n ? name : PB_STR("UTC"), out, err);
}

static bool next_word(pbay_str *rest, pbay_str *word)
{
    *rest = pb_str_trim(*rest);
    if (!rest->n) return false;
    size_t n = 0;
    while (n < rest->n && rest->p[n] != ' ' && rest->p[n] != '\t') n++;
    *word = pb_str(rest->p, n);
    *rest = pb_str(rest->p + n, rest->n - n);
    return true;
}

int pb_cron_parse(pbay_str text, pbay_str zone, struct pb_cron *out, struct pb_err *err)
{
    static const struct {
        const char *name, *line;
    } shorts[] = {{"@hourly", "0 * * * *"},
                  {"@daily", "0 0 * * *"},
                  {"@weekly", "0 0 * * 0"},
                  {"@monthly", "0 0 1 * *"}};
    uint64_t bits[5];
    bool any[5];
    pbay_str rest = pb_str_trim(text), word;
    *out = (struct pb_cron){0};
    for (size_t i = 0; i < PB_COUNTOF(shorts); i++)
        if (pb_str_is(rest, shorts[i].name)) rest = pb_str_c(shorts[i].line);
    int n = 0;
    for (; n < 5 && next_word(&rest, &word); n++)
        if (read_field(&fields[n], word, &bits[n], &any[n], err) != 0)
            return pb_fail_in(err, "cron \"%.*s\"", PB_FMT(text));
    if (n < 5 || pb_str_trim(rest).n)
        return pb_fail(err, PBAY_INVALID_ARGUMENT,
                       "cron \"%.*s\" has not five fields; expected minute hour day month weekday, such as "
                       "\"0 2 * * mon-fri\"",
                       PB_FMT(text));
    out->minutes = bits[0];
    out->hours = (uint32_t)bits[1];
    out->days = (uint32_t)bits[2];
    out->months = (uint16_t)bits[3];
    out->weekdays = (uint8_t)bits[4];
    out->day_or_weekday = !any[2] && !any[4];
    if (load_zone(zone, &out->zone, err) != 0) return -1;
    if (pb_cron_next(out, INT64_C(1767225600000)) != PB_NEVER) return 0;
    return pb_fail(err, PBAY_INVALID_ARGUMENT, "cron \"%.*s\" never comes: there is no such day",
                   PB_FMT(text));
}

/* HH:MM as minutes; 24:00 where `end`. */
static bool clock_minutes(pbay_str s, bool end, int32_t *out)
{
    int64_t h, m;
    size_t colon = pb_str_chr(s, ':');
    if (colon < 1 || colon > 2 || s.n - colon != 3 || s.p[0] < '0' || s.p[0] > '9' || s.p[colon + 1] < '0' ||
        s.p[colon + 1] > '9')
        return false;
    if (!pb_parse_i64(pb_str(s.p, colon), &h) || !pb_parse_i64(pb_str(s.p + colon + 1, 2), &m)) return false;
    if (m > 59 || h > 24 || (h == 24 && (m || !end))) return false;
    *out = (int32_t)(h * 60 + m);
    return true;
}

/* [days] TIME [zone] */
static int day_parts(pbay_str text, uint8_t *weekdays, pbay_str *time, pbay_str *zone, struct pb_err *err)
{
    pbay_str rest = text, word;
    *weekdays = 0x7f;
    *zone = pb_str("", 0);
    *time = pb_str("", 0);
    if (!next_word(&rest, &word)) return 0;
    if (word.p[0] < '0' || word.p[0] > '9') {
        uint64_t bits;
        bool any;
        if (read_field(&fields[4], word, &bits, &any, err) != 0) return -1;
        *weekdays = (uint8_t)bits;
        if (!next_word(&rest, &word)) return 0;
    }
    *time = word;
    *zone = pb_str_trim(rest);
    return 0;
}

int pb_moment_parse(pbay_str text, struct pb_cron *out, struct pb_err *err)
{
    pbay_str time, zone;
    int32_t minute;
    *out = (struct pb_cron){.days = 0xfffffffe, .months = 0x1ffe};
    if (day_parts(text, &out->weekdays, &time, &zone, err) != 0)
        return pb_fail_in(err, "\"%.*s\"", PB_FMT(text));
    if (!clock_minutes(time, false, &minute))
        return pb_fail(err, PBAY_INVALID_ARGUMENT,
                       "\"%.*s\" is no time of day; expected one such as \"06:00 Europe/Stockholm\" or "
                       "\"mon-fri 06:00\"",
                       PB_FMT(text));
    out->minutes = UINT64_C(1) << (minute % 60);
    out->hours = UINT32_C(1) << (minute / 60);
    return load_zone(zone, &out->zone, err);
}

static bool day_fits(const struct pb_cron *c, int64_t day)
{
    int64_t year;
    unsigned month, date;
    pb_civil_from_days(day, &year, &month, &date);
    if (!(c->months >> month & 1)) return false;
    bool by_date = c->days >> date & 1, by_weekday = c->weekdays >> (((day + 4) % 7 + 7) % 7) & 1;
    return c->day_or_weekday ? by_date || by_weekday : by_date && by_weekday;
}

int64_t pb_cron_next(const struct pb_cron *c, int64_t after_ms)
{
    int64_t after = floor_div(after_ms, 1000), first = floor_div(pb_zone_local(c->zone, after), DAY_S);
    /* From the day before: what a gap moved may stand after its own day has ended. */
    for (int64_t day = first - 1; day <= first + DAYS_AHEAD; day++) {
        if (!day_fits(c, day)) continue;
        for (int h = 0; h < 24; h++) {
            if (!(c->hours >> h & 1)) continue;
            for (int m = 0; m < 60; m++) {
                if (!(c->minutes >> m & 1)) continue;
                int64_t local = day * DAY_S + h * 3600 + m * 60;
                if (local < after - 2 * DAY_S) continue;
                int64_t utc = pb_zone_utc(c->zone, local);
                if (utc > after) return utc * 1000;
            }
        }
    }
    return PB_NEVER;
}

int pb_window_parse(pbay_str text, struct pb_window *out, struct pb_err *err)
{
    pbay_str time, zone;
    *out = (struct pb_window){0};
    if (day_parts(text, &out->weekdays, &time, &zone, err) != 0)
        return pb_fail_in(err, "\"%.*s\"", PB_FMT(text));
    size_t dash = pb_str_chr(time, '-');
    if (dash >= time.n || !clock_minutes(pb_str(time.p, dash), false, &out->from) ||
        !clock_minutes(pb_str(time.p + dash + 1, time.n - dash - 1), true, &out->until))
        return pb_fail(err, PBAY_INVALID_ARGUMENT,
                       "\"%.*s\" is no window of time; expected one such as \"mon-fri 01:00-06:00 "
                       "Europe/Stockholm\" or \"22:00-04:00\"",
                       PB_FMT(text));
    return load_zone(zone, &out->zone, err);
}

/* When the window of a local day opens and closes. */
static bool span(const struct pb_window *w, int64_t day, int64_t *from, int64_t *until)
{
    if (!(w->weekdays >> (((day + 4) % 7 + 7) % 7) & 1)) return false;
    *from = pb_zone_utc(w->zone, day * DAY_S + w->from * 60);
    *until = pb_zone_utc(w->zone, day * DAY_S + w->until * 60 + (w->until <= w->from ? DAY_S : 0));
    return true;
}

bool pb_window_open(const struct pb_window *w, int64_t at_ms)
{
    int64_t at = floor_div(at_ms, 1000), today = floor_div(pb_zone_local(w->zone, at), DAY_S), from, until;
    for (int64_t day = today - 1; day <= today; day++)
        if (span(w, day, &from, &until) && at >= from && at < until) return true;
    return false;
}

int64_t pb_window_next(const struct pb_window *w, int64_t after_ms)
{
    int64_t after = floor_div(after_ms, 1000), today = floor_div(pb_zone_local(w->zone, after), DAY_S);
    int64_t from, until;
    for (int64_t day = today - 1; day <= today + 9; day++)
        if (span(w, day, &from, &until) && from > after) return from * 1000;
    return PB_NEVER;
}
