/* SPDX-License-Identifier: MIT */
/*
 * Ratings: who gave what how many stars, read once and kept grouped by user.
 *
 * Ids are whole numbers of the caller's own; inside they are counted from 0 in the order of their first
 * appearance. A rating takes 8 bytes (and one more while there are folds). Threads: one while it is filled,
 * any afterwards.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/str.h"

/* Ids and the numbers that stand for them. */
struct rec_ids {
    int64_t *of; /* of[index] is the id */
    uint32_t n;
    uint32_t *slots; /* index + 1; 0 is free */
    uint32_t n_slots;
    uint32_t cap;
};

enum { REC_NO_ID = UINT32_MAX };

/* The index of an id; a new one gets the next. */
uint32_t rec_ids_add(struct rec_ids *ids, int64_t id);
/* REC_NO_ID: unknown. */
uint32_t rec_ids_find(const struct rec_ids *ids, int64_t id);
void rec_ids_free(struct rec_ids *ids);

struct rec_rating {
    uint32_t item;
    float value;
};

struct rec_ratings {
    struct rec_ids users, items;
    float min, max; /* the scale; what lies outside is refused */

    /* After rec_ratings_group: those of user u are list[first[u]] .. list[first[u + 1] - 1], as they came. */
    struct rec_rating *list;
    uint64_t *first;
    uint64_t n;

    /* Before it. */
    uint32_t *user_of;
    uint64_t cap;
};

/* Zero-initialise and set min and max. */
void rec_ratings_free(struct rec_ratings *r);
/* One more, at `where` for messages ("ratings.csv:17"). Errors: INVALID_ARGUMENT (not a number on the scale).
 */
int rec_ratings_add(struct rec_ratings *r, int64_t user, int64_t item, double value, const char *where,
                    struct pb_err *err);
/*
 * Group by user. Errors: INVALID_ARGUMENT when there are none, or a user rated an item twice (which ones).
 */
int rec_ratings_group(struct rec_ratings *r, struct pb_err *err);

/* What a column of that name holds: 0 the user, 1 the item, 2 the rating; -1: something else. */
int rec_column_role(pbay_str name);
/* A user's or an item's id: a whole number, also written "12.0" as warehouses do. */
bool rec_parse_id(pbay_str text, int64_t *id);

/*
 * Read a CSV file: user, item and rating by the names of a header line (userid, movieid or itemid, rating;
 * whatever the case, with or without "_"; other columns are passed over), or the first three columns when the
 * first line is numbers. Errors name FILE:LINE and the value.
 */
int rec_ratings_read_csv(struct rec_ratings *r, const char *path, struct pb_err *err);
/* The same of text that is there; `name` is for messages. */
int rec_ratings_parse_csv(struct rec_ratings *r, const char *name, pbay_str text, struct pb_err *err);
