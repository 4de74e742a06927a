/* SPDX-License-Identifier: MIT */
#include "plugin/apart_wire.h"

#include "base/mem.h"
#include "data/options.h"
#include "plugin/services.h"

#define NONE UINT32_MAX

/* More keys than an event may have. */
enum { KEYS_MAX = 100 };

/* ------------------------------------------------------------------------------------------------ writing */

void pb_put_cstr(struct pb_buf *b, const char *s)
{
    if (s)
        pb_put_str(b, pb_str_c(s));
    else
        pb_put_u32(b, NONE);
}

void pb_put_result(struct pb_buf *b, const pbay_result *r)
{
    static const pbay_result fine = PBAY_RESULT_OK;
    if (!r) r = &fine;
    pb_put_i32(b, r->code);
    pb_put_u32(b, r->effect);
    pb_put_u32(b, r->advice);
    pb_put_i32(b, r->vendor_status);
    pb_put_i64(b, r->retry_after_ms);
    pb_put_str(b, r->vendor_code);
    pb_put_str(b, r->message);
}

void pb_put_err(struct pb_buf *b, const struct pb_err *err)
{
    pbay_result r = pb_err_result(err);
    pb_put_result(b, &r);
}

void pb_put_headers(struct pb_buf *b, const pbay_header *h, uint32_t n)
{
    pb_put_u32(b, n);
    for (uint32_t i = 0; i < n; i++) {
        pb_put_str(b, h[i].name);
        pb_put_str(b, h[i].value);
    }
}

void pb_put_fields(struct pb_buf *b, const pbay_field *f, uint32_t n)
{
    pb_put_u32(b, n);
    for (uint32_t i = 0; i < n; i++) {
        pb_put_str(b, f[i].name);
        pb_put_u32(b, f[i].kind);
    }
}

void pb_put_events(struct pb_buf *b, const pbay_event *e, uint32_t n)
{
    pb_put_u32(b, n);
    const char *at = (const char *)e;
    for (uint32_t i = 0; i < n; i++) {
        pbay_event one = {0};
        uint32_t size;
        memcpy(&size, at, sizeof size);
        if (size >= PB_EVENT_1_0) {
            memcpy(&one, at, size < sizeof one ? size : sizeof one);
            at += size;
        }
        /* A size that is none is refused where events are read; so it must stay none. */
        pb_put_u32(b, size < PB_EVENT_1_0 ? size : (uint32_t)sizeof one);
        pb_put_str(b, one.type);
        pb_put_str(b, one.id);
        pb_put_str(b, one.subject);
        pb_put_str(b, one.data);
        pb_put_i64(b, one.time_ms);
        uint32_t n_keys = one.n_keys < KEYS_MAX ? one.n_keys : KEYS_MAX;
        pb_put_u32(b, n_keys);
        /* Too many are refused where events are read, without a look at them. */
        for (uint32_t k = 0; k < n_keys; k++)
            pb_put_str(b, n_keys < KEYS_MAX ? one.keys[k] : pb_str(NULL, 0));
    }
}

void pb_put_options(struct pb_buf *b, const pbay_option_table *t)
{
    pb_put_u32(b, t->count);
    for (uint32_t i = 0; i < t->count; i++) {
        const pbay_option *o = pb_option_at(t, i);
        pb_put_cstr(b, o->name);
        pb_put_u32(b, o->type);
        pb_put_u32(b, o->flags);
        pb_put_cstr(b, o->dflt);
        pb_put_cstr(b, o->choices);
        pb_put_cstr(b, o->doc);
    }
}

static void put_entry(struct pb_buf *b, pbay_str key, pbay_str value, pbay_str where)
{
    pb_put_str(b, key);
    pb_put_str(b, value);
    pb_put_str(b, where);
}

/* As it would stand in a section, between quotes. */
static uint32_t put_option(struct pb_buf *b, const struct pbay_config *cfg, const pbay_option *o)
{
    pbay_str name = pb_str_c(o->name), where = pb_config_where(cfg, o->name), key;
    struct pb_buf text = {0};
    uint32_t n = 1;
    if (o->type == PBAY_OPT_FAMILY) {
        n = pb_config_count(cfg, o->name);
        for (uint32_t i = 0; i < n; i++) {
            pbay_str value = pb_config_item(cfg, o->name, i, &key);
            text.n = 0;
            pb_buf_printf(&text, "%s.%.*s", o->name, PB_FMT(key));
            put_entry(b, pb_buf_view(&text), value, where);
        }
    } else if (o->type == PBAY_OPT_LIST) {
        uint32_t items = pb_config_count(cfg, o->name);
        for (uint32_t i = 0; i < items; i++) {
            pbay_str value = pb_config_item(cfg, o->name, i, &key);
            if (i) pb_buf_ch(&text, ',');
            for (size_t k = 0; k < value.n; k++) {
                if (value.p[k] == ',') pb_buf_ch(&text, '\\');
                pb_buf_ch(&text, value.p[k]);
            }
        }
        put_entry(b, name, pb_buf_view(&text), where);
    } else
        put_entry(b, name, pb_config_get_str(cfg, o->name), where);
    if (text.cap) explicit_bzero(text.p, text.cap);
    pb_buf_free(&text);
    return n;
}

void pb_put_config(struct pb_buf *b, const struct pbay_config *cfg, const pbay_option_table *const *t,
                   size_t n)
{
    pb_put_u32(b, cfg != NULL);
    if (!cfg) return;
    size_t at = b->n;
    uint32_t entries = 0;
    pbay_str where = pb_str("", 0);
    pb_put_u32(b, 0);
    for (size_t k = 0; k < n; k++)
        for (uint32_t i = 0; t[k] && i < t[k]->count; i++) {
            const pbay_option *o = pb_option_at(t[k], i);
            where = pb_config_where(cfg, o->name);
            /* A default is the same there; but a path starts where the file is. */
            if (!pb_config_is_set(cfg, o->name) ||
                (!pb_config_is_given(cfg, o->name) && o->type != PBAY_OPT_FILE))
                continue;
            entries += put_option(b, cfg, o);
        }
    memcpy(b->p + at, &entries, sizeof entries);
    pb_put_str(b, where);
}

/* ------------------------------------------------------------------------------------------------ reading */

uint32_t pb_in_count(struct pb_in *in, size_t size)
{
    uint32_t n = pb_in_u32(in);
    if (n <= (size_t)(in->end - in->p) / size) return n;
    in->bad = true;
    in->p = in->end;
    return 0;
}

const char *pb_in_cstr(struct pb_in *in, struct pb_arena *mem)
{
    uint32_t n = pb_in_u32(in);
    if (n == NONE) return NULL;
    const char *p = pb_in_bytes(in, n);
    if (p && !memchr(p, 0, n)) return pb_arena_str(mem, pb_str(p, n)).p;
    in->bad = true;
    return "";
}

pbay_result pb_in_result(struct pb_in *in)
{
    pbay_result r = PBAY_RESULT_OK;
    r.code = pb_in_i32(in);
    r.effect = pb_in_u32(in);
    r.advice = pb_in_u32(in);
    r.vendor_status = pb_in_i32(in);
    r.retry_after_ms = pb_in_i64(in);
    r.vendor_code = pb_in_str(in);
    r.message = pb_in_str(in);
    if (in->bad) r.code = PBAY_INTERNAL;
    return r;
}

const pbay_header *pb_in_headers(struct pb_in *in, struct pb_arena *mem, uint32_t *n)
{
    *n = pb_in_count(in, 8);
    pbay_header *h = pb_arena_alloc(mem, (*n + (size_t)1) * sizeof *h);
    for (uint32_t i = 0; i < *n; i++) {
        h[i].name = pb_in_str(in);
        h[i].value = pb_in_str(in);
    }
    return h;
}

const pbay_field *pb_in_fields(struct pb_in *in, struct pb_arena *mem, uint32_t *n)
{
    *n = pb_in_count(in, 8);
    pbay_field *f = pb_arena_zalloc(mem, (*n + (size_t)1) * sizeof *f);
    for (uint32_t i = 0; i < *n; i++) {
        f[i].name = pb_in_str(in);
        f[i].kind = pb_in_u32(in);
    }
    return f;
}

const pbay_event *pb_in_events(struct pb_in *in, struct pb_arena *mem, uint32_t *n)
{
    *n = pb_in_count(in, 32);
    pbay_event *e = pb_arena_zalloc(mem, (*n + (size_t)1) * sizeof *e);
    for (uint32_t i = 0; i < *n; i++) {
        e[i].struct_size = pb_in_u32(in);
        if (e[i].struct_size > sizeof *e) in->bad = true;
        e[i].type = pb_in_str(in);
        e[i].id = pb_in_str(in);
        e[i].subject = pb_in_str(in);
        e[i].data = pb_in_str(in);
        e[i].time_ms = pb_in_i64(in);
        e[i].n_keys = pb_in_count(in, 4);
        pbay_str *keys = pb_arena_alloc(mem, (e[i].n_keys + (size_t)1) * sizeof *keys);
        for (uint32_t k = 0; k < e[i].n_keys; k++) keys[k] = pb_in_str(in);
        e[i].keys = keys;
    }
    return e;
}

pbay_option_table pb_in_options(struct pb_in *in, struct pb_arena *mem)
{
    uint32_t n = pb_in_count(in, 24);
    pbay_option *o = pb_arena_zalloc(mem, (n + (size_t)1) * sizeof *o);
    for (uint32_t i = 0; i < n; i++) {
        o[i].name = pb_in_cstr(in, mem);
        o[i].type = pb_in_u32(in);
        o[i].flags = pb_in_u32(in);
        o[i].dflt = pb_in_cstr(in, mem);
        o[i].choices = pb_in_cstr(in, mem);
        o[i].doc = pb_in_cstr(in, mem);
    }
    return (pbay_option_table){o, n, sizeof *o};
}

/* "FILE:LINE" of a message into both; without a line the whole is the file. */
static uint32_t split_where(pbay_str where, pbay_str *file)
{
    uint64_t line = 0, unit = 1;
    size_t at = where.n;
    *file = where;
    while (at && where.p[at - 1] >= '0' && where.p[at - 1] <= '9' && unit < 1000000000) {
        line += unit * (uint64_t)(where.p[--at] - '0');
        unit *= 10;
    }
    if (at == where.n || !at || where.p[at - 1] != ':') return 0;
    *file = pb_str(where.p, at - 1);
    return (uint32_t)line;
}

int pb_in_config(struct pb_in *in, const pbay_option_table *const *t, size_t n, struct pbay_config **out,
                 struct pb_err *err)
{
    *out = NULL;
    if (!pb_in_u32(in)) return in->bad ? pb_fail(err, PBAY_INTERNAL, "a configuration is cut short") : 0;
    struct pb_arena mem = {0};
    uint32_t count = pb_in_count(in, 12);
    struct pb_ini_entry *entries = pb_arena_zalloc(&mem, (count + (size_t)1) * sizeof *entries);
    pbay_str file;
    for (uint32_t i = 0; i < count; i++) {
        entries[i].key = pb_in_str(in);
        entries[i].value = pb_in_str(in);
        entries[i].quoted = true;
        entries[i].line = split_where(pb_in_str(in), &file);
    }
    uint32_t line = split_where(pb_in_str(in), &file);
    struct pb_ini doc = {.file = pb_arena_str(&mem, file).p};
    struct pb_ini_section sec = {
        .doc = &doc, .kind = PB_STR("connector"), .line = line, .entries = entries, .n = count};
    const struct pb_config_env env = {.dir = "/"};
    int rc = in->bad ? pb_fail(err, PBAY_INTERNAL, "a configuration is cut short")
                     : pb_config_make(&sec, t, n, &env, out, err);
    pb_arena_free(&mem);
    return rc;
}
