/* SPDX-License-Identifier: MIT */
/* What plans need of JSON and URLs; apart from rest.c, which talks to the host. */
#include <stdlib.h>

#include "rest.h"

void rest_query(pbay_text *query, const char *name, pbay_str value)
{
    pbay_text_printf(query, "%s%s=", query->n ? "&" : "", name);
    pbay_text_percent(query, value);
}

json_t *rest_text(pbay_str s)
{
    json_t *v = json_stringn(s.p ? s.p : "", s.n);
    return v ? v : json_string("");
}

json_t *rest_by_key(const json_t *list)
{
    json_t *out = json_object(), *one;
    size_t i;
    json_array_foreach(list, i, one)
    {
        const char *key = json_string_value(json_object_get(one, "key"));
        if (key && !json_object_get(out, key)) json_object_set(out, key, one);
    }
    return out;
}

int64_t rest_int(const json_t *v)
{
    if (json_is_string(v)) return strtoll(json_string_value(v), NULL, 10);
    return json_is_real(v) ? (int64_t)json_real_value(v) : json_integer_value(v);
}

pbay_str rest_member(const json_t *object, const char *name)
{
    const json_t *v = json_object_get(object, name);
    return json_is_string(v) ? (pbay_str){json_string_value(v), json_string_length(v)} : (pbay_str){"", 0};
}
