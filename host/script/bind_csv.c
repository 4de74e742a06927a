/* SPDX-License-Identifier: MIT */
/* csv.parse, csv.format, csv.fields (RFC 4180) and lookup, which reads a table once at load. */
#include "script/vm_priv.h"

struct csv {
    const char *p, *end;
    char sep;
    unsigned line;
};

/*
 * Push the next field. Returns ',' when another follows in the row, '\n' at its end, 0 at the end of the
 * text. Raises on a quote that does not close, or on text after one.
 */
static char field(lua_State *L, struct csv *c)
{
    if (c->p < c->end && *c->p == '"') {
        luaL_Buffer b;
        unsigned from = c->line;
        luaL_buffinit(L, &b);
        c->p++;
        for (;;) {
            const char *q = memchr(c->p, '"', (size_t)(c->end - c->p));
            if (!q) luaL_error(L, "csv: the quote of line %d does not close", (int)from);
            for (const char *s = c->p; s < q; s++) c->line += *s == '\n';
            luaL_addlstring(&b, c->p, (size_t)(q - c->p));
            c->p = q + 1;
            if (c->p == c->end || *c->p != '"') break;
            luaL_addchar(&b, '"');
            c->p++;
        }
        luaL_pushresult(&b);
        if (c->p < c->end && *c->p != c->sep && *c->p != '\n' && *c->p != '\r')
            luaL_error(L, "csv: line %d: text after the closing quote", (int)c->line);
    } else {
        const char *from = c->p;
        while (c->p < c->end && *c->p != c->sep && *c->p != '\n' && *c->p != '\r') c->p++;
        lua_pushlstring(L, from, (size_t)(c->p - from));
    }
    if (c->p == c->end) return '\0';
    if (*c->p == c->sep) {
        c->p++;
        return ',';
    }
    if (*c->p == '\r') {
        c->p++;
        if (c->p == c->end) return '\0';
        if (*c->p != '\n') luaL_error(L, "csv: line %d: a carriage return outside quotes", (int)c->line);
    }
    c->p++;
    c->line++;
    return '\n';
}

static char separator(lua_State *L, int idx)
{
    size_t n;
    const char *s = luaL_optlstring(L, idx, ",", &n);
    luaL_argcheck(L, n == 1 && *s != '"' && *s != '\n' && *s != '\r', idx, "a separator is one character");
    return *s;
}

static struct csv csv_arg(lua_State *L, int idx, int sep)
{
    size_t n;
    const char *p = luaL_checklstring(L, idx, &n);
    return (struct csv){p, p + n, separator(L, sep), 1};
}

static int csv_parse(lua_State *L)
{
    struct csv c = csv_arg(L, 1, 2);
    lua_createtable(L, 8, 0);
    for (lua_Integer row = 1; c.p < c.end; row++) {
        lua_createtable(L, 4, 0);
        char more = ',';
        for (lua_Integer i = 1; more == ','; i++) {
            more = field(L, &c);
            lua_rawseti(L, -2, i);
        }
        lua_rawseti(L, -2, row);
    }
    return 1;
}

static int csv_fields(lua_State *L)
{
    struct csv c = csv_arg(L, 1, 2);
    lua_settop(L, 1);
    char more = ',';
    while (more == ',') {
        luaL_checkstack(L, 2, "csv: too many fields");
        more = field(L, &c);
    }
    if (c.p != c.end) return luaL_error(L, "csv.fields: more than one line");
    return lua_gettop(L) - 1;
}

static void add_field(lua_State *L, luaL_Buffer *b, int idx)
{
    char text[PB_F64_MAX];
    size_t n = 0;
    const char *p = text;
    switch (lua_type(L, idx)) {
    case LUA_TNIL: return;
    case LUA_TBOOLEAN: p = lua_toboolean(L, idx) ? "true" : "false", n = strlen(p); break;
    case LUA_TNUMBER:
        n = lua_isinteger(L, idx) ? pb_format_i64(lua_tointeger(L, idx), text)
                                  : pb_format_f64(lua_tonumber(L, idx), text);
        break;
    case LUA_TSTRING: p = lua_tolstring(L, idx, &n); break;
    default:
        if (lua_type(L, idx) == LUA_TLIGHTUSERDATA && !lua_touserdata(L, idx)) return;
        luaL_error(L, "csv.format: value %d is a %s", idx, luaL_typename(L, idx));
    }
    bool quote = false;
    for (size_t i = 0; i < n && !quote; i++)
        quote = p[i] == '"' || p[i] == ',' || p[i] == '\n' || p[i] == '\r';
    if (n && (p[0] == ' ' || p[n - 1] == ' ')) quote = true;
    if (!quote) {
        luaL_addlstring(b, p, n);
        return;
    }
    luaL_addchar(b, '"');
    for (size_t i = 0; i < n; i++) {
        if (p[i] == '"') luaL_addchar(b, '"');
        luaL_addchar(b, p[i]);
    }
    luaL_addchar(b, '"');
}

static int csv_format(lua_State *L)
{
    int n = lua_gettop(L);
    luaL_Buffer b;
    luaL_buffinit(L, &b);
    for (int i = 1; i <= n; i++) {
        if (i > 1) luaL_addchar(&b, ',');
        add_field(L, &b, i);
    }
    luaL_pushresult(&b);
    return 1;
}

/* ------------------------------------------------------------------------------------------------ lookup */

/*
 * Upvalue 1: key -> number of the row; 2: flat list of the cells behind the keys; 3: columns behind the key;
 * 4: name of a column -> its position. Numbers find the text they are written as.
 */
static int lookup_call(lua_State *L)
{
    luaL_checkany(L, 2);
    lua_settop(L, 3);
    lua_Integer width = lua_tointeger(L, lua_upvalueindex(3));
    if (lua_type(L, 2) == LUA_TNUMBER) {
        char text[PB_F64_MAX];
        size_t n = lua_isinteger(L, 2) ? pb_format_i64(lua_tointeger(L, 2), text)
                                       : pb_format_f64(lua_tonumber(L, 2), text);
        lua_pushlstring(L, text, n);
    } else {
        lua_pushvalue(L, 2);
    }
    if (lua_isnil(L, -1) || lua_rawget(L, lua_upvalueindex(1)) == LUA_TNIL) {
        lua_pushnil(L);
        return 1;
    }
    lua_Integer row = lua_tointeger(L, -1);
    if (!lua_isnil(L, 3)) {
        lua_pushvalue(L, 3);
        if (lua_rawget(L, lua_upvalueindex(4)) == LUA_TNIL)
            return luaL_error(L, "lookup: there is no column \"%s\"", luaL_tolstring(L, 3, NULL));
        lua_rawgeti(L, lua_upvalueindex(2), (row - 1) * width + lua_tointeger(L, -1));
        return 1;
    }
    luaL_checkstack(L, (int)width, "lookup: too many columns");
    for (lua_Integer i = 1; i <= width; i++) lua_rawgeti(L, lua_upvalueindex(2), (row - 1) * width + i);
    return (int)width;
}

/* t[key]: the first value. */
static int lookup_index(lua_State *L)
{
    lua_settop(L, 2);
    int n = lookup_call(L);
    lua_settop(L, lua_gettop(L) - n + 1);
    return 1;
}

static int lookup_refuse(lua_State *L)
{
    return luaL_error(L, "a lookup cannot be changed");
}

static int lookup(lua_State *L)
{
    struct pb_vm *vm = pb_vm_of(L);
    size_t n;
    const char *name = luaL_checklstring(L, 1, &n);
    if (!vm->loading)
        return luaL_error(L, "lookup reads files while a script is loaded; keep it in a local of the file");
    char why[300] = "";
    const struct pb_buf *text;
    {
        struct pb_err err;
        text = pb_vm_read(vm, pb_str(name, n), &err);
        if (!text) snprintf(why, sizeof why, "%.299s", err.msg);
    }
    if (!text) return luaL_error(L, "lookup: %s", why);
    struct csv c = {text->p, text->p + text->n, ',', 1};
    if (text->n >= 3 && memcmp(text->p, "\xef\xbb\xbf", 3) == 0) c.p += 3;
    lua_settop(L, 1);
    lua_createtable(L, 0, 64); /* 2: keys */
    lua_createtable(L, 64, 0); /* 3: cells */
    lua_createtable(L, 0, 8);  /* 4: names */
    if (c.p >= c.end) return luaL_error(L, "lookup: %s: is empty; the first line names the columns", name);
    lua_Integer width = -1;
    char more = ',';
    while (more == ',') {
        more = field(L, &c);
        lua_pushinteger(L, ++width);
        lua_rawset(L, 4);
    }
    if (width < 1) return luaL_error(L, "lookup: %s: wants a key and at least one more column", name);
    for (lua_Integer row = 1; c.p < c.end; row++) {
        int line = (int)c.line;
        more = field(L, &c);
        if (more != ',' && lua_rawlen(L, -1) == 0) { /* an empty line */
            lua_pop(L, 1);
            row--;
            continue;
        }
        lua_pushvalue(L, -1);
        if (lua_rawget(L, 2) != LUA_TNIL)
            return luaL_error(L, "lookup: %s:%d: \"%s\" is there twice", name, line, lua_tostring(L, -2));
        lua_pop(L, 1);
        lua_pushinteger(L, row);
        lua_rawset(L, 2);
        lua_Integer i = 0;
        for (; more == ','; i++) {
            more = field(L, &c);
            lua_rawseti(L, 3, (row - 1) * width + i + 1);
        }
        if (i != width)
            return luaL_error(L, "lookup: %s:%d: %d fields where the first line has %d", name, line,
                              (int)i + 1, (int)width + 1);
    }
    lua_createtable(L, 0, 0); /* 5: the view */
    lua_createtable(L, 0, 4); /* 6: its metatable */
    for (int i = 0; i < 2; i++) {
        lua_pushvalue(L, 2);
        lua_pushvalue(L, 3);
        lua_pushinteger(L, width);
        lua_pushvalue(L, 4);
        lua_pushcclosure(L, i ? lookup_call : lookup_index, 4);
        lua_setfield(L, 6, i ? "__call" : "__index");
    }
    lua_pushcfunction(L, lookup_refuse);
    lua_setfield(L, 6, "__newindex");
    lua_pushboolean(L, 0);
    lua_setfield(L, 6, "__metatable");
    lua_setmetatable(L, 5);
    return 1;
}

const struct pb_binding pb_bind_csv[] = {
    {"csv.parse", "(text [, separator]) -> list of lists", "Rows of texts, as RFC 4180 has them.", csv_parse},
    {"csv.fields", "(line [, separator]) -> field, field, ...", "The fields of one line.", csv_fields},
    {"csv.format", "(value, ...) -> line",
     "One line without its end; quotes where they are needed. nil and json.null are empty fields.",
     csv_format},
    {"lookup", "(file) -> table",
     "A CSV file below scripts/, read while the script is loaded. The first line names the columns, the "
     "first column is "
     "the key: `t(key)` gives the other cells as texts, `t(key, \"name\")` and `t[key]` one of them (the "
     "first), nil "
     "when there is no such key. A number finds the text it is written as. Not in EvaluateScript.",
     lookup},
    {NULL, NULL, NULL, NULL},
};
