/* SPDX-License-Identifier: MIT */
/*
 * A text that grows: URLs, JSON and messages put together piece by piece.
 *
 * Zero-initialised is empty. Out of memory ends the process, as in the host. Threads: one at a time per text.
 */
#pragma once

#include <patchbay/types.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct pbay_text {
    char *p;
    size_t n, cap;
} pbay_text;

void pbay_text_add(pbay_text *t, pbay_str s);
void pbay_text_c(pbay_text *t, const char *s);
void pbay_text_printf(pbay_text *t, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* A JSON string with its quotes (RFC 8259 section 7); s is UTF-8. */
void pbay_text_json(pbay_text *t, pbay_str s);
/*
 * What may be logged of a message about rows: values of cells stand in double quotes, behind ", found ", in
 * "(row 3: ...)" and in what a model answered, and are left out.
 */
void pbay_text_unquoted(pbay_text *t, pbay_str message);
/* Percent-encoded, as one part of a URL (kit/percent.h). */
void pbay_text_percent(pbay_text *t, pbay_str s);
/* Borrowed until the text changes. */
pbay_str pbay_text_view(const pbay_text *t);
/* Empty again, the memory kept. */
void pbay_text_clear(pbay_text *t);
void pbay_text_free(pbay_text *t);

#ifdef __cplusplus
}
#endif
