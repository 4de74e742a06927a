/* SPDX-License-Identifier: MIT */
#include "store/events.h"

#include <stddef.h>

#include "base/check.h"
#include "base/mem.h"
#include "store/engine.h"

struct pb_event *pb__event_pack(const struct pb_event *e)
{
    static const size_t strs[] = {offsetof(struct pb_event, id), offsetof(struct pb_event, connector),
                                  offsetof(struct pb_event, type), offsetof(struct pb_event, subject),
                                  offsetof(struct pb_event, data)};
    return pb__store_pack(e, sizeof *e, strs, PB_COUNTOF(strs));
}

static int check_put(const struct pb_event_put *in, struct pb_err *err)
{
    if (pb__check_name("connector", in->connector, 1, err) != 0 ||
        pb__check_name("type", in->type, 1, err) != 0 ||
        pb__check_size("subject", in->subject, 4096, err) != 0 ||
        pb__check_size("data", in->data, PB_EVENT_DATA_MAX, err) != 0)
        return -1;
    if (!pb_utf8_valid(in->subject))
        return pb_fail(err, PBAY_INVALID_ARGUMENT, "a subject that is not text in UTF-8");
    if (in->n_keys > PB_EVENT_KEYS_MAX)
        return pb_fail(err, PBAY_INVALID_ARGUMENT, "%zu keys of one event; expected at most %d", in->n_keys,
                       PB_EVENT_KEYS_MAX);
    for (size_t i = 0; i < in->n_keys; i++)
        if (!in->keys[i].n || in->keys[i].n > PB_STORE_KEY_MAX)
            return pb_fail(err, PBAY_INVALID_ARGUMENT, "a key of %zu bytes; expected 1 to %d", in->keys[i].n,
                           PB_STORE_KEY_MAX);
    return 0;
}

struct put {
    const struct pb_event_put *in;
    char *id;
    bool *known;
};

static int put(struct pb_store *s, void *user, struct pb_err *err)
{
    struct put *p = user;
    if (s->engine->event_put(s, p->in, p->id, p->known, err) != 0) return -1;
    if (*p->known) return 0;
    for (size_t i = 0; i < p->in->n_jobs; i++) {
        struct pb_job_put job = p->in->jobs[i];
        char id[PB_ID_SIZE];
        bool known;
        job.cause = pb_str(p->id, PB_ID_LEN);
        if (pb_store_job_put(s, &job, id, &known, err) != 0) return -1;
    }
    return 0;
}

int pb_store_event_put(struct pb_store *s, const struct pb_event_put *in, char id[PB_ID_SIZE], bool *known,
                       struct pb_err *err)
{
    PB_MAGIC_CHECK(s, PB_STORE_MAGIC);
    if (check_put(in, err) != 0) return -1;
    struct put p = {in, id, known};
    return pb_store_atomic(s, put, &p, err);
}

int pb_store_event_get(struct pb_store *s, pbay_str id, struct pb_event **out, struct pb_err *err)
{
    PB_MAGIC_CHECK(s, PB_STORE_MAGIC);
    *out = NULL;
    return s->engine->event_get(s, id, out, err);
}

int pb_store_event_list(struct pb_store *s, const struct pb_event_filter *f, struct pb_events *out,
                        struct pb_err *err)
{
    PB_MAGIC_CHECK(s, PB_STORE_MAGIC);
    struct pb_event_filter g = *f;
    *out = (struct pb_events){NULL, 0, 0};
    if (!g.limit || g.limit > PB_LIST_MAX) g.limit = PB_LIST_MAX;
    return s->engine->event_list(s, &g, out, err);
}

void pb_events_free(struct pb_events *list)
{
    for (size_t i = 0; i < list->n; i++) pb_free(list->items[i]);
    pb_free(list->items);
    *list = (struct pb_events){NULL, 0, 0};
}

int pb_store_cursor_get(struct pb_store *s, pbay_str connector, pbay_str source, struct pb_buf *out,
                        struct pb_err *err)
{
    PB_MAGIC_CHECK(s, PB_STORE_MAGIC);
    if (pb__check_name("connector", connector, 1, err) != 0 || pb__check_name("source", source, 0, err) != 0)
        return -1;
    return s->engine->cursor_get(s, connector, source, out, err);
}

int pb_store_cursor_put(struct pb_store *s, pbay_str connector, pbay_str source, pbay_str cursor,
                        struct pb_err *err)
{
    PB_MAGIC_CHECK(s, PB_STORE_MAGIC);
    if (pb__check_name("connector", connector, 1, err) != 0 ||
        pb__check_name("source", source, 0, err) != 0 ||
        pb__check_size("cursor", cursor, PB_STORE_VALUE_MAX, err) != 0)
        return -1;
    return s->engine->cursor_put(s, connector, source, cursor, err);
}
