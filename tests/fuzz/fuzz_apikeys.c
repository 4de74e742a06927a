/* SPDX-License-Identifier: MIT */
/* The text of a key file, and its beginning shown as a key. */
#include <stdint.h>

#include "base/check.h"
#include "guard/apikeys.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    pbay_str text = pb_str((const char *)data, size), line;
    struct pb_apikeys *keys = pb_apikeys_new();
    struct pb_err err = {0};
    if (pb_apikeys_parse(keys, "keys", text, &err))
        PB_REQUIRE(err.code == PBAY_INVALID_ARGUMENT && pb_utf8_valid(pb_str_c(err.msg)) &&
                   pb_str_starts(pb_str_c(err.msg), PB_STR("keys:")));
    size_t n = 0;
    while (pb_str_split(&text, '\n', &line)) n++;
    PB_REQUIRE(pb_apikeys_count(keys) <= n);
    PB_REQUIRE(!pb_apikeys_check(
        keys, pb_str((const char *)data, size < PB_APIKEY_LEN ? size : PB_APIKEY_LEN), 1, &err));
    pb_apikeys_free(keys);
    return 0;
}
