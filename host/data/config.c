/* SPDX-License-Identifier: MIT */
#include "data/config.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "base/map.h"
#include "base/mem.h"
#include "data/options.h"
#include "data/resolve.h"

enum { MAGIC = 0x50434647 };

/* Every value is one of these, so that it can be wiped. NUL-terminated. */
struct text {
    struct text *next;
    size_t n;
    char p[];
};

struct item {
    pbay_str key, value;
};

struct slot {
    const pbay_option *opt;
    bool set, given; /* given: not by default */
    pbay_str where;  /* p NULL: not written; the section's then */
    pbay_str text;
    pbay_str reference; /* p NULL: it was written as it is */
    struct pb_option_value value;
    struct item *items;
    uint32_t n_items, cap_items;
};

struct pbay_config {
    uint32_t magic;
    const struct pbay_config *base; /* of an overlay: what it was made from */
    char *file, *header;            /* for messages; the base's in an overlay */
    char *dir;                      /* what file: starts from; the base's in an overlay */
    uint32_t line;
    pbay_str where;
    struct slot *slots; /* in table order */
    size_t n;
    struct pb_map index; /* name -> slot number + 1; the base's in an overlay */
    struct text *texts;
};

static pbay_str keep(struct text **list, pbay_str s)
{
    struct text *t = pb_alloc(sizeof *t + s.n + 1);
    t->n = s.n;
    if (s.n) memcpy(t->p, s.p, s.n);
    t->p[s.n] = 0;
    t->next = *list;
    *list = t;
    return pb_str(t->p, s.n);
}

static pbay_str keep_where(struct pbay_config *cfg, uint32_t line)
{
    char *c = line ? pb_sprintf("%s:%u", cfg->file, line) : pb_strdup(cfg->file);
    pbay_str s = keep(&cfg->texts, pb_str_c(c));
    pb_free(c);
    return s;
}

static void wipe(struct text *t)
{
    for (struct text *next; t; t = next) {
        next = t->next;
        explicit_bzero(t->p, t->n);
        pb_free(t);
    }
}

static struct pbay_config *new_config(size_t n)
{
    struct pbay_config *cfg = pb_zalloc(sizeof *cfg);
    cfg->magic = MAGIC;
    cfg->n = n;
    cfg->slots = pb_zalloc((n ? n : 1) * sizeof *cfg->slots);
    return cfg;
}

void pb_config_free(struct pbay_config *cfg)
{
    if (!cfg) return;
    PB_MAGIC_CHECK(cfg, MAGIC);
    for (size_t i = 0; i < cfg->n; i++)
        if (!cfg->base || cfg->slots[i].items != cfg->base->slots[i].items) pb_free(cfg->slots[i].items);
    pb_free(cfg->slots);
    wipe(cfg->texts);
    pb_map_free(&cfg->index);
    pb_free(cfg->file);
    pb_free(cfg->dir);
    pb_free(cfg->header);
    cfg->magic = 0;
    pb_free(cfg);
}

/* ------------------------------------------------------------------------ values */

static void add_item(struct slot *s, pbay_str key, pbay_str value)
{
    PB_GROW(s->items, s->cap_items, s->n_items + 1);
    s->items[s->n_items++] = (struct item){key, value};
}

/* Items that are empty are dropped; "\," is a comma of the item's own. */
static void split_list(struct pbay_config *cfg, struct slot *s, pbay_str text)
{
    struct pb_buf b = {0};
    for (size_t i = 0; i <= text.n; i++) {
        if (i < text.n && text.p[i] == '\\' && i + 1 < text.n && text.p[i + 1] == ',') {
            pb_buf_ch(&b, text.p[++i]);
        } else if (i < text.n && text.p[i] != ',') {
            pb_buf_ch(&b, text.p[i]);
        } else {
            pbay_str one = pb_str_trim(pb_buf_view(&b));
            if (one.n) add_item(s, pb_str(NULL, 0), keep(&cfg->texts, one));
            b.n = 0;
        }
    }
    if (b.cap) explicit_bzero(b.p, b.cap);
    pb_buf_free(&b);
}

/* Check and store one value; `key` is what follows the dot of a FAMILY. */
static int put(struct pbay_config *cfg, struct slot *s, pbay_str key, pbay_str text, const char *dir,
               struct pb_err *err)
{
    if (pb_option_parse(s->opt, text, &s->value, err) != 0) return -1;
    s->set = true;
    if (s->opt->type == PBAY_OPT_FAMILY) {
        add_item(s, keep(&cfg->texts, key), keep(&cfg->texts, text));
    } else if (s->opt->type == PBAY_OPT_LIST) {
        split_list(cfg, s, text);
    } else if (s->opt->type == PBAY_OPT_FILE) {
        char *path = pb_path_from(dir, text);
        s->text = keep(&cfg->texts, pb_str_c(path));
        pb_free(path);
    } else {
        s->text = keep(&cfg->texts, text);
    }
    return 0;
}

/* The value behind a reference in *out and 0; 1: it is plain text. */
static int resolve(const struct pb_config_env *env, pbay_str value, struct pb_buf *out, struct pb_err *err)
{
    pbay_str scheme, rest;
    if (!pb_resolve_split(value, &scheme, &rest)) return 1;
    int rc = pb_resolve_local(env->dir, scheme, rest, out, err);
    if (rc == 1 && env->resolve) rc = env->resolve(env->user, scheme, rest, out, err);
    if (rc == 0 && !pb_utf8_valid(pb_buf_view(out)))
        return pb_fail(err, PBAY_INVALID_ARGUMENT, "what %.*s: names is not valid UTF-8", PB_FMT(scheme));
    return rc;
}

/* ------------------------------------------------------------------------ a section */

static int place(struct pb_err *err, const struct pbay_config *cfg, const struct pb_ini_entry *e,
                 uint32_t col)
{
    if (!e->line) return pb_fail_in(err, "%s: %.*s", cfg->file, PB_FMT(e->key));
    return col ? pb_fail_in(err, "%s:%u:%u: %.*s", cfg->file, e->line, col, PB_FMT(e->key))
               : pb_fail_in(err, "%s:%u: %.*s", cfg->file, e->line, PB_FMT(e->key));
}

static int unknown_key(const struct pbay_config *cfg, const struct pb_ini_entry *e, struct pb_err *err)
{
    const char **names = pb_array(cfg->n + 1, sizeof *names);
    pbay_str head = pb_str(e->key.p, pb_str_chr(e->key, '.'));
    const struct slot *family = NULL;
    for (size_t i = 0; i < cfg->n; i++) {
        names[i] = cfg->slots[i].opt->name;
        if (cfg->slots[i].opt->type == PBAY_OPT_FAMILY && pb_str_is(head, names[i])) family = &cfg->slots[i];
    }
    const char *near = pb_nearest(e->key, names, cfg->n);
    char *hint = family ? pb_sprintf("; write %s.NAME = value", family->opt->name)
                 : near ? pb_sprintf("; did you mean \"%s\"?", near)
                        : pb_strdup("");
    pb_ini_fail(err, cfg->file, e->line, e->key_col, "unknown key \"%.*s\" in %s%s", PB_FMT(e->key),
                cfg->header, hint);
    pb_free(hint);
    pb_free(names);
    return -1;
}

static struct slot *find_slot(struct pbay_config *cfg, pbay_str key)
{
    const struct pb_map *index = cfg->base ? &cfg->base->index : &cfg->index;
    uintptr_t i = (uintptr_t)pb_map_get(index, key);
    if (i && cfg->slots[i - 1].opt->type != PBAY_OPT_FAMILY) return &cfg->slots[i - 1];
    size_t dot = pb_str_chr(key, '.');
    if (dot + 1 >= key.n) return NULL;
    i = (uintptr_t)pb_map_get(index, pb_str(key.p, dot));
    return i && cfg->slots[i - 1].opt->type == PBAY_OPT_FAMILY ? &cfg->slots[i - 1] : NULL;
}

static pbay_str family_key(const struct slot *s, pbay_str key)
{
    size_t n = s->opt->type == PBAY_OPT_FAMILY ? strlen(s->opt->name) + 1 : key.n;
    return pb_str(key.p + n, key.n - n);
}

static int take_entry(struct pbay_config *cfg, const struct pb_ini_entry *e, const struct pb_config_env *env,
                      struct pb_err *err)
{
    struct slot *s = find_slot(cfg, e->key);
    if (!s) return unknown_key(cfg, e, err);
    struct pb_buf b = {0};
    int rc = e->quoted ? 1 : resolve(env, e->value, &b, err);
    if (rc == 0) s->reference = keep(&cfg->texts, e->value);
    if (rc >= 0) rc = put(cfg, s, family_key(s, e->key), rc ? e->value : pb_buf_view(&b), env->dir, err);
    if (rc != 0) place(err, cfg, e, e->col);
    s->given = true;
    if (!s->where.p) s->where = keep_where(cfg, e->line);
    if (b.cap) explicit_bzero(b.p, b.cap);
    pb_buf_free(&b);
    return rc;
}

static int fill_defaults(struct pbay_config *cfg, const struct pb_config_env *env, struct pb_err *err)
{
    for (size_t i = 0; i < cfg->n; i++) {
        struct slot *s = &cfg->slots[i];
        if (s->set) continue;
        if (s->opt->flags & PBAY_OPTF_REQUIRED)
            return pb_ini_fail(err, cfg->file, cfg->line, 0, "%s lacks \"%s\": %s", cfg->header, s->opt->name,
                               s->opt->doc);
        if (s->opt->dflt && put(cfg, s, pb_str(NULL, 0), pb_str_c(s->opt->dflt), env->dir, err) != 0)
            return pb_fail_in(err, "the default of %s", s->opt->name);
    }
    return 0;
}

static void add_slots(struct pbay_config *cfg, const pbay_option_table *const *tables, size_t n)
{
    size_t at = 0;
    for (size_t t = 0; t < n; t++) {
        for (uint32_t i = 0; tables[t] && i < tables[t]->count; i++) {
            const pbay_option *o = pb_option_at(tables[t], i);
            cfg->slots[at++].opt = o;
            /* The first of two wins; pb_options_lint refuses two. */
            pb_map_add(&cfg->index, pb_str_c(o->name), (void *)(uintptr_t)at);
        }
    }
}

int pb_config_make(const struct pb_ini_section *sec, const pbay_option_table *const *tables, size_t n,
                   const struct pb_config_env *env, struct pbay_config **out, struct pb_err *err)
{
    size_t total = 0;
    for (size_t t = 0; t < n; t++) total += tables[t] ? tables[t]->count : 0;
    struct pbay_config *cfg = new_config(total);
    struct pb_buf header = {0};
    pb_ini_header(sec, &header);
    pb_buf_ch(&header, '\0');
    cfg->header = header.p;
    cfg->file = pb_strdup(sec->doc->file);
    cfg->dir = pb_strdup(env->dir);
    cfg->line = sec->line;
    cfg->where = keep_where(cfg, sec->line);
    add_slots(cfg, tables, n);
    int rc = 0;
    for (size_t i = 0; i < sec->n && rc == 0; i++) rc = take_entry(cfg, &sec->entries[i], env, err);
    if (rc == 0) rc = fill_defaults(cfg, env, err);
    if (rc != 0) {
        pb_config_free(cfg);
        *out = NULL;
        return -1;
    }
    *out = cfg;
    return 0;
}

/* ------------------------------------------------------------------------ a call's own */

int pb_config_overlay(const struct pbay_config *base, const struct pb_config_pair *pairs, size_t n,
                      struct pbay_config **out, struct pb_err *err)
{
    PB_MAGIC_CHECK(base, MAGIC);
    PB_REQUIRE(!base->base);
    struct pbay_config *cfg = new_config(base->n);
    cfg->base = base;
    cfg->where = base->where;
    if (base->n) memcpy(cfg->slots, base->slots, base->n * sizeof *cfg->slots);
    *out = NULL;
    for (size_t i = 0; i < n; i++) {
        struct slot *s = find_slot(cfg, pairs[i].key);
        if (!s || !(s->opt->flags & PBAY_OPTF_PER_CALL)) {
            pb_fail(err, PBAY_INVALID_ARGUMENT,
                    s ? "option \"%.*s\" cannot be set by a call" : "unknown option \"%.*s\"",
                    PB_FMT(pairs[i].key));
            pb_config_free(cfg);
            return -1;
        }
        const struct slot *old = &base->slots[s - cfg->slots];
        if (s->items == old->items)
            s->items = NULL, s->n_items = s->cap_items = 0;
        else if (s->opt->type == PBAY_OPT_LIST)
            s->n_items = 0;
        s->given = true;
        if (!pb_utf8_valid(pairs[i].value) ||
            (pairs[i].value.n && memchr(pairs[i].value.p, 0, pairs[i].value.n)))
            pb_fail(err, PBAY_INVALID_ARGUMENT, "not text in UTF-8");
        else if (put(cfg, s, family_key(s, pairs[i].key), pairs[i].value, "", err) == 0)
            continue;
        pb_fail_in(err, "option \"%.*s\"", PB_FMT(pairs[i].key));
        pb_config_free(cfg);
        return -1;
    }
    *out = cfg;
    return 0;
}

/* ------------------------------------------------------------------------ readers */

static const struct slot *slot_of(const struct pbay_config *cfg, const char *name)
{
    static const struct slot none = {0};
    PB_MAGIC_CHECK(cfg, MAGIC);
    const struct pb_map *index = cfg->base ? &cfg->base->index : &cfg->index;
    uintptr_t i = (uintptr_t)pb_map_get(index, pb_str_c(name));
    if (PB_CHECK_FAILS(i != 0)) return &none;
    return &cfg->slots[i - 1];
}

uint32_t pb_config_type(const struct pbay_config *cfg, const char *name)
{
    PB_MAGIC_CHECK(cfg, MAGIC);
    const struct pb_map *index = cfg->base ? &cfg->base->index : &cfg->index;
    const uintptr_t i = (uintptr_t)pb_map_get(index, pb_str_c(name));
    return i ? cfg->slots[i - 1].opt->type : 0;
}

int pb_config_is_set(const struct pbay_config *cfg, const char *name)
{
    return slot_of(cfg, name)->set;
}

int pb_config_is_given(const struct pbay_config *cfg, const char *name)
{
    return slot_of(cfg, name)->given;
}

int64_t pb_config_get_int(const struct pbay_config *cfg, const char *name)
{
    return slot_of(cfg, name)->value.i;
}

double pb_config_get_num(const struct pbay_config *cfg, const char *name)
{
    return slot_of(cfg, name)->value.num;
}

pbay_str pb_config_get_str(const struct pbay_config *cfg, const char *name)
{
    pbay_str s = slot_of(cfg, name)->text;
    return s.p ? s : PB_STR("");
}

uint32_t pb_config_count(const struct pbay_config *cfg, const char *name)
{
    return slot_of(cfg, name)->n_items;
}

pbay_str pb_config_item(const struct pbay_config *cfg, const char *name, uint32_t i, pbay_str *key)
{
    const struct slot *s = slot_of(cfg, name);
    struct item none = {PB_STR(""), PB_STR("")};
    const struct item *it = i < s->n_items ? &s->items[i] : &none;
    if (key) *key = it->key.p ? it->key : PB_STR("");
    return it->value;
}

bool pb_config_reference(const struct pbay_config *cfg, const char *name, pbay_str *scheme, pbay_str *rest,
                         const char **dir)
{
    pbay_str ref = slot_of(cfg, name)->reference;
    if (dir) *dir = cfg->base ? cfg->base->dir : cfg->dir;
    return ref.p && pb_resolve_split(ref, scheme, rest);
}

pbay_str pb_config_where(const struct pbay_config *cfg, const char *name)
{
    const struct slot *s = slot_of(cfg, name);
    return s->where.p ? s->where : cfg->where;
}

int pb_config_fail(const struct pbay_config *cfg, const char *name, struct pb_err *err, const char *fmt, ...)
{
    char text[PB_ERR_TEXT];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    return pb_fail(err, PBAY_INVALID_ARGUMENT, "%.*s: %s: %s", PB_FMT(pb_config_where(cfg, name)), name,
                   text);
}
