/* SPDX-License-Identifier: MIT */
/* Zone files (when it begins with "TZif"), otherwise lines of cron, times of day and windows. */
#include <stdint.h>

#include "base/check.h"
#include "data/schedule.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void ask(const struct pb_zone *z)
{
    for (int64_t t = -INT64_C(4000000000); t < INT64_C(8000000000); t += 190512345) {
        int64_t local = pb_zone_local(z, t);
        (void)pb_zone_utc(z, local);
        (void)pb_zone_utc(z, local + 1800);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    pbay_str text = pb_str((const char *)data, size);
    struct pb_err err;
    struct pb_zone *z;
    struct pb_cron c;
    struct pb_window w;
    if (pb_str_starts(text, PB_STR("TZif"))) {
        if (pb_zone_parse(text, &z, &err) == 0) {
            ask(z);
            pb_zone_free(z);
        }
        return 0;
    }
    const int64_t from = INT64_C(1790000000000);
    if (size > 200) return 0;
    if (pb_cron_parse(text, PB_STR("Europe/Stockholm"), &c, &err) == 0)
        PB_REQUIRE(pb_cron_next(&c, from) > from);
    if (pb_moment_parse(text, &c, &err) == 0) PB_REQUIRE(pb_cron_next(&c, from) > from);
    if (pb_window_parse(text, &w, &err) == 0) {
        (void)pb_window_open(&w, from);
        PB_REQUIRE(pb_window_next(&w, from) > from);
    }
    return 0;
}
