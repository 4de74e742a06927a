/* SPDX-License-Identifier: MIT */
/* A configuration from a JSON object: the arguments of an action. */
#include <string.h>

#include "base/arena.h"
#include "base/mem.h"
#include "base/str.h"
#include "data/config.h"
#include "data/json_object.h"
#include "data/json_scan.h"
#include "data/options.h"

enum { MEMBERS_MAX = 4096, ITEMS_MAX = 65536 };

static const pbay_option *option_of(const pbay_option_table *t, pbay_str name)
{
    for (uint32_t i = 0; i < t->count; i++)
        if (pb_str_is(name, pb_option_at(t, i)->name)) return pb_option_at(t, i);
    return NULL;
}

static void add(struct pb_ini_section *sec, pbay_str key, pbay_str value)
{
    PB_GROW(sec->entries, sec->cap, sec->n + 1);
    sec->entries[sec->n++] = (struct pb_ini_entry){.key = key, .value = value, .quoted = true};
}

/* The text of a scalar: of a string what it says, else as it stands. False: it is no scalar. */
static bool scalar(pbay_str json, struct pb_arena *a, pbay_str *out)
{
    if (pb_json_string(json, a, out)) return true;
    *out = json;
    return json.n && *json.p != '{' && *json.p != '[';
}

/* Items joined as a LIST is written. */
static int list(const char *file, const struct pb_json_member *m, struct pb_arena *a, pbay_str *out,
                struct pb_err *err)
{
    pbay_str *items;
    size_t n;
    struct pb_buf b = {0};
    if (pb_json_array(m->value, ITEMS_MAX, PB_JSON_DEPTH, a, &items, &n, err))
        return pb_fail(err, PBAY_INVALID_ARGUMENT, "%s: %.*s: expected an array of texts", file,
                       PB_FMT(m->name));
    for (size_t i = 0; i < n; i++) {
        pbay_str one;
        if (!scalar(items[i], a, &one)) {
            pb_buf_free(&b);
            return pb_fail(err, PBAY_INVALID_ARGUMENT, "%s: %.*s: item %zu is no text, number or boolean",
                           file, PB_FMT(m->name), i + 1);
        }
        if (i) pb_buf_ch(&b, ',');
        for (size_t k = 0; k < one.n; k++) {
            if (one.p[k] == ',') pb_buf_ch(&b, '\\');
            pb_buf_ch(&b, one.p[k]);
        }
    }
    *out = pb_arena_str(a, pb_buf_view(&b));
    pb_buf_free(&b);
    return 0;
}

static int family(const char *file, const struct pb_json_member *m, struct pb_ini_section *sec,
                  struct pb_arena *a, struct pb_err *err)
{
    struct pb_json_object o;
    if (pb_json_object(m->value, MEMBERS_MAX, PB_JSON_DEPTH, a, &o, err))
        return pb_fail(err, PBAY_INVALID_ARGUMENT, "%s: %.*s: expected an object of texts", file,
                       PB_FMT(m->name));
    for (size_t i = 0; i < o.n; i++) {
        pbay_str one;
        if (!scalar(o.members[i].value, a, &one))
            return pb_fail(err, PBAY_INVALID_ARGUMENT, "%s: %.*s: \"%.*s\" is no text, number or boolean",
                           file, PB_FMT(m->name), PB_FMT(o.members[i].name));
        add(sec, pb_str_c(pb_arena_printf(a, "%.*s.%.*s", PB_FMT(m->name), PB_FMT(o.members[i].name))), one);
    }
    return 0;
}

static int member(const char *file, const pbay_option_table *t, bool more, const struct pb_json_member *m,
                  struct pb_ini_section *sec, struct pb_arena *a, struct pb_err *err)
{
    const pbay_option *o = option_of(t, m->name);
    pbay_str value = m->value;
    if (pb_str_is(value, "null")) return 0;
    if (!o && more) return 0;
    if (o && o->type == PBAY_OPT_FAMILY) return family(file, m, sec, a, err);
    if (o && o->type == PBAY_OPT_LIST) {
        if (list(file, m, a, &value, err)) return -1;
    } else if (!scalar(m->value, a, &value) && o && o->type != PBAY_OPT_STR)
        return pb_fail(err, PBAY_INVALID_ARGUMENT, "%s: %.*s: expected a text, a number or a boolean", file,
                       PB_FMT(m->name));
    if (value.n && memchr(value.p, 0, value.n))
        return pb_fail(err, PBAY_INVALID_ARGUMENT, "%s: %.*s: a text with a NUL in it", file,
                       PB_FMT(m->name));
    add(sec, m->name, value);
    return 0;
}

int pb_config_from_json(const char *what, pbay_str json, const pbay_option_table *table, bool more,
                        struct pbay_config **out, struct pb_err *err)
{
    struct pb_arena mem = {0};
    struct pb_json_object o;
    struct pb_ini doc = {.file = what};
    struct pb_ini_section sec = {.doc = &doc, .kind = pb_str_c("arguments")};
    const struct pb_config_env env = {.dir = "/"};
    *out = NULL;
    int rc = pb_json_object(json, MEMBERS_MAX, PB_JSON_DEPTH, &mem, &o, err);
    if (rc) pb_fail_in(err, "%s", what);
    for (size_t i = 0; i < o.n && rc == 0; i++)
        rc = member(what, table, more, &o.members[i], &sec, &mem, err);
    if (rc == 0) rc = pb_config_make(&sec, &table, 1, &env, out, err);
    pb_free(sec.entries);
    pb_arena_free(&mem);
    return rc;
}
