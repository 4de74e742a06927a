/* SPDX-License-Identifier: MIT */
#include "flow/chain_log.h"

#include "base/mem.h"
#include "data/json_object.h"
#include "flow/chain_priv.h"

enum { LOOK_BACK = 32, MEMBERS = 64, DEPTH = 16 };

/* The last lines of text, without the newline at its end. */
static pbay_str tail(pbay_str text, uint32_t lines)
{
    while (text.n && (text.p[text.n - 1] == '\n' || text.p[text.n - 1] == '\r')) text.n--;
    size_t at = text.n;
    while (at > 0 && !(text.p[at - 1] == '\n' && --lines == 0)) at--;
    return pb_str(text.p + at, text.n - at);
}

/* Is it that reload's? Then its log is appended. */
static bool take(const struct pb_event *e, pbay_str reload, uint32_t lines, struct pb_buf *out)
{
    struct pb_arena mem = {0};
    struct pb_json_object o;
    struct pb_err err;
    pbay_str id, log;
    bool its = pb_json_object(e->data, MEMBERS, DEPTH, &mem, &o, &err) == 0 &&
               pb_json_string(pb_json_get(&o, "reload_id"), &mem, &id) && pb_str_eq(id, reload) &&
               pb_json_string(pb_json_get(&o, "log"), &mem, &log);
    if (its) pb_buf_str(out, tail(log, lines));
    pb_arena_free(&mem);
    return its;
}

int pb_chain_log(struct pb_store *s, pbay_str cause, uint32_t lines, bool *reload, struct pb_buf *out,
                 struct pb_err *err)
{
    struct pb_event *e;
    struct pb_events logs = {0};
    *reload = false;
    if (!cause.n || !lines) return 0;
    if (pb_store_event_get(s, cause, &e, err)) return err->code == PBAY_NOT_FOUND ? 0 : -1;
    struct pb_occurred o = {0};
    pb_occurred_read(&o, e);
    *reload = o.app && o.status == PB_ENDED_ERROR && o.occurrence.n;
    const struct pb_event_filter filter = {
        .connector = o.connector, .type = PB_STR("script_log"), .subject = o.subject, .limit = LOOK_BACK};
    int rc = *reload ? pb_store_event_list(s, &filter, &logs, err) : 0;
    for (size_t i = 0; rc == 0 && i < logs.n; i++)
        if (take(logs.items[i], o.occurrence, lines, out)) break;
    pb_events_free(&logs);
    pb_occurred_free(&o);
    pb_free(e);
    return rc;
}
