/* SPDX-License-Identifier: MIT */
#include "v1_server.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { KEY = 400, LOCK_KEY = 48, NAME = 300, WHY = 1200, LOCK_AGAIN_MS = 150 };
#define MARK_MS (INT64_C(90) * 24 * 3600 * 1000)

struct v1_server {
    v1_pool_settings o;
    const pbay_kv_1 *kv;
    v1_pool *pool;
    uint64_t which; /* of server and port, for keys */
};

enum pending { NOTHING, CALL, KV, TIMER };

struct v1_job {
    v1_server *server;
    v1_sync *sync; /* NULL: a ping */
    v1_wanted w;
    v1_job_done done;
    void *user;
    pbay_text frame;
    int32_t seqid; /* of the call */
    enum pending pending;
    v1_call *call;
    pbay_timer timer;
    int64_t lock_until_ns; /* 0: not waiting for it */
    bool dead;             /* cancelled while the store had it: w is not looked at any more */
    bool storing;          /* the lock says that storeProjectEvent is called under it */
    bool open_end;         /* and the server may still be at it */
    char name[NAME], token[40], storing_token[48], lock[LOCK_KEY];
    char why[WHY];
};

static void step(v1_job *j);

/* ---------------------------------------------------------------------------------------------------- keys
 */

static uint64_t fnv(uint64_t h, pbay_str s)
{
    for (size_t i = 0; i < s.n; i++) h = (h ^ (unsigned char)s.p[i]) * UINT64_C(0x100000001b3);
    return (h ^ 0xff) * UINT64_C(0x100000001b3); /* so that "a" "bc" is not "ab" "c" */
}

#define FNV UINT64_C(0xcbf29ce484222325)

static pbay_str mark_key(const v1_job *j, char key[KEY])
{
    const pbay_str arn = j->w.arn;
    snprintf(key, KEY, "v1-begun/%016" PRIx64 "/%.*s", j->server->which, (int)(arn.n < 300 ? arn.n : 300),
             arn.p);
    return (pbay_str){key, strlen(key)};
}

static pbay_str c_str(const char *s)
{
    return (pbay_str){s, strlen(s)};
}

/* ---------------------------------------------------------------------------------------------------- ends
 */

static void free_job(v1_job *j)
{
    v1_sync_free(j->sync);
    pbay_text_free(&j->frame);
    free(j);
}

static void forget(void *user, const pbay_result *result)
{
    (void)user;
    (void)result;
}

static void unlock(const v1_job *j, void (*done)(void *user, const pbay_result *result), void *user)
{
    const pbay_str held = c_str(j->storing ? j->storing_token : j->token);
    j->server->kv->put(j->server->o.host, c_str(j->lock), (pbay_str){NULL, 0}, &held, 0, done, user);
}

/* The end of a job that may hold the lock. One under which the server may still be making the project stays
 * until it runs out: whoever had it before would find no project and make a second one. */
static void let_go(const v1_job *j)
{
    if (j->sync && v1_sync_locked(j->sync) && j->server->kv && !j->open_end) unlock(j, forget, NULL);
}

static void finish(v1_job *j, const pbay_result *r)
{
    let_go(j);
    j->done(j->user, r, j->sync ? v1_sync_outcome(j->sync) : NULL);
    free_job(j);
}

/* Ends the job with r's code and a sentence that names it. */
static void failed(v1_job *j, const pbay_result *given, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

static void failed(v1_job *j, const pbay_result *given, const char *fmt, ...)
{
    pbay_result r = *given;
    va_list ap;
    int n = snprintf(j->why, sizeof j->why, "%s: ", j->name);
    va_start(ap, fmt);
    vsnprintf(j->why + n, sizeof j->why - (size_t)n, fmt, ap);
    va_end(ap);
    if (j->sync && v1_sync_outcome(j->sync)->begun) {
        r.effect = PBAY_EFFECT_MAYBE;
        if (j->w.seed) {
            n = (int)strlen(j->why);
            r.advice = PBAY_ADVICE_NONE;
            r.code = PBAY_FAILED_PRECONDITION; /* of no kind that is tried again */
            snprintf(j->why + n, sizeof j->why - (size_t)n,
                     "; a run may be there already, and with mode = seed the same again would make another");
        }
    }
    r.struct_size = sizeof r;
    r.message = (pbay_str){j->why, strlen(j->why)};
    finish(j, &r);
}

static void over(v1_job *j)
{
    const char *why = v1_sync_fault(j->sync);
    pbay_result r = PBAY_RESULT_OK;
    if (!why) {
        finish(j, &r);
        return;
    }
    r.code = v1_sync_fault_passes(j->sync) ? PBAY_ABORTED : PBAY_FAILED_PRECONDITION;
    r.advice = v1_sync_fault_passes(j->sync) ? PBAY_ADVICE_RETRY : PBAY_ADVICE_NONE;
    failed(j, &r, "%s: %s", v1_pool_where(j->server->pool), why);
}

/* --------------------------------------------------------------------------------------------------- store
 */

/* True: the job is gone, it was cancelled meanwhile. */
static bool back(v1_job *j)
{
    j->pending = NOTHING;
    if (!j->dead) return false;
    free_job(j);
    return true;
}

static void store_failed(v1_job *j, const pbay_result *r)
{
    pbay_result copy = *r;
    copy.effect = PBAY_EFFECT_NONE;
    copy.advice = PBAY_ADVICE_RETRY;
    failed(j, &copy, "the store: %.*s", (int)(r->message.n < 300 ? r->message.n : 300),
           r->message.p ? r->message.p : "");
}

static void found_mark(void *user, const pbay_result *r, pbay_str value)
{
    v1_job *j = user;
    (void)value;
    if (back(j)) return;
    if (r->code && r->code != PBAY_NOT_FOUND) {
        store_failed(j, r);
        return;
    }
    v1_sync_mark(j->sync, !r->code);
    step(j);
}

static void stored(void *user, const pbay_result *r)
{
    v1_job *j = user;
    if (back(j)) return;
    if (r->code) {
        store_failed(j, r);
        return;
    }
    v1_sync_go_on(j->sync);
    step(j);
}

/* A lock that had run out is as good as given back. */
static void unlocked(void *user, const pbay_result *r)
{
    v1_job *j = user;
    (void)r;
    if (back(j)) return;
    v1_sync_go_on(j->sync);
    step(j);
}

static void lock_again(void *user)
{
    v1_job *j = user;
    j->pending = NOTHING;
    j->timer = 0;
    step(j);
}

static void wait_for_lock(v1_job *j)
{
    const v1_pool_settings *o = &j->server->o;
    const int64_t now = o->timer->monotonic_ns();
    if (!j->lock_until_ns) j->lock_until_ns = now + o->answer_ms * 1000000;
    if (now < j->lock_until_ns) {
        j->pending = TIMER;
        j->timer = o->timer->start(o->host, LOCK_AGAIN_MS, 0, lock_again, j);
        return;
    }
    pbay_result busy = PBAY_RESULT_OK;
    busy.code = PBAY_UNAVAILABLE;
    busy.advice = PBAY_ADVICE_RETRY;
    failed(j, &busy, "another worker has been making the project \"%.*s\" for %ld ms",
           (int)(j->w.project.n < 200 ? j->w.project.n : 200), j->w.project.p, (long)o->answer_ms);
}

static void locked(void *user, const pbay_result *r);

/* Longer than what is done under it can take. */
static int64_t lock_ms(const v1_job *j)
{
    return 2 * j->server->o.connect_ms + 4 * j->server->o.answer_ms;
}

static void lock(v1_job *j, const pbay_str *expected)
{
    j->pending = KV;
    j->server->kv->put(j->server->o.host, c_str(j->lock), c_str(j->token), expected, lock_ms(j), locked, j);
}

/* Whose is it? Ours, when an earlier attempt died with it; but not when it died with storeProjectEvent under
 * way: then it is nobody's until it runs out. */
static void lock_seen(void *user, const pbay_result *r, pbay_str value)
{
    v1_job *j = user;
    if (back(j)) return;
    if (r->code && r->code != PBAY_NOT_FOUND)
        store_failed(j, r);
    else if (!r->code && value.n == strlen(j->token) && !memcmp(value.p, j->token, value.n))
        lock(j, &value);
    else
        wait_for_lock(j);
}

static void locked(void *user, const pbay_result *r)
{
    v1_job *j = user;
    if (j->dead && !r->code) unlock(j, forget, NULL);
    if (back(j)) return;
    if (!r->code) {
        j->lock_until_ns = 0;
        v1_sync_go_on(j->sync);
        step(j);
    } else if (r->code == PBAY_ABORTED) {
        j->pending = KV;
        j->server->kv->get(j->server->o.host, c_str(j->lock), lock_seen, j);
    } else {
        store_failed(j, r);
    }
}

static void use_store(v1_job *j, enum v1_need need)
{
    v1_server *s = j->server;
    char key[KEY];
    if (!s->kv) {
        if (need == V1_NEED_MARK)
            v1_sync_mark(j->sync, true); /* without marks each run is looked for */
        else
            v1_sync_go_on(j->sync);
        step(j);
        return;
    }
    j->pending = KV;
    if (need == V1_NEED_MARK) {
        s->kv->get(s->o.host, mark_key(j, key), found_mark, j);
    } else if (need == V1_NEED_SET_MARK) {
        s->kv->put(s->o.host, mark_key(j, key), (pbay_str){"1", 1}, NULL, MARK_MS, stored, j);
    } else if (need == V1_NEED_LOCK) {
        const pbay_str none = {"", 0};
        lock(j, &none);
    } else {
        unlock(j, unlocked, j);
    }
}

/* --------------------------------------------------------------------------------------------------- calls
 */

static void answered(void *user, const pbay_result *r, const v1_answer *a)
{
    v1_job *j = user;
    j->pending = NOTHING;
    j->call = NULL;
    if (j->storing) j->open_end = r && !a && r->effect != PBAY_EFFECT_NONE;
    if (r) {
        failed(j, r, "%.*s", (int)r->message.n, r->message.p);
        return;
    }
    v1_sync_answer(j->sync, a);
    step(j);
}

static void make_call(v1_job *j)
{
    j->pending = CALL;
    j->call = v1_pool_call(j->server->pool, pbay_text_view(&j->frame), v1_sync_method(j->sync), j->seqid,
                           answered, j);
}

/* Ours still, and everybody can see what for. */
static void marked_storing(void *user, const pbay_result *r)
{
    v1_job *j = user;
    j->storing = !r->code;
    if (j->dead && j->storing) unlock(j, forget, NULL);
    if (back(j)) return;
    if (j->storing) {
        make_call(j);
        return;
    }
    pbay_result lost = *r;
    if (r->code == PBAY_ABORTED) lost.message = c_str("the lock on the project ran out before it was made");
    store_failed(j, &lost);
}

static void step(v1_job *j)
{
    j->seqid = j->w.seed ? 0 : v1_pool_seqid(j->server->pool);
    const enum v1_need need = v1_sync_next(j->sync, &j->frame, j->seqid);
    if (need == V1_NEED_NOTHING) {
        over(j);
    } else if (need == V1_NEED_CALL && v1_sync_method(j->sync) == V1_STORE_PROJECT && j->server->kv &&
               v1_sync_locked(j->sync)) {
        const pbay_str held = c_str(j->token);
        j->pending = KV;
        j->server->kv->put(j->server->o.host, c_str(j->lock), c_str(j->storing_token), &held, lock_ms(j),
                           marked_storing, j);
    } else if (need == V1_NEED_CALL) {
        make_call(j);
    } else {
        use_store(j, need);
    }
}

/* ---------------------------------------------------------------------------------------------------- life
 */

static v1_job *job_new(v1_server *s, pbay_str name, v1_job_done done, void *user)
{
    v1_job *j = calloc(1, sizeof *j);
    if (!j) abort();
    j->server = s;
    j->done = done;
    j->user = user;
    snprintf(j->name, sizeof j->name, "%.*s", (int)(name.n < 200 ? name.n : 200), name.p);
    return j;
}

/* done may not come from inside, so the first step is a turn away. */
static void begin(void *user)
{
    v1_job *j = user;
    j->pending = NOTHING;
    j->timer = 0;
    step(j);
}

static v1_job *started(v1_job *j)
{
    j->pending = TIMER;
    j->timer = j->server->o.timer->start(j->server->o.host, 0, 0, begin, j);
    return j;
}

v1_job *v1_server_sync(v1_server *s, const v1_wanted *w, pbay_str name, v1_job_done done, void *user)
{
    v1_job *j = job_new(s, name, done, user);
    j->w = *w;
    /* The same in every attempt for this job: a lock that one of them died with is ours. */
    snprintf(j->token, sizeof j->token, "%016" PRIx64, fnv(fnv(FNV, w->arn), w->run));
    snprintf(j->storing_token, sizeof j->storing_token, "%s storing", j->token);
    snprintf(j->lock, sizeof j->lock, "v1-lock/%016" PRIx64 "/%016" PRIx64, s->which,
             fnv(fnv(FNV, w->project), w->author));
    j->sync = v1_sync_new(w);
    return started(j);
}

v1_job *v1_server_verify(v1_server *s, const v1_wanted *w, pbay_str name, v1_differs differs,
                         v1_job_done done, void *user)
{
    v1_job *j = job_new(s, name, done, user);
    j->w = *w;
    j->sync = v1_verify_new(w, differs, user);
    return started(j);
}

static void ponged(void *user, const pbay_result *r, const v1_answer *a)
{
    v1_job *j = user;
    pbay_result other = PBAY_RESULT_OK;
    j->pending = NOTHING;
    j->call = NULL;
    if (r) {
        failed(j, r, "%.*s", (int)r->message.n, r->message.p);
    } else if (a->id != 200) { /* what the server answers, in memory of HTTP */
        other.code = PBAY_FAILED_PRECONDITION;
        failed(j, &other, "%s answers testConnection with %ld instead of 200", v1_pool_where(j->server->pool),
               (long)a->id);
    } else {
        finish(j, &other);
    }
}

v1_job *v1_server_ping(v1_server *s, v1_job_done done, void *user)
{
    v1_job *j = job_new(s, (pbay_str){"testConnection", 14}, done, user);
    const int32_t seqid = v1_pool_seqid(s->pool);
    v1_ask_nothing(&j->frame, seqid, V1_TEST_CONNECTION);
    j->pending = CALL;
    j->call = v1_pool_call(s->pool, pbay_text_view(&j->frame), V1_TEST_CONNECTION, seqid, ponged, j);
    return j;
}

void v1_job_cancel(v1_job *j)
{
    if (j->pending == KV) {
        j->dead = true;
        return;
    }
    if (j->pending == CALL && v1_pool_drop(j->server->pool, j->call)) j->open_end = j->storing;
    if (j->pending == TIMER) j->server->o.timer->cancel(j->timer);
    let_go(j);
    free_job(j);
}

v1_server *v1_server_new(const v1_pool_settings *settings, const pbay_kv_1 *kv)
{
    v1_server *s = calloc(1, sizeof *s);
    if (!s) abort();
    s->o = *settings;
    s->kv = kv;
    s->pool = v1_pool_new(settings);
    const char *where = v1_pool_where(s->pool);
    s->which = fnv(FNV, (pbay_str){where, strlen(where)});
    return s;
}

const char *v1_server_where(const v1_server *s)
{
    return v1_pool_where(s->pool);
}

void v1_server_stop(v1_server *s)
{
    v1_pool_stop(s->pool);
}

void v1_server_free(v1_server *s)
{
    if (!s) return;
    v1_pool_free(s->pool);
    free(s);
}
