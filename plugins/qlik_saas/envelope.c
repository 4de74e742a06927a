/* SPDX-License-Identifier: MIT */
#include "envelope.h"

#include <stdio.h>
#include <string.h>

#include "kit/time.h"
#include "members.h"

enum { RAW_MAX = 512 * 1024 }; /* bytes of `data` that are kept */

#define STR(lit)    ((pbay_str){(lit), sizeof(lit) - 1})
#define COUNT(a)    (sizeof(a) / sizeof *(a))
#define IS(s, text) ((s).n == sizeof(text) - 1 && memcmp((s).p, (text), sizeof(text) - 1) == 0)

/* The first of several that is there. */
static pbay_str either(pbay_str a, pbay_str b)
{
    return a.n ? a : b;
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

static void read_attributes(struct envelope *e, const members *m)
{
    pbay_str old = members_text(m, OF_EVENT, "eventType");
    pbay_str time = either(members_text(m, OF_EVENT, "time"), members_text(m, OF_EVENT, "eventTime"));
    e->type = either(members_text(m, OF_EVENT, "type"), old);
    e->types_differ = old.n && !(old.n == e->type.n && memcmp(old.p, e->type.p, old.n) == 0);
    e->id = either(members_text(m, OF_EVENT, "id"),
                   either(members_text(m, OF_EVENT, "eventId"), members_text(m, OF_EVENT, "eventID")));
    e->tenant = either(members_text(m, OF_EVENT, "tenantid"), members_text(m, OF_EXTENSIONS, "tenantId"));
    e->user = either(either(members_text(m, OF_EVENT, "userid"), members_text(m, OF_EXTENSIONS, "userId")),
                     members_text(m, OF_EXTENSIONS, "userid"));
    e->space = either(members_text(m, OF_EVENT, "spaceid"), members_text(m, OF_EXTENSIONS, "spaceId"));
    int64_t ms = time.n ? pbay_time_rfc3339(time) : -1;
    e->time_ms = ms < 0 ? 0 : ms;
}

static pbay_str data_text(const members *m, const char *name)
{
    return members_text(m, OF_DATA, name);
}

static int data_true(const members *m, const char *name)
{
    const member *found = members_get(m, OF_DATA, name);
    return found && found->kind == MEMBER_TRUE;
}

/* -1: not said, or nonsense. */
static double data_number(const members *m, const char *name, double most)
{
    const member *found = members_get(m, OF_DATA, name);
    return found && found->kind == MEMBER_NUMBER && found->number >= 0 && found->number < most ? found->number
                                                                                               : -1;
}

static void read_reload(struct envelope *e, const members *m)
{
    double took = data_number(m, "durationSeconds", 1e9);
    if (!e->app.n) e->app = data_text(m, "appId");
    e->reload = data_text(m, "id");
    e->origin = data_text(m, "type");
    e->partial = data_true(m, "partial");
    e->error_code = data_text(m, "errorCode");
    e->error_message = data_text(m, "errorMessage");
    if (!e->tenant.n) e->tenant = data_text(m, "tenantId");
    if (took >= 0) e->duration_ms = (int64_t)(took * 1000);
    /* `status` may be left out, `succeeded` may not. */
    if (e->raw_status.n) return;
    const member *ok = members_get(m, OF_DATA, "succeeded");
    if (ok && ok->kind == MEMBER_TRUE) e->status = STATUS_OK;
    if (ok && ok->kind == MEMBER_FALSE) e->status = STATUS_ERROR;
}

static void read_app_reload(struct envelope *e, const members *m, unsigned flags)
{
    double took = data_number(m, "duration", 1e12);
    if (!e->app.n) e->app = data_text(m, "appId");
    if (!e->app.n && (flags & ENVELOPE_PAPER)) e->app = data_text(m, "id");
    e->reload = data_text(m, "reloadId");
    e->app_name = data_text(m, "name");
    e->usage = data_text(m, "usage");
    e->partial = data_true(m, "isPartialReload");
    e->session = data_true(m, "isSessionApp");
    if (!e->space.n) e->space = data_text(m, "spaceId");
    if (took >= 0) e->duration_ms = (int64_t)took;
    e->error_message = m->first_error;
}

static int read_data(struct envelope *e, const members *m, unsigned flags, char why[ENVELOPE_WHY])
{
    const member *data = members_get(m, OF_EVENT, "data");
    pbay_str top = either(members_text(m, OF_EVENT, "toplevelresourceid"),
                          members_text(m, OF_EXTENSIONS, "topLevelResourceId"));
    e->raw_status = data_text(m, "status");
    if (!e->type.n && (flags & ENVELOPE_PAPER) && e->raw_status.n)
        e->kind = EVENT_APP_RELOAD;
    else if (!e->type.n)
        return bad(why, "the event has neither type nor eventType");
    else
        e->kind = kind_of(e->type);
    if (e->kind != EVENT_OTHER && !(data && data->kind == MEMBER_OBJECT))
        return bad(why, "the event has no object data");
    e->status = status_of(e->raw_status);
    if (e->kind == EVENT_RELOAD) {
        e->app = data_text(m, "appId");
        read_reload(e, m);
        if (!e->app.n) e->app = top;
    } else {
        e->app = top;
        if (e->kind == EVENT_APP_RELOAD)
            read_app_reload(e, m, flags);
        else if (!e->app.n)
            e->app = either(data_text(m, "appId"), data_text(m, "resourceId"));
    }
    if (e->kind != EVENT_OTHER && !e->app.n) return bad(why, "the event says no app");
    if (!good_id(e->id) || !good_id(e->app) || !good_id(e->reload) || !good_id(e->type))
        return bad(why, "an id or the type is too long or not printable");
    return 0;
}

int envelope_read(pbay_str body, unsigned flags, struct envelope *out, char why[ENVELOPE_WHY])
{
    members m;
    json_error_t err;
    *out = (struct envelope){.duration_ms = -1};
    int rc = !(flags & ENVELOPE_THOROUGH) && members_plain(body, &m) ? 0 : members_thorough(body, &m, &err);
    out->root = m.root;
    if (rc == -2) return bad(why, "the body is nested too deeply");
    if (rc == -3) return bad(why, "the body is no JSON object");
    if (rc) {
        snprintf(why, ENVELOPE_WHY, "the body is not JSON: line %d, column %d: %.80s", err.line, err.column,
                 err.text);
        for (char *p = why; *p; p++)
            if (*p < ' ' || *p > '~') *p = '?';
        return -1;
    }
    out->data = m.data;
    read_attributes(out, &m);
    return read_data(out, &m, flags, why);
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
    /* The engine's attempt: the tenant may begin another, and the reload end well. */
    if (e->kind == EVENT_APP_RELOAD && e->status == STATUS_ERROR) pbay_text_c(out, ",\"final\":false");
    if (e->data.n && e->data.n <= RAW_MAX) {
        pbay_text_c(out, ",\"raw\":");
        pbay_text_add(out, e->data);
    }
    pbay_text_c(out, "}");
}
