/* SPDX-License-Identifier: MIT */
/* W3C Trace Context, 3.2: what is taken for a traceparent is one by a reading of its own. */
#include <stdint.h>
#include <string.h>

#include "base/check.h"
#include "base/str.h"

static bool hex(pbay_str s)
{
    for (size_t i = 0; i < s.n; i++)
        if (!memchr("0123456789abcdef", s.p[i], 16)) return false;
    return true;
}

static bool zero(pbay_str s)
{
    for (size_t i = 0; i < s.n; i++)
        if (s.p[i] != '0') return false;
    return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    pbay_str rest = pb_str((const char *)data, size), part[4] = {{NULL, 0}};
    static const size_t lengths[4] = {2, 32, 16, 2};
    bool is = pb_traceparent_is(rest), good = true;
    for (size_t i = 0; i < 4; i++) {
        pb_str_split(&rest, '-', &part[i]);
        good &= part[i].n == lengths[i] && hex(part[i]);
    }
    good = good && !pb_str_is(part[0], "ff") && !zero(part[1]) && !zero(part[2]);
    /* A later version may have more behind a dash; this one must not. */
    bool more = rest.n > 0;
    if (is) PB_REQUIRE(good && (!more || !pb_str_is(part[0], "00")));
    if (good && !more && size == 55) PB_REQUIRE(is);
    return 0;
}
