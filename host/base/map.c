/* SPDX-License-Identifier: MIT */
#include "base/map.h"

#include <sys/random.h>
#include <time.h>

#include "base/mem.h"
#include "base/str.h"

static uint64_t seed(void)
{
    static uint64_t s;
    if (!s) {
        if (getrandom(&s, sizeof s, GRND_NONBLOCK) != (ssize_t)sizeof s)
            s = (uint64_t)time(NULL) * 0x9e3779b97f4a7c15u;
        s |= 1;
    }
    return s;
}

static uint64_t mix(uint64_t x)
{
    x ^= x >> 32;
    x *= UINT64_C(0xd6e8feb86659fd93);
    x ^= x >> 32;
    x *= UINT64_C(0xd6e8feb86659fd93);
    return x ^ (x >> 32);
}

uint64_t pb_hash(pbay_str s)
{
    uint64_t h = seed() ^ s.n * UINT64_C(0x9e3779b97f4a7c15), w;
    size_t i = 0;
    for (; i + 8 <= s.n; i += 8) {
        memcpy(&w, s.p + i, 8);
        h = mix(h ^ w);
    }
    w = 0;
    if (s.n > i) memcpy(&w, s.p + i, s.n - i);
    return mix(h ^ w);
}

/* The slot that holds the key, or the free one where it belongs. */
static size_t find(const struct pb_map *m, pbay_str key, uint64_t h)
{
    size_t i = (size_t)h & (m->n_slots - 1);
    for (;; i = (i + 1) & (m->n_slots - 1)) {
        if (!m->slots[i]) return i;
        const struct pb_map_entry *e = &m->entries[m->slots[i] - 1];
        if (e->hash == h && pb_str_eq(e->key, key)) return i;
    }
}

static void rebuild(struct pb_map *m, size_t n_slots)
{
    pb_free(m->slots);
    m->slots = pb_zalloc(n_slots * sizeof *m->slots);
    m->n_slots = n_slots;
    for (size_t i = 0; i < m->n; i++) {
        size_t at = (size_t)m->entries[i].hash & (n_slots - 1);
        while (m->slots[at]) at = (at + 1) & (n_slots - 1);
        m->slots[at] = (uint32_t)i + 1;
    }
}

void *pb_map_get(const struct pb_map *m, pbay_str key)
{
    if (!m->n) return NULL;
    uint32_t s = m->slots[find(m, key, pb_hash(key))];
    return s ? m->entries[s - 1].value : NULL;
}

void *pb_map_set(struct pb_map *m, pbay_str key, void *value)
{
    uint64_t h = pb_hash(key);
    if ((m->n + 1) * 2 > m->n_slots) rebuild(m, m->n_slots ? m->n_slots * 2 : 16);
    size_t at = find(m, key, h);
    if (m->slots[at]) {
        struct pb_map_entry *e = &m->entries[m->slots[at] - 1];
        void *old = e->value;
        e->value = value;
        e->key = key;
        return old;
    }
    PB_GROW(m->entries, m->cap, m->n + 1);
    m->entries[m->n] = (struct pb_map_entry){key, value, h};
    m->slots[at] = (uint32_t)++m->n;
    return NULL;
}

bool pb_map_add(struct pb_map *m, pbay_str key, void *value)
{
    if (pb_map_get(m, key)) return false;
    pb_map_set(m, key, value);
    return true;
}

void *pb_map_remove(struct pb_map *m, pbay_str key)
{
    if (!m->n) return NULL;
    size_t at = find(m, key, pb_hash(key));
    if (!m->slots[at]) return NULL;
    size_t i = m->slots[at] - 1;
    void *old = m->entries[i].value;
    m->entries[i] = m->entries[--m->n];
    rebuild(m, m->n_slots);
    return old;
}

void pb_map_free(struct pb_map *m)
{
    pb_free(m->entries);
    pb_free(m->slots);
    *m = (struct pb_map){0};
}
