/* SPDX-License-Identifier: MIT */
/* Scripts: read once, kept as text, loaded into each new state on first use. */
#include <errno.h>
#include <unistd.h>

#include "base/check.h"
#include "base/mem.h"
#include "base/trust.h"
#include "script/vm_priv.h"

enum { FILE_MAX = 32 << 20 };

/* Relative, and no part of it leads out. */
static bool path_ok(pbay_str path)
{
    if (path.n == 0 || path.n > 512 || path.p[0] == '/' || memchr(path.p, '\0', path.n)) return false;
    pbay_str rest = path, part;
    while (pb_str_split(&rest, '/', &part))
        if (part.n == 0 || pb_str_is(part, ".") || pb_str_is(part, "..")) return false;
    return true;
}

static int read_below(struct pb_vm *vm, const char *path, struct pb_buf *out, struct pb_err *err)
{
    if (!vm->dir) return pb_fail(err, PBAY_NOT_FOUND, "%s: this state has no files", path);
    char *full PB_AUTO_FREE = pb_sprintf("%s/%s", vm->dir, path);
    int fd = pb_trust_open(full, err), rc = 0;
    if (fd < 0) return -1;
    while (rc == 0) {
        if (out->n > FILE_MAX) {
            rc = pb_fail(err, PBAY_INVALID_ARGUMENT, "%s: is larger than 32 MiB", full);
            break;
        }
        ssize_t n = read(fd, pb_buf_room(out, 1 << 16), 1 << 16);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) rc = pb_fail(err, PBAY_NOT_FOUND, "%s: cannot be read: %s", full, strerror(errno));
        if (n <= 0) break;
        out->n += (size_t)n;
    }
    close(fd);
    return rc;
}

const struct pb_buf *pb_vm_read(struct pb_vm *vm, pbay_str path, struct pb_err *err)
{
    struct pb_vm_file *f = pb_map_get(&vm->files, path);
    if (f) return &f->text;
    if (!path_ok(path)) {
        pb_fail(err, PBAY_INVALID_ARGUMENT, "\"%.*s\" is not a path below the scripts folder", PB_FMT(path));
        return NULL;
    }
    f = pb_zalloc(sizeof *f);
    f->path = pb_strndup(path.p, path.n);
    int rc =
        vm->o.read ? vm->o.read(vm->o.read_arg, path, &f->text, err) : read_below(vm, f->path, &f->text, err);
    if (rc != 0) {
        pb_buf_free(&f->text);
        pb_free(f->path);
        pb_free(f);
        return NULL;
    }
    pb_map_add(&vm->files, pb_str_c(f->path), f);
    return &f->text;
}

/* Compile, run, freeze; the value it returned is left on the top. */
static void load_text(lua_State *L, const char *path, pbay_str text)
{
    struct pb_vm *vm = pb_vm_of(L);
    lua_pushfstring(L, "=%s", path);
    /* "t": text alone. Bytecode can crash a state. */
    if (luaL_loadbufferx(L, text.p ? text.p : "", text.n, lua_tostring(L, -1), "t") != LUA_OK) lua_error(L);
    pb_sandbox_env(L);
    lua_pushvalue(L, -1);
    lua_insert(L, -3); /* name, env, chunk, env */
    lua_setupvalue(L, -2, 1);
    bool outer = vm->loading;
    vm->loading = true;
    lua_call(L, 0, 1);
    vm->loading = outer;
    pb_sandbox_seal(L, -2);
    lua_replace(L, -3); /* value, env */
    lua_pop(L, 1);
}

void pb_script_push(lua_State *L, struct pb_script *s)
{
    struct pb_vm *vm = pb_vm_of(L);
    if (s->generation != vm->generation) {
        luaL_checkstack(L, 8, NULL);
        load_text(L, s->path, pb_buf_view(s->text));
        s->ref = luaL_ref(L, LUA_REGISTRYINDEX);
        s->generation = vm->generation;
    }
    lua_rawgeti(L, LUA_REGISTRYINDEX, s->ref);
}

static int load_now(lua_State *L)
{
    pb_script_push(L, lua_touserdata(L, 1));
    return 0;
}

struct pb_script *pb_script_load(struct pb_vm *vm, const char *path, struct pb_err *err)
{
    struct pb_script *s = pb_map_get(&vm->scripts, pb_str_c(path));
    if (s) {
        s->refs++;
        return s;
    }
    const struct pb_buf *text = pb_vm_read(vm, pb_str_c(path), err);
    if (!text) return NULL;
    s = pb_zalloc(sizeof *s);
    s->magic = PB_SCRIPT_MAGIC;
    s->refs = 1;
    s->vm = vm;
    s->path = pb_strdup(path);
    s->text = text;
    pb_map_add(&vm->scripts, pb_str_c(s->path), s);
    if (pb_vm_call(vm, NULL, load_now, s, err) != 0) {
        pb_script_drop(s);
        return NULL;
    }
    return s;
}

void pb_script_drop(struct pb_script *s)
{
    if (!s) return;
    PB_MAGIC_CHECK(s, PB_SCRIPT_MAGIC);
    if (--s->refs) return;
    pb_map_remove(&s->vm->scripts, pb_str_c(s->path));
    pb_vm_unref(s->vm, s->generation, s->ref);
    s->magic = 0;
    pb_free(s->path);
    pb_free(s);
}
