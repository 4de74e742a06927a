/* SPDX-License-Identifier: MIT */
/* Forms and cookies: whatever comes, what is handed out is UTF-8, and a field that is not there adds nothing.
 */
#include <stdint.h>
#include <string.h>

#include "base/check.h"
#include "endpoints/form.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const names[] = {"csrf", "do", "key", "name", "", "k%"};
    pbay_str text = pb_str((const char *)data, size);
    for (size_t i = 0; i < PB_COUNTOF(names); i++) {
        struct pb_buf out = {0};
        pb_buf_c(&out, "before");
        bool there = pb_form_get(text, names[i], &out);
        PB_REQUIRE(out.n >= 6 && memcmp(out.p, "before", 6) == 0);
        PB_REQUIRE(there || out.n == 6);
        PB_REQUIRE(pb_utf8_valid(pb_buf_view(&out)));
        pb_buf_free(&out);
        pbay_str v = pb_cookie_get(text, names[i]);
        PB_REQUIRE(!v.p || (v.p >= text.p && v.p + v.n <= text.p + text.n));
    }
    return 0;
}
