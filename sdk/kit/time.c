/* SPDX-License-Identifier: MIT */
#include "kit/time.h"

#include <stdio.h>
#include <string.h>

/* Days since 1970-01-01 of a date of the Gregorian calendar. */
static int64_t days(int64_t y, int64_t m, int64_t d)
{
    y -= m <= 2;
    int64_t era = y / 400, yoe = y - era * 400;
    int64_t doy = (153 * (m + (m > 2 ? -3 : 9)) + 2) / 5 + d - 1;
    return era * 146097 + yoe * 365 + yoe / 4 - yoe / 100 + doy - 719468;
}

static int64_t days_in(int64_t y, int64_t m)
{
    static const uint8_t N[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    return m == 2 && y % 4 == 0 && (y % 100 != 0 || y % 400 == 0) ? 29 : N[m - 1];
}

/* Exactly n digits, -1: they are not. */
static int64_t digits(pbay_str *s, size_t n)
{
    int64_t v = 0;
    if (s->n < n) return -1;
    for (size_t i = 0; i < n; i++) {
        if (s->p[i] < '0' || s->p[i] > '9') return -1;
        v = v * 10 + (s->p[i] - '0');
    }
    s->p += n;
    s->n -= n;
    return v;
}

static int take(pbay_str *s, const char *any)
{
    if (!s->n || !s->p[0] || !strchr(any, s->p[0])) return 0;
    s->p++;
    s->n--;
    return 1;
}

static int64_t moment(int64_t y, int64_t mo, int64_t d, int64_t h, int64_t mi, int64_t sec)
{
    if (y < 1970 || mo < 1 || mo > 12 || d < 1 || d > days_in(y, mo) || h < 0 || h > 23 || mi < 0 ||
        mi > 59 || sec < 0 || sec > 60)
        return -1;
    return ((days(y, mo, d) * 24 + h) * 60 + mi) * 60 + sec;
}

int64_t pbay_time_rfc3339(pbay_str s)
{
    int64_t y = digits(&s, 4);
    if (!take(&s, "-")) return -1;
    int64_t mo = digits(&s, 2);
    if (!take(&s, "-")) return -1;
    int64_t d = digits(&s, 2);
    if (!take(&s, "Tt ")) return -1;
    int64_t h = digits(&s, 2);
    if (!take(&s, ":")) return -1;
    int64_t mi = digits(&s, 2);
    if (!take(&s, ":")) return -1;
    int64_t sec = digits(&s, 2), ms = 0, unit = 100;
    if (take(&s, ".")) {
        if (!s.n || s.p[0] < '0' || s.p[0] > '9') return -1;
        for (; s.n && s.p[0] >= '0' && s.p[0] <= '9'; s.p++, s.n--, unit /= 10) ms += unit * (s.p[0] - '0');
    }
    int64_t off = 0;
    if (!take(&s, "Zz")) {
        int minus = s.n && s.p[0] == '-';
        if (!take(&s, "+-")) return -1;
        int64_t oh = digits(&s, 2);
        take(&s, ":");
        int64_t om = digits(&s, 2);
        if (oh < 0 || oh > 23 || om < 0 || om > 59) return -1;
        off = (oh * 60 + om) * (minus ? -60 : 60);
    }
    int64_t t = moment(y, mo, d, h, mi, sec);
    if (s.n || t < 0 || t < off) return -1;
    return (t - off) * 1000 + ms;
}

int64_t pbay_time_http(pbay_str s)
{
    static const char MONTHS[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
    if (s.n != 29 || memcmp(s.p + 3, ", ", 2) != 0 || memcmp(s.p + 25, " GMT", 4) != 0) return -1;
    pbay_str rest = {s.p + 5, 20};
    int64_t d = digits(&rest, 2), mo = 0;
    if (!take(&rest, " ")) return -1;
    for (int64_t m = 0; m < 12; m++)
        if (memcmp(MONTHS + 3 * m, rest.p, 3) == 0) mo = m + 1;
    rest.p += 3;
    rest.n -= 3;
    if (!mo || !take(&rest, " ")) return -1;
    int64_t y = digits(&rest, 4);
    if (!take(&rest, " ")) return -1;
    int64_t h = digits(&rest, 2);
    if (!take(&rest, ":")) return -1;
    int64_t mi = digits(&rest, 2);
    if (!take(&rest, ":")) return -1;
    int64_t sec = digits(&rest, 2), t = moment(y, mo, d, h, mi, sec);
    return t < 0 ? -1 : t * 1000;
}

size_t pbay_time_format(int64_t ms, char out[PBAY_TIME_TEXT])
{
    int64_t s = ms / 1000, z = s / 86400 + 719468, era = z / 146097, doe = z - era * 146097;
    int64_t yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
    int64_t doy = doe - (365 * yoe + yoe / 4 - yoe / 100), mp = (5 * doy + 2) / 153;
    int64_t day = doy - (153 * mp + 2) / 5 + 1, month = mp < 10 ? mp + 3 : mp - 9;
    int64_t year = yoe + era * 400 + (month <= 2);
    int n = snprintf(out, PBAY_TIME_TEXT, "%04d-%02d-%02dT%02d:%02d:%02d", (int)(year % 10000), (int)month,
                     (int)day, (int)(s / 3600 % 24), (int)(s / 60 % 60), (int)(s % 60));
    if (ms % 1000) n += snprintf(out + n, PBAY_TIME_TEXT - (size_t)n, ".%03d", (int)(ms % 1000));
    out[n++] = 'Z';
    out[n] = 0;
    return (size_t)n;
}
