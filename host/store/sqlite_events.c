/* SPDX-License-Identifier: MIT */
/* Events, their keys, and how far sources were read. */
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "base/attr.h"
#include "base/clock.h"
#include "base/mem.h"
#include "store/sqlite.h"

/* 1 with its id and row number, 0, -1. */
static int known_by(struct pb_sq *s, const struct pb_event_put *in, char id[PB_ID_SIZE], int64_t *seq,
                    struct pb_err *err)
{
    int rc = 0;
    for (size_t i = 0; i < in->n_keys && rc == 0; i++) {
        sqlite3_stmt *st;
        rc = pb_sq_find(s, PB_SQ_EVENT_KEY, &st, err, "tb", in->connector, in->keys[i]);
        if (rc != 1) continue;
        memcpy(id, pb_sq_col(st, 0).p, PB_ID_LEN);
        id[PB_ID_LEN] = 0;
        *seq = sqlite3_column_int64(st, 1);
        pb_sq_done(st);
    }
    return rc;
}

static int put(struct pb_sq *s, const struct pb_event_put *in, char id[PB_ID_SIZE], bool *known,
               struct pb_err *err)
{
    int64_t seq = 0;
    int rc = known_by(s, in, id, &seq, err);
    if (rc < 0) return -1;
    *known = rc == 1;
    if (!*known) {
        pb_id_make(id);
        if (pb_sq_write(s, PB_SQ_EVENT_PUT, err, "ttttiib", pb_str(id, PB_ID_LEN), in->connector, in->type,
                        in->subject, in->time_ms, pb_now_ms(), in->data) != 0)
            return -1;
        seq = sqlite3_last_insert_rowid(s->db);
    }
    for (size_t i = 0; i < in->n_keys; i++)
        if (pb_sq_write(s, PB_SQ_EVENT_KEY_PUT, err, "tbi", in->connector, in->keys[i], seq) != 0) return -1;
    return 0;
}

int pb_sq_event_put(struct pb_store *store, const struct pb_event_put *in, char id[PB_ID_SIZE], bool *known,
                    struct pb_err *err)
{
    struct pb_sq *s = PB_CONTAINER(store, struct pb_sq, head);
    if (pb_sq_begin(s, err) != 0) return -1;
    return pb_sq_end(s, put(s, in, id, known, err), err);
}

static struct pb_event *row(sqlite3_stmt *st)
{
    struct pb_event e = {.id = pb_sq_col(st, 0),
                         .connector = pb_sq_col(st, 1),
                         .type = pb_sq_col(st, 2),
                         .subject = pb_sq_col(st, 3),
                         .data = pb_sq_col(st, 4),
                         .time_ms = sqlite3_column_int64(st, 5),
                         .stored_ms = sqlite3_column_int64(st, 6)};
    return pb__event_pack(&e);
}

static int no_event(pbay_str id, struct pb_err *err)
{
    return pb_fail(err, PBAY_NOT_FOUND, "no event \"%.*s\"", PB_FMT(id));
}

int pb_sq_event_get(struct pb_store *store, pbay_str id, struct pb_event **out, struct pb_err *err)
{
    struct pb_sq *s = PB_CONTAINER(store, struct pb_sq, head);
    sqlite3_stmt *st;
    int rc = pb_sq_find(s, PB_SQ_EVENT_GET, &st, err, "t", id);
    if (rc < 0) return -1;
    if (rc == 0) return no_event(id, err);
    *out = row(st);
    pb_sq_done(st);
    return 0;
}

int pb_sq_event_list(struct pb_store *store, const struct pb_event_filter *f, struct pb_events *out,
                     struct pb_err *err)
{
    struct pb_sq *s = PB_CONTAINER(store, struct pb_sq, head);
    sqlite3_stmt *st;
    int64_t before = INT64_MAX;
    int rc;
    if (f->before.n) {
        rc = pb_sq_find(s, PB_SQ_EVENT_SEQ, &st, err, "t", f->before);
        if (rc < 0) return -1;
        if (rc == 0) return no_event(f->before, err);
        before = sqlite3_column_int64(st, 0);
        pb_sq_done(st);
    }
    rc = pb_sq_find(s, PB_SQ_EVENT_LIST, &st, err, "ittti", before, f->connector, f->type, f->subject,
                    (int64_t)f->limit);
    while (rc == 1) {
        out->items = pb__store_grow(out->items, out->n, &out->cap);
        out->items[out->n++] = row(st);
        rc = pb_sq_step(s, st, "read", err);
    }
    if (st) pb_sq_done(st);
    return rc;
}

int pb_sq_cursor_get(struct pb_store *store, pbay_str connector, pbay_str source, struct pb_buf *out,
                     struct pb_err *err)
{
    struct pb_sq *s = PB_CONTAINER(store, struct pb_sq, head);
    sqlite3_stmt *st;
    int rc = pb_sq_find(s, PB_SQ_CURSOR_GET, &st, err, "tt", connector, source);
    if (rc != 1) return rc;
    pb_buf_str(out, pb_sq_col(st, 0));
    pb_sq_done(st);
    return 0;
}

int pb_sq_cursor_put(struct pb_store *store, pbay_str connector, pbay_str source, pbay_str cursor,
                     struct pb_err *err)
{
    struct pb_sq *s = PB_CONTAINER(store, struct pb_sq, head);
    if (pb_sq_begin(s, err) != 0) return -1;
    int rc = pb_sq_write(s, PB_SQ_CURSOR_PUT, err, "ttbi", connector, source, cursor, pb_now_ms());
    return pb_sq_end(s, rc, err);
}
