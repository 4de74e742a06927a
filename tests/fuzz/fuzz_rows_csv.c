/* SPDX-License-Identifier: MIT */
/* As fuzz_rows_json, for CSV. */
#include "fuzz_rows.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const names[] = {"a", "b"};
    static const uint32_t kinds[][2] = {{PBAY_NUM, PBAY_STR}, {PBAY_JSON, PBAY_JSON}, {PBAY_DUAL, PBAY_STR}};
    if (size < 2) return 0;
    unsigned shape = data[0];
    pbay_codec codec = {.struct_size = sizeof codec,
                        .format = PBAY_FORMAT_CSV,
                        .any_kind = shape & 2 ? PBAY_STR : PBAY_JSON,
                        .header = shape & 1,
                        .delimiter = shape & 128 ? ';' : 0,
                        .quote_all = (char)(shape >> 5 & 1)};
    if (shape & 4) codec.n_columns = 1 + (shape >> 3 & 1), codec.kinds = kinds[(shape >> 4) % 3];
    if (shape & 4 && shape & 64) codec.names = names;
    pb_builder_unref(fuzz_rows(&codec, data[1], pb_str((const char *)data + 2, size - 2)));
    return 0;
}
