/* SPDX-License-Identifier: MIT */
#include "v1_compare.h"

#include <stdio.h>
#include <string.h>

#include <jansson.h>

bool v1_same(pbay_str a, pbay_str b)
{
    return a.n == b.n && (!a.n || !memcmp(a.p, b.p, a.n));
}

const v1_stored_metric *v1_stored(const v1_model *m, const v1_number *n)
{
    const v1_stored_metric *any = NULL;
    for (size_t i = 0; i < m->n_metrics; i++) {
        if (!v1_same(m->metrics[i].name, n->name)) continue;
        if ((float)m->metrics[i].value == (float)n->value) return &m->metrics[i];
        any = &m->metrics[i];
    }
    return any;
}

static const v1_pair *named(const v1_pair *pairs, size_t n, pbay_str name)
{
    for (size_t i = 0; i < n; i++)
        if (v1_same(pairs[i].name, name)) return &pairs[i];
    return NULL;
}

void v1_compare_model(const v1_wanted *w, const v1_model *m, size_t train, v1_differs differs, void *user)
{
    const pbay_str none = {"", 0};
    if (!v1_same(m->type, w->type)) {
        const v1_difference d = {"type", none, w->type, m->type};
        differs(user, &d);
    }
    for (size_t i = 0; i < w->n_parameters; i++) {
        const v1_pair *p = &w->parameters[i], *had = named(m->parameters, m->n_parameters, p->name);
        if (had && v1_same(had->value, p->value)) continue;
        const v1_difference d = {"parameter", p->name, p->value, had ? had->value : none};
        differs(user, &d);
    }
    for (size_t i = 0; i < m->n_parameters; i++) {
        const v1_pair *had = &m->parameters[i];
        if (named(w->parameters, w->n_parameters, had->name)) continue;
        const v1_difference d = {"parameter", had->name, none, had->value};
        differs(user, &d);
    }
    for (size_t i = 0; i < m->n_metrics; i++) {
        const v1_stored_metric *had = &m->metrics[i];
        char text[32];
        size_t k = 0;
        while (k < w->n_metrics && !v1_same(w->metrics[k].name, had->name)) k++;
        if (k < w->n_metrics) continue;
        const int n = snprintf(text, sizeof text, "%.9g", had->value);
        const v1_difference d = {"metric", had->name, none, {text, (size_t)n}};
        differs(user, &d);
    }
    if (train < w->n_channels && !v1_same(m->frame.path, w->channels[train].uri)) {
        const v1_difference d = {"channel", w->channels[train].name, w->channels[train].uri, m->frame.path};
        differs(user, &d);
    }
}

v1_document *v1_document_read(pbay_str json)
{
    json_t *root = json.n ? json_loadb(json.p, json.n, 0, NULL) : NULL;
    if (root && !json_is_object(root)) {
        json_decref(root);
        root = NULL;
    }
    return (v1_document *)root;
}

bool v1_document_text(const v1_document *d, pbay_str key, pbay_str *text)
{
    const json_t *v = d ? json_object_getn((const json_t *)d, key.p, key.n) : NULL;
    if (!json_is_string(v)) return false;
    *text = (pbay_str){json_string_value(v), json_string_length(v)};
    return true;
}

void v1_document_free(v1_document *d)
{
    json_decref((json_t *)d);
}
