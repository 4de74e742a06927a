/* SPDX-License-Identifier: MIT */
/* The sink `mlflow`: records as runs of a tracking server. */
#include <stdio.h>
#include <stdlib.h>

#include "mlflow_run.h"
#include "rest.h"

struct sink {
    struct modeldb *m;
    rest *r;
    pbay_str experiment;
    size_t param_max;
    pbay_text authorization;
};

/* RFC 4648 section 4. */
static void base64(pbay_text *out, pbay_str in)
{
    static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for (size_t i = 0; i < in.n; i += 3) {
        const unsigned left = in.n - i < 3 ? (unsigned)(in.n - i) : 3;
        unsigned v = 0;
        for (unsigned k = 0; k < 3; k++) v = v << 8 | (k < left ? (unsigned char)in.p[i + k] : 0u);
        char four[4];
        for (unsigned k = 0; k < 4; k++) four[k] = k <= left ? letters[v >> (18 - 6 * k) & 63] : '=';
        pbay_text_add(out, (pbay_str){four, 4});
    }
}

static uint32_t headers(void *user, pbay_header *out, uint32_t max)
{
    struct sink *s = user;
    const pbay_str user_name = s->m->host->get_str(s->m->config, "username");
    if (!max) return 0;
    pbay_text_clear(&s->authorization);
    if (user_name.n) {
        pbay_text both = {NULL, 0, 0};
        pbay_text_add(&both, user_name);
        pbay_text_c(&both, ":");
        pbay_text_add(&both, modeldb_secret(s->m, "password"));
        pbay_text_c(&s->authorization, "Basic ");
        base64(&s->authorization, pbay_text_view(&both));
        pbay_text_free(&both);
    } else {
        const pbay_str token = modeldb_secret(s->m, "token");
        if (!token.n) return 0;
        pbay_text_c(&s->authorization, "Bearer ");
        pbay_text_add(&s->authorization, token);
    }
    out[0] = (pbay_header){STR("Authorization"), pbay_text_view(&s->authorization)};
    return 1;
}

static void *sink_open(struct modeldb *m, pbay_result *why)
{
    if (m->host->is_set(m->config, "username") != m->host->is_set(m->config, "password") ||
        (m->host->is_set(m->config, "username") && m->host->is_set(m->config, "token"))) {
        modeldb_refuse(m, why, PBAY_INVALID_ARGUMENT,
                       "connector \"%.*s\": either `token`, or `username` and `password`, or none of them",
                       FMT(m->host->name(m->host)));
        return NULL;
    }
    rest *r = rest_new(m, "url", "/api/2.0/mlflow", true, "error_code", why);
    if (!r) return NULL;
    struct sink *s = calloc(1, sizeof *s);
    if (!s) abort();
    s->m = m;
    s->r = r;
    s->experiment = m->host->get_str(m->config, "experiment");
    s->param_max = (size_t)m->host->get_int(m->config, "param_length");
    if (!s->param_max) s->param_max = 6000;
    rest_authorise(r, headers, s);
    return s;
}

static void sink_stop(void *sink)
{
    struct sink *s = sink;
    rest_stop(s->r);
}

static void sink_close(void *sink)
{
    struct sink *s = sink;
    rest_free(s->r);
    pbay_text_free(&s->authorization);
    free(s);
}

static mdb_task *begin(struct sink *s, const mdb_record *r, int64_t deadline, mdb_differs differs,
                       mdb_done done, void *user)
{
    mlflow_wanted w;
    mlflow_map(r, s->experiment, s->param_max, &w);
    return (mdb_task *)rest_begin(s->r, &mlflow_plan, mlflow_plan_new(&w, differs, user), r, differs != NULL,
                                  deadline, done, user);
}

static mdb_task *sink_write(void *sink, const mdb_record *r, int64_t deadline, mdb_done done, void *user)
{
    return begin(sink, r, deadline, NULL, done, user);
}

static mdb_task *sink_verify(void *sink, const mdb_record *r, int64_t deadline, mdb_differs differs,
                             mdb_done done, void *user)
{
    return begin(sink, r, deadline, differs, done, user);
}

static void sink_cancel(mdb_task *t)
{
    rest_cancel((rest_task *)t);
}

const mdb_sink mdb_mlflow = {"mlflow",   sink_open,   sink_stop,  sink_close,
                             sink_write, sink_verify, sink_cancel};
