/* SPDX-License-Identifier: MIT */
#include "base/id.h"

#include <errno.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/random.h>

#include "base/check.h"
#include "base/clock.h"

/* Milliseconds and, below them, 12 bits that count within one: RFC 9562, section 6.2, method 1. */
static _Atomic uint64_t last;

uint64_t pb_random_u64(void)
{
    uint64_t r;
    /* Up to 256 bytes come whole once the system's pool is ready. */
    while (getrandom(&r, sizeof r, 0) != (ssize_t)sizeof r)
        if (errno != EINTR) pb_fatal("getrandom: %s", strerror(errno));
    return r;
}

static void put_hex(char *out, uint64_t v, int digits)
{
    for (int i = digits - 1; i >= 0; i--, v >>= 4) out[i] = "0123456789abcdef"[v & 15];
}

void pb_id_make(char out[PB_ID_SIZE])
{
    uint64_t now = (uint64_t)pb_now_ms() << 12, old = atomic_load_explicit(&last, memory_order_relaxed), next;
    do {
        next = now > old ? now : old + 1;
    } while (!atomic_compare_exchange_weak(&last, &old, next));
    uint64_t r = pb_random_u64();
    put_hex(out, next >> 28, 8);
    put_hex(out + 9, (next >> 12) & 0xffff, 4);
    put_hex(out + 14, 0x7000 | (next & 0xfff), 4);
    put_hex(out + 19, 0x8000 | (r >> 50), 4);
    put_hex(out + 24, r & 0xffffffffffff, 12);
    out[8] = out[13] = out[18] = out[23] = '-';
    out[PB_ID_LEN] = 0;
}

bool pb_id_valid(pbay_str s)
{
    if (s.n != PB_ID_LEN) return false;
    for (size_t i = 0; i < s.n; i++) {
        bool dash = i == 8 || i == 13 || i == 18 || i == 23;
        char c = s.p[i];
        if (dash ? c != '-' : !((c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'))) return false;
    }
    return true;
}
