/* SPDX-License-Identifier: MIT */
#include "envelope.h"

#include <stdio.h>
#include <string.h>

#include "kit/time.h"

enum { RAW_MAX = 512 * 1024 }; /* bytes of `data` that are kept */

#define STR(lit)    ((pbay_str){(lit), sizeof(lit) - 1})
#define COUNT(a)    (sizeof(a) / sizeof *(a))
#define IS(s, text) ((s).n == sizeof(text) - 1 && memcmp((s).p, (text), sizeof(text) - 1) == 0)

static pbay_str text_of(const json_t *v)
{
    return json_is_string(v) ? (pbay_str){json_string_value(v), json_string_length(v)} : (pbay_str){NULL, 0};
}

static pbay_str member(const json_t *o, const char *name)
{
    return text_of(json_object_get(o, name));
}

/* The first of several that is there. */
static pbay_str either(pbay_str a, pbay_str b)
{
    return a.n ? a : b;
}

/* ------------------------------------------------------------------------------------------------ before
 * parsing */

struct scan {
    pbay_str body;
    size_t at;
};

/* From behind the opening quote to behind the closing one; 0: it does not end. */
static int skip_string(struct scan *s)
{
    while (s->at < s->body.n) {
        char c = s->body.p[s->at++];
        if (c == '"') return 1;
        if (c == '\\') s->at++;
    }
    return 0;
}

/*
 * How deep does it go, and where is the member `data` of the outermost object? Only bytes are looked at; what
 * is no JSON is found by the parser. 0: deeper than ENVELOPE_DEPTH.
 */
static int survey(pbay_str body, pbay_str *data)
{
    struct scan s = {body, 0};
    unsigned depth = 0;
    int is_data = 0; /* 1: behind the name, 2: in the value */
    size_t from = 0;
    *data = (pbay_str){NULL, 0};
    while (s.at < body.n) {
        size_t at = s.at;
        char c = body.p[s.at++];
        if (c == '"') {
            if (!skip_string(&s)) return 1;
            if (depth == 1 && is_data == 0 && s.at - at == 6 && memcmp(body.p + at, "\"data\"", 6) == 0)
                is_data = 1;
        } else if (c == '{' || c == '[') {
            if (++depth > ENVELOPE_DEPTH) return 0;
        } else if (c == '}' || c == ']') {
            if (depth) depth--;
        }
        if (depth == 1 && is_data == 1 && c == ':') {
            is_data = 2;
            from = s.at;
        } else if (is_data == 2 && ((depth == 1 && c == ',') || (depth == 0 && c == '}'))) {
            *data = (pbay_str){body.p + from, at - from};
            is_data = 3;
        } else if (depth == 1 && is_data == 1 && c == ',') {
            is_data = 0; /* it was a value, not a name */
        }
    }
    return 1;
}

/* ------------------------------------------------------------------------------------------------ words */

const char *status_name(enum event_status s)
{
    static const char *const names[] = {"unknown", "ok", "error", "canceled"};
    return names[s];
}

enum event_status status_of(pbay_str w)
{
    if (IS(w, "ok") || IS(w, "SUCCEEDED")) return STATUS_OK;
    if (IS(w, "error") || IS(w, "FAILED") || IS(w, "EXCEEDED_LIMIT")) return STATUS_ERROR;
    return IS(w, "CANCELED") ? STATUS_CANCELED : STATUS_UNKNOWN;
}

static int starts(pbay_str s, const char *with)
{
    size_t n = strlen(with);
    return s.n >= n && memcmp(s.p, with, n) == 0;
}

/* Without "com.qlik." and the version behind it. */
static pbay_str bare(pbay_str type)
{
    static const char *const heads[] = {"com.qlik.", "v1."};
    for (size_t i = 0; i < COUNT(heads); i++)
        if (starts(type, heads[i])) {
            type.p += strlen(heads[i]);
            type.n -= strlen(heads[i]);
        }
    return type;
}

int type_matches(pbay_str type, pbay_str wanted)
{
    type = bare(type);
    wanted = bare(wanted);
    return type.n == wanted.n && memcmp(type.p, wanted.p, type.n) == 0;
}

void type_short(pbay_str type, char *out, size_t size)
{
    size_t n = 0;
    type = bare(type);
    for (size_t i = 0; i < type.n && n + 1 < size; i++) {
        char c = type.p[i];
        int plain = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
        out[n++] = plain ? c : (c >= 'A' && c <= 'Z') ? (char)(c + 32) : '_';
    }
    out[n] = 0;
}

static enum event_kind kind_of(pbay_str type)
{
    type = bare(type);
    if (IS(type, "reload.finished")) return EVENT_RELOAD;
    return IS(type, "app.reload.finished") || IS(type, "app.reload.ended") ? EVENT_APP_RELOAD : EVENT_OTHER;
}

static int good_id(pbay_str s)
{
    if (s.n > ENVELOPE_ID_MAX) return 0;
    for (size_t i = 0; i < s.n; i++)
        if (s.p[i] < '!' || s.p[i] > '~') return 0;
    return 1;
}

/* ------------------------------------------------------------------------------------------------ reading */

static int bad(char why[ENVELOPE_WHY], const char *what)
{
    snprintf(why, ENVELOPE_WHY, "%s", what);
    return -1;
}

static void read_attributes(struct envelope *e, const json_t *ext)
{
    const json_t *r = e->root;
    pbay_str old = member(r, "eventType"), time = either(member(r, "time"), member(r, "eventTime"));
    e->type = either(member(r, "type"), old);
    e->types_differ = old.n && !(old.n == e->type.n && memcmp(old.p, e->type.p, old.n) == 0);
    e->id = either(member(r, "id"), either(member(r, "eventId"), member(r, "eventID")));
    e->tenant = either(member(r, "tenantid"), member(ext, "tenantId"));
    e->user = either(either(member(r, "userid"), member(ext, "userId")), member(ext, "userid"));
    e->space = either(member(r, "spaceid"), member(ext, "spaceId"));
    int64_t ms = time.n ? pbay_time_rfc3339(time) : -1;
    e->time_ms = ms < 0 ? 0 : ms;
}

static void read_reload(struct envelope *e, const json_t *data)
{
    const json_t *took = json_object_get(data, "durationSeconds");
    if (!e->app.n) e->app = member(data, "appId");
    e->reload = member(data, "id");
    e->origin = member(data, "type");
    e->partial = json_is_true(json_object_get(data, "partial"));
    e->error_code = member(data, "errorCode");
    e->error_message = member(data, "errorMessage");
    if (!e->tenant.n) e->tenant = member(data, "tenantId");
    if (json_is_number(took) && json_number_value(took) >= 0 && json_number_value(took) < 1e9)
        e->duration_ms = (int64_t)(json_number_value(took) * 1000);
    /* `status` may be left out, `succeeded` may not. */
    if (e->raw_status.n) return;
    const json_t *ok = json_object_get(data, "succeeded");
    if (json_is_boolean(ok)) e->status = json_is_true(ok) ? STATUS_OK : STATUS_ERROR;
}

static void read_app_reload(struct envelope *e, const json_t *data, unsigned flags)
{
    const json_t *took = json_object_get(data, "duration"), *errors = json_object_get(data, "errors");
    if (!e->app.n) e->app = member(data, "appId");
    if (!e->app.n && (flags & ENVELOPE_PAPER)) e->app = member(data, "id");
    e->reload = member(data, "reloadId");
    e->app_name = member(data, "name");
    e->usage = member(data, "usage");
    e->partial = json_is_true(json_object_get(data, "isPartialReload"));
    e->session = json_is_true(json_object_get(data, "isSessionApp"));
    if (!e->space.n) e->space = member(data, "spaceId");
    if (json_is_number(took) && json_number_value(took) >= 0 && json_number_value(took) < 1e12)
        e->duration_ms = (int64_t)json_number_value(took);
    const json_t *first = json_array_get(errors, 0);
    e->error_message = json_is_object(first) ? member(first, "message") : text_of(first);
}

static int read_data(struct envelope *e, const json_t *ext, unsigned flags, char why[ENVELOPE_WHY])
{
    const json_t *data = json_object_get(e->root, "data");
    pbay_str top = either(member(e->root, "toplevelresourceid"), member(ext, "topLevelResourceId"));
    if (!e->type.n && (flags & ENVELOPE_PAPER) && member(data, "status").n)
        e->kind = EVENT_APP_RELOAD;
    else if (!e->type.n)
        return bad(why, "the event has neither type nor eventType");
    else
        e->kind = kind_of(e->type);
    if (e->kind != EVENT_OTHER && !json_is_object(data)) return bad(why, "the event has no object data");
    e->raw_status = member(data, "status");
    e->status = status_of(e->raw_status);
    if (e->kind == EVENT_RELOAD) {
        e->app = member(data, "appId");
        read_reload(e, data);
        if (!e->app.n) e->app = top;
    } else {
        e->app = top;
        if (e->kind == EVENT_APP_RELOAD)
            read_app_reload(e, data, flags);
        else if (!e->app.n)
            e->app = either(member(data, "appId"), member(data, "resourceId"));
    }
    if (e->kind != EVENT_OTHER && !e->app.n) return bad(why, "the event says no app");
    if (!good_id(e->id) || !good_id(e->app) || !good_id(e->reload) || !good_id(e->type))
        return bad(why, "an id or the type is too long or not printable");
    return 0;
}

int envelope_read(pbay_str body, unsigned flags, struct envelope *out, char why[ENVELOPE_WHY])
{
    *out = (struct envelope){.duration_ms = -1};
    if (!survey(body, &out->data)) return bad(why, "the body is nested too deeply");
    json_error_t err;
    out->root = json_loadb(body.n ? body.p : "", body.n, JSON_REJECT_DUPLICATES, &err);
    if (!out->root) {
        snprintf(why, ENVELOPE_WHY, "the body is not JSON: line %d, column %d: %.80s", err.line, err.column,
                 err.text);
        for (char *p = why; *p; p++)
            if (*p < ' ' || *p > '~') *p = '?';
        return -1;
    }
    if (!json_is_object(out->root)) return bad(why, "the body is no JSON object");
    const json_t *ext = json_object_get(out->root, "extensions");
    read_attributes(out, ext);
    return read_data(out, ext, flags, why);
}

void envelope_free(struct envelope *e)
{
    json_decref(e->root);
    e->root = NULL;
}

/* ------------------------------------------------------------------------------------------------ writing */

static void put(pbay_text *out, const char *name, pbay_str value)
{
    if (!value.n) return;
    pbay_text_c(out, name);
    pbay_text_json(out, value);
}

void envelope_json(const struct envelope *e, pbay_text *out)
{
    char stamp[PBAY_TIME_TEXT];
    pbay_text_c(out, "{\"status\":\"");
    pbay_text_c(out, status_name(e->status));
    pbay_text_c(out, "\"");
    put(out, ",\"id\":", e->id);
    put(out, ",\"type\":", e->type);
    if (e->time_ms) put(out, ",\"time\":", (pbay_str){stamp, pbay_time_format(e->time_ms, stamp)});
    put(out, ",\"tenant\":", e->tenant);
    put(out, ",\"app_id\":", e->app);
    put(out, ",\"app_name\":", e->app_name);
    put(out, ",\"space_id\":", e->space);
    put(out, ",\"user_id\":", e->user);
    put(out, ",\"raw_status\":", e->raw_status);
    put(out, ",\"reload_id\":", e->reload);
    put(out, ",\"origin\":", e->origin);
    put(out, ",\"usage\":", e->usage);
    put(out, ",\"error_code\":", e->error_code);
    put(out, ",\"error_message\":", e->error_message);
    if (e->duration_ms >= 0) pbay_text_printf(out, ",\"duration_ms\":%lld", (long long)e->duration_ms);
    pbay_text_c(out, e->partial ? ",\"partial\":true" : ",\"partial\":false");
    if (e->session) pbay_text_c(out, ",\"is_session\":true");
    if (e->data.n && e->data.n <= RAW_MAX) {
        pbay_text_c(out, ",\"raw\":");
        pbay_text_add(out, e->data);
    }
    pbay_text_c(out, "}");
}
