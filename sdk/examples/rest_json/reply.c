/* SPDX-License-Identifier: MIT */
#include "reply.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { NAME = 128 };

json_t *reply_pick(json_t *v, pbay_str place)
{
    while (place.n && v) {
        const char *dot = memchr(place.p, '.', place.n);
        const size_t n = dot ? (size_t)(dot - place.p) : place.n;
        char name[NAME];
        snprintf(name, sizeof name, "%.*s", (int)(n < NAME ? n : NAME - 1), place.p);
        v = json_is_array(v) ? json_array_get(v, strtoul(name, NULL, 10)) : json_object_get(v, name);
        place.p += dot ? n + 1 : n;
        place.n -= dot ? n + 1 : n;
    }
    return v;
}

void reply_put(const pbay_batch_1 *batch, pbay_builder *out, uint32_t row, uint32_t kind, const json_t *v)
{
    if (!v || json_is_null(v)) {
        batch->null(out, 0);
        return;
    }
    const int whole = kind == PBAY_JSON || !json_is_string(v);
    char *text = whole ? json_dumps(v, JSON_ENCODE_ANY | JSON_COMPACT) : NULL;
    const pbay_str s = whole ? pbay_str_c(text) : (pbay_str){json_string_value(v), json_string_length(v)};
    double number;
    if (kind != PBAY_NUM) {
        batch->text(out, 0, s);
    } else if (batch->to_num(s, &number)) {
        batch->num(out, 0, number);
    } else {
        batch->row_error(out, row, PBAY_BAD_VALUE, s);
        batch->null(out, 0);
    }
    free(text);
}

int reply_next(json_t *v, pbay_str base, pbay_str first, pbay_str cursor, pbay_text *url)
{
    char *other = v && !json_is_string(v) && !json_is_null(v) ? json_dumps(v, JSON_ENCODE_ANY) : NULL;
    const pbay_str s = other ? pbay_str_c(other) : pbay_str_c(json_string_value(v));
    int rc = s.n > 0 && !json_is_false(v);
    pbay_text_clear(url);
    if (rc && cursor.n) {
        pbay_text_add(url, first);
        pbay_text_c(url, first.n && memchr(first.p, '?', first.n) ? "&" : "?");
        pbay_text_add(url, cursor);
        pbay_text_c(url, "=");
        pbay_text_percent(url, s);
    } else if (rc && s.p[0] == '/' && (s.n == 1 || s.p[1] != '/')) {
        /* A path begins at the host, whatever path `base` has. */
        size_t n = 0;
        for (int slashes = 0; n < base.n && (slashes += base.p[n] == '/') < 3;) n++;
        pbay_text_add(url, (pbay_str){base.p, n});
        pbay_text_add(url, s);
    } else if (rc && s.n > base.n && !memcmp(s.p, base.p, base.n) && strchr("/?", s.p[base.n])) {
        pbay_text_add(url, s);
    } else if (rc) {
        rc = -1;
    }
    free(other);
    return rc;
}
