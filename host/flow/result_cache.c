/* SPDX-License-Identifier: MIT */
#include "flow/result_cache.h"

#include "base/buf.h"
#include "base/check.h"
#include "base/map.h"

enum { FIRST_SLOTS = 256 };

struct pb_cache_entry {
    struct pb_cache_entry *chain;         /* of its slot */
    struct pb_cache_entry *newer, *older; /* of those that are ready, by last use */
    uint64_t hash;
    uint32_t key_n, value_n;
    bool ready;
    int64_t expires_ns;
    const void *owner;
    uint32_t number;
    struct pb_cache_waiter *waiters;
    char *value;
    char key[];
};

struct pb_result_cache {
    int64_t ttl_ns;
    size_t max_bytes, bytes;
    struct pb_cache_entry **slots;
    size_t n_slots, n;
    struct pb_cache_entry *newest, *oldest;
    struct pbay_builder *shape; /* columns without rows; NULL: nothing is kept */
    struct pb_buf scratch;
    struct pb_metrics *metrics;
    uint32_t hits, misses, shared, kept; /* slots */
};

struct pb_result_cache *pb_result_cache_new(int64_t ttl_ns, size_t max_bytes, struct pb_metrics *metrics,
                                            pbay_str function)
{
    struct pb_result_cache *c = pb_zalloc(sizeof *c);
    struct pb_buf labels = {0};
    c->ttl_ns = ttl_ns;
    c->max_bytes = max_bytes;
    c->n_slots = FIRST_SLOTS;
    c->slots = pb_zalloc(c->n_slots * sizeof(struct pb_cache_entry *));
    c->metrics = metrics;
    pb_metric_label(&labels, "function", function);
    pb_buf_ch(&labels, 0);
    const char *l = labels.p;
    c->hits = pb_metric(metrics, PB_METRIC_COUNTER, "function_cache_hits_total", l,
                        "Rows answered from result_cache.");
    c->misses = pb_metric(metrics, PB_METRIC_COUNTER, "function_cache_misses_total", l,
                          "Rows that result_cache did not have.");
    c->shared = pb_metric(metrics, PB_METRIC_COUNTER, "function_cache_shared_total", l,
                          "Rows that waited for the answer of an equal row that was being asked for.");
    c->kept = pb_metric(metrics, PB_METRIC_GAUGE, "function_cache_bytes", l, "Memory of result_cache.");
    pb_buf_free(&labels);
    return c;
}

/* ------------------------------------------------------------------------------------------------ keys and
 * answers as bytes */

static void put_cell(struct pb_buf *b, const pbay_column *col, uint32_t row)
{
    char head = (char)(col->kind << 1 | (pbay_cell_null(col, row) ? 1u : 0u));
    pb_buf_ch(b, head);
    if (head & 1) return;
    if (col->num) pb_buf_add(b, &col->num[row], sizeof(double));
    if (col->off) {
        pbay_str s = pbay_cell_text(col, row);
        uint32_t n = (uint32_t)s.n;
        pb_buf_add(b, &n, sizeof n);
        pb_buf_str(b, s);
    }
}

static void put_row(struct pb_buf *b, const pbay_batch *batch, uint32_t row)
{
    for (uint32_t c = 0; c < batch->n_cols; c++) put_cell(b, pbay_batch_col(batch, c), row);
}

/* Back into the columns of a builder of the same shape. */
static void get_row(struct pbay_builder *to, const char *p)
{
    for (uint32_t c = 0; c < to->n_cols; c++) {
        double v = 0;
        uint32_t n = 0;
        uint32_t kind = to->cols[c].kind;
        if (*p++ & 1) {
            pb_put_null(to, c);
            continue;
        }
        if (kind == PBAY_NUM || kind == PBAY_DUAL) {
            memcpy(&v, p, sizeof v);
            p += sizeof v;
        }
        if (kind != PBAY_NUM) {
            memcpy(&n, p, sizeof n);
            p += sizeof n;
        }
        if (kind == PBAY_NUM)
            pb_put_num(to, c, v);
        else if (kind == PBAY_DUAL)
            pb_put_dual(to, c, v, p, n);
        else
            pb_put_text(to, c, p, n);
        p += n;
    }
}

bool pb_cache_shape(struct pbay_builder *into, const pbay_batch *batch)
{
    if (!into->n_cols)
        for (uint32_t c = 0; c < batch->n_cols; c++)
            pb_builder_column(into, pbay_batch_col(batch, c)->name, pbay_batch_col(batch, c)->kind);
    if (into->n_cols != batch->n_cols) return false;
    for (uint32_t c = 0; c < batch->n_cols; c++)
        if (into->cols[c].kind != pbay_batch_col(batch, c)->kind) return false;
    return true;
}

/* ------------------------------------------------------------------------------------------------ the table
 */

static size_t weight(const struct pb_cache_entry *e)
{
    return sizeof *e + 32 + e->key_n + e->value_n;
}

static void unlink_ready(struct pb_result_cache *c, struct pb_cache_entry *e)
{
    *(e->newer ? &e->newer->older : &c->newest) = e->older;
    *(e->older ? &e->older->newer : &c->oldest) = e->newer;
    c->bytes -= weight(e);
}

static void link_newest(struct pb_result_cache *c, struct pb_cache_entry *e)
{
    e->newer = NULL;
    e->older = c->newest;
    *(c->newest ? &c->newest->newer : &c->oldest) = e;
    c->newest = e;
    c->bytes += weight(e);
}

static void drop(struct pb_result_cache *c, struct pb_cache_entry *e)
{
    struct pb_cache_entry **at = &c->slots[e->hash & (c->n_slots - 1)];
    while (*at != e) at = &(*at)->chain;
    *at = e->chain;
    c->n--;
    if (e->ready) unlink_ready(c, e);
    pb_free(e->value);
    pb_free(e);
}

static void clear_ready(struct pb_result_cache *c)
{
    while (c->oldest) drop(c, c->oldest);
}

void pb_result_cache_free(struct pb_result_cache *c)
{
    if (!c) return;
    clear_ready(c);
    PB_REQUIRE(!c->n);
    pb_builder_unref(c->shape);
    pb_buf_free(&c->scratch);
    pb_free(c->slots);
    pb_free(c);
}

static void grow(struct pb_result_cache *c)
{
    size_t n = c->n_slots * 2;
    struct pb_cache_entry **slots = pb_zalloc(n * sizeof(struct pb_cache_entry *));
    for (size_t i = 0; i < c->n_slots; i++)
        for (struct pb_cache_entry *e = c->slots[i], *next; e; e = next) {
            next = e->chain;
            e->chain = slots[e->hash & (n - 1)];
            slots[e->hash & (n - 1)] = e;
        }
    pb_free(c->slots);
    c->slots = slots;
    c->n_slots = n;
}

static struct pb_cache_entry *insert(struct pb_result_cache *c, uint64_t hash, pbay_str key)
{
    if (c->n >= c->n_slots) grow(c);
    struct pb_cache_entry *e = pb_zalloc(sizeof *e + key.n);
    e->hash = hash;
    e->key_n = (uint32_t)key.n;
    memcpy(e->key, key.p, key.n);
    e->chain = c->slots[hash & (c->n_slots - 1)];
    c->slots[hash & (c->n_slots - 1)] = e;
    c->n++;
    return e;
}

enum pb_cache_found pb_cache_ask(struct pb_result_cache *c, const pbay_batch *batch, uint32_t row,
                                 struct pbay_builder *into, int64_t now_ns, struct pb_cache_entry **entry)
{
    c->scratch.n = 0;
    put_row(&c->scratch, batch, row);
    pbay_str key = c->scratch.n ? pb_buf_view(&c->scratch) : PB_STR("");
    uint64_t hash = pb_hash(key);
    struct pb_cache_entry *e = c->slots[hash & (c->n_slots - 1)];
    while (e && (e->hash != hash || e->key_n != key.n || memcmp(e->key, key.p, key.n))) e = e->chain;
    if (e && e->ready && now_ns >= e->expires_ns) {
        drop(c, e);
        e = NULL;
    }
    if (e && e->ready) {
        const pbay_batch *shape = pb_builder_seal(c->shape, NULL);
        if (pb_cache_shape(into, shape)) {
            unlink_ready(c, e);
            link_newest(c, e);
            get_row(into, e->value);
            pb_metric_add_own(c->metrics, c->hits, 1);
            return PB_CACHE_READY;
        }
        drop(c, e); /* the backend answers in other columns since */
        e = NULL;
    }
    if (e) {
        pb_metric_add_own(c->metrics, c->shared, 1);
        *entry = e;
        return PB_CACHE_PENDING;
    }
    pb_metric_add_own(c->metrics, c->misses, 1);
    *entry = insert(c, hash, key);
    return PB_CACHE_NEW;
}

void pb_cache_mark(struct pb_cache_entry *e, const void *owner, uint32_t number)
{
    e->owner = owner;
    e->number = number;
}

bool pb_cache_marked(const struct pb_cache_entry *e, const void *owner, uint32_t *number)
{
    *number = e->number;
    return e->owner == owner;
}

/* ------------------------------------------------------------------------------------------------ waiting */

void pb_cache_wait(struct pb_cache_entry *e, struct pb_cache_waiter *w)
{
    w->next = e->waiters;
    e->waiters = w;
}

void pb_cache_forget(struct pb_cache_entry *e, struct pb_cache_waiter *w)
{
    struct pb_cache_waiter **at = &e->waiters;
    while (*at && *at != w) at = &(*at)->next;
    if (*at) *at = w->next;
}

static void tell(struct pb_cache_entry *e, const pbay_batch *batch, uint32_t row, const struct pb_err *err)
{
    for (struct pb_cache_waiter *w; (w = e->waiters);) {
        e->waiters = w->next;
        w->resolved(w, batch, row, err);
    }
}

void pb_cache_settle(struct pb_result_cache *c, struct pb_cache_entry *e, const pbay_batch *answer,
                     uint32_t row, int64_t now_ns)
{
    tell(e, answer, row, NULL);
    if (!c->shape) c->shape = pb_builder_new();
    if (!pb_cache_shape(c->shape, answer)) {
        clear_ready(c);
        pb_builder_reset(c->shape);
        pb_cache_shape(c->shape, answer);
    }
    c->scratch.n = 0;
    put_row(&c->scratch, answer, row);
    e->value_n = (uint32_t)c->scratch.n;
    e->value = pb_alloc(e->value_n ? e->value_n : 1);
    if (e->value_n) memcpy(e->value, c->scratch.p, e->value_n);
    e->ready = true;
    e->owner = NULL;
    e->expires_ns = now_ns + c->ttl_ns;
    link_newest(c, e);
    while (c->oldest && c->bytes > c->max_bytes) drop(c, c->oldest);
    pb_metric_set(c->metrics, c->kept, (int64_t)c->bytes);
}

void pb_cache_give_up(struct pb_result_cache *c, struct pb_cache_entry *e, const struct pb_err *err)
{
    tell(e, NULL, 0, err);
    drop(c, e);
}
