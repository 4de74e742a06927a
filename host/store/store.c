/* SPDX-License-Identifier: MIT */
#include "store/store.h"

#include <string.h>

#include "base/attr.h"
#include "base/check.h"
#include "base/mem.h"
#include "store/engine.h"

static const struct pb_store_engine *const engines[] = {&pb_store_sqlite};

/* The engine of a URL, and what stands behind "scheme:"; NULL with err. */
static const struct pb_store_engine *engine_of(const char *url, pbay_str *rest, struct pb_err *err)
{
    for (size_t i = 0; i < PB_COUNTOF(engines); i++) {
        size_t n = strlen(engines[i]->scheme);
        if (strncmp(url, engines[i]->scheme, n) != 0 || url[n] != ':') continue;
        *rest = pb_str_c(url + n + 1);
        return engines[i];
    }
    /* A URL may hold a password: only its scheme is shown. */
    pb_fail(err, PBAY_INVALID_ARGUMENT, "store url \"%.*s:...\": expected sqlite:PATH",
            (int)(strcspn(url, ":") > 20 ? 20 : strcspn(url, ":")), url);
    return NULL;
}

int pb_store_open(const char *url, struct pb_store **out, struct pb_err *err)
{
    pbay_str rest;
    *out = NULL;
    const struct pb_store_engine *engine = engine_of(url, &rest, err);
    if (!engine || engine->open(rest, out, err) != 0) return -1;
    PB_MAGIC_CHECK(*out, PB_STORE_MAGIC);
    return 0;
}

int pb_store_verify(const char *url, bool quick, struct pb_err *err)
{
    pbay_str rest;
    const struct pb_store_engine *engine = engine_of(url, &rest, err);
    return engine ? engine->verify(rest, quick, err) : -1;
}

void pb_store_close(struct pb_store *s)
{
    if (!s) return;
    PB_MAGIC_CHECK(s, PB_STORE_MAGIC);
    s->engine->close(s);
}

int pb_store_check(struct pb_store *s, bool quick, struct pb_err *err)
{
    PB_MAGIC_CHECK(s, PB_STORE_MAGIC);
    return s->engine->check(s, quick, err);
}

int pb_store_atomic(struct pb_store *s, int (*fn)(struct pb_store *s, void *user, struct pb_err *err),
                    void *user, struct pb_err *err)
{
    PB_MAGIC_CHECK(s, PB_STORE_MAGIC);
    if (s->engine->begin(s, err) != 0) return -1;
    return s->engine->end(s, fn(s, user, err), err);
}

void pb_store_on_work(struct pb_store *s, void (*fn)(void *user), void *user)
{
    PB_MAGIC_CHECK(s, PB_STORE_MAGIC);
    s->on_work = fn;
    s->on_work_user = user;
}

void pb_store_on_end(struct pb_store *s, void (*fn)(void *user), void *user)
{
    PB_MAGIC_CHECK(s, PB_STORE_MAGIC);
    s->on_end = fn;
    s->on_end_user = user;
}

void pb__store_ended(struct pb_store *s, bool committed)
{
    bool work = s->work && committed, ended = s->ended && committed;
    s->work = s->ended = false;
    if (work && s->on_work) s->on_work(s->on_work_user);
    if (ended && s->on_end) s->on_end(s->on_end_user);
}

void *pb__store_pack(const void *src, size_t size, const size_t *strs, size_t n)
{
    size_t all = size;
    for (size_t i = 0; i < n; i++)
        all += ((const pbay_str *)(const void *)((const char *)src + strs[i]))->n + 1;
    char *out = pb_alloc(all), *at = out + size;
    memcpy(out, src, size);
    for (size_t i = 0; i < n; i++) {
        pbay_str *s = (pbay_str *)(void *)(out + strs[i]);
        if (s->n) memcpy(at, s->p, s->n);
        s->p = at;
        at[s->n] = 0;
        at += s->n + 1;
    }
    return out;
}

void *pb__store_grow(void *items, size_t n, size_t *cap)
{
    if (n < *cap) return items;
    *cap = *cap ? 2 * *cap : 16;
    return pb_array_grow(items, *cap, sizeof(void *));
}

int pb__check_size(const char *what, pbay_str s, size_t most, struct pb_err *err)
{
    if (s.n <= most) return 0;
    return pb_fail(err, PBAY_INVALID_ARGUMENT, "a %s of %zu bytes; expected at most %zu", what, s.n, most);
}

int pb__check_name(const char *what, pbay_str s, size_t least, struct pb_err *err)
{
    if (s.n < least || s.n > PB_STORE_NAME_MAX)
        return pb_fail(err, PBAY_INVALID_ARGUMENT, "a %s of %zu bytes; expected %zu to %d", what, s.n, least,
                       PB_STORE_NAME_MAX);
    if (!pb_utf8_valid(s) || (s.n && memchr(s.p, 0, s.n)))
        return pb_fail(err, PBAY_INVALID_ARGUMENT, "a %s that is not text in UTF-8", what);
    return 0;
}

int pb_store_function_id(struct pb_store *s, pbay_str scope, pbay_str name, int32_t explicit_id, int32_t *id,
                         struct pb_err *err)
{
    PB_MAGIC_CHECK(s, PB_STORE_MAGIC);
    if (pb__check_name("scope", scope, 0, err) != 0 || pb__check_name("function name", name, 1, err) != 0)
        return -1;
    if (explicit_id < -1)
        return pb_fail(err, PBAY_INVALID_ARGUMENT, "function id %d; expected 0 to 2147483647", explicit_id);
    return s->engine->function_id(s, scope, name, explicit_id, id, err);
}

static int check_key(pbay_str space, pbay_str key, struct pb_err *err)
{
    if (pb__check_name("space", space, 1, err) != 0) return -1;
    if (!key.n || key.n > PB_STORE_KEY_MAX)
        return pb_fail(err, PBAY_INVALID_ARGUMENT, "a key of %zu bytes; expected 1 to %d", key.n,
                       PB_STORE_KEY_MAX);
    return 0;
}

int pb_store_kv_get(struct pb_store *s, pbay_str space, pbay_str key, struct pb_buf *out, struct pb_err *err)
{
    PB_MAGIC_CHECK(s, PB_STORE_MAGIC);
    if (check_key(space, key, err) != 0) return -1;
    return s->engine->kv_get(s, space, key, out, err);
}

int pb_store_kv_put(struct pb_store *s, pbay_str space, pbay_str key, pbay_str value,
                    const pbay_str *expected, int64_t ttl_ms, struct pb_err *err)
{
    PB_MAGIC_CHECK(s, PB_STORE_MAGIC);
    if (check_key(space, key, err) != 0) return -1;
    if (value.n > PB_STORE_VALUE_MAX)
        return pb_fail(err, PBAY_INVALID_ARGUMENT, "a value of %zu bytes; expected at most %d", value.n,
                       PB_STORE_VALUE_MAX);
    if (ttl_ms < 0) return pb_fail(err, PBAY_INVALID_ARGUMENT, "a ttl of %lld ms", (long long)ttl_ms);
    return s->engine->kv_put(s, space, key, value, expected, ttl_ms, err);
}
