/* SPDX-License-Identifier: MIT */
/*
 * Headers are read by hand: generated code hands out NUL-terminated texts, and a script that holds a NUL
 * would be run cut short. What is written goes through protobuf-c.
 */
#include "data/sse_messages.h"

#include "data/wire.h"
#include "sse.pb-c.h"

uint32_t pb_sse_datatype(uint32_t kind)
{
    return kind == PBAY_NUM    ? QLIK__SSE__DATA_TYPE__NUMERIC
           : kind == PBAY_DUAL ? QLIK__SSE__DATA_TYPE__DUAL
                               : QLIK__SSE__DATA_TYPE__STRING;
}

bool pb_sse_kind(uint64_t datatype, uint32_t *kind)
{
    static const uint32_t kinds[] = {PBAY_STR, PBAY_NUM, PBAY_DUAL};
    if (datatype >= PB_COUNTOF(kinds)) return false;
    *kind = kinds[datatype];
    return true;
}

/* ------------------------------------------------------------------------------------------------ reading */

struct reader {
    const char *what; /* the message, for errors */
    const uint8_t *p, *end;
    struct pb_arena *a;
    struct pb_err *err;
    struct pb_wire_field f;
};

static struct reader reader(const char *what, pbay_str msg, struct pb_arena *a, struct pb_err *err)
{
    const uint8_t *p = (const uint8_t *)(msg.p ? msg.p : "");
    return (struct reader){.what = what, .p = p, .end = p + msg.n, .a = a, .err = err};
}

/* 1: a field, 0: the end, -1 with err. */
static int next(struct reader *r)
{
    int rc = pb_wire_next(&r->p, r->end, &r->f);
    if (rc < 0) return pb_fail(r->err, PBAY_INVALID_ARGUMENT, "%s is not a valid protobuf message", r->what);
    return rc;
}

static int bad(struct reader *r, const char *field, const char *why)
{
    return pb_fail(r->err, PBAY_INVALID_ARGUMENT, "%s: %s %s", r->what, field, why);
}

static int text(struct reader *r, const char *field, pbay_str *out)
{
    if ((r->f.tag & 7) != PB_WIRE_LEN) return bad(r, field, "is not a string");
    if (!pb_utf8_valid(r->f.bytes)) return bad(r, field, "is not valid UTF-8");
    *out = pb_arena_str(r->a, r->f.bytes);
    return 0;
}

static int number(struct reader *r, const char *field, uint64_t *out)
{
    if ((r->f.tag & 7) != PB_WIRE_VARINT) return bad(r, field, "is not an integer");
    *out = r->f.value;
    return 0;
}

static int kind(struct reader *r, const char *field, uint32_t *out)
{
    uint64_t v = 0;
    if (number(r, field, &v) != 0) return -1;
    return pb_sse_kind(v, out) ? 0 : bad(r, field, "is none of STRING (0), NUMERIC (1), DUAL (2)");
}

int pb_sse_read_common(pbay_str msg, struct pb_sse_common *out, struct pb_arena *a, struct pb_err *err)
{
    struct reader r = reader("CommonRequestHeader", msg, a, err);
    uint64_t v = 0;
    int rc = 0, more;
    *out = (struct pb_sse_common){0};
    while (rc == 0 && (more = next(&r)) != 0) {
        if (more < 0) return -1;
        switch (r.f.tag >> 3) {
        case 1: rc = text(&r, "appId", &out->app_id); break;
        case 2: rc = text(&r, "userId", &out->user_id); break;
        case 3:
            if ((rc = number(&r, "cardinality", &v)) == 0) out->cardinality = (int64_t)v;
            break;
        default: break;
        }
    }
    return rc;
}

int pb_sse_read_call(pbay_str msg, struct pb_sse_call *out, struct pb_arena *a, struct pb_err *err)
{
    struct reader r = reader("FunctionRequestHeader", msg, a, err);
    uint64_t v = 0;
    int rc = 0, more;
    *out = (struct pb_sse_call){0};
    while (rc == 0 && (more = next(&r)) != 0) {
        if (more < 0) return -1;
        switch (r.f.tag >> 3) {
        case 1:
            if ((rc = number(&r, "functionId", &v)) == 0) out->function_id = (int32_t)(uint32_t)v;
            break;
        case 2: rc = text(&r, "version", &out->version); break;
        default: break;
        }
    }
    return rc;
}

static int read_param(struct reader *outer, struct pb_sse_param *out)
{
    if ((outer->f.tag & 7) != PB_WIRE_LEN) return bad(outer, "params", "is not a message");
    struct reader r = reader("ScriptRequestHeader", outer->f.bytes, outer->a, outer->err);
    int rc = 0, more;
    *out = (struct pb_sse_param){.kind = PBAY_STR};
    while (rc == 0 && (more = next(&r)) != 0) {
        if (more < 0) return -1;
        switch (r.f.tag >> 3) {
        case 1: rc = kind(&r, "params.dataType", &out->kind); break;
        case 2: rc = text(&r, "params.name", &out->name); break;
        default: break;
        }
    }
    return rc;
}

int pb_sse_read_script(pbay_str msg, struct pb_sse_script *out, struct pb_arena *a, struct pb_err *err)
{
    struct reader r = reader("ScriptRequestHeader", msg, a, err), count = r;
    uint64_t v = 0;
    uint32_t n = 0;
    int rc = 0, more;
    *out = (struct pb_sse_script){.returns = PBAY_STR};
    while ((more = next(&count)) != 0) {
        if (more < 0) return -1;
        n += count.f.tag >> 3 == 4;
    }
    out->params = pb_arena_alloc(a, n * sizeof *out->params);
    while (rc == 0 && next(&r) != 0) {
        switch (r.f.tag >> 3) {
        case 1: rc = text(&r, "script", &out->script); break;
        case 2:
            if ((rc = number(&r, "functionType", &v)) != 0) break;
            if (v > PB_SSE_TENSOR)
                rc = bad(&r, "functionType", "is none of SCALAR (0), AGGREGATION (1), TENSOR (2)");
            else
                out->function_type = (uint32_t)v;
            break;
        case 3: rc = kind(&r, "returnType", &out->returns); break;
        case 4: rc = read_param(&r, &out->params[out->n_params++]); break;
        default: break;
        }
    }
    return rc;
}

/* ------------------------------------------------------------------------------------------------ writing */

/* protobuf-c's structs take char *, and write nothing through it. */
static char *c_str(struct pb_arena *a, pbay_str s)
{
    return (char *)(uintptr_t)pb_arena_str(a, s).p;
}

static void pack(const ProtobufCMessage *m, struct pb_buf *out)
{
    char *to = pb_buf_room(out, protobuf_c_message_get_packed_size(m));
    out->n += protobuf_c_message_pack(m, (uint8_t *)to);
}

static Qlik__Sse__FunctionDefinition *definition(const struct pb_sse_function *f, struct pb_arena *a)
{
    Qlik__Sse__FunctionDefinition *d = pb_arena_alloc(a, sizeof *d);
    qlik__sse__function_definition__init(d);
    d->name = c_str(a, f->name);
    d->functiontype = (Qlik__Sse__FunctionType)f->function_type;
    d->returntype = (Qlik__Sse__DataType)pb_sse_datatype(f->returns);
    d->functionid = f->id;
    d->n_params = f->n_params;
    d->params = pb_arena_alloc(a, f->n_params * sizeof *d->params);
    for (uint32_t i = 0; i < f->n_params; i++) {
        Qlik__Sse__Parameter *p = d->params[i] = pb_arena_alloc(a, sizeof *p);
        qlik__sse__parameter__init(p);
        p->datatype = (Qlik__Sse__DataType)pb_sse_datatype(f->params[i].kind);
        p->name = c_str(a, f->params[i].name);
    }
    return d;
}

void pb_sse_write_capabilities(const struct pb_sse_capabilities *c, struct pb_buf *out)
{
    struct pb_arena a = {0};
    Qlik__Sse__Capabilities m = QLIK__SSE__CAPABILITIES__INIT;
    m.allowscript = c->allow_script;
    m.pluginidentifier = c_str(&a, c->identifier);
    m.pluginversion = c_str(&a, c->version);
    m.n_functions = c->n_functions;
    m.functions = pb_arena_alloc(&a, c->n_functions * sizeof *m.functions);
    for (uint32_t i = 0; i < c->n_functions; i++) m.functions[i] = definition(&c->functions[i], &a);
    pack(&m.base, out);
    pb_arena_free(&a);
}

void pb_sse_write_table(const struct pb_sse_table *t, struct pb_buf *out)
{
    struct pb_arena a = {0};
    Qlik__Sse__TableDescription m = QLIK__SSE__TABLE_DESCRIPTION__INIT;
    m.name = c_str(&a, t->name);
    m.numberofrows = t->rows;
    m.n_fields = t->n_fields;
    m.fields = pb_arena_alloc(&a, t->n_fields * sizeof *m.fields);
    for (uint32_t i = 0; i < t->n_fields; i++) {
        Qlik__Sse__FieldDescription *f = m.fields[i] = pb_arena_alloc(&a, sizeof *f);
        qlik__sse__field_description__init(f);
        f->datatype = (Qlik__Sse__DataType)pb_sse_datatype(t->fields[i].kind);
        f->name = c_str(&a, t->fields[i].name);
    }
    pack(&m.base, out);
    pb_arena_free(&a);
}
