/* SPDX-License-Identifier: MIT */
#include "path.h"

#include <string.h>

static int bad(const char **why, const char *text)
{
    *why = text;
    return -1;
}

int path_parse(pbay_str text, struct path *out, const char **why)
{
    memset(out, 0, sizeof *out);
    if (text.n >= PATH_TEXT) return bad(why, "it is longer than 255 bytes");
    if (text.n) memcpy(out->text, text.p, text.n);
    char *p = out->text;
    if (*p == '$') p++;
    int has_rows = 0;
    while (*p) {
        if (out->n == PATH_STEPS) return bad(why, "it has more than 16 steps");
        struct path_step *s = &out->steps[out->n++];
        if (*p == '[') {
            *p++ = 0; /* ends the name before it */
            if (*p == ']') {
                if (has_rows) return bad(why, "it has more than one []");
                has_rows = 1;
                s->kind = PATH_ROWS;
                out->rows = out->n - 1;
            } else {
                s->kind = PATH_INDEX;
                if (*p < '0' || *p > '9') return bad(why, "between [ and ] stands a number or nothing");
                while (*p >= '0' && *p <= '9') {
                    if (s->index > 1000000) return bad(why, "the number between [ and ] is too large");
                    s->index = s->index * 10 + (uint32_t)(*p++ - '0');
                }
                if (*p != ']') return bad(why, "a [ without ]");
            }
            p++;
            if (*p && *p != '.' && *p != '[') return bad(why, "after ] comes a dot, a [ or the end");
        } else {
            if (*p == '.') *p++ = 0;
            s->kind = PATH_NAME;
            s->name = p;
            while (*p && *p != '.' && *p != '[') p++;
            if (p == s->name) return bad(why, "it has an empty name");
        }
    }
    if (!has_rows) out->rows = out->n;
    return 0;
}

const json_t *path_follow(const struct path *p, uint32_t from, uint32_t to, const json_t *v)
{
    for (uint32_t i = from; v && i < to; i++) {
        const struct path_step *s = &p->steps[i];
        v = s->kind == PATH_NAME ? json_object_get(v, s->name) : json_array_get(v, s->index);
    }
    return v;
}
