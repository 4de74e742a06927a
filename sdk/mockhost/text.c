/* SPDX-License-Identifier: MIT */
/* Patterns, headers, and the text that a function answers with. */
#include <string.h>

#include "base/mem.h"
#include "mockhost/mock.h"

struct pb_buf *pb_mock_text(void)
{
    pb_mock->text.n = 0;
    return &pb_mock->text;
}

const char *pb_mock_said(struct pb_buf *b)
{
    pb_buf_ch(b, 0);
    b->n--;
    return b->p;
}

bool pb_mock_fits(const char *pattern, pbay_str s)
{
    const char *star = NULL;
    size_t i = 0, back = 0;
    while (i < s.n) {
        if (*pattern == '*') {
            star = pattern++;
            back = i;
        } else if (*pattern && *pattern == s.p[i]) {
            pattern++;
            i++;
        } else if (star) {
            pattern = star + 1;
            i = ++back;
        } else {
            return false;
        }
    }
    while (*pattern == '*') pattern++;
    return !*pattern;
}

void pb_mock_headers_copy(struct pb_mock_headers *h, const pbay_header *list, uint32_t n)
{
    h->n = 0;
    pb_arena_reset(&h->mem);
    for (uint32_t i = 0; i < n; i++) {
        PB_GROW(h->list, h->cap, h->n + 1);
        pbay_str name = pb_arena_str(&h->mem, list[i].name);
        char *p = (char *)(uintptr_t)name.p; /* the arena's own copy */
        for (size_t k = 0; k < name.n; k++)
            if (p[k] >= 'A' && p[k] <= 'Z') p[k] = (char)(p[k] - 'A' + 'a');
        h->list[h->n++] = (pbay_header){name, pb_arena_str(&h->mem, list[i].value)};
    }
}

void pb_mock_headers_parse(struct pb_mock_headers *h, const char *text)
{
    pbay_header list[64];
    uint32_t n = 0;
    pbay_str rest = pb_str_c(text), line;
    while (n < PB_COUNTOF(list) && pb_str_split(&rest, '\n', &line)) {
        const size_t colon = pb_str_chr(line, ':');
        if (!pb_str_trim(line).n) continue;
        if (colon == line.n) {
            pb_mock_fault("\"%.*s\" is no header: \"name: value\" is expected", PB_FMT(line));
            continue;
        }
        list[n++] = (pbay_header){pb_str_trim(pb_str(line.p, colon)),
                                  pb_str_trim(pb_str(line.p + colon + 1, line.n - colon - 1))};
    }
    pb_mock_headers_copy(h, list, n);
}

const char *pb_mock_headers_get(const struct pb_mock_headers *h, const char *name)
{
    for (uint32_t i = 0; i < h->n; i++)
        if (pb_str_ieq(h->list[i].name, pb_str_c(name))) return h->list[i].value.p;
    return NULL;
}

void pb_mock_headers_free(struct pb_mock_headers *h)
{
    pb_free(h->list);
    pb_arena_free(&h->mem);
    *h = (struct pb_mock_headers){0};
}

void pb_mock_fields_parse(struct pb_mock_fields *f, const char *text)
{
    pbay_str rest = pb_str_c(text), one, kind;
    while (pb_str_split(&rest, ',', &one)) {
        const size_t colon = pb_str_chr(one, ':');
        pbay_field field = {.name =
                                pb_arena_str(&f->mem, pb_str_trim(pb_str(one.p, colon < one.n ? colon : 0)))};
        kind = pb_str_trim(colon < one.n ? pb_str(one.p + colon + 1, one.n - colon - 1) : one);
        if (!pb_kind_parse(kind, &field.kind)) {
            pb_mock_fault("\"%.*s\" is no kind of column; there are str, num, dual and json", PB_FMT(kind));
            continue;
        }
        PB_GROW(f->list, f->cap, f->n + 1);
        f->list[f->n++] = field;
    }
}

void pb_mock_fields_free(struct pb_mock_fields *f)
{
    pb_free(f->list);
    pb_arena_free(&f->mem);
}
