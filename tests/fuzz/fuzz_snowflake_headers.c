/* SPDX-License-Identifier: MIT */
/*
 * What Snowflake, or whoever says to be it, sends in headers: lines "name: value"; the first line beside them
 * is taken for a JSON array as well. Values that are given out are UTF-8 when their twin was read.
 */
#include "../../plugins/snowflake/csv_line.h"
#include "../../plugins/snowflake/headers.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static pbay_str as_it_is(pbay_str json)
{
    return json;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const pbay_batch_1 batch = {.struct_size = sizeof batch, .json_text = as_it_is};
    static const struct snowflake snow = {.batch = &batch};
    pbay_header headers[32];
    uint32_t n = 0;
    const char *p = (const char *)data, *end = p + size, *wrong = NULL;
    pbay_text line = {0};
    const char *first = size ? memchr(p, '\n', size) : NULL;
    csv_line_of_array(&snow, (pbay_str){p, first ? (size_t)(first - p) : size}, &line);
    pbay_text_free(&line);
    while (p < end && n < 32) {
        const char *nl = memchr(p, '\n', (size_t)(end - p)), *stop = nl ? nl : end;
        const char *colon = memchr(p, ':', (size_t)(stop - p));
        if (colon)
            headers[n++] = (pbay_header){{p, (size_t)(colon - p)}, {colon + 1, (size_t)(stop - colon - 1)}};
        p = stop + 1;
    }
    struct sf_headers h;
    if (sf_headers_read(&h, headers, n, &wrong) && !wrong) abort();
    sf_header(headers, n, "sf-custom-sagemaker-endpoint-name");
    sf_headers_free(&h);
    return 0;
}
