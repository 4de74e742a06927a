/* SPDX-License-Identifier: MIT */
#include "endpoints/reflection.h"

#include "data/wire.h"
#include "endpoints/services.h"
#include "net/grpc_server.h"

/* FileDescriptorSets, embedded by the build (host/cmake/Embed.cmake). */
extern const unsigned char pb_descriptors[];
extern const size_t pb_descriptors_size;

#define LEN(field) PB_WIRE_TAG(field, PB_WIRE_LEN)

/* ---------------------------------------------------------------------------------------------- writing */

static void put_varint(struct pb_buf *out, uint64_t v)
{
    char *p = pb_buf_room(out, 10);
    out->n += (size_t)(pb_wire_put_varint(p, v) - p);
}

static void put_bytes(struct pb_buf *out, uint32_t field, pbay_str s)
{
    put_varint(out, LEN(field));
    put_varint(out, s.n);
    pb_buf_str(out, s);
}

static void put_error(struct pb_buf *out, int32_t code, const char *what, pbay_str name)
{
    enum { NAME = 256 };
    struct pb_buf body = {0}, text = {0};
    if (name.n > NAME) name.n = pb_utf8_floor(name, NAME);
    if (!pb_utf8_valid(name)) name = PB_STR("?");
    pb_buf_printf(&text, "%s \"%.*s\"", what, PB_FMT(name));
    put_varint(&body, PB_WIRE_TAG(1, PB_WIRE_VARINT));
    put_varint(&body, (uint64_t)code);
    put_bytes(&body, 2, pb_buf_view(&text));
    put_bytes(out, 7, pb_buf_view(&body));
    pb_buf_free(&body);
    pb_buf_free(&text);
}

/* ---------------------------------------------------------------------------------------------- descriptors
 */

/* The first field of this number in a message we made ourselves. */
static pbay_str field_of(pbay_str message, uint32_t number)
{
    const uint8_t *p = (const uint8_t *)message.p, *end = p + message.n;
    struct pb_wire_field f;
    while (pb_wire_next(&p, end, &f) > 0)
        if (f.tag == LEN(number)) return f.bytes;
    return pb_str("", 0);
}

/* Cut "name" or "name." off the front of *symbol. */
static bool eat(pbay_str *symbol, pbay_str name)
{
    if (!pb_str_starts(*symbol, name)) return false;
    pbay_str rest = pb_str(symbol->p + name.n, symbol->n - name.n);
    if (rest.n == 1 || (rest.n && *rest.p != '.')) return false;
    if (rest.n) rest.p++, rest.n--;
    *symbol = rest;
    return true;
}

/* What kinds of declarations can stand in one, by field number (google/protobuf/descriptor.proto); 0 ends. */
struct scope {
    struct {
        uint32_t field;
        const struct scope *inner;
    } kinds[6];
};

static const struct scope leaf = {{{0, NULL}}};
static const struct scope enumeration = {{{2, &leaf}, {0, NULL}}}; /* value */
static const struct scope service = {{{2, &leaf}, {0, NULL}}};     /* method */
static const struct scope message =
    {                                                                        /* ... */
     {{2, &leaf}, {3, &message}, {4, &enumeration}, {8, &leaf}, {0, NULL}}}; /* field, nested, enum, oneof */
static const struct scope file = {{{4, &message}, {5, &enumeration}, {6, &service}, {0, NULL}}};

/* Is `symbol`, relative to this declaration, declared in it? */
static bool declares(pbay_str declaration, const struct scope *scope, pbay_str symbol)
{
    if (!symbol.n) return true;
    const uint8_t *p = (const uint8_t *)declaration.p, *end = p + declaration.n;
    struct pb_wire_field f;
    while (pb_wire_next(&p, end, &f) > 0) {
        for (size_t i = 0; scope->kinds[i].field; i++) {
            pbay_str rest = symbol;
            if (f.tag == LEN(scope->kinds[i].field) && eat(&rest, field_of(f.bytes, 1)) &&
                declares(f.bytes, scope->kinds[i].inner, rest))
                return true;
        }
    }
    return false;
}

/* The FileDescriptorProto of this name, or that declares this symbol; p NULL: none. */
static pbay_str find_file(pbay_str name, pbay_str symbol)
{
    const uint8_t *p = pb_descriptors, *end = p + pb_descriptors_size;
    struct pb_wire_field f;
    while (pb_wire_next(&p, end, &f) > 0) {
        pbay_str rest = symbol;
        if (name.n && pb_str_eq(field_of(f.bytes, 1), name)) return f.bytes;
        if (symbol.n && eat(&rest, field_of(f.bytes, 2)) && rest.n && declares(f.bytes, &file, rest))
            return f.bytes;
    }
    return pb_str(NULL, 0);
}

/* ---------------------------------------------------------------------------------------------- answers */

static void put_file(struct pb_buf *out, pbay_str name, pbay_str symbol)
{
    pbay_str found = find_file(name, symbol);
    if (!found.p) {
        put_error(out, PBAY_NOT_FOUND, name.n ? "no file" : "no symbol", name.n ? name : symbol);
        return;
    }
    struct pb_buf body = {0};
    put_bytes(&body, 1, found);
    put_bytes(out, 4, pb_buf_view(&body));
    pb_buf_free(&body);
}

static void put_service(void *user, pbay_str name)
{
    struct pb_buf one = {0};
    put_bytes(&one, 1, name);
    put_bytes(user, 1, pb_buf_view(&one));
    pb_buf_free(&one);
}

static void put_no_extensions(struct pb_buf *out, pbay_str type)
{
    if (!find_file(pb_str("", 0), type).p) {
        put_error(out, PBAY_NOT_FOUND, "no type", type);
        return;
    }
    struct pb_buf body = {0};
    put_bytes(&body, 1, type);
    put_bytes(out, 5, pb_buf_view(&body));
    pb_buf_free(&body);
}

int pb_reflection_answer(const struct pb_grpc_server *server, pbay_str request, struct pb_buf *out,
                         struct pb_err *err)
{
    const uint8_t *p = (const uint8_t *)(request.p ? request.p : ""), *end = p + request.n;
    struct pb_wire_field f, asked = {0};
    pbay_str host = {NULL, 0};
    int rc;
    bool valid = true;
    while ((rc = pb_wire_next(&p, end, &f)) > 0) {
        if (f.tag == LEN(1)) host = f.bytes;
        if (f.tag >= LEN(3) && f.tag <= LEN(7) && (f.tag & 7) == PB_WIRE_LEN)
            asked = f; /* of a oneof, the last */
        if ((f.tag & 7) == PB_WIRE_LEN && (f.tag >> 3) != 5 && (f.tag >> 3) <= 7)
            valid = valid && pb_utf8_valid(f.bytes);
    }
    if (rc < 0 || !valid)
        return pb_fail(err, PBAY_INVALID_ARGUMENT, "ServerReflectionRequest is not a valid protobuf message");
    if (host.n) put_bytes(out, 1, host);
    put_bytes(out, 2, request);
    switch (asked.tag >> 3) {
    case 3: put_file(out, asked.bytes, pb_str("", 0)); break;
    case 4: put_file(out, pb_str("", 0), asked.bytes); break;
    case 5: put_error(out, PBAY_NOT_FOUND, "there are no extensions of", field_of(asked.bytes, 1)); break;
    case 6: put_no_extensions(out, asked.bytes); break;
    case 7: {
        struct pb_buf list = {0};
        pb_services_each(server, put_service, &list);
        put_bytes(out, 6, pb_buf_view(&list));
        pb_buf_free(&list);
        break;
    }
    default: put_error(out, PBAY_INVALID_ARGUMENT, "the request asks for nothing of host", host); break;
    }
    return 0;
}

static void opened(struct pb_grpc_call *call, void *method_user)
{
    pb_grpc_set_user(call, method_user);
}

static void on_message(struct pb_grpc_call *call, pbay_str request, size_t credit)
{
    struct pb_err err;
    struct pb_buf reply = pb_grpc_buf(call);
    pb_grpc_consumed(call, credit);
    if (pb_reflection_answer(pb_grpc_user(call), request, &reply, &err)) {
        pb_buf_free(&reply);
        pb_grpc_fail(call, &err);
        return;
    }
    if (!pb_grpc_send(call, &reply))
        pb_grpc_finish(call, PBAY_RESOURCE_EXHAUSTED, PB_STR("read the answers before you ask on"), NULL, 0);
}

static void half_close(struct pb_grpc_call *call)
{
    pb_grpc_finish(call, PBAY_OK, pb_str(NULL, 0), NULL, 0);
}

static const struct pb_grpc_ops ops = {.opened = opened, .message = on_message, .half_close = half_close};

void pb_reflection_register(struct pb_grpc_server *server)
{
    pb_grpc_server_method(server, "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo", &ops, server);
    pb_grpc_server_method(server, "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo", &ops,
                          server);
}
