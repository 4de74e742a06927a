/* SPDX-License-Identifier: MIT */
/* The sink `v2`: records as ModelDB 2 holds them. */
#include <stdlib.h>

#include "rest.h"
#include "v2_run.h"

struct sink {
    struct modeldb *m;
    rest *r;
    pbay_str experiment, workspace, email;
};

/* Only headers with this prefix get through the gateway to the server. The client sends the key under both
 * spellings, because proxies drop the one with an underscore. */
static uint32_t headers(void *user, pbay_header *out, uint32_t max)
{
    const struct sink *s = user;
    const pbay_str key = modeldb_secret(s->m, "developer_key");
    uint32_t n = 0;
    if (max < 4) return 0;
    out[n++] = (pbay_header){STR("Grpc-Metadata-source"), STR("PythonClient")};
    if (s->email.n) out[n++] = (pbay_header){STR("Grpc-Metadata-email"), s->email};
    if (key.n) out[n++] = (pbay_header){STR("Grpc-Metadata-developer_key"), key};
    if (key.n) out[n++] = (pbay_header){STR("Grpc-Metadata-developer-key"), key};
    return n;
}

static void *sink_open(struct modeldb *m, pbay_result *why)
{
    rest *r = rest_new(m, "url", "/api/v1/modeldb", false, "code", why);
    if (!r) return NULL;
    struct sink *s = calloc(1, sizeof *s);
    if (!s) abort();
    s->m = m;
    s->r = r;
    s->experiment = m->host->get_str(m->config, "experiment");
    if (!s->experiment.n) s->experiment = STR("SageMaker");
    s->workspace = m->host->get_str(m->config, "workspace");
    s->email = m->host->get_str(m->config, "email");
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
    free(s);
}

static mdb_task *begin(struct sink *s, const mdb_record *r, int64_t deadline, mdb_differs differs,
                       mdb_done done, void *user)
{
    v2_wanted w;
    v2_map(r, s->experiment, s->workspace, &w);
    return (mdb_task *)rest_begin(s->r, &v2_plan, v2_plan_new(&w, differs, user), r, differs != NULL,
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

const mdb_sink mdb_v2 = {"v2", sink_open, sink_stop, sink_close, sink_write, sink_verify, sink_cancel};
