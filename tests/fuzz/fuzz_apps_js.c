/* SPDX-License-Identifier: MIT */
/* apps.js; the first byte picks the mode (even: repaired). What comes out is text, and findings have lines.
 */
#include <stdint.h>

#include "base/check.h"
#include "data/apps_js.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (!size) return 0;
    struct pb_buf lua = {0}, report = {0};
    struct pb_err err = {0};
    enum pb_import_grade grade;
    struct pb_import_options o = {.faithful = data[0] & 1};
    int rc = pb_import_apps(pb_str((const char *)data + 1, size - 1), &o, &lua, &report, &grade, &err);
    if (rc != 0)
        PB_REQUIRE(err.code == PBAY_INVALID_ARGUMENT && err.msg[0]);
    else
        PB_REQUIRE(pb_utf8_valid(pb_buf_view(&lua)) && (grade == PB_IMPORT_CLEAN) == (report.n == 0));
    pb_buf_free(&lua);
    pb_buf_free(&report);
    return 0;
}
