/* SPDX-License-Identifier: MIT */
/* json.decode and json.encode: RFC 8259, straight between text and Lua values. */
#include <ctype.h>
#include <math.h>

#include "script/vm_priv.h"

enum { DEPTH_MAX = 64, TEXT_MAX = 16 << 20 };

static const char array_key; /* registry: the metatable that marks an empty list */

struct in {
    lua_State *L;
    const char *start, *p, *end;
    int depth;
};

static void decode_value(struct in *in);

static void bad(struct in *in, const char *why)
{
    luaL_error(in->L, "json.decode: %s at byte %I", why, (LUAI_UACINT)(in->p - in->start) + 1);
}

static int blank(struct in *in)
{
    while (in->p < in->end && (*in->p == ' ' || *in->p == '\n' || *in->p == '\t' || *in->p == '\r')) in->p++;
    return in->p < in->end ? (unsigned char)*in->p : -1;
}

static void word(struct in *in, const char *w)
{
    size_t n = strlen(w);
    if ((size_t)(in->end - in->p) < n || memcmp(in->p, w, n) != 0) bad(in, "not a value");
    in->p += n;
}

static void digits(struct in *in)
{
    if (in->p == in->end || !isdigit((unsigned char)*in->p)) bad(in, "a digit is missing");
    while (in->p < in->end && isdigit((unsigned char)*in->p)) in->p++;
}

static void decode_number(struct in *in)
{
    const char *from = in->p;
    bool whole = true;
    if (*in->p == '-') in->p++;
    if (in->p < in->end && *in->p == '0')
        in->p++;
    else
        digits(in);
    if (in->p < in->end && *in->p == '.') {
        whole = false;
        in->p++;
        digits(in);
    }
    if (in->p < in->end && (*in->p == 'e' || *in->p == 'E')) {
        whole = false;
        in->p++;
        if (in->p < in->end && (*in->p == '+' || *in->p == '-')) in->p++;
        digits(in);
    }
    pbay_str text = pb_str(from, (size_t)(in->p - from));
    int64_t i;
    double d;
    if (whole && pb_parse_i64(text, &i))
        lua_pushinteger(in->L, i);
    else if (pb_parse_f64(text, &d) && isfinite(d))
        lua_pushnumber(in->L, d);
    else
        bad(in, "a number out of range");
}

static unsigned hex4(struct in *in)
{
    unsigned v = 0;
    if (in->end - in->p < 4) bad(in, "\\u wants four hexadecimal digits");
    for (int i = 0; i < 4; i++, in->p++) {
        int c = tolower((unsigned char)*in->p);
        if (!isxdigit(c)) bad(in, "\\u wants four hexadecimal digits");
        v = v * 16 + (unsigned)(isdigit(c) ? c - '0' : c - 'a' + 10);
    }
    return v;
}

static void add_utf8(luaL_Buffer *b, unsigned c)
{
    if (c < 0x80) {
        luaL_addchar(b, (char)c);
    } else if (c < 0x800) {
        luaL_addchar(b, (char)(0xc0 | c >> 6));
        luaL_addchar(b, (char)(0x80 | (c & 0x3f)));
    } else if (c < 0x10000) {
        luaL_addchar(b, (char)(0xe0 | c >> 12));
        luaL_addchar(b, (char)(0x80 | (c >> 6 & 0x3f)));
        luaL_addchar(b, (char)(0x80 | (c & 0x3f)));
    } else {
        luaL_addchar(b, (char)(0xf0 | c >> 18));
        luaL_addchar(b, (char)(0x80 | (c >> 12 & 0x3f)));
        luaL_addchar(b, (char)(0x80 | (c >> 6 & 0x3f)));
        luaL_addchar(b, (char)(0x80 | (c & 0x3f)));
    }
}

static void decode_escape(struct in *in, luaL_Buffer *b)
{
    static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
    char c = *in->p++;
    const char *at = c ? strchr(from, c) : NULL;
    if (at) {
        luaL_addchar(b, to[at - from]);
        return;
    }
    if (c != 'u') bad(in, "an unknown escape");
    unsigned u = hex4(in);
    if (u >= 0xd800 && u < 0xdc00) {
        if (in->end - in->p < 6 || in->p[0] != '\\' || in->p[1] != 'u') bad(in, "half a surrogate pair");
        in->p += 2;
        unsigned low = hex4(in);
        if (low < 0xdc00 || low > 0xdfff) bad(in, "half a surrogate pair");
        u = 0x10000 + ((u - 0xd800) << 10) + (low - 0xdc00);
    } else if (u >= 0xdc00 && u < 0xe000) {
        bad(in, "half a surrogate pair");
    }
    add_utf8(b, u);
}

static void decode_string(struct in *in)
{
    const char *from = ++in->p;
    while (in->p < in->end && *in->p != '"' && *in->p != '\\' && (unsigned char)*in->p >= 0x20) in->p++;
    if (in->p < in->end && *in->p == '"') { /* the usual case: nothing to undo */
        lua_pushlstring(in->L, from, (size_t)(in->p++ - from));
        return;
    }
    luaL_Buffer b;
    luaL_buffinit(in->L, &b);
    luaL_addlstring(&b, from, (size_t)(in->p - from));
    for (;;) {
        if (in->p >= in->end) bad(in, "a string without its end");
        unsigned char c = (unsigned char)*in->p;
        if (c < 0x20) bad(in, "a control character in a string");
        in->p++;
        if (c == '"') break;
        if (c != '\\') {
            luaL_addchar(&b, (char)c);
            continue;
        }
        if (in->p >= in->end) bad(in, "a string without its end");
        decode_escape(in, &b);
    }
    luaL_pushresult(&b);
}

static void decode_list(struct in *in)
{
    lua_State *L = in->L;
    in->p++;
    lua_createtable(L, 0, 0);
    if (blank(in) == ']') {
        in->p++;
        lua_rawgetp(L, LUA_REGISTRYINDEX, &array_key);
        lua_setmetatable(L, -2);
        return;
    }
    for (lua_Integer n = 1;; n++) {
        decode_value(in);
        lua_rawseti(L, -2, n);
        int c = blank(in);
        if (c != ',' && c != ']') bad(in, "a list wants , or ]");
        in->p++;
        if (c == ']') return;
    }
}

static void decode_object(struct in *in)
{
    lua_State *L = in->L;
    in->p++;
    lua_createtable(L, 0, 0);
    if (blank(in) == '}') {
        in->p++;
        return;
    }
    for (;;) {
        if (blank(in) != '"') bad(in, "an object wants \"name\"");
        decode_string(in);
        if (blank(in) != ':') bad(in, "an object wants :");
        in->p++;
        decode_value(in);
        lua_rawset(L, -3);
        int c = blank(in);
        if (c != ',' && c != '}') bad(in, "an object wants , or }");
        in->p++;
        if (c == '}') return;
    }
}

static void decode_value(struct in *in)
{
    if (++in->depth > DEPTH_MAX) bad(in, "nested deeper than 64");
    luaL_checkstack(in->L, 6, NULL);
    switch (blank(in)) {
    case '{': decode_object(in); break;
    case '[': decode_list(in); break;
    case '"': decode_string(in); break;
    case 't':
        word(in, "true");
        lua_pushboolean(in->L, 1);
        break;
    case 'f':
        word(in, "false");
        lua_pushboolean(in->L, 0);
        break;
    case 'n':
        word(in, "null");
        lua_pushlightuserdata(in->L, NULL);
        break;
    case '-':
    case '0':
    case '1':
    case '2':
    case '3':
    case '4':
    case '5':
    case '6':
    case '7':
    case '8':
    case '9': decode_number(in); break;
    default: bad(in, "not a value");
    }
    in->depth--;
}

void pb_json_push(lua_State *L, pbay_str text)
{
    struct in in = {L, text.p, text.p, text.p + text.n, 0};
    decode_value(&in);
    if (blank(&in) >= 0) bad(&in, "something after the value");
}

/* ------------------------------------------------------------------------------------------------ encode */

struct out {
    lua_State *L;
    struct pb_buf *buf; /* the state's: a raise leaks nothing */
    int depth;
};

static void room(struct out *o, size_t n)
{
    if (o->buf->n + n > TEXT_MAX) luaL_error(o->L, "json.encode: more than 16 MiB of text");
    pb_vm_scratch_room(o->L, n);
}

static void encode_value(struct out *o, int idx);

static void encode_number(struct out *o, int idx)
{
    char text[PB_F64_MAX];
    size_t n;
    if (lua_isinteger(o->L, idx)) {
        n = pb_format_i64(lua_tointeger(o->L, idx), text);
    } else {
        double d = lua_tonumber(o->L, idx);
        if (!isfinite(d)) luaL_error(o->L, "json.encode: %f is not a number in JSON", d);
        n = pb_format_f64(d, text);
    }
    pb_buf_add(o->buf, text, n);
}

static bool is_list(lua_State *L, int idx, lua_Integer *n)
{
    *n = (lua_Integer)lua_rawlen(L, idx);
    if (*n > 0) return true;
    if (!lua_getmetatable(L, idx)) return false;
    lua_rawgetp(L, LUA_REGISTRYINDEX, &array_key);
    bool list = lua_rawequal(L, -1, -2);
    lua_pop(L, 2);
    return list;
}

static void encode_list(struct out *o, int idx, lua_Integer n)
{
    /* A list with other keys would lose them. */
    lua_Integer keys = 0;
    lua_pushnil(o->L);
    while (lua_next(o->L, idx)) {
        lua_pop(o->L, 1);
        lua_Integer k = lua_isinteger(o->L, -1) ? lua_tointeger(o->L, -1) : 0;
        if (k < 1 || k > n)
            luaL_error(o->L, "json.encode: a table with both positions and names, or with holes");
        keys++;
    }
    if (keys != n) luaL_error(o->L, "json.encode: a list with holes; put json.null there");
    pb_buf_ch(o->buf, '[');
    for (lua_Integer i = 1; i <= n; i++) {
        if (i > 1) pb_buf_ch(o->buf, ',');
        lua_rawgeti(o->L, idx, i);
        encode_value(o, lua_gettop(o->L));
        lua_pop(o->L, 1);
    }
    room(o, 1);
    pb_buf_ch(o->buf, ']');
}

static void encode_string(struct out *o, int idx)
{
    size_t n;
    const char *p = lua_tolstring(o->L, idx, &n);
    room(o, n * 6 + 2 > TEXT_MAX ? n : n * 6 + 2);
    pb_buf_json(o->buf, pb_str(p, n));
}

static void encode_object(struct out *o, int idx)
{
    bool first = true;
    pb_buf_ch(o->buf, '{');
    lua_pushnil(o->L);
    while (lua_next(o->L, idx)) {
        if (!first) pb_buf_ch(o->buf, ',');
        first = false;
        if (lua_type(o->L, -2) == LUA_TSTRING) {
            encode_string(o, lua_gettop(o->L) - 1);
        } else if (lua_isinteger(o->L, -2)) {
            pb_buf_ch(o->buf, '"');
            encode_number(o, lua_gettop(o->L) - 1);
            pb_buf_ch(o->buf, '"');
        } else {
            luaL_error(o->L, "json.encode: a %s as a name", luaL_typename(o->L, -2));
        }
        pb_buf_ch(o->buf, ':');
        encode_value(o, lua_gettop(o->L));
        lua_pop(o->L, 1);
    }
    room(o, 1);
    pb_buf_ch(o->buf, '}');
}

static void encode_value(struct out *o, int idx)
{
    lua_State *L = o->L;
    lua_Integer n;
    if (++o->depth > DEPTH_MAX) luaL_error(L, "json.encode: nested deeper than 64 (or in a circle)");
    luaL_checkstack(L, 6, NULL);
    room(o, 64);
    switch (lua_type(L, idx)) {
    case LUA_TNIL: pb_buf_c(o->buf, "null"); break;
    case LUA_TBOOLEAN: pb_buf_c(o->buf, lua_toboolean(L, idx) ? "true" : "false"); break;
    case LUA_TNUMBER: encode_number(o, idx); break;
    case LUA_TSTRING: encode_string(o, idx); break;
    case LUA_TLIGHTUSERDATA:
        if (lua_touserdata(L, idx)) luaL_error(L, "json.encode: a userdata");
        pb_buf_c(o->buf, "null");
        break;
    case LUA_TTABLE:
        pb_vm_poll(L, 1);
        if (is_list(L, idx, &n))
            encode_list(o, idx, n);
        else
            encode_object(o, idx);
        break;
    default: luaL_error(L, "json.encode: a %s", luaL_typename(L, idx));
    }
    o->depth--;
}

void pb_json_write(lua_State *L, int idx, struct pb_buf *out)
{
    struct out o = {L, out, 0};
    encode_value(&o, lua_absindex(L, idx));
}

/* ------------------------------------------------------------------------------------------------ functions
 */

static int json_decode(lua_State *L)
{
    size_t n;
    const char *p = luaL_checklstring(L, 1, &n);
    pb_json_push(L, pb_str(p, n));
    return 1;
}

static int json_encode(lua_State *L)
{
    struct pb_buf *b = &pb_vm_of(L)->scratch;
    luaL_checkany(L, 1);
    b->n = 0;
    pb_json_write(L, 1, b);
    lua_pushlstring(L, b->p, b->n);
    b->n = 0;
    return 1;
}

static int json_array(lua_State *L)
{
    if (lua_isnoneornil(L, 1)) {
        lua_settop(L, 0);
        lua_createtable(L, 0, 0);
    }
    luaL_checktype(L, 1, LUA_TTABLE);
    if (luaL_getmetafield(L, 1, "__metatable") != LUA_TNIL)
        return luaL_error(L, "json.array: a protected table");
    lua_settop(L, 1);
    lua_rawgetp(L, LUA_REGISTRYINDEX, &array_key);
    lua_setmetatable(L, 1);
    return 1;
}

static int null_text(lua_State *L)
{
    lua_pushliteral(L, "null");
    return 1;
}

/* Marks lists; and null, which is a light userdata, prints as null. Globals are on the top. */
void pb_json_values(lua_State *L)
{
    lua_createtable(L, 0, 1);
    lua_pushboolean(L, 0);
    lua_setfield(L, -2, "__metatable");
    lua_rawsetp(L, LUA_REGISTRYINDEX, &array_key);
    lua_getfield(L, -1, "json");
    lua_pushlightuserdata(L, NULL);
    lua_createtable(L, 0, 2);
    lua_pushcfunction(L, null_text);
    lua_setfield(L, -2, "__tostring");
    lua_pushboolean(L, 0);
    lua_setfield(L, -2, "__metatable");
    lua_setmetatable(L, -2); /* of all light userdata; there are no others */
    lua_setfield(L, -2, "null");
    lua_pop(L, 1);
}

const struct pb_binding pb_bind_json[] = {
    {"json.decode", "(text) -> value",
     "Whole numbers become integers, others floats, null is `json.null`. Raises with the byte where text is "
     "not JSON.",
     json_decode},
    {"json.encode", "(value) -> text",
     "Tables with positions 1 .. n are lists, others objects; an empty table is an object unless "
     "`json.array` made it. "
     "Up to 16 MiB, nested up to 64 deep.",
     json_encode},
    {"json.array", "([table]) -> table", "Mark a table as a list, for empty ones.", json_array},
    {"json.null", "", "JSON's null, as a value that tables can hold.", NULL},
    {NULL, NULL, NULL, NULL},
};
