/* SPDX-License-Identifier: MIT */
#include "qrag_body.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "kit/percent.h"
#include "qrag_message.h"

void qrag_body(struct text *out, pbay_str value)
{
    static const char hex[] = "0123456789abcdef", plain[] = "\"\\\n\r\t\b\f", escaped[] = "\"\\nrtbf";
    out->n = 0;
    text_add(out, "{\"data\":\"", 9);
    for (size_t i = 0; i < value.n; i++) {
        unsigned char c = (unsigned char)value.p[i];
        const char *at = c ? strchr(plain, c) : NULL;
        if (at) {
            char two[2] = {'\\', escaped[at - plain]};
            text_add(out, two, 2);
        } else if (c < 0x20 || c == 0x7f) {
            char six[6] = {'\\', 'u', '0', '0', hex[c >> 4], hex[c & 15]};
            text_add(out, six, 6);
        } else {
            text_add(out, value.p + i, 1);
        }
    }
    text_add(out, "\"}", 2);
}

static int blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n' || c == '\v' || c == '\f';
}

static void cut(pbay_str *s)
{
    while (s->n && blank(s->p[0])) s->p++, s->n--;
    while (s->n && blank(s->p[s->n - 1])) s->n--;
}

static int refused(struct text *out, const char *what, pbay_str shown)
{
    out->n = 0;
    text_add(out, what, strlen(what));
    size_t n = shown.n < 200 ? shown.n : 200;
    while (n && n < shown.n && ((unsigned char)shown.p[n] & 0xc0) == 0x80) n--;
    text_add(out, shown.p, n);
    return -1;
}

/* The text by which an object says that something failed, or NULL. */
static const json_t *failure(const json_t *v)
{
    /* A function that raised: {"errorMessage", "errorType", ...}; API Gateway itself: {"message"}, and no
     * more. */
    const json_t *said = json_object_get(v, "errorMessage");
    if (!said && json_object_size(v) == 1) said = json_object_get(v, "message");
    return json_is_string(said) ? said : NULL;
}

static int is_page(pbay_str body)
{
    static const char *const heads[] = {"<!doctype", "<html", "<?xml"};
    for (size_t i = 0; i < sizeof heads / sizeof *heads; i++)
        if (body.n >= strlen(heads[i]) && strncasecmp(body.p, heads[i], strlen(heads[i])) == 0) return 1;
    return 0;
}

int qrag_answer(pbay_str body, struct text *out)
{
    out->n = 0;
    cut(&body);
    if (is_page(body)) return refused(out, "a page came back in place of an answer: ", body);
    json_t *v = body.n && (body.p[0] == '"' || body.p[0] == '{')
                    ? json_loadb(body.p, body.n, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL)
                    : NULL;
    const json_t *said = failure(v);
    if (said) {
        refused(out, "it failed: ", (pbay_str){json_string_value(said), json_string_length(said)});
        json_decref(v);
        return -1;
    }
    if (json_is_string(v)) {
        text_add(out, json_string_value(v), json_string_length(v));
    } else {
        /* Whether it is UTF-8 is what jansson checks when it makes a string of it. */
        json_t *text = json_stringn(body.n ? body.p : "", body.n);
        if (!text) {
            json_decref(v);
            return refused(out, "what came back is not valid UTF-8", (pbay_str){NULL, 0});
        }
        json_decref(text);
        for (size_t i = 0; i < body.n; i++)
            if (body.p[i] != '"') text_add(out, body.p + i, 1);
    }
    json_decref(v);
    pbay_str whole = {out->p, out->n};
    cut(&whole);
    if (whole.n) memmove(out->p, whole.p, whole.n);
    out->n = whole.n;
    return 0;
}

static void add_percent(struct text *t, pbay_str s)
{
    char *room = malloc(PBAY_PERCENT_ROOM(s.n) + 1);
    if (!room) abort();
    text_add(t, room, pbay_percent_encode(s, room));
    free(room);
}

void qrag_url(struct text *out, pbay_str url, pbay_str first, pbay_str parameter, pbay_str second)
{
    out->n = 0;
    text_add(out, url.p, url.n);
    add_percent(out, first);
    text_add(out, "?", 1);
    text_add(out, parameter.p, parameter.n);
    text_add(out, "=", 1);
    add_percent(out, second);
    text_add(out, "&", 1);
}

int qrag_last(pbay_str body, pbay_str key, struct text *out)
{
    out->n = 0;
    cut(&body);
    json_t *v = json_loadb(body.n ? body.p : "", body.n, JSON_ALLOW_NUL, NULL);
    const json_t *said = failure(v), *list = json_object_getn(v, key.p, key.n);
    int rc = 0;
    if (said)
        rc = refused(out, "it failed: ", (pbay_str){json_string_value(said), json_string_length(said)});
    else if (!json_is_array(list))
        rc = refused(out, "what came back is no JSON object with a list of answers: ", body);
    else if (json_array_size(list) == 0)
        rc = 1;
    else
        rc = py_str(json_array_get(list, json_array_size(list) - 1), out);
    json_decref(v);
    return rc;
}
