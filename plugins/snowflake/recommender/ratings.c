/* SPDX-License-Identifier: MIT */
#include "ratings.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"

/* ------------------------------------------------------------------------------------------------ ids */

/* Finalizer of splitmix64: ids that count up by one spread over all slots. */
static uint64_t mix(uint64_t x)
{
    x = (x ^ (x >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ (x >> 27)) * UINT64_C(0x94d049bb133111eb);
    return x ^ (x >> 31);
}

/* Where the id stands, or the free slot where it would. */
static uint32_t slot_of(const struct rec_ids *ids, int64_t id)
{
    uint32_t mask = ids->n_slots - 1, at = (uint32_t)mix((uint64_t)id) & mask;
    while (ids->slots[at] && ids->of[ids->slots[at] - 1] != id) at = (at + 1) & mask;
    return at;
}

static void rehash(struct rec_ids *ids, uint32_t n_slots)
{
    pb_free(ids->slots);
    ids->n_slots = n_slots;
    ids->slots = pb_zalloc((size_t)n_slots * sizeof *ids->slots);
    for (uint32_t i = 0; i < ids->n; i++) ids->slots[slot_of(ids, ids->of[i])] = i + 1;
}

uint32_t rec_ids_add(struct rec_ids *ids, int64_t id)
{
    if ((uint64_t)ids->n * 2 >= ids->n_slots) rehash(ids, ids->n_slots ? ids->n_slots * 2 : 64);
    uint32_t at = slot_of(ids, id);
    if (ids->slots[at]) return ids->slots[at] - 1;
    PB_GROW(ids->of, ids->cap, ids->n + 1);
    ids->of[ids->n++] = id;
    ids->slots[at] = ids->n;
    return ids->n - 1;
}

uint32_t rec_ids_find(const struct rec_ids *ids, int64_t id)
{
    if (!ids->n_slots) return REC_NO_ID;
    uint32_t at = slot_of(ids, id);
    return ids->slots[at] ? ids->slots[at] - 1 : REC_NO_ID;
}

void rec_ids_free(struct rec_ids *ids)
{
    pb_free(ids->of);
    pb_free(ids->slots);
    *ids = (struct rec_ids){0};
}

/* ------------------------------------------------------------------------------------------------ ratings */

void rec_ratings_free(struct rec_ratings *r)
{
    rec_ids_free(&r->users);
    rec_ids_free(&r->items);
    pb_free(r->list);
    pb_free(r->first);
    pb_free(r->user_of);
    *r = (struct rec_ratings){.min = r->min, .max = r->max};
}

int rec_ratings_add(struct rec_ratings *r, int64_t user, int64_t item, double value, const char *where,
                    struct pb_err *err)
{
    if (!((float)value >= r->min && (float)value <= r->max))
        return pb_fail(err, PBAY_INVALID_ARGUMENT,
                       "%s: the rating %g lies outside the scale of %g to %g; set rating_min and rating_max "
                       "if the scale is another one",
                       where, value, (double)r->min, (double)r->max);
    if (r->users.n == REC_NO_ID - 1 || r->items.n == REC_NO_ID - 1)
        return pb_fail(err, PBAY_OUT_OF_RANGE, "%s: more than %u users or items", where, REC_NO_ID - 1);
    if (r->n == r->cap) {
        /* Half again, not double: what is allocated and not used counts as well. */
        r->cap = r->cap ? r->cap + r->cap / 2 : 4096;
        r->list = pb_array_grow(r->list, r->cap, sizeof *r->list);
        r->user_of = pb_array_grow(r->user_of, r->cap, sizeof *r->user_of);
    }
    r->user_of[r->n] = rec_ids_add(&r->users, user);
    r->list[r->n++] = (struct rec_rating){rec_ids_add(&r->items, item), (float)value};
    return 0;
}

/* A user who rated an item twice: which of the two would count? */
static int check_twice(const struct rec_ratings *r, struct pb_err *err)
{
    uint32_t *last = pb_zalloc((size_t)r->items.n * sizeof *last); /* user + 1 who rated the item last */
    int rc = 0;
    for (uint32_t u = 0; u < r->users.n && !rc; u++) {
        for (uint64_t i = r->first[u]; i < r->first[u + 1] && !rc; i++) {
            uint32_t item = r->list[i].item;
            if (last[item] == u + 1)
                rc = pb_fail(err, PBAY_INVALID_ARGUMENT,
                             "user %lld rated item %lld twice; keep one rating for each user and item",
                             (long long)r->users.of[u], (long long)r->items.of[item]);
            last[item] = u + 1;
        }
    }
    pb_free(last);
    return rc;
}

int rec_ratings_group(struct rec_ratings *r, struct pb_err *err)
{
    if (!r->n) return pb_fail(err, PBAY_INVALID_ARGUMENT, "there are no ratings to learn from");
    uint64_t *first = pb_zalloc(((size_t)r->users.n + 1) * sizeof *first);
    for (uint64_t i = 0; i < r->n; i++) first[r->user_of[i] + 1]++;
    for (uint32_t u = 0; u < r->users.n; u++) first[u + 1] += first[u];
    struct rec_rating *list = pb_array(r->n, sizeof *list);
    uint64_t *next = pb_array((size_t)r->users.n, sizeof *next);
    memcpy(next, first, (size_t)r->users.n * sizeof *next);
    for (uint64_t i = 0; i < r->n; i++) list[next[r->user_of[i]]++] = r->list[i];
    pb_free(next);
    pb_free(r->list);
    pb_free(r->user_of);
    r->user_of = NULL;
    r->list = list;
    r->first = first;
    r->cap = r->n;
    return check_twice(r, err);
}

/* ------------------------------------------------------------------------------------------------ text */

bool rec_parse_id(pbay_str text, int64_t *id)
{
    if (pb_parse_i64(text, id)) return true;
    double v;
    if (!pb_parse_f64(text, &v) || v != floor(v) || fabs(v) > 9007199254740992.0) return false;
    *id = (int64_t)v;
    return true;
}

enum { MAX_COLUMNS = 64 };

struct csv {
    const char *name;
    uint64_t line;
    bool begun;         /* the first line that is not empty was seen */
    uint32_t column[3]; /* where user, item and rating stand */
    char where[512];
};

static const char *const roles[] = {"user", "item", "rating"};

/* Fields of a line, without quotes around them; CSV of numbers has nothing that needs them. Returns how many.
 */
static uint32_t cut(pbay_str line, pbay_str fields[MAX_COLUMNS])
{
    uint32_t n = 0;
    pbay_str f;
    while (n < MAX_COLUMNS && pb_str_split(&line, ',', &f)) {
        f = pb_str_trim(f);
        if (f.n >= 2 && f.p[0] == '"' && f.p[f.n - 1] == '"') f = pb_str(f.p + 1, f.n - 2);
        fields[n++] = f;
    }
    return n;
}

int rec_column_role(pbay_str name)
{
    static const struct {
        const char *name;
        int role;
    } known[] = {{"userid", 0}, {"user", 0}, {"uid", 0}, {"movieid", 1}, {"itemid", 1},
                 {"movie", 1},  {"item", 1}, {"iid", 1}, {"rating", 2},  {"stars", 2}};
    char bare[16];
    size_t n = 0;
    for (size_t i = 0; i < name.n; i++) {
        if (name.p[i] == '_') continue;
        if (n == sizeof bare) return -1;
        bare[n++] = name.p[i];
    }
    for (size_t i = 0; i < PB_COUNTOF(known); i++)
        if (pb_str_ieq(pb_str(bare, n), pb_str_c(known[i].name))) return known[i].role;
    return -1;
}

/* True: the line is a header, and the columns are known. */
static int read_header(struct csv *c, const pbay_str *fields, uint32_t n, bool *header, struct pb_err *err)
{
    double v;
    *header = n > 0 && !pb_parse_f64(fields[0], &v);
    for (uint32_t i = 0; i < 3; i++) c->column[i] = *header ? UINT32_MAX : i;
    if (!*header) return 0;
    for (uint32_t i = 0; i < n; i++) {
        int role = rec_column_role(fields[i]);
        if (role >= 0 && c->column[role] == UINT32_MAX) c->column[role] = i;
    }
    for (uint32_t i = 0; i < 3; i++)
        if (c->column[i] == UINT32_MAX)
            return pb_fail(
                err, PBAY_INVALID_ARGUMENT,
                "%s:%llu: no column for the %s; expected a header such as USERID,MOVIEID,RATING or "
                "three columns of numbers",
                c->name, (unsigned long long)c->line, roles[i]);
    return 0;
}

static int bad_field(const struct csv *c, uint32_t role, pbay_str text, const char *expected,
                     struct pb_err *err)
{
    return pb_fail(err, PBAY_INVALID_ARGUMENT, "%s:%llu: the %s is \"%.*s\"; expected %s", c->name,
                   (unsigned long long)c->line, roles[role], (int)(text.n < 80 ? text.n : 80), text.p,
                   expected);
}

static int read_line(struct rec_ratings *r, struct csv *c, const pbay_str *fields, uint32_t n,
                     struct pb_err *err)
{
    int64_t ids[2];
    double value;
    for (uint32_t i = 0; i < 3; i++)
        if (c->column[i] >= n)
            return pb_fail(err, PBAY_INVALID_ARGUMENT, "%s:%llu: %u columns; the %s is missing", c->name,
                           (unsigned long long)c->line, n, roles[i]);
    for (uint32_t i = 0; i < 2; i++)
        if (!rec_parse_id(fields[c->column[i]], &ids[i]))
            return bad_field(c, i, fields[c->column[i]], "a whole number", err);
    if (!pb_parse_f64(fields[c->column[2]], &value))
        return bad_field(c, 2, fields[c->column[2]], "a number", err);
    snprintf(c->where, sizeof c->where, "%s:%llu", c->name, (unsigned long long)c->line);
    return rec_ratings_add(r, ids[0], ids[1], value, c->where, err);
}

int rec_ratings_parse_csv(struct rec_ratings *r, const char *name, pbay_str text, struct pb_err *err)
{
    struct csv c = {.name = name};
    pbay_str fields[MAX_COLUMNS], line;
    if (pb_str_starts(text, PB_STR("\xef\xbb\xbf"))) text = pb_str(text.p + 3, text.n - 3);
    while (pb_str_split(&text, '\n', &line)) {
        c.line++;
        line = pb_str_trim(line);
        if (!line.n) continue;
        uint32_t n = cut(line, fields);
        bool header = false;
        if (!c.begun && read_header(&c, fields, n, &header, err)) return -1;
        c.begun = true;
        if (!header && read_line(r, &c, fields, n, err)) return -1;
    }
    return 0;
}

int rec_ratings_read_csv(struct rec_ratings *r, const char *path, struct pb_err *err)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    struct stat st;
    if (fd < 0 || fstat(fd, &st)) {
        int e = errno;
        if (fd >= 0) close(fd);
        return pb_fail(err, PBAY_NOT_FOUND, "%s cannot be read: %s", path, strerror(e));
    }
    if (!S_ISREG(st.st_mode)) {
        close(fd);
        return pb_fail(err, PBAY_INVALID_ARGUMENT, "%s is not a file", path);
    }
    int rc = 0;
    if (st.st_size > 0) {
        /* Mapped, so that a large file is not memory of ours. */
        void *p = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
        if (p == MAP_FAILED)
            rc = pb_fail(err, PBAY_UNAVAILABLE, "%s cannot be mapped: %s", path, strerror(errno));
        else {
            rc = rec_ratings_parse_csv(r, path, pb_str(p, (size_t)st.st_size), err);
            munmap(p, (size_t)st.st_size);
        }
    }
    close(fd);
    return rc;
}
