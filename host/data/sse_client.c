/* SPDX-License-Identifier: MIT */
#include "data/sse_client.h"

#include "data/wire.h"
#include "sse.pb-c.h"

static int broken(struct pb_err *err, const char *what, const char *why)
{
    return pb_fail(err, PBAY_INVALID_ARGUMENT, "%s %s", what, why);
}

/* A copy; false when it is not UTF-8. */
static bool copy(struct pb_arena *a, const char *s, pbay_str *out)
{
    *out = pb_arena_str(a, pb_str_c(s));
    return pb_utf8_valid(*out);
}

/* DataType and name of a parameter or a field. */
static bool param(struct pb_arena *a, uint64_t type, const char *name, struct pb_sse_param *out)
{
    return pb_sse_kind(type, &out->kind) && copy(a, name, &out->name);
}

static bool function(const Qlik__Sse__FunctionDefinition *d, struct pb_arena *a, struct pb_sse_function *out)
{
    struct pb_sse_param *params = pb_arena_zalloc(a, d->n_params * sizeof *params);
    out->function_type = (uint32_t)d->functiontype;
    bool ok = out->function_type <= PB_SSE_TENSOR && pb_sse_kind((uint64_t)d->returntype, &out->returns) &&
              copy(a, d->name, &out->name);
    for (size_t i = 0; ok && i < d->n_params; i++)
        ok = param(a, (uint64_t)d->params[i]->datatype, d->params[i]->name, &params[i]);
    out->id = d->functionid;
    out->params = params;
    out->n_params = (uint32_t)d->n_params;
    return ok;
}

int pb_sse_read_capabilities(pbay_str msg, struct pb_sse_capabilities *out, struct pb_arena *a,
                             struct pb_err *err)
{
    Qlik__Sse__Capabilities *m = qlik__sse__capabilities__unpack(NULL, msg.n, (const uint8_t *)msg.p);
    *out = (struct pb_sse_capabilities){0};
    if (!m) return broken(err, "Capabilities", "is not a valid protobuf message");
    struct pb_sse_function *functions = pb_arena_zalloc(a, m->n_functions * sizeof *functions);
    bool ok = copy(a, m->pluginidentifier, &out->identifier) && copy(a, m->pluginversion, &out->version);
    for (size_t i = 0; ok && i < m->n_functions; i++) ok = function(m->functions[i], a, &functions[i]);
    out->allow_script = m->allowscript;
    out->functions = functions;
    out->n_functions = (uint32_t)m->n_functions;
    qlik__sse__capabilities__free_unpacked(m, NULL);
    return ok ? 0 : broken(err, "Capabilities", "holds an unknown type, or text that is not UTF-8");
}

int pb_sse_read_table(pbay_str msg, struct pb_sse_table *out, struct pb_arena *a, struct pb_err *err)
{
    Qlik__Sse__TableDescription *m =
        qlik__sse__table_description__unpack(NULL, msg.n, (const uint8_t *)msg.p);
    *out = (struct pb_sse_table){0};
    if (!m) return broken(err, "TableDescription", "is not a valid protobuf message");
    struct pb_sse_param *fields = pb_arena_zalloc(a, m->n_fields * sizeof *fields);
    bool ok = copy(a, m->name, &out->name);
    for (size_t i = 0; ok && i < m->n_fields; i++)
        ok = param(a, (uint64_t)m->fields[i]->datatype, m->fields[i]->name, &fields[i]);
    out->rows = m->numberofrows;
    out->fields = fields;
    out->n_fields = (uint32_t)m->n_fields;
    qlik__sse__table_description__free_unpacked(m, NULL);
    return ok ? 0 : broken(err, "TableDescription", "holds an unknown type, or text that is not UTF-8");
}

static void put_text(struct pb_buf *out, uint32_t field, pbay_str s)
{
    if (!s.n) return;
    char *p = pb_buf_room(out, s.n + 20), *start = p;
    p = pb_wire_put_varint(p, PB_WIRE_TAG(field, PB_WIRE_LEN));
    p = pb_wire_put_varint(p, s.n);
    memcpy(p, s.p, s.n);
    out->n += (size_t)(p - start) + s.n;
}

static void put_number(struct pb_buf *out, uint32_t field, int64_t v)
{
    if (!v) return;
    char *p = pb_buf_room(out, 20), *start = p;
    p = pb_wire_put_varint(p, PB_WIRE_TAG(field, PB_WIRE_VARINT));
    p = pb_wire_put_varint(p, (uint64_t)v);
    out->n += (size_t)(p - start);
}

void pb_sse_write_common(const struct pb_sse_common *c, struct pb_buf *out)
{
    put_text(out, 1, c->app_id);
    put_text(out, 2, c->user_id);
    put_number(out, 3, c->cardinality);
}

void pb_sse_write_call(const struct pb_sse_call *c, struct pb_buf *out)
{
    put_number(out, 1, c->function_id);
    put_text(out, 2, c->version);
}

uint32_t pb_sse_first_row(pbay_str msg)
{
    const uint32_t one = PB_WIRE_TAG(1, PB_WIRE_LEN); /* BundledRows.rows and Row.duals alike */
    const uint8_t *p = (const uint8_t *)msg.p, *end = p + msg.n;
    struct pb_wire_field f;
    uint32_t n = 0;
    do {
        if (pb_wire_next(&p, end, &f) <= 0) return 0;
    } while (f.tag != one);
    p = (const uint8_t *)f.bytes.p;
    end = p + f.bytes.n;
    while (pb_wire_next(&p, end, &f) > 0) n += f.tag == one;
    return n;
}
