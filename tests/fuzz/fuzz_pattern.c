/* SPDX-License-Identifier: MIT */
/* First byte: where the pattern ends. */
#include <stdint.h>
#include <stdlib.h>

#include "script/pattern.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1) return 0;
    size_t n = data[0] < size - 1 ? data[0] : size - 1;
    struct pb_pattern m = {.text = {(const char *)data + 1, n},
                           .subject = {(const char *)data + 1 + n, size - 1 - n}};
    m.steps = 20000;
    for (size_t at = 0; at <= m.subject.n && at < 64; at++) {
        const char *end = pb_pattern_at(&m, at);
        if (end && (end < m.subject.p + at || end > m.subject.p + m.subject.n)) abort();
        for (int i = 0; end && i < m.n_captures; i++) {
            const struct pb_capture *c = &m.captures[i];
            if (c->n == PB_CAPTURE_OPEN || c->at < m.subject.p || c->at > m.subject.p + m.subject.n) abort();
            if (c->n >= 0 && c->at + c->n > m.subject.p + m.subject.n) abort();
        }
        if (m.error[0]) break;
    }
    pb_pattern_special(m.text);
    return 0;
}
