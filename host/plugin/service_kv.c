/* SPDX-License-Identifier: MIT */
/* pbay.host.kv/1: the store's verbs block, so they run on the store's thread and answer on the loop. */
#include <patchbay/host_kv.h>

#include <string.h>

#include "base/buf.h"
#include "base/mem.h"
#include "plugin/connector_priv.h"
#include "plugin/services.h"
#include "store/durable.h"

struct kv {
    struct pb_store_op op;
    struct pb_defer refused;
    struct pb_connector *connector;
    bool put, has_expected, remove;
    pbay_str space, key, value, expected; /* in text */
    int64_t ttl_ms;
    struct pb_buf got;
    struct pb_err err;
    int rc;
    void (*found)(void *user, const pbay_result *result, pbay_str value);
    void (*done)(void *user, const pbay_result *result);
    void *user;
    char text[];
};

/* [store thread] */
static int run(struct pb_store *store, void *user, struct pb_err *err)
{
    struct kv *kv = user;
    if (kv->put)
        return pb_store_kv_put(store, kv->space, kv->key, kv->remove ? pb_str(NULL, 0) : kv->value,
                               kv->has_expected ? &kv->expected : NULL, kv->ttl_ms, err);
    kv->got.n = 0;
    return pb_store_kv_get(store, kv->space, kv->key, &kv->got, err);
}

static void answer(struct kv *kv)
{
    struct pb_connector *c = kv->connector;
    if (!kv->rc) pb_err_clear(&kv->err);
    pbay_result result = pb_err_result(&kv->err);
    struct pb_visit v;
    pb_visit_enter(&v, c, "kv", NULL);
    if (kv->put) {
        if (kv->done) kv->done(kv->user, &result);
    } else {
        kv->found(kv->user, &result, kv->rc ? pb_str(NULL, 0) : pb_buf_view(&kv->got));
    }
    pb_visit_leave(&v);
    pb_buf_free(&kv->got);
    pb_free(kv);
    pb_connector_ended(c);
}

static void after(void *user, const struct pb_err *err)
{
    struct kv *kv = user;
    kv->rc = err ? -1 : 0;
    if (err) kv->err = *err;
    answer(kv);
}

static void after_refusal(void *user)
{
    answer(user);
}

static char *put_text(char *at, pbay_str *to, pbay_str from)
{
    if (from.n) memcpy(at, from.p, from.n);
    *to = pb_str(at, from.n);
    return at + from.n;
}

static struct kv *kv_new(const pbay_host *host, pbay_str key, pbay_str value, pbay_str expected)
{
    struct pb_connector *c = pb_connector_of(host);
    pbay_str space = pb_str_c(c->name);
    struct kv *kv = pb_zalloc(sizeof *kv + space.n + key.n + value.n + expected.n);
    kv->connector = c;
    char *at = put_text(kv->text, &kv->space, space);
    at = put_text(at, &kv->key, key);
    at = put_text(at, &kv->value, value);
    put_text(at, &kv->expected, expected);
    return kv;
}

/* To the store's thread; what cannot go there is answered on a later turn all the same. */
static void submit(struct kv *kv)
{
    struct pb_connector *c = kv->connector;
    kv->op = (struct pb_store_op){.run = run, .done = after, .user = kv, .reads = !kv->put};
    pb_connector_began(c);
    if (pb_connector_locked(c, PBAY_SVC_KV))
        kv->rc = pb_fail(&kv->err, PBAY_PERMISSION_DENIED, "the request has not been accepted yet");
    else if (kv->key.n > PB_STORE_KEY_MAX || kv->value.n > PB_STORE_VALUE_MAX)
        kv->rc = pb_fail(&kv->err, PBAY_INVALID_ARGUMENT, "key of %zu bytes, value of %zu: at most %d and %d",
                         kv->key.n, kv->value.n, PB_STORE_KEY_MAX, PB_STORE_VALUE_MAX);
    else if (!c->env->durable)
        kv->rc = pb_fail(&kv->err, PBAY_UNAVAILABLE, "there is no store here");
    else {
        pb_store_post(pb_durable_store(c->env->durable), &kv->op);
        return;
    }
    kv->refused = pb_defer_make(after_refusal, kv);
    pb_loop_defer(c->env->loop, &kv->refused);
}

static void kv_get(const pbay_host *host, pbay_str key,
                   void (*found)(void *user, const pbay_result *result, pbay_str value), void *user)
{
    struct kv *kv = kv_new(host, key, pb_str(NULL, 0), pb_str(NULL, 0));
    kv->found = found;
    kv->user = user;
    submit(kv);
}

static void kv_put(const pbay_host *host, pbay_str key, pbay_str value, const pbay_str *expected,
                   int64_t ttl_ms, void (*done)(void *user, const pbay_result *result), void *user)
{
    struct kv *kv = kv_new(host, key, value, expected ? *expected : pb_str(NULL, 0));
    kv->put = true;
    kv->remove = !value.n;
    kv->has_expected = expected != NULL;
    kv->ttl_ms = ttl_ms;
    kv->done = done;
    kv->user = user;
    submit(kv);
}

const pbay_kv_1 pb_service_kv = {
    .struct_size = sizeof(pbay_kv_1),
    .get = kv_get,
    .put = kv_put,
};
