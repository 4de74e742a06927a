/* SPDX-License-Identifier: MIT */
#include "base/clock.h"

#include <stdatomic.h>
#include <stdio.h>
#include <time.h>

#include "base/attr.h"
#include "base/str.h"

static _Atomic int64_t fake_ms = -1, fake_ns = -1;

static int64_t mono_of(clockid_t clock)
{
    int64_t f = atomic_load_explicit(&fake_ns, memory_order_relaxed);
    if (PB_UNLIKELY(f >= 0)) return f;
    struct timespec t;
    clock_gettime(clock, &t);
    return (int64_t)t.tv_sec * PB_SEC + t.tv_nsec;
}

static int64_t now_of(clockid_t clock)
{
    int64_t f = atomic_load_explicit(&fake_ms, memory_order_relaxed);
    if (f >= 0) return f;
    struct timespec t;
    clock_gettime(clock, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / PB_MS;
}

int64_t pb_mono_ns(void)
{
    return mono_of(CLOCK_MONOTONIC);
}

int64_t pb_mono_coarse_ns(void)
{
    return mono_of(CLOCK_MONOTONIC_COARSE);
}

int64_t pb_now_ms(void)
{
    return now_of(CLOCK_REALTIME);
}

int64_t pb_now_coarse_ms(void)
{
    return now_of(CLOCK_REALTIME_COARSE);
}

void pb_clock_fake(int64_t ms)
{
    atomic_store(&fake_ms, ms);
}

void pb_clock_fake_mono(int64_t ns)
{
    atomic_store(&fake_ns, ns);
}

/* Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms" (public domain): years begin in March. */
int64_t pb_days_from_civil(int64_t y, unsigned m, unsigned d)
{
    y -= m <= 2;
    int64_t era = (y >= 0 ? y : y - 399) / 400;
    int64_t yoe = y - era * 400;
    int64_t doy = (153 * ((int64_t)m + (m > 2 ? -3 : 9)) + 2) / 5 + d - 1;
    return era * 146097 + yoe * 365 + yoe / 4 - yoe / 100 + doy - 719468;
}

void pb_civil_from_days(int64_t z, int64_t *year, unsigned *month, unsigned *day)
{
    z += 719468;
    int64_t era = (z >= 0 ? z : z - 146096) / 146097;
    int64_t doe = z - era * 146097;
    int64_t yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
    int64_t doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    int64_t mp = (5 * doy + 2) / 153;
    *day = (unsigned)(doy - (153 * mp + 2) / 5 + 1);
    *month = (unsigned)(mp < 10 ? mp + 3 : mp - 9);
    *year = yoe + era * 400 + (*month <= 2);
}

size_t pb_format_time(int64_t ms, char out[PB_TIME_MAX])
{
    int64_t days = ms / 86400000, rest = ms % 86400000;
    if (rest < 0) rest += 86400000, days--;
    int64_t y;
    unsigned m, d, t = (unsigned)rest;
    pb_civil_from_days(days, &y, &m, &d);
    char *p = out;
    unsigned yy = y < 0 ? 0 : y > 9999 ? 9999 : (unsigned)y;
    const unsigned part[7] = {yy / 100, yy % 100, m, d, t / 3600000, t / 60000 % 60, t / 1000 % 60};
    static const char sep[7] = {0, '-', '-', 'T', ':', ':', '.'};
    for (int i = 0; i < 7; i++) {
        *p++ = (char)('0' + part[i] / 10 % 10);
        *p++ = (char)('0' + part[i] % 10);
        if (sep[i]) *p++ = sep[i];
    }
    *p++ = (char)('0' + t % 1000 / 100);
    *p++ = (char)('0' + t % 100 / 10);
    *p++ = (char)('0' + t % 10);
    *p++ = 'Z';
    *p = 0;
    return (size_t)(p - out);
}

static bool num2(const char *p, unsigned *v)
{
    if (p[0] < '0' || p[0] > '9' || p[1] < '0' || p[1] > '9') return false;
    *v = (unsigned)(p[0] - '0') * 10 + (unsigned)(p[1] - '0');
    return true;
}

bool pb_parse_time(pbay_str s, int64_t *ms)
{
    unsigned c, yy, m, d, h, mi, sec;
    if (s.n < 20 || !num2(s.p, &c) || !num2(s.p + 2, &yy) || s.p[4] != '-' || !num2(s.p + 5, &m) ||
        s.p[7] != '-' || !num2(s.p + 8, &d) || (s.p[10] != 'T' && s.p[10] != 't' && s.p[10] != ' ') ||
        !num2(s.p + 11, &h) || s.p[13] != ':' || !num2(s.p + 14, &mi) || s.p[16] != ':' ||
        !num2(s.p + 17, &sec))
        return false;
    if (m < 1 || m > 12 || d < 1 || d > 31 || h > 23 || mi > 59 || sec > 60) return false;
    size_t i = 19;
    int64_t frac = 0, unit = 100;
    if (s.p[i] == '.') {
        size_t first = ++i;
        for (; i < s.n && s.p[i] >= '0' && s.p[i] <= '9'; i++, unit /= 10) frac += (s.p[i] - '0') * unit;
        if (i == first) return false;
    }
    if (i >= s.n) return false;
    int64_t off = 0;
    if (s.p[i] == 'Z' || s.p[i] == 'z')
        i++;
    else if ((s.p[i] == '+' || s.p[i] == '-') && s.n - i == 6 && s.p[i + 3] == ':') {
        unsigned oh, om;
        if (!num2(s.p + i + 1, &oh) || !num2(s.p + i + 4, &om) || oh > 23 || om > 59) return false;
        off = (int64_t)(oh * 60 + om) * (s.p[i] == '-' ? -1 : 1);
        i += 6;
    } else
        return false;
    if (i != s.n) return false;
    int64_t days = pb_days_from_civil((int64_t)c * 100 + yy, m, d);
    *ms = ((days * 24 + h) * 60 + mi - off) * 60000 + (int64_t)sec * 1000 + frac;
    return true;
}

bool pb_parse_duration(pbay_str s, int64_t *ms)
{
    static const struct {
        const char *unit;
        int64_t ms;
    } units[] = {{"ms", 1}, {"s", 1000}, {"m", 60000}, {"h", 3600000}, {"d", 86400000}, {"", 1000}};
    size_t n = 0;
    while (n < s.n && ((s.p[n] >= '0' && s.p[n] <= '9') || s.p[n] == '.')) n++;
    double v;
    if (!n || !pb_parse_f64(pb_str(s.p, n), &v)) return false;
    pbay_str unit = pb_str_trim(pb_str(s.p + n, s.n - n));
    for (size_t i = 0; i < sizeof units / sizeof *units; i++)
        if (pb_str_is(unit, units[i].unit)) {
            double r = v * (double)units[i].ms;
            if (r > 3153600000000.0) return false;
            *ms = (int64_t)(r + 0.5);
            return true;
        }
    return false;
}

bool pb_parse_size(pbay_str s, uint64_t *bytes)
{
    unsigned shift = 0;
    if (s.n && (s.p[s.n - 1] == 'B' || s.p[s.n - 1] == 'b')) s.n--;
    if (s.n && (s.p[s.n - 1] == 'i')) s.n--;
    if (s.n) switch (s.p[s.n - 1]) {
        case 'k':
        case 'K': shift = 10, s.n--; break;
        case 'm':
        case 'M': shift = 20, s.n--; break;
        case 'g':
        case 'G': shift = 30, s.n--; break;
        default: break;
        }
    uint64_t v;
    if (!pb_parse_u64(pb_str_trim(s), &v) || v > UINT64_MAX >> (shift + 1)) return false;
    *bytes = v << shift;
    return true;
}
