/* SPDX-License-Identifier: MIT */
/* Events as links see them: whose, how it ended, which occurrence. Pure. */
#include "base/clock.h"
#include "data/json_object.h"
#include "data/json_scan.h"
#include "flow/chain_priv.h"
#include "guard/digest.h"

enum { MEMBERS_MAX = 4096, DEPTH = 64 };

static pbay_str text_of(struct pb_occurred *o, const struct pb_json_object *data, const char *name)
{
    pbay_str value = pb_json_get(data, name), text;
    return value.p && pb_json_string(value, &o->mem, &text) ? text : pb_str("", 0);
}

static bool read_object(struct pb_occurred *o, pbay_str text, struct pb_json_object *out)
{
    struct pb_err err;
    *out = (struct pb_json_object){0};
    return text.p && pb_json_object(text, MEMBERS_MAX, DEPTH, &o->mem, out, &err) == 0;
}

/* Somebody wants it to happen once more. */
static void replayed(struct pb_occurred *o, const struct pb_json_object *data)
{
    pbay_str replay = text_of(o, data, "replay");
    if (replay.n)
        o->occurrence =
            pb_str_c(pb_arena_printf(&o->mem, "%.*s/%.*s", PB_FMT(o->occurrence), PB_FMT(replay)));
}

/* The end of our own job: {ok, code, message, result, key, args}; what it was about is in args and result. */
static void read_own_end(struct pb_occurred *o, const struct pb_json_object *data)
{
    struct pb_json_object args, result;
    bool ok = pb_str_is(pb_str_trim(pb_json_get(data, "ok")), "true");
    pbay_str key = text_of(o, data, "key");
    read_object(o, pb_json_get(data, "args"), &args);
    bool has = read_object(o, pb_json_get(data, "result"), &result);
    o->own_end = true;
    o->message = text_of(o, data, "message");
    if (key.n > PB_ID_LEN && key.p[PB_ID_LEN] == '-' && pb_id_valid(pb_str(key.p, PB_ID_LEN)))
        o->step = pb_str(key.p, PB_ID_LEN);
    if (o->step.n && !pb_parse_u64(pb_str(key.p + PB_ID_LEN + 1, key.n - PB_ID_LEN - 1), &o->attempt))
        o->attempt = 0; /* a person's doing */
    o->status = ok ? PB_ENDED_OK : PB_ENDED_ERROR;
    if (pb_str_is(text_of(o, data, "code"), "CANCELLED")) o->status = PB_ENDED_CANCELED;
    /* ALREADY_EXISTS: the other side has such a reload pending, and it is as good. */
    o->coalesced = !ok && pb_str_is(text_of(o, data, "code"), "ALREADY_EXISTS");
    if (o->coalesced) o->status = PB_ENDED_UNKNOWN;
    /* A job ends when somebody looks; what it was about ended before, and deadlines want to know when. */
    int64_t over;
    if (has && pb_parse_time(text_of(o, &result, "endTime"), &over) && over < o->time_ms) o->time_ms = over;
    o->again = ok && has && pb_str_is(pb_str_trim(pb_json_get(&result, "again")), "true");
    uint32_t said = has ? pb_ended_parse(text_of(o, &result, "status")) : 0;
    if (ok && said) o->status = said;
    if (said && !o->message.n) o->message = text_of(o, &result, "errorMessage");
    if (pb_str_is(o->type, "find_app.done") && ok) {
        o->title = text_of(o, &args, "name");
        o->space = text_of(o, &args, "space");
        o->found = text_of(o, &result, "appId");
    }
    if (!pb_str_is(o->type, "reload.done")) {
        o->occurrence = key;
        replayed(o, data);
        return;
    }
    o->title = text_of(o, &args, "name");
    o->space = text_of(o, &args, "space");
    if (o->title.n && ok) o->found = text_of(o, &result, "appId");
    o->app = true;
    o->subject = text_of(o, &args, "appId");
    if (!o->subject.n) o->subject = text_of(o, &result, "appId");
    o->occurrence = text_of(o, &result, "id");
    if (!o->occurrence.n) o->occurrence = text_of(o, data, "handle");
    if (!o->occurrence.n) o->occurrence = key;
    replayed(o, data);
}

static void read_other(struct pb_occurred *o, const struct pb_json_object *data)
{
    pbay_str status = text_of(o, data, "status");
    o->status = pb_ended_parse(status);
    if (!o->status) o->status = PB_ENDED_UNKNOWN;
    o->message = text_of(o, data, "error_message");
    if (!o->message.n) o->message = text_of(o, data, "message");
    /* A reload tells of an app, whatever else it is called. */
    if (!pb_str_is(o->type, "reload")) return;
    o->app = true;
    o->passing = pb_str_is(pb_str_trim(pb_json_get(data, "final")), "false");
    if (text_of(o, data, "app_id").n) o->subject = text_of(o, data, "app_id");
    o->title = text_of(o, data, "app_name");
    pbay_str reload = text_of(o, data, "reload_id");
    if (reload.n && reload.n <= 200) o->occurrence = reload;
    replayed(o, data);
}

static void put(struct pb_buf *b, const char *name, pbay_str value)
{
    pb_buf_printf(b, "%s\"%s\":", b->n > 1 ? "," : "", name);
    pb_buf_json(b, value);
}

/* What data says, and over it what the host knows. */
static void write_ev(struct pb_occurred *o, const struct pb_json_object *data, const struct pb_event *e)
{
    static const char *const own[] = {"event",  "connector", "event_type", "subject",
                                      "status", "time_ms",   "occurrence"};
    char time[PB_TIME_MAX];
    struct pb_buf b = {0};
    pb_format_time(e->time_ms, time);
    pb_buf_ch(&b, '{');
    put(&b, "event", o->event);
    put(&b, "connector", o->connector);
    put(&b, "event_type", o->type);
    put(&b, "subject", o->subject);
    put(&b, "status", pb_str_c(pb_ended_name(o->status)));
    put(&b, "occurrence", o->occurrence);
    if (o->message.n) put(&b, "message", o->message);
    pb_buf_printf(&b, ",\"time_ms\":%lld", (long long)e->time_ms);
    for (size_t i = 0; i < data->n; i++) {
        bool skip = false;
        for (size_t k = 0; k < PB_COUNTOF(own); k++) skip |= pb_str_is(data->members[i].name, own[k]);
        if (skip) continue;
        pb_buf_ch(&b, ',');
        pb_buf_json(&b, data->members[i].name);
        pb_buf_ch(&b, ':');
        pb_buf_str(&b, data->members[i].value);
    }
    pb_buf_ch(&b, '}');
    o->ev = pb_arena_str(&o->mem, pb_buf_view(&b));
    pb_buf_free(&b);
}

void pb_occurred_read(struct pb_occurred *o, const struct pb_event *e)
{
    struct pb_json_object data;
    *o = (struct pb_occurred){.time_ms = e->time_ms};
    o->event = pb_arena_str(&o->mem, e->id);
    o->connector = pb_arena_str(&o->mem, e->connector);
    o->type = pb_arena_str(&o->mem, e->type);
    o->subject = pb_arena_str(&o->mem, e->subject);
    o->occurrence = o->event;
    o->attempt = 0;
    o->title = o->step = o->message = o->space = o->found = pb_str("", 0);
    read_object(o, pb_arena_str(&o->mem, e->data), &data);
    if (pb_str_ends(o->type, PB_STR(".done")) && pb_json_get(&data, "ok").p)
        read_own_end(o, &data);
    else
        read_other(o, &data);
    if (!o->occurrence.n) o->occurrence = o->event;
    write_ev(o, &data, e);
}

void pb_occurred_free(struct pb_occurred *o)
{
    pb_arena_free(&o->mem);
}

/* ------------------------------------------------------------------------ bundles, apps, listeners */

void pb_chain_app_id(struct pb_store *s, const struct pb_chain_app *app, struct pb_buf *out)
{
    struct pb_err err;
    size_t n = out->n;
    if (app->id.n) {
        pb_buf_str(out, app->id);
    } else if (s) {
        char *key = pb_sprintf("id/%.*s/%.*s", PB_FMT(app->connector), PB_FMT(app->name));
        if (pb_store_kv_get(s, PB_STR("@chains"), pb_str_c(key), out, &err) != 0) out->n = n;
        pb_free(key);
    }
}

void pb_bundle_set(struct pb_bundle *b, struct pb_chains *chains)
{
    uint8_t sum[PB_SHA256_SIZE];
    *b = (struct pb_bundle){.chains = chains};
    pb_chains_bundle(chains, &b->text);
    pb_sha256(pb_buf_view(&b->text), sum);
    for (size_t i = 0; i < sizeof sum; i++) snprintf(b->hash + 2 * i, 3, "%02x", sum[i]);
}

void pb_bundle_clear(struct pb_bundle *b)
{
    pb_chains_free(b->chains);
    pb_buf_free(&b->text);
    *b = (struct pb_bundle){0};
}

bool pb_chain_listens(const struct pb_bundle *now, const struct pb_event_put *event)
{
    uint32_t n = 0;
    if (!now || !now->chains) return false;
    /* Ends of apps concern runs, limits and deadlines, also when no link names them any more. */
    if (pb_str_is(event->type, "reload") || pb_str_ends(event->type, PB_STR(".done"))) return true;
    pb_chains_on_event(now->chains, event->connector, event->type, &n);
    return n > 0;
}
