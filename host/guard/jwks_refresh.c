/* SPDX-License-Identifier: MIT */
#include "guard/jwks_refresh.h"

#include "base/str.h"

/* RFC 9111 §5.2.2: max-age in ms, kept within bounds. */
static int64_t age_of(pbay_str cache_control)
{
    pbay_str one;
    int64_t age = PB_JWKS_AGE_MS;
    while (pb_str_split(&cache_control, ',', &one)) {
        uint64_t s;
        one = pb_str_trim(one);
        size_t eq = pb_str_chr(one, '=');
        pbay_str name = pb_str(one.p, eq);
        if (pb_str_ieq(name, PB_STR("no-store")) || pb_str_ieq(name, PB_STR("no-cache")))
            return PB_JWKS_AGE_MIN_MS;
        if (eq == one.n || !pb_str_ieq(name, PB_STR("max-age"))) continue;
        if (!pb_parse_u64(pb_str(one.p + eq + 1, one.n - eq - 1), &s)) continue;
        age = s > PB_JWKS_AGE_MAX_MS / 1000 ? PB_JWKS_AGE_MAX_MS : (int64_t)s * 1000;
    }
    return age < PB_JWKS_AGE_MIN_MS ? PB_JWKS_AGE_MIN_MS : age;
}

int64_t pb_jwks_refresh_next(const struct pb_jwks_refresh *r)
{
    if (!r->tried_ms) return 0;
    /* After failures 1, 2, 4, … minutes, at most the least age. */
    int64_t pause = PB_JWKS_PAUSE_MS;
    for (uint32_t i = 1; i < r->failures && pause < PB_JWKS_AGE_MIN_MS; i++) pause *= 2;
    if (pause > PB_JWKS_AGE_MIN_MS) pause = PB_JWKS_AGE_MIN_MS;
    int64_t retry = r->tried_ms + pause, stale = r->fetched_ms + r->age_ms;
    return !r->fetched_ms || retry > stale ? retry : stale;
}

bool pb_jwks_refresh_due(const struct pb_jwks_refresh *r, int64_t now_ms)
{
    return !r->running && now_ms >= pb_jwks_refresh_next(r);
}

bool pb_jwks_refresh_unknown(const struct pb_jwks_refresh *r, int64_t now_ms)
{
    return !r->running && (!r->tried_ms || now_ms - r->tried_ms >= PB_JWKS_PAUSE_MS);
}

bool pb_jwks_refresh_usable(const struct pb_jwks_refresh *r, int64_t now_ms)
{
    return r->fetched_ms && now_ms - r->fetched_ms < r->age_ms + PB_JWKS_STALE_MS;
}

void pb_jwks_refresh_began(struct pb_jwks_refresh *r, int64_t now_ms)
{
    r->running = true;
    r->tried_ms = now_ms;
}

void pb_jwks_refresh_ended(struct pb_jwks_refresh *r, int64_t now_ms, bool good, pbay_str cache_control)
{
    r->running = false;
    if (!good) {
        r->failures++;
        return;
    }
    r->failures = 0;
    r->fetched_ms = now_ms;
    r->age_ms = age_of(cache_control);
}
