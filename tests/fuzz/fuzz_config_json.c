/* SPDX-License-Identifier: MIT */
/* The arguments of an action; the first byte says whether others than the table's are allowed. */
#include <stdint.h>
#include <string.h>

#include "base/check.h"
#include "base/str.h"
#include "data/config.h"
#include "data/options.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const pbay_option options[] = {
    {"Name", PBAY_OPT_STR, PBAY_OPTF_REQUIRED, NULL, NULL, "Any."},
    {"count", PBAY_OPT_INT, 0, "1", "1..5", "A number."},
    {"share", PBAY_OPT_NUM, 0, NULL, "0..1", "A number."},
    {"sure", PBAY_OPT_BOOL, 0, "no", NULL, "Or not."},
    {"after", PBAY_OPT_DURATION, 0, NULL, NULL, "A time."},
    {"kind", PBAY_OPT_ENUM, 0, NULL, "a|b", "One of two."},
    {"list", PBAY_OPT_LIST, 0, NULL, NULL, "Texts."},
    {"Tags", PBAY_OPT_FAMILY, 0, NULL, NULL, "Texts by name."},
};
static const pbay_option_table table = {options, sizeof options / sizeof *options, sizeof *options};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct pbay_config *cfg;
    struct pb_err err = {0};
    if (!size) return 0;
    PB_REQUIRE(pb_options_lint_arguments(&table, &err) == 0);
    if (pb_config_from_json("arguments of x.y", pb_str((const char *)data + 1, size - 1), &table, data[0] & 1,
                            &cfg, &err) != 0) {
        PB_REQUIRE(!cfg && err.code == PBAY_INVALID_ARGUMENT && pb_utf8_valid(pb_str_c(err.msg)));
        PB_REQUIRE(strncmp(err.msg, "arguments of x.y: ", 18) == 0);
        return 0;
    }
    int64_t count = pb_config_get_int(cfg, "count");
    PB_REQUIRE(count >= 1 && count <= 5 && pb_config_is_set(cfg, "Name"));
    PB_REQUIRE(!pb_config_is_set(cfg, "share") ||
               (pb_config_get_num(cfg, "share") >= 0 && pb_config_get_num(cfg, "share") <= 1));
    for (uint32_t i = 0; i < pb_config_count(cfg, "Tags"); i++) {
        pbay_str key, value = pb_config_item(cfg, "Tags", i, &key);
        PB_REQUIRE(pb_utf8_valid(key) && pb_utf8_valid(value));
    }
    for (uint32_t i = 0; i < pb_config_count(cfg, "list"); i++) {
        pbay_str key;
        PB_REQUIRE(pb_config_item(cfg, "list", i, &key).n > 0);
    }
    pb_config_free(cfg);
    return 0;
}
