/* SPDX-License-Identifier: MIT */
/* A stream of gRPC messages: first byte coding and limit, second byte the size of the pieces it comes in.
 * However it is cut, the messages are the same, and none is larger than the limit. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "net/grpc.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int read_all(struct pb_grpc_reader *r, const char *p, size_t n, size_t piece, struct pb_buf *out)
{
    struct pb_err err;
    while (n) {
        size_t k = n < piece ? n : piece;
        char *copy = pb_strndup(p, k);
        const char *at = copy;
        size_t left = k;
        struct pb_grpc_message m;
        int rc;
        while ((rc = pb_grpc_reader_next(r, &at, &left, &m, &err)) == 1) {
            PB_REQUIRE(m.bytes.n <= r->limit && m.wire >= PB_GRPC_PREFIX);
            pb_buf_add(out, &m.bytes.n, sizeof m.bytes.n);
            pb_buf_str(out, m.bytes);
        }
        pb_free(copy);
        if (rc < 0) {
            PB_REQUIRE(err.msg[0] && err.code != PBAY_OK);
            return err.code;
        }
        PB_REQUIRE(left == 0);
        p += k;
        n -= k;
    }
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2) return 0;
    enum pb_grpc_coding coding = (enum pb_grpc_coding)(data[0] & 3);
    size_t limit = data[0] & 4 ? 64 : 1 << 16, piece = (size_t)data[1] + 1;
    struct pb_grpc_reader whole = {.limit = limit, .coding = coding}, cut = whole;
    struct pb_buf a = {0}, b = {0};
    int rc_a = read_all(&whole, (const char *)data + 2, size - 2, SIZE_MAX, &a);
    int rc_b = read_all(&cut, (const char *)data + 2, size - 2, piece, &b);
    PB_REQUIRE(rc_a == rc_b && a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0));
    pb_grpc_reader_free(&whole);
    pb_grpc_reader_free(&cut);
    pb_buf_free(&a);
    pb_buf_free(&b);
    return 0;
}
