/* SPDX-License-Identifier: MIT */
/*
 * The first two bytes choose a codec and how the text is cut. Whole or in pieces the same rows come, or the
 * same error; JSON cells are valid JSON; what is written of the rows reads back the same.
 */
#include "fuzz_rows.h"

#include "data/json_scan.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const names[] = {"a", "b"};
    static const uint32_t kinds[][2] = {{PBAY_NUM, PBAY_STR}, {PBAY_JSON, PBAY_JSON}, {PBAY_DUAL, PBAY_STR}};
    if (size < 2) return 0;
    unsigned shape = data[0];
    pbay_codec codec = {.struct_size = sizeof codec,
                        .format = shape & 1 ? PBAY_FORMAT_JSON_ROWS : PBAY_FORMAT_JSON_LINES,
                        .any_kind = shape & 2 ? PBAY_STR : PBAY_JSON,
                        .max_depth = 5};
    if (shape & 4) codec.n_columns = 1 + (shape >> 3 & 1), codec.kinds = kinds[(shape >> 4) % 3];
    if (shape & 4 && shape & 64) codec.names = names;
    if (shape & 1 && shape & 8) codec.row_numbers = 1;
    if (shape & 1 && shape & 128) codec.key = PB_STR("d.r");
    struct pbay_builder *b = fuzz_rows(&codec, data[1], pb_str((const char *)data + 2, size - 2));
    const pbay_batch *v = b ? pb_builder_seal(b, NULL) : NULL;
    for (uint32_t c = 0; v && c < v->n_cols; c++)
        for (uint32_t r = 0; v->cols[c].kind == PBAY_JSON && r < v->n_rows; r++)
            if (!pbay_cell_null(&v->cols[c], r) && !pb_json_valid(pbay_cell_text(&v->cols[c], r), 5)) abort();
    pb_builder_unref(b);
    return 0;
}
