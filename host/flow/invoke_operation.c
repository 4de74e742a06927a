/* SPDX-License-Identifier: MIT */
/*
 * Operations that are invoked without a function of the configuration. Binding one costs the plugin a look at
 * its options, so what was bound is kept, by connector, operation, options and columns: the least recently
 * used goes when there are many.
 */
#include "base/check.h"
#include "data/options.h"
#include "flow/invoke_priv.h"
#include "plugin/connector.h"
#include "plugin/registry.h"

enum { KEEP = 128, MAX_ROWS = 2000, MAX_BYTES = 4 << 20, ATTEMPTS = 3 };

static void put_part(struct pb_buf *b, pbay_str s)
{
    pb_buf_printf(b, "%zu:", s.n);
    pb_buf_str(b, s);
}

static void put_fields(struct pb_buf *b, const pbay_field *f, uint32_t n)
{
    pb_buf_ch(b, '|');
    for (uint32_t i = 0; i < n; i++) {
        pb_buf_printf(b, "%u", f[i].kind);
        put_part(b, f[i].name);
    }
}

static void make_key(const struct pb_invoke_request *r, struct pb_buf *b)
{
    put_part(b, r->target);
    for (uint32_t i = 0; i < r->n_options; i++) {
        put_part(b, r->options[i].name);
        put_part(b, r->options[i].value);
    }
    put_fields(b, r->sends, r->n_sends);
    put_fields(b, r->answers, r->n_answers);
}

/* ------------------------------------------------------------------------------------------------ life */

static void drop(struct pb_invokes *v, struct pb_bare_op *b)
{
    pb_op_unbind(b->fn.op);
    pb_map_remove(&v->bare_by_key, b->key);
    *(b->prev ? &b->prev->next : &v->bare) = b->next;
    *(b->next ? &b->next->prev : &v->bare_last) = b->prev;
    v->n_bare--;
    pb_config_free(b->cfg);
    pb_arena_free(&b->mem);
    pb_free(b);
}

/* Those that nobody uses and nothing is in flight of, from the oldest on. */
static void make_room(struct pb_invokes *v)
{
    for (struct pb_bare_op *b = v->bare_last, *before; b && v->n_bare >= KEEP; b = before) {
        before = b->prev;
        if (!b->refs && !pb_op_in_flight(b->fn.op)) drop(v, b);
    }
}

static void to_front(struct pb_invokes *v, struct pb_bare_op *b)
{
    if (v->bare == b) return;
    b->prev->next = b->next;
    *(b->next ? &b->next->prev : &v->bare_last) = b->prev;
    b->prev = NULL;
    b->next = v->bare;
    v->bare->prev = b;
    v->bare = b;
}

void pb__bare_op_unref(struct pb_bare_op *b)
{
    if (b) b->refs--;
}

void pb__bare_ops_unbind(struct pb_invokes *v)
{
    for (struct pb_bare_op *b = v->bare; b; b = b->next) {
        pb_op_unbind(b->fn.op);
        b->fn.op = NULL;
    }
}

void pb__bare_ops_free(struct pb_invokes *v)
{
    while (v->bare) drop(v, v->bare);
    pb_map_free(&v->bare_by_key);
}

/* ------------------------------------------------------------------------------------------------ bind */

/* Only what a caller may set, and as if a section of the configuration said it. */
static struct pbay_config *read_options(const struct pb_invoke_request *r, const pbay_operation *op,
                                        struct pb_err *err)
{
    const struct pb_ini doc = {.file = "the caller's options"};
    struct pb_ini_section sec = {.doc = &doc, .kind = PB_STR("operation"), .name = r->target};
    struct pb_ini_entry *entries = pb_array(r->n_options + 1, sizeof *entries);
    sec.entries = entries;
    sec.n = r->n_options;
    struct pbay_config *cfg = NULL;
    int rc = 0;
    for (uint32_t i = 0; i < r->n_options && !rc; i++) {
        pbay_str key = r->options[i].name, value = r->options[i].value;
        const pbay_option *o = pb_option_find(&op->options, key);
        if (o && !(o->flags & PBAY_OPTF_PER_CALL))
            rc = pb_fail(err, PBAY_INVALID_ARGUMENT, "option \"%.*s\" cannot be set by a call", PB_FMT(key));
        else if (!pb_utf8_valid(value) || (value.n && memchr(value.p, 0, value.n)))
            rc = pb_fail(err, PBAY_INVALID_ARGUMENT, "option \"%.*s\": not text in UTF-8", PB_FMT(key));
        for (uint32_t k = 0; k < i && !rc; k++)
            if (pb_str_eq(r->options[k].name, key))
                rc = pb_fail(err, PBAY_INVALID_ARGUMENT, "option \"%.*s\" is given twice", PB_FMT(key));
        entries[i] = (struct pb_ini_entry){.key = key, .value = value, .quoted = true};
    }
    const pbay_option_table *tables[] = {&op->options};
    const struct pb_config_env env = {.dir = "/"};
    if (!rc) pb_config_make(&sec, tables, 1, &env, &cfg, err);
    pb_free(entries);
    return cfg;
}

static const struct pb_script_field *script_fields(struct pb_arena *mem, const pbay_field *f, uint32_t n)
{
    struct pb_script_field *out = pb_arena_zalloc(mem, (n + 1) * sizeof *out);
    for (uint32_t i = 0; i < n; i++)
        out[i] = (struct pb_script_field){.name = pb_arena_str(mem, f[i].name), .kind = f[i].kind};
    return out;
}

static pbay_field *copy_fields(struct pb_arena *mem, const pbay_field *f, uint32_t n)
{
    pbay_field *out = pb_arena_zalloc(mem, (n + 1) * sizeof *out);
    for (uint32_t i = 0; i < n; i++) out[i] = (pbay_field){pb_arena_str(mem, f[i].name), f[i].kind, 0};
    return out;
}

static int check_fields(const pbay_field *f, uint32_t n, const char *what, struct pb_err *err)
{
    if (n > PB_COLUMNS_MAX) return pb_fail(err, PBAY_INVALID_ARGUMENT, "%u %s", n, what);
    for (uint32_t i = 0; i < n; i++)
        if (f[i].kind < PBAY_NUM || f[i].kind > PBAY_JSON)
            return pb_fail(err, PBAY_INVALID_ARGUMENT, "%s: column %u has no kind", what, i + 1);
    return 0;
}

static int bind(struct pb_invokes *v, struct pb_bare_op *b, const struct pb_invoke_request *r,
                struct pb_connector *c, pbay_str name, struct pb_err *err)
{
    int at = pb_plugin_operation(pb_connector_plugin(c), name);
    if (at >= 0) {
        b->cfg = read_options(r, &pb_connector_plugin(c)->operations[at], err);
        if (!b->cfg) return -1;
    }
    const pbay_function_info info = {.struct_size = sizeof info,
                                     .name = b->fn.name,
                                     .sends = copy_fields(&b->mem, r->sends, r->n_sends),
                                     .n_sends = r->n_sends,
                                     .answers = copy_fields(&b->mem, r->answers, r->n_answers),
                                     .n_answers = r->n_answers,
                                     .max_rows = MAX_ROWS,
                                     .flags = PBAY_BIND_INVOKED,
                                     .config = b->cfg};
    b->fn.op = pb_op_bind(c, name, &info, err); /* also says which operations there are */
    if (!b->fn.op) return -1;
    b->fn.shape = pb_op_shape(b->fn.op);
    b->fn.effects = (pb_op_flags(b->fn.op) & PBAY_OPF_EFFECTS) != 0;
    b->fn.lane = v->o.lane(v->o.user, b->fn.op);
    return 0;
}

struct pb_bare_op *pb__bare_op(struct pb_invokes *v, const struct pb_invoke_request *r, struct pb_err *err)
{
    struct pb_buf key = {0};
    make_key(r, &key);
    struct pb_bare_op *b = pb_map_get(&v->bare_by_key, pb_buf_view(&key));
    size_t dot = pb_str_chr(r->target, '.');
    pbay_str connector = pb_str(r->target.p, dot);
    struct pb_connector *c = b ? NULL : v->o.connector(v->o.user, connector);
    if (!b && dot >= r->target.n)
        pb_fail(err, PBAY_INVALID_ARGUMENT, "\"%.*s\": an operation is written CONNECTOR.OPERATION",
                PB_FMT(r->target));
    else if (!b && !c)
        pb_fail(err, PBAY_NOT_FOUND, "there is no [connector \"%.*s\"]", PB_FMT(connector));
    else if (!b && !check_fields(r->sends, r->n_sends, "columns to send", err) &&
             !check_fields(r->answers, r->n_answers, "columns to answer", err)) {
        make_room(v);
        b = pb_zalloc(sizeof *b);
        b->key = pb_arena_str(&b->mem, pb_buf_view(&key));
        pbay_str name = pb_arena_str(&b->mem, r->target);
        b->fn = (struct pb_function){.magic = PB_FUNCTION_MAGIC,
                                     .id = -1,
                                     .name = name,
                                     .where = name,
                                     .params = script_fields(&b->mem, r->sends, r->n_sends),
                                     .n_params = r->n_sends,
                                     .returns = script_fields(&b->mem, r->answers, r->n_answers),
                                     .n_returns = r->n_answers,
                                     .max_rows = MAX_ROWS,
                                     .max_bytes = MAX_BYTES,
                                     .attempts = ATTEMPTS,
                                     .empty = PB_EMPTY_SEND,
                                     .qlik_cache = true,
                                     .counters = &b->counters};
        pb_counters_init(&b->counters, v->o.metrics, name);
        if (bind(v, b, r, c, pb_str(name.p + dot + 1, name.n - dot - 1), err)) {
            pb_config_free(b->cfg);
            pb_arena_free(&b->mem);
            pb_free(b);
            b = NULL;
        } else {
            b->next = v->bare;
            *(v->bare ? &v->bare->prev : &v->bare_last) = b;
            v->bare = b;
            v->n_bare++;
            pb_map_set(&v->bare_by_key, b->key, b);
        }
    }
    pb_buf_free(&key);
    if (!b) return NULL;
    to_front(v, b);
    b->refs++;
    return b;
}
