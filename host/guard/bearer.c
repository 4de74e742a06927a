/* SPDX-License-Identifier: MIT */
#include "guard/bearer.h"

#include "base/str.h"

bool pb_bearer_of(const pbay_header *header, pbay_str *out)
{
    if (!pb_str_is(header->name, "authorization")) return false;
    pbay_str v = pb_str_trim(header->value);
    size_t n = pb_str_chr(v, ' ');
    if (n == v.n || !pb_str_ieq(pb_str(v.p, n), PB_STR("bearer"))) return false;
    *out = pb_str_trim(pb_str(v.p + n, v.n - n));
    return out->n > 0;
}
