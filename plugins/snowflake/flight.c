/* SPDX-License-Identifier: MIT */
#include "flight.h"

#include "park.h"

enum { BUCKETS = 4096, KEEP_BYTES = 64 << 20, KEEP_COUNT = 20000 };

struct flights {
    struct snowflake *s;
    struct flight *buckets[BUCKETS];
    struct flight *newest, *oldest; /* finished ones, kept for who asks again */
    struct flight *first, *last;    /* whose callers wait with patience, which is the same for all: the first
                                       one's    ends first */
    pbay_timer patience;            /* until about then; 0: none is set */
    uint64_t kept_bytes;
    uint32_t kept, running;
};

/* ------------------------------------------------------------------------------------------------ the table
 */

static uint32_t bucket(pbay_str name, pbay_str batch_id)
{
    uint32_t h = 2166136261u; /* FNV-1a */
    for (size_t i = 0; i < name.n; i++) h = (h ^ (unsigned char)name.p[i]) * 16777619u;
    h = (h ^ 0) * 16777619u;
    for (size_t i = 0; i < batch_id.n; i++) h = (h ^ (unsigned char)batch_id.p[i]) * 16777619u;
    return (h ^ h >> 15) % BUCKETS;
}

/* Its callers have their answer. */
static void calm(struct flights *fs, struct flight *f)
{
    if (!f->patient) return;
    f->patient = 0;
    if (f->before)
        f->before->after = f->after;
    else
        fs->first = f->after;
    if (f->after)
        f->after->before = f->before;
    else
        fs->last = f->before;
}

static void drop_body(struct flight *f)
{
    free(f->kept);
    f->kept = NULL;
    if (f->inflated.p) f->s->crypto->release(f->inflated);
    f->inflated = f->body = (pbay_str){NULL, 0};
}

static void forget(struct flights *fs, struct flight *f)
{
    calm(fs, f);
    if (f->link) {
        *f->link = f->next;
        if (f->next) f->next->link = f->link;
        f->link = NULL;
    }
    if (f->done == 2) {
        if (f->newer)
            f->newer->older = f->older;
        else
            fs->newest = f->older;
        if (f->older)
            f->older->newer = f->newer;
        else
            fs->oldest = f->newer;
        fs->kept--;
        fs->kept_bytes -= f->n_text + sizeof *f;
    }
    while (f->waiters) {
        struct waiter *w = f->waiters;
        f->waiters = w->next;
        free(w);
    }
    reply_free(&f->reply);
    if (f->reader) f->s->batch->reader_free(f->reader);
    if (f->rows) f->s->batch->free(f->rows);
    drop_body(f);
    free(f->text);
    free(f);
}

/* Results that are too old or too many, the oldest first. */
static void prune(struct flights *fs)
{
    if (!fs->oldest) return;
    int64_t now = fs->s->timer->monotonic_ns();
    while (fs->oldest && (fs->kept_bytes > KEEP_BYTES || fs->kept > KEEP_COUNT ||
                          now - fs->oldest->began_ns > fs->s->results_ttl_ms * 1000000))
        forget(fs, fs->oldest);
}

static void keep(struct flights *fs, struct flight *f)
{
    f->done = 2;
    f->older = fs->newest;
    f->newer = NULL;
    if (f->older)
        f->older->newer = f;
    else
        fs->oldest = f;
    fs->newest = f;
    fs->kept++;
    fs->kept_bytes += f->n_text + sizeof *f;
    prune(fs);
}

struct flight *flight_find(struct flights *fs, const struct batch_id *id)
{
    if (!id->batch.n) return NULL;
    prune(fs);
    for (struct flight *f = fs->buckets[bucket(id->name, id->batch)]; f; f = f->next)
        if (str_eq(f->batch_id, id->batch) && str_eq(f->name, id->name) &&
            str_eq(f->endpoint, id->endpoint) && str_eq(f->region, id->region))
            return f;
    return NULL;
}

int flight_adopt(struct flights *fs, const struct batch_id *id, const char *job)
{
    struct flight *f = flight_find(fs, id);
    if (!f || !f->running || f->elsewhere || f->job[0]) return 0;
    snprintf(f->job, sizeof f->job, "%s", job);
    return 1;
}

uint32_t flights_running(const struct flights *fs)
{
    return fs->running;
}

void flights_count(struct flights *fs, int by)
{
    fs->running += (uint32_t)by;
}

struct flights *flights_new(struct snowflake *s)
{
    struct flights *fs = calloc(1, sizeof *fs);
    if (fs) fs->s = s;
    return fs;
}

static void stop_work(struct flight *f)
{
    if (f->begun)
        f->work->cancel(f);
    else
        f->cancelled = 1;
}

void flights_stop(struct flights *fs)
{
    for (uint32_t i = 0; i < BUCKETS; i++)
        for (struct flight *f = fs->buckets[i], *next; f; f = next) {
            next = f->next;
            if (f->running && !f->done) stop_work(f);
        }
}

void flights_cancel(struct flights *fs, pbay_str job)
{
    for (uint32_t i = 0; i < BUCKETS; i++)
        for (struct flight *f = fs->buckets[i]; f; f = f->next)
            if (f->running && str_eq(str_c(f->job), job)) {
                stop_work(f);
                return;
            }
}

void flights_free(struct flights *fs)
{
    if (!fs) return;
    if (fs->patience) fs->s->timer->cancel(fs->patience);
    for (uint32_t i = 0; i < BUCKETS; i++)
        while (fs->buckets[i]) forget(fs, fs->buckets[i]);
    free(fs);
}

/* ------------------------------------------------------------------------------------------------ the
 * callers
 */

void flight_wait(struct flight *f, pbay_request request, int coded)
{
    if (!request) return;
    struct waiter *w = malloc(sizeof *w);
    if (!w) abort();
    *w = (struct waiter){f->waiters, request, 0, coded};
    f->waiters = w;
    if (f->done)
        flight_leave(f, f->status, (pbay_str){f->text, f->n_text});
    else if (f->parked)
        flight_leave(f, 202, STR("{}"));
}

/* The body of the first caller is borrowed from its request: it is copied before that one is answered. */
static void keep_body(struct flight *f)
{
    if (f->kept || !f->body.n || f->done) return;
    if (!f->body_hash[0]) hash_hex(f->s, &f->body, 1, f->body_hash, 64);
    if (f->parked) {
        drop_body(f);
        return;
    }
    if (f->inflated.p) return;
    f->kept = malloc(f->body.n);
    if (!f->kept) abort();
    memcpy(f->kept, f->body.p, f->body.n);
    f->body.p = f->kept;
}

void flight_leave(struct flight *f, int32_t status, pbay_str text)
{
    if (f->waiters && !f->done) keep_body(f);
    while (f->waiters) {
        struct waiter *w = f->waiters;
        f->waiters = w->next;
        answer(f->s, w->request, status, text, w->coded);
        free(w);
    }
}

void flight_gone(struct flights *fs, pbay_request request)
{
    for (uint32_t i = 0; i < BUCKETS; i++)
        for (struct flight *f = fs->buckets[i]; f; f = f->next)
            for (struct waiter *w = f->waiters; w; w = w->next)
                if (w->request == request) w->gone = 1;
}

int flight_may_pass(const struct flight *f)
{
    return f->status == 429 || f->status >= 500;
}

int flight_same_body(struct flight *f, pbay_str body)
{
    if (f->body.p && !f->done) return str_eq(f->body, body);
    char hash[65];
    if (!f->body_hash[0]) return 1;
    hash_hex(f->s, &body, 1, hash, 64);
    return memcmp(hash, f->body_hash, 64) == 0;
}

/* ------------------------------------------------------------------------------------------------ the end */

static void log_batch(struct flight *f, const pbay_result *result)
{
    struct snowflake *s = f->s;
    if (!s->log || !s->log->enabled(s->host, PBAY_LOG_INFO)) return;
    char status[12], rows[12], ms[24];
    int n_status = snprintf(status, sizeof status, "%d", (int)f->status);
    int n_rows = snprintf(rows, sizeof rows, "%u", f->in ? f->in->n_rows : 0);
    int n_ms = snprintf(ms, sizeof ms, "%.1f", (double)(s->timer->monotonic_ns() - f->began_ns) / 1e6);
    pbay_header fields[9];
    uint32_t n = 0;
    fields[n++] = (pbay_header){STR("function"), f->name};
    fields[n++] = (pbay_header){STR("status"), {status, (size_t)n_status}};
    fields[n++] = (pbay_header){STR("rows"), {rows, (size_t)n_rows}};
    fields[n++] = (pbay_header){STR("ms"), {ms, (size_t)n_ms}};
    fields[n++] = (pbay_header){STR("batch_id"), f->batch_id};
    fields[n++] = (pbay_header){STR("query_id"), f->query_id};
    if (f->user.n) fields[n++] = (pbay_header){STR("user"), f->user};
    if (f->job[0]) fields[n++] = (pbay_header){STR("job"), str_c(f->job)};
    pbay_text said = {0}; /* rows are not for the log */
    pbay_text_unquoted(&said, result->message);
    if (result->code != PBAY_OK) fields[n++] = (pbay_header){STR("error"), pbay_text_view(&said)};
    s->log->write(s->host, f->status >= 500 ? PBAY_LOG_WARN : PBAY_LOG_INFO, STR("batch"), fields, n);
    pbay_text_free(&said);
}

static void set_text(struct flight *f, const pbay_result *result)
{
    pbay_text t = {0};
    pbay_str body = {NULL, 0};
    char why[256];
    pbay_result r = *result;
    if (r.code == PBAY_OK) {
        body = reply_text(&f->reply);
        if (f->over_limit || body.n > f->s->max_reply) {
            int n = snprintf(why, sizeof why,
                             "the reply of %u rows is larger than %llu bytes, which Snowflake does not take: "
                             "create the function with a smaller MAX_BATCH_ROWS",
                             f->in->n_rows, (unsigned long long)f->s->max_reply);
            r.code = PBAY_RESOURCE_EXHAUSTED;
            r.message = (pbay_str){why, (size_t)n};
            r.advice = 0;
        }
    }
    f->status = status_of(&r);
    if (r.code != PBAY_OK) {
        pbay_text_c(&t, "{\"error\":");
        pbay_text_json(&t, r.message);
        pbay_text_c(&t, ",\"batch_id\":");
        pbay_text_json(&t, f->batch_id);
        pbay_text_c(&t, ",\"query_id\":");
        pbay_text_json(&t, f->query_id);
        pbay_text_c(&t, "}\n");
        body = pbay_text_view(&t);
    }
    /* What went through a function and well is in the log already, under its batch id: call_id of msg=call.
     */
    if (!f->elsewhere && (f->work != &function_work || f->job[0] || r.code != PBAY_OK)) log_batch(f, &r);
    f->text = malloc(body.n + 1);
    if (!f->text) abort();
    memcpy(f->text, body.p, body.n);
    f->n_text = body.n;
    pbay_text_free(&t);
}

void flight_done(struct flight *f, const pbay_result *result)
{
    struct snowflake *s = f->s;
    struct flights *fs = s->flights;
    calm(fs, f);
    /* A caller that has gone will ask again, and one that was told 202 too. What would fail differently the
     * next time is not kept for them. */
    int missed = f->parked;
    for (struct waiter *w = f->waiters; w; w = w->next) missed = missed || w->gone;
    if (missed && !f->body_hash[0] && f->body.p) hash_hex(s, &f->body, 1, f->body_hash, 64);
    set_text(f, result);
    int passing = flight_may_pass(f);
    if (f->work->end) f->work->end(f);
    fs->running--;
    f->running = 0;
    f->done = 1;
    f->body = (pbay_str){NULL, 0};
    pbay_str text = {f->text, f->n_text};
    if (f->job[0]) park_finish(f, result, text);
    flight_leave(f, f->status, text);
    if (f->parking) return; /* flight_parked comes */
    if (!f->batch_id.n || !missed || passing || f->elsewhere) {
        forget(fs, f);
        return;
    }
    reply_free(&f->reply);
    s->batch->reader_free(f->reader);
    s->batch->free(f->rows);
    f->reader = NULL;
    f->rows = NULL;
    drop_body(f);
    keep(fs, f);
}

void flight_drop(struct flight *f)
{
    const pbay_result ok = PBAY_RESULT_OK;
    f->elsewhere = 1;
    if (f->begun)
        f->work->cancel(f);
    else
        flight_done(f, &ok);
}

/* 0: it was not, and the flight is over. */
static int begin_work(struct flight *f)
{
    pbay_result why = PBAY_RESULT_OK;
    if (f->cancelled) {
        why.code = PBAY_CANCELLED;
        why.message = STR("the gateway ends, or somebody cancelled the job");
    } else if (!f->work->begin(f, &why)) {
        f->begun = 1;
        return 1;
    }
    why.effect = PBAY_EFFECT_NONE;
    flight_done(f, &why);
    return 0;
}

void flight_parked(struct flight *f, const char *id)
{
    f->parking = 0;
    if (id) snprintf(f->job, sizeof f->job, "%s", id);
    id = f->job[0] ? f->job : NULL;
    if (f->done) { /* it was faster */
        if (id) park_finish(f, NULL, (pbay_str){f->text, f->n_text});
        forget(f->s->flights, f);
        return;
    }
    if (!f->begun && !begin_work(f)) return;
    if (!id) return; /* it goes on as it was; the host answers in its place when it takes too long */
    if (f->effects && f->patient) return; /* on disk; the callers may still get it at once */
    f->parked = 1;
    flight_leave(f, 202, STR("{}"));
}

static void out_of_patience(struct flight *f)
{
    calm(f->s->flights, f);
    if (f->job[0]) {
        f->parked = 1;
        flight_leave(f, 202, STR("{}"));
    } else if (!f->parking)
        park(f);
}

static void on_patience(void *user);

/* The timer is not moved when a batch is done in time, as nearly all are: it finds out when it fires. */
static void watch(struct flights *fs)
{
    if (fs->patience || !fs->first) return;
    int64_t ns = fs->first->began_ns + fs->s->async_after_ms * 1000000 - fs->s->timer->monotonic_ns();
    fs->patience = fs->s->timer->start(fs->s->host, ns > 0 ? ns / 1000000 + 1 : 0, 0, on_patience, fs);
}

static void on_patience(void *user)
{
    struct flights *fs = user;
    int64_t late = fs->s->timer->monotonic_ns() - fs->s->async_after_ms * 1000000;
    fs->patience = 0;
    while (fs->first && fs->first->began_ns <= late) out_of_patience(fs->first);
    watch(fs);
}

static void be_patient(struct flights *fs, struct flight *f)
{
    f->patient = 1;
    f->before = fs->last;
    f->after = NULL;
    if (f->before)
        f->before->after = f;
    else
        fs->first = f;
    fs->last = f;
    watch(fs);
}

/* ------------------------------------------------------------------------------------------------ the
 * beginning */

static pbay_str take(char **at, pbay_str s)
{
    char *p = *at;
    if (s.n) memcpy(p, s.p, s.n);
    *at += s.n;
    return (pbay_str){p, s.n};
}

static struct flight *make(struct snowflake *s, const struct flight_info *i)
{
    size_t n =
        i->name.n + i->batch_id.n + i->query_id.n + i->user.n + i->account.n + i->endpoint.n + i->region.n;
    struct flight *f = malloc(sizeof *f + n + 1);
    if (!f) abort();
    *f = (struct flight){.s = s};
    char *at = f->mem;
    f->work = i->work;
    if (i->fn) f->fn = *i->fn;
    f->effects = i->effects;
    f->rows_mode = i->rows_mode;
    f->name = take(&at, i->name);
    f->batch_id = take(&at, i->batch_id);
    f->query_id = take(&at, i->query_id);
    f->user = take(&at, i->user);
    f->account = take(&at, i->account);
    f->endpoint = take(&at, i->endpoint);
    f->region = take(&at, i->region);
    f->body = i->body;
    f->inflated = i->inflated;
    f->began_ns = s->timer->monotonic_ns();
    f->deadline = f->began_ns + (int64_t)POLLING_MS * 1000000;
    return f;
}

void batch_key(const struct snowflake *s, const struct batch_id *id, char *out)
{
    const pbay_str parts[] = {id->name, {"", 1}, id->endpoint, {"", 1}, id->region, {"", 1}, id->batch};
    memcpy(out, "sf-", 3);
    hash_hex(s, parts, sizeof parts / sizeof *parts, out + 3, 40);
}

/* Without a batch id nothing can ask again. */
void flight_key(struct flight *f)
{
    uint8_t random[16];
    pbay_str id = f->batch_id;
    if (!id.n) {
        f->s->crypto->random(random, sizeof random);
        id = (pbay_str){(const char *)random, sizeof random};
    }
    const struct batch_id known = {f->name, f->endpoint, f->region, id};
    batch_key(f->s, &known, f->key);
}

struct flight *flight_begin(struct snowflake *s, const struct flight_info *i)
{
    pbay_result why = PBAY_RESULT_OK;
    const pbay_codec codec = {.struct_size = sizeof codec,
                              .format = PBAY_FORMAT_JSON_ROWS,
                              .kinds = i->n_kinds ? i->kinds : NULL,
                              .n_columns = i->n_kinds,
                              .any_kind = PBAY_JSON,
                              .key = STR("data"),
                              .row_numbers = 1};
    struct flight *f = make(s, i);
    struct flights *fs = s->flights;
    f->rows = s->batch->create(s->host);
    f->reader = s->batch->reader(s->host, &codec, f->rows);
    int32_t code = s->batch->feed(f->reader, i->body, &why);
    if (code == PBAY_OK) code = s->batch->finish(f->reader, &why);
    if (code == PBAY_OK && !(f->in = s->batch->seal(f->rows, &why))) code = why.code;
    if (code != PBAY_OK) {
        answer_error(s, i->request, 400, "INVALID_ARGUMENT", why.message, f->batch_id, f->query_id);
        if (i->job) park_fail(s, i->job, &why);
        forget(fs, f);
        return NULL;
    }
    f->numbers = s->batch->numbers(f->reader);
    reply_init(&f->reply, s);
    f->reply.numbers = f->numbers;
    if (i->request) {
        struct waiter *w = malloc(sizeof *w);
        if (!w) abort();
        *w = (struct waiter){NULL, i->request, 0, i->coded};
        f->waiters = w;
    }
    if (i->job) {
        snprintf(f->job, sizeof f->job, "%s", i->job);
        f->parked = 1;
    }
    if (f->effects || f->job[0]) flight_key(f);
    if (i->hash.n == 64) memcpy(f->body_hash, i->hash.p, 64);
    if (f->batch_id.n) {
        f->link = &fs->buckets[bucket(f->name, f->batch_id)];
        f->next = *f->link;
        if (f->next) f->next->link = &f->next;
        *f->link = f;
    }
    fs->running++;
    f->running = 1;
    if (!f->in->n_rows) {
        flight_done(f, &why);
        return NULL;
    }
    if (!i->request) f->body = (pbay_str){NULL, 0};
    /* What has effects is on disk before it is begun: other rows under an id that is known begin nothing. */
    int first = f->effects && i->request && s->job;
    if (!first && !begin_work(f)) return NULL;
    if (i->request && s->async_after_ms) be_patient(fs, f);
    if (i->request && (f->effects || !s->async_after_ms)) park(f);
    return f;
}
