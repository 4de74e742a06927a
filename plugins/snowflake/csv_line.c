/* SPDX-License-Identifier: MIT */
#include "csv_line.h"

void csv_field(pbay_text *out, pbay_str text)
{
    int quotes = 0;
    for (size_t i = 0; i < text.n && !quotes; i++)
        quotes = text.p[i] == ',' || text.p[i] == '"' || text.p[i] == '\n' || text.p[i] == '\r';
    if (!quotes) {
        pbay_text_add(out, text);
        return;
    }
    pbay_text_c(out, "\"");
    for (size_t i = 0; i < text.n; i++) {
        if (text.p[i] == '"') pbay_text_c(out, "\"");
        pbay_text_add(out, (pbay_str){text.p + i, 1});
    }
    pbay_text_c(out, "\"");
}

static int blank(char c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

/* The scalar that begins at p. */
static size_t scalar(const char *p, size_t n)
{
    size_t i = 0;
    if (*p != '"') {
        while (i < n && p[i] != ',' && p[i] != ']' && !blank(p[i])) i++;
        return i;
    }
    for (i = 1; i < n && p[i] != '"'; i++)
        if (p[i] == '\\') i++;
    return i < n ? i + 1 : n;
}

static void put(const struct snowflake *s, pbay_str value, pbay_text *out)
{
    if (*value.p == '"')
        csv_field(out, s->batch->json_text(value));
    else if (*value.p != 'n')
        pbay_text_add(out, value);
}

const char *csv_line_of_array(const struct snowflake *s, pbay_str json, pbay_text *out)
{
    const char *p = json.p, *end = p + json.n;
    int first = 1;
    while (p < end && blank(*p)) p++;
    if (p == end || *p == '{') return "an array of values is expected, found an object";
    if (*p != '[') {
        put(s, (pbay_str){p, scalar(p, (size_t)(end - p))}, out);
        return NULL;
    }
    for (p++; p < end;) {
        if (blank(*p) || *p == ',') {
            p++;
            continue;
        }
        if (*p == ']') break;
        if (*p == '[' || *p == '{')
            return "an array of numbers and texts is expected, found one with arrays or objects inside";
        pbay_str value = {p, scalar(p, (size_t)(end - p))};
        if (!value.n) break;
        if (!first) pbay_text_c(out, ",");
        first = 0;
        put(s, value, out);
        p += value.n;
    }
    return NULL;
}
