/* SPDX-License-Identifier: MIT */
/* Metadata codings: what is decoded encodes back, what is encoded holds only what a header may hold. */
#include <stdint.h>
#include <string.h>

#include "base/check.h"
#include "net/grpc.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *copy = pb_strndup((const char *)data, size); /* in its exact size */
    pbay_str in = pb_str(copy, size);
    struct pb_buf a = {0}, b = {0}, c = {0};
    int64_t ns = -1;

    pb_grpc_base64_encode(in, &a);
    PB_REQUIRE(pb_grpc_value_ok(pb_buf_view(&a)) && pb_grpc_base64_decode(pb_buf_view(&a), &b));
    PB_REQUIRE(pb_str_eq(pb_buf_view(&b), in));
    a.n = b.n = 0;
    if (pb_grpc_base64_decode(in, &a)) {
        pb_grpc_base64_encode(pb_buf_view(&a), &b);
        PB_REQUIRE(pb_grpc_base64_decode(pb_buf_view(&b), &c) && pb_str_eq(pb_buf_view(&a), pb_buf_view(&c)));
    }
    a.n = b.n = c.n = 0;
    pb_grpc_percent_encode(in, &a);
    PB_REQUIRE(pb_grpc_value_ok(pb_buf_view(&a)));
    pb_grpc_percent_decode(pb_buf_view(&a), &b);
    PB_REQUIRE(pb_utf8_valid(pb_buf_view(&b)));
    if (size <= 1024 && pb_utf8_valid(in)) PB_REQUIRE(pb_str_eq(pb_buf_view(&b), in));
    c.n = 0;
    pb_grpc_percent_decode(in, &c);
    PB_REQUIRE(c.n <= size);
    if (pb_grpc_timeout_parse(in, &ns)) PB_REQUIRE(ns >= 0 && size <= 9);
    pb_grpc_content_type_ok(in);
    pb_grpc_accepts_gzip(in);
    pb_grpc_coding_of(in);
    if (pb_grpc_key_ok(in)) PB_REQUIRE(pb_grpc_value_ok(in));
    pb_buf_free(&a);
    pb_buf_free(&b);
    pb_buf_free(&c);
    pb_free(copy);
    return 0;
}
