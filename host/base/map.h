/* SPDX-License-Identifier: MIT */
/*
 * String -> pointer, in insertion order when walked. Keys are borrowed: they live at least as long as the
 * entry. Keys may come from outside: the hash is seeded per process. Owner: whoever holds the struct; zero is
 * empty.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <patchbay/types.h>

struct pb_map_entry {
    pbay_str key;
    void *value;
    uint64_t hash;
};

struct pb_map {
    struct pb_map_entry *entries; /* n of them, in insertion order */
    size_t n, cap;
    uint32_t *slots; /* index + 1, 0 = free; a power of two of them */
    size_t n_slots;
};

/* NULL when absent. */
void *pb_map_get(const struct pb_map *m, pbay_str key);
/* False, and nothing changed, when the key is there already. value must not be NULL. */
bool pb_map_add(struct pb_map *m, pbay_str key, void *value);
/* Add or replace; returns what was there or NULL. */
void *pb_map_set(struct pb_map *m, pbay_str key, void *value);
/* Returns what was there or NULL. The last entry takes its place in the order. */
void *pb_map_remove(struct pb_map *m, pbay_str key);
void pb_map_free(struct pb_map *m);
/* The seeded hash of bytes, for tables of one's own. */
uint64_t pb_hash(pbay_str s);
