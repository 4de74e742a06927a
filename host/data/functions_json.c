/* SPDX-License-Identifier: MIT */
#include "data/functions_json.h"

#include <jansson.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/map.h"
#include "base/mem.h"
#include "data/ini.h"

struct reader {
    const char *file;
    struct pb_qrag_functions *out;
    struct pb_map names, ids; /* -> index + 1 */
    const struct pb_qrag_function *at;
    size_t i; /* of `at` */
    struct pb_err *err;
};

/* ------------------------------------------------------------------------ lines */

/* Behind the string that begins at p. */
static const char *skip_string(const char *p, const char *end)
{
    for (p++; p < end && *p != '"'; p++)
        if (*p == '\\') p++;
    return p < end ? p + 1 : end;
}

/*
 * jansson keeps no lines: find where each element of the top object's "Functions" begins. The text is valid
 * JSON, so counting brackets is enough. Lines of functions beyond n are not asked for; those not found stay
 * 0.
 */
static void find_lines(pbay_str text, struct pb_qrag_function *f, size_t n)
{
    const char *p = text.p, *end = p + text.n;
    pbay_str key = {NULL, 0};
    uint32_t line = 1;
    size_t depth = 0, at = 0;
    bool inside = false, begins = false; /* in the array; the next value is an element's first byte */
    while (p < end && at < n) {
        char c = *p;
        if (c == '\n') line++;
        if (c == ' ' || c == '\t' || c == '\r' || c == '\n') {
            p++;
            continue;
        }
        if (inside && depth == 2 && begins && c != ']') {
            f[at++].line = line;
            begins = false;
        }
        if (c == '"') {
            const char *q = skip_string(p, end);
            if (depth == 1) key = pb_str(p, (size_t)(q - p));
            p = q;
            continue;
        }
        if (c == '[' || c == '{') {
            depth++;
            if (c == '[' && depth == 2 && pb_str_is(key, "\"Functions\"")) inside = begins = true;
        } else if (c == ']' || c == '}') {
            depth--;
            if (depth == 1) inside = false;
        } else if (c == ',' && depth == 2) {
            begins = true;
        }
        p++;
    }
}

/* ------------------------------------------------------------------------ one function */

static int fail(struct reader *r, const char *fmt, ...) PB_PRINTF(2, 3);

static int fail(struct reader *r, const char *fmt, ...)
{
    char text[PB_ERR_TEXT];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    if (!r->at->name.n) return pb_ini_fail(r->err, r->file, r->at->line, 0, "Functions[%zu]: %s", r->i, text);
    return pb_ini_fail(r->err, r->file, r->at->line, 0, "Functions[%zu] (%.*s): %s", r->i,
                       PB_FMT(r->at->name), text);
}

/* What a value is, for "expected this, not that". */
static const char *kind(const json_t *v)
{
    switch (json_typeof(v)) {
    case JSON_OBJECT: return "an object";
    case JSON_ARRAY: return "an array";
    case JSON_STRING: return "a string";
    case JSON_INTEGER: return "an integer";
    case JSON_REAL: return "a number with a fraction";
    case JSON_NULL: return "null";
    default: return "true or false";
    }
}

static pbay_str copy(struct reader *r, const json_t *string)
{
    return pb_arena_str(&r->out->mem, pb_str(json_string_value(string), json_string_length(string)));
}

static int take_string(struct reader *r, const json_t *o, const char *key, pbay_str *out)
{
    const json_t *v = json_object_get(o, key);
    if (!v) return fail(r, "\"%s\" is missing", key);
    if (!json_is_string(v)) return fail(r, "\"%s\" is %s; expected a string", key, kind(v));
    if (!json_string_length(v)) return fail(r, "\"%s\" is empty", key);
    *out = copy(r, v);
    return 0;
}

/* An integer of 0..max; what says which numbers there are. */
static int take_int(struct reader *r, const json_t *v, const char *key, int64_t max, const char *what,
                    int64_t *out)
{
    if (!v) return fail(r, "\"%s\" is missing", key);
    if (!json_is_integer(v)) return fail(r, "\"%s\" is %s; expected %s", key, kind(v), what);
    *out = json_integer_value(v);
    if (*out < 0 || *out > max) return fail(r, "\"%s\" is %lld; expected %s", key, (long long)*out, what);
    return 0;
}

static const char function_types[] = "0 (scalar), 1 (aggregation) or 2 (tensor)";
static const char data_types[] = "0 (string), 1 (numeric) or 2 (dual)";

static int by_name(const void *a, const void *b)
{
    const struct pb_qrag_param *x = a, *y = b;
    return pb_str_cmp(x->name, y->name);
}

static int take_params(struct reader *r, const json_t *o, enum pb_qrag_params order,
                       struct pb_qrag_function *f)
{
    const json_t *params = json_object_get(o, "Params");
    if (!params) return fail(r, "\"Params\" is missing");
    if (!json_is_object(params))
        return fail(r, "\"Params\" is %s; expected an object of names and types", kind(params));
    size_t n = json_object_size(params);
    f->params = pb_arena_zalloc(&r->out->mem, (n ? n : 1) * sizeof *f->params);
    /* jansson walks an object in the order of its text. */
    json_t *walk = (json_t *)params;
    for (void *it = json_object_iter(walk); it; it = json_object_iter_next(walk, it)) {
        pbay_str name = pb_arena_str(&r->out->mem, pb_str_c(json_object_iter_key(it)));
        const char *shown = pb_arena_printf(&r->out->mem, "Params.%.*s", PB_FMT(name));
        int64_t type = 0;
        if (take_int(r, json_object_iter_value(it), shown, 2, data_types, &type) != 0) return -1;
        f->params[f->n_params++] = (struct pb_qrag_param){name, (uint8_t)type};
    }
    if (order == PB_QRAG_PARAMS_SORTED && n > 1) qsort(f->params, n, sizeof *f->params, by_name);
    return 0;
}

static int take_cache(struct reader *r, const json_t *o, struct pb_qrag_function *f)
{
    const json_t *v = json_object_get(o, "CacheResultInQlik");
    if (!v) return 0;
    pbay_str s = json_is_string(v) ? pb_str_c(json_string_value(v)) : pb_str(NULL, 0);
    bool yes = json_is_true(v) || pb_str_ieq(s, PB_STR("true"));
    if (!yes && !json_is_false(v) && !pb_str_ieq(s, PB_STR("false")))
        return fail(r, "\"CacheResultInQlik\" is neither true nor false");
    f->cache_given = true;
    f->cache = yes;
    return 0;
}

static int check_name(struct reader *r, pbay_str name)
{
    for (size_t i = 0; i < name.n; i++) {
        char c = name.p[i];
        if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_') continue;
        return fail(r, "Qlik takes only letters, digits and _ in a function's name");
    }
    return 0;
}

/* Both places of what may stand only once. */
static int once(struct reader *r, struct pb_map *m, pbay_str key, const char *what)
{
    uintptr_t old = (uintptr_t)pb_map_get(m, key);
    if (!old) {
        pb_map_add(m, key, (void *)(uintptr_t)(r->i + 1));
        return 0;
    }
    const struct pb_qrag_function *f = &r->out->functions[old - 1];
    return fail(r, "\"%s\" %.*s is taken by Functions[%zu] (%.*s) in line %u", what, PB_FMT(key),
                (size_t)old - 1, PB_FMT(f->name), f->line);
}

static int take_function(struct reader *r, const json_t *o, enum pb_qrag_params order,
                         struct pb_qrag_function *f)
{
    if (!json_is_object(o)) return fail(r, "it is %s; expected an object", kind(o));
    if (take_string(r, o, "Name", &f->name) != 0 || check_name(r, f->name) != 0) return -1;
    int64_t id = 0, type = 0, returns = 0;
    const json_t *t = json_object_get(o, "Type");
    const char *type_key = t ? "Type" : "FunctionType";
    if (!t) t = json_object_get(o, "FunctionType");
    if (take_int(r, json_object_get(o, "Id"), "Id", INT32_MAX, "an integer from 0 to 2147483647", &id) != 0 ||
        take_int(r, t, t ? type_key : "Type", 2, function_types, &type) != 0 ||
        take_int(r, json_object_get(o, "ReturnType"), "ReturnType", 2, data_types, &returns) != 0 ||
        take_string(r, o, "QRAP_Type", &f->qrap_type) != 0)
        return -1;
    f->id = (int32_t)id;
    f->type = (uint8_t)type;
    f->return_type = (uint8_t)returns;
    if (take_params(r, o, order, f) != 0 || take_cache(r, o, f) != 0) return -1;
    char *digits = pb_arena_printf(&r->out->mem, "%d", f->id);
    return once(r, &r->ids, pb_str_c(digits), "Id") != 0 || once(r, &r->names, f->name, "Name") != 0 ? -1 : 0;
}

/* ------------------------------------------------------------------------ the file */

/* jansson quotes what it stumbled over, perhaps half a character of it. */
static int json_failed(const char *file, json_error_t *e, struct pb_err *err)
{
    bool whole = pb_utf8_valid(pb_str_c(e->text));
    for (char *p = e->text; *p; p++)
        if ((unsigned char)*p < 0x20 || (!whole && (unsigned char)*p >= 0x80)) *p = '?';
    uint32_t line = e->line > 0 ? (uint32_t)e->line : 1, col = e->column > 0 ? (uint32_t)e->column : 1;
    return pb_ini_fail(err, file, line, col, "this is not JSON: %s", e->text);
}

static int take_file(struct reader *r, const json_t *top, pbay_str text, enum pb_qrag_params order)
{
    static const char shape[] = "expected {\"Functions\": [ ... ]}";
    const json_t *list = json_is_object(top) ? json_object_get(top, "Functions") : NULL;
    if (!json_is_object(top))
        return pb_ini_fail(r->err, r->file, 0, 0, "the file holds %s; %s", kind(top), shape);
    if (!list) return pb_ini_fail(r->err, r->file, 0, 0, "\"Functions\" is missing; %s", shape);
    if (!json_is_array(list))
        return pb_ini_fail(r->err, r->file, 0, 0, "\"Functions\" is %s; %s", kind(list), shape);
    size_t n = json_array_size(list);
    r->out->functions = pb_arena_zalloc(&r->out->mem, (n ? n : 1) * sizeof *r->out->functions);
    r->out->n = n;
    find_lines(text, r->out->functions, n);
    for (r->i = 0; r->i < n; r->i++) {
        struct pb_qrag_function *f = &r->out->functions[r->i];
        r->at = f;
        if (take_function(r, json_array_get(list, r->i), order, f) != 0) return -1;
    }
    return 0;
}

int pb_qrag_functions_parse(const char *file, pbay_str text, enum pb_qrag_params order,
                            struct pb_qrag_functions **out, struct pb_err *err)
{
    *out = NULL;
    if (text.n > PB_QRAG_JSON_MAX)
        return pb_ini_fail(err, file, 0, 0, "%zu bytes are too many (at most %d)", text.n, PB_QRAG_JSON_MAX);
    if (pb_str_starts(text, PB_STR("\xef\xbb\xbf"))) text = pb_str(text.p + 3, text.n - 3);
    json_error_t e;
    json_t *top = json_loadb(text.n ? text.p : "", text.n, JSON_REJECT_DUPLICATES, &e);
    if (!top) return json_failed(file, &e, err);
    struct reader r = {.file = file, .err = err, .out = pb_zalloc(sizeof *r.out)};
    int rc = take_file(&r, top, text, order);
    json_decref(top);
    pb_map_free(&r.ids);
    pb_map_free(&r.names);
    if (rc == 0)
        *out = r.out;
    else
        pb_qrag_functions_free(r.out);
    return rc;
}

void pb_qrag_functions_free(struct pb_qrag_functions *f)
{
    if (!f) return;
    pb_arena_free(&f->mem);
    pb_free(f);
}
