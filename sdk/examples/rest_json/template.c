/* SPDX-License-Identifier: MIT */
#include "template.h"

static uint32_t column_of(const pbay_function_info *info, pbay_str name)
{
    for (uint32_t c = 0; c < info->n_sends; c++)
        if (info->sends[c].name.n == name.n && memcmp(info->sends[c].name.p, name.p, name.n) == 0) return c;
    return NO_COLUMN;
}

/* The length of the name behind a brace; 0: it is not one. */
static size_t name_at(pbay_str text, size_t at)
{
    size_t end = at;
    while (end < text.n && !strchr("{}[]\" :,\t", text.p[end])) end++;
    return end < text.n && text.p[end] == '}' ? end - at : 0;
}

const char *template_make(struct template *t, pbay_str text, const pbay_function_info *info, pbay_str *where)
{
    size_t from = 0;
    *where = text;
    for (size_t at = 0; at < text.n; at++) {
        const size_t n = text.p[at] == '{' ? name_at(text, at + 1) : 0;
        if (!n) continue;
        const uint32_t c = column_of(info, (pbay_str){text.p + at + 1, n});
        if (c == NO_COLUMN) {
            *where = (pbay_str){text.p + at, n + 2};
            return "no param has the name in ";
        }
        if (t->n == PARTS - 1) return "more than 63 columns stand in ";
        t->parts[t->n++] = (struct part){{text.p + from, at - from}, c};
        from = at + n + 2;
        at = from - 1;
    }
    t->parts[t->n++] = (struct part){{text.p + from, text.n - from}, NO_COLUMN};
    return NULL;
}

static void put_cell(pbay_text *out, const pbay_column *col, uint32_t row, enum fill how)
{
    if (pbay_cell_null(col, row))
        pbay_text_c(out, how == FILL_JSON ? "null" : "");
    else if (col->kind == PBAY_NUM)
        pbay_text_printf(out, "%.15g", col->num[row]);
    else if (how == FILL_URL)
        pbay_text_percent(out, pbay_cell_text(col, row));
    else if (how == FILL_JSON && col->kind != PBAY_JSON)
        pbay_text_json(out, pbay_cell_text(col, row));
    else
        pbay_text_add(out, pbay_cell_text(col, row));
}

void template_fill(const struct template *t, const pbay_batch *in, uint32_t row, enum fill how,
                   pbay_text *out)
{
    for (uint32_t i = 0; i < t->n; i++) {
        pbay_text_add(out, t->parts[i].text);
        if (t->parts[i].column != NO_COLUMN) put_cell(out, pbay_batch_col(in, t->parts[i].column), row, how);
    }
}
