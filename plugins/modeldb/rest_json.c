/* SPDX-License-Identifier: MIT */
/* What plans need of JSON and URLs; apart from rest.c, which talks to the host. */
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

pbay_str rest_member(const json_t *object, const char *name)
{
    const json_t *v = json_object_get(object, name);
    return json_is_string(v) ? (pbay_str){json_string_value(v), json_string_length(v)} : (pbay_str){"", 0};
}
