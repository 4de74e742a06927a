/* SPDX-License-Identifier: MIT */
#include "happening.h"

#include <stdio.h>
#include <string.h>

void happening_make(const struct envelope *e, struct happening *out)
{
    *out = (struct happening){.event = {.struct_size = sizeof out->event, .n_keys = 1, .keys = out->keys}};
    if (e->kind == EVENT_OTHER)
        type_short(e->type, out->type, sizeof out->type);
    else
        snprintf(out->type, sizeof out->type, "reload");
    int n;
    if (e->kind != EVENT_OTHER && e->reload.n)
        n = snprintf(out->key, sizeof out->key, "reload/%.*s/%s", FMT(e->reload), status_name(e->status));
    else if (e->id.n)
        n = snprintf(out->key, sizeof out->key, "event/%.*s", FMT(e->id));
    else /* nothing names it: what it is about and when, as far as that was said */
        n = snprintf(out->key, sizeof out->key, "%.*s/%s/%lld", FMT(e->app), status_name(e->status),
                     (long long)e->time_ms);
    out->keys[0] = (pbay_str){out->key, (size_t)n};
    out->event.type = (pbay_str){out->type, strlen(out->type)};
    out->event.id = e->id;
    out->event.subject = e->app;
    out->event.time_ms = e->time_ms;
    envelope_json(e, &out->data);
    out->event.data = pbay_text_view(&out->data);
}

void happening_free(struct happening *h)
{
    pbay_text_free(&h->data);
}

const char *happening_unwanted(const struct qlik *q, const struct envelope *e, int *foreign)
{
    const pbay_host *h = q->host;
    pbay_str tenant = h->get_str(q->config, "tenant_id"), key;
    uint32_t n = h->count(q->config, "events");
    *foreign = tenant.n && !qlik_same(tenant, e->tenant);
    if (*foreign) return "it is of another tenant";
    int listed = e->kind == EVENT_APP_RELOAD && !e->type.n; /* of 2020, which had no type */
    /* Older names of the engine's event are taken for the present one. */
    pbay_str type = e->kind == EVENT_APP_RELOAD ? STR("com.qlik.v1.app.reload.finished") : e->type;
    for (uint32_t i = 0; i < n && !listed; i++)
        listed = type_matches(type, h->item(q->config, "events", i, &key));
    if (!listed) return "its type is not among `events`";
    if (e->session && !h->get_int(q->config, "session_apps")) return "it is of a session app";
    if (e->usage.n && !qlik_same(e->usage, STR("ANALYTICS")) && !h->get_int(q->config, "data_prep"))
        return "it is of data preparation";
    return NULL;
}
