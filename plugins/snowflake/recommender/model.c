/* SPDX-License-Identifier: MIT */
#include "model.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#include "base/mem.h"

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "the model's file is written as memory is");

float *rec_floats(uint64_t n)
{
    size_t bytes = ((size_t)n * sizeof(float) + 63) & ~(size_t)63;
    float *p = aligned_alloc(64, bytes ? bytes : 64);
    if (!p) {
        fprintf(stderr, "recommender: no memory for %zu bytes\n", bytes);
        abort();
    }
    memset(p, 0, bytes);
    return p;
}

static uint32_t stride_of(uint32_t n_factors)
{
    return (n_factors + REC_PAD - 1) / REC_PAD * REC_PAD;
}

void rec_model_init(struct rec_model *m, uint32_t n_users, uint32_t n_items, uint32_t n_factors)
{
    *m = (struct rec_model){.n_factors = n_factors, .stride = stride_of(n_factors), .kernels = rec_kernels()};
    m->bu = rec_floats(n_users);
    m->bi = rec_floats(n_items);
    m->p = rec_floats((uint64_t)n_users * m->stride);
    m->q = rec_floats((uint64_t)n_items * m->stride);
}

void rec_model_free(struct rec_model *m)
{
    rec_ids_free(&m->users);
    rec_ids_free(&m->items);
    free(m->bu);
    free(m->bi);
    free(m->p);
    free(m->q);
    *m = (struct rec_model){0};
}

uint64_t rec_model_bytes(uint32_t n_users, uint32_t n_items, uint32_t n_factors)
{
    return ((uint64_t)n_users + n_items) * (stride_of(n_factors) + 1) * sizeof(float);
}

float rec_estimate_raw(const struct rec_model *m, uint32_t user, uint32_t item)
{
    float v = m->mean;
    if (user != REC_NO_ID) v += m->bu[user];
    if (item != REC_NO_ID) v += m->bi[item];
    if (user != REC_NO_ID && item != REC_NO_ID)
        v += m->kernels->dot(m->p + (size_t)user * m->stride, m->q + (size_t)item * m->stride, m->stride);
    return v;
}

float rec_estimate(const struct rec_model *m, uint32_t user, uint32_t item)
{
    float v = rec_estimate_raw(m, user, item);
    return v < m->min ? m->min : v > m->max ? m->max : v;
}

/* ------------------------------------------------------------------------------------------------ the file
 */

struct head {
    char magic[8];
    uint32_t n_users, n_items, n_factors;
    float mean, min, max;
    uint32_t crc; /* of everything else */
    uint32_t reserved;
};

static const char magic[8] = "PBREC1\n";

struct file {
    FILE *f;
    const char *path;
    uLong crc;
};

static int put(struct file *f, const void *p, size_t n)
{
    f->crc = crc32_z(f->crc, p, n);
    return fwrite(p, 1, n, f->f) == n ? 0 : -1;
}

/* Factors without their padding. */
static int put_rows(struct file *f, const float *p, uint32_t n, const struct rec_model *m)
{
    for (uint32_t i = 0; i < n; i++)
        if (put(f, p + (size_t)i * m->stride, m->n_factors * sizeof *p)) return -1;
    return 0;
}

static int put_all(struct file *f, const struct rec_model *m)
{
    struct head h = {.n_users = m->users.n,
                     .n_items = m->items.n,
                     .n_factors = m->n_factors,
                     .mean = m->mean,
                     .min = m->min,
                     .max = m->max};
    memcpy(h.magic, magic, sizeof magic);
    if (fwrite(&h, sizeof h, 1, f->f) != 1) return -1;
    f->crc = crc32_z(0, (const void *)&h, sizeof h);
    if (put(f, m->users.of, m->users.n * sizeof *m->users.of) ||
        put(f, m->items.of, m->items.n * sizeof *m->items.of) || put(f, m->bu, m->users.n * sizeof *m->bu) ||
        put(f, m->bi, m->items.n * sizeof *m->bi) || put_rows(f, m->p, m->users.n, m) ||
        put_rows(f, m->q, m->items.n, m))
        return -1;
    h.crc = (uint32_t)f->crc;
    return fseek(f->f, 0, SEEK_SET) || fwrite(&h, sizeof h, 1, f->f) != 1 ? -1 : 0;
}

int rec_model_save(const struct rec_model *m, const char *path, struct pb_err *err)
{
    char *beside = pb_sprintf("%s.new", path);
    struct file f = {fopen(beside, "we"), path, 0};
    int rc = f.f ? put_all(&f, m) : -1;
    if (!rc && (fflush(f.f) || fsync(fileno(f.f)))) rc = -1;
    int e = errno;
    if (f.f && fclose(f.f) && !rc) {
        e = errno;
        rc = -1;
    }
    if (!rc && rename(beside, path)) {
        e = errno;
        rc = -1;
    }
    if (rc) {
        unlink(beside);
        pb_fail(err, PBAY_UNAVAILABLE, "the model cannot be written to %s: %s", path, strerror(e));
    }
    pb_free(beside);
    return rc;
}

static int get(struct file *f, void *p, size_t n)
{
    if (fread(p, 1, n, f->f) != n) return -1;
    f->crc = crc32_z(f->crc, p, n);
    return 0;
}

static int get_ids(struct file *f, struct rec_ids *ids, uint32_t n)
{
    int64_t id;
    for (uint32_t i = 0; i < n; i++)
        if (get(f, &id, sizeof id) || rec_ids_add(ids, id) != i) return -1;
    return 0;
}

static int get_rows(struct file *f, float *p, uint32_t n, const struct rec_model *m)
{
    for (uint32_t i = 0; i < n; i++)
        if (get(f, p + (size_t)i * m->stride, m->n_factors * sizeof *p)) return -1;
    return 0;
}

static int damaged(const char *path, const char *how, struct pb_err *err)
{
    return pb_fail(err, PBAY_DATA_LOSS, "%s %s; train the model again or fetch the file again", path, how);
}

/* The sizes are checked against the file's before anything is allocated. */
static int check_head(const struct head *h, uint64_t size, const char *path, struct pb_err *err)
{
    if (memcmp(h->magic, magic, sizeof magic)) return damaged(path, "is not a model of this program", err);
    uint64_t each = sizeof(int64_t) + sizeof(float) + (uint64_t)h->n_factors * sizeof(float);
    if (h->n_factors < 1 || h->n_factors > 4096 || !isfinite(h->mean) || !(h->min < h->max))
        return damaged(path, "has a head that makes no sense", err);
    uint64_t expected = sizeof *h + ((uint64_t)h->n_users + h->n_items) * each;
    if (size < expected) return damaged(path, "was cut off", err);
    if (size > expected) return damaged(path, "has something behind its end", err);
    return 0;
}

static int get_all(struct file *f, struct rec_model *m, uint64_t size, struct pb_err *err)
{
    struct head h = {0};
    if (size < sizeof h || fread(&h, sizeof h, 1, f->f) != 1) return damaged(f->path, "was cut off", err);
    if (check_head(&h, size, f->path, err)) return -1;
    rec_model_init(m, h.n_users, h.n_items, h.n_factors);
    m->mean = h.mean;
    m->min = h.min;
    m->max = h.max;
    uint32_t crc = h.crc;
    h.crc = 0;
    f->crc = crc32_z(0, (const void *)&h, sizeof h);
    if (get_ids(f, &m->users, h.n_users) || get_ids(f, &m->items, h.n_items))
        return damaged(f->path, "names a user or an item twice", err);
    if (get(f, m->bu, h.n_users * sizeof *m->bu) || get(f, m->bi, h.n_items * sizeof *m->bi) ||
        get_rows(f, m->p, h.n_users, m) || get_rows(f, m->q, h.n_items, m))
        return damaged(f->path, "cannot be read to its end", err);
    return (uint32_t)f->crc == crc ? 0
                                   : damaged(f->path, "is not what was written (its checksum differs)", err);
}

int rec_model_load(struct rec_model *m, const char *path, struct pb_err *err)
{
    *m = (struct rec_model){0};
    struct file f = {fopen(path, "re"), path, 0};
    struct stat st;
    if (!f.f || fstat(fileno(f.f), &st)) {
        int e = errno;
        if (f.f) fclose(f.f);
        return pb_fail(err, PBAY_NOT_FOUND, "the model %s cannot be read: %s", path, strerror(e));
    }
    int rc = get_all(&f, m, (uint64_t)st.st_size, err);
    fclose(f.f);
    if (rc) rec_model_free(m);
    return rc;
}
