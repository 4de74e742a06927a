/* SPDX-License-Identifier: MIT */
/*
 * A blocking PostgreSQL look-up: one connection per work slot, so no locks; libpq is the plugin's own affair.
 * Rows are built in the work thread, in a builder that was made on the loop; `cancel` may interrupt it from
 * the loop.
 */
#include <patchbay/functions.h>
#include <patchbay/health.h>
#include <patchbay/host_batch.h>
#include <patchbay/host_call.h>
#include <patchbay/host_log.h>
#include <patchbay/host_metric.h>
#include <patchbay/host_work.h>

#include "sketch.h"

enum { SLOTS = 256 };

struct pg {
    const pbay_host *host;
    const pbay_batch_1 *batch;
    const pbay_call_1 *call;
    const pbay_work_1 *work;
    const pbay_log_1 *log;
    const pbay_metric_1 *metric;
    pbay_metric queries;
    void *connections[SLOTS]; /* PGconn; each belongs to its slot's thread */
    int broken;
};

struct query {
    struct pg *pg;
    pbay_call call;
    const pbay_batch *in;
    pbay_builder *out;
    pbay_result result;
    char message[200];
};

/* [work] */
static void look_up(void *user, uint32_t slot)
{
    struct query *q = user;
    const pbay_column *key = pbay_batch_col(q->in, 0);
    if (!q->pg->connections[slot]) q->pg->connections[slot] = q->pg; /* PQconnectdb */
    for (uint32_t i = 0; i < q->in->n_rows; i++) {
        if (pbay_cell_null(key, i))
            q->pg->batch->null(q->out, 0);
        else
            q->pg->batch->text(q->out, 0, pbay_cell_text(key, i)); /* PQexecParams, PQgetvalue */
    }
    q->pg->metric->add(q->pg->host, q->pg->queries, 1);
}

/* [loop] */
static void looked_up(void *user, int cancelled)
{
    struct query *q = user;
    if (cancelled) q->result = failed(PBAY_CANCELLED, STR("the connector stops"));
    if (q->result.code != PBAY_OK) {
        const pbay_header field = {STR("why"), q->result.message};
        q->pg->log->write(q->pg->host, PBAY_LOG_WARN, STR("query failed"), &field, 1);
        q->pg->batch->free(q->out);
        q->out = NULL;
    }
    q->pg->call->complete(q->call, &q->result, q->out);
    free(q);
}

static int32_t submit(void *self, void *bound, pbay_call call, const pbay_batch *in, pbay_result *why)
{
    struct pg *pg = self;
    struct query *q = zalloc(sizeof *q);
    (void)bound;
    q->pg = pg;
    q->call = call;
    q->in = in;
    q->out = pg->batch->create(pg->host);
    pg->batch->add_column(q->out, STR("name"), PBAY_STR);
    q->result.struct_size = sizeof q->result;
    int32_t code = pg->work->submit(pg->host, look_up, looked_up, q);
    if (code == PBAY_OK) return PBAY_OK;
    pg->batch->free(q->out);
    free(q);
    *why = failed(code, STR("too many look-ups wait already"));
    why->advice = PBAY_ADVICE_SLOW;
    return code;
}

static void cancel(void *self, void *bound, pbay_call call)
{
    (void)self;
    (void)bound;
    (void)call; /* PQcancel of the slot that runs it */
}

static uint32_t state(void *self, pbay_str *sentence)
{
    struct pg *pg = self;
    *sentence = pg->broken ? STR("the database does not answer") : STR("");
    return pg->broken ? PBAY_OUT : PBAY_UP;
}

static const pbay_operation operations[] = {
    {"lookup", "Find a row by its key.", PBAY_SHAPE_MAP, 0, {NULL, 0, 0}},
};
static const pbay_functions_1 functions = {
    .struct_size = sizeof functions,
    .n_operations = 1,
    .operations = operations,
    .operation_stride = sizeof(pbay_operation),
    .submit = submit,
    .cancel = cancel,
};
static const pbay_health_1 health = {sizeof health, 0, state};

static const void *extension(const char *id)
{
    if (!strcmp(id, PBAY_EXT_HEALTH)) return &health;
    return strcmp(id, PBAY_EXT_FUNCTIONS) ? NULL : &functions;
}

static int32_t create(const pbay_host *host, const pbay_config *config, void **self, pbay_result *why)
{
    struct pg *pg = zalloc(sizeof *pg);
    (void)config;
    (void)why;
    pg->host = host;
    pg->batch = host->service(host, PBAY_SVC_BATCH);
    pg->call = host->service(host, PBAY_SVC_CALL);
    pg->work = host->service(host, PBAY_SVC_WORK);
    pg->log = host->service(host, PBAY_SVC_LOG);
    pg->metric = host->service(host, PBAY_SVC_METRIC);
    pg->queries = pg->metric->slot(host, PBAY_METRIC_COUNTER, "queries", "", "Queries sent.");
    *self = pg;
    return PBAY_OK;
}

static const pbay_option options[] = {
    {"dsn", PBAY_OPT_STR, PBAY_OPTF_REQUIRED | PBAY_OPTF_SECRET, NULL, NULL, "Connection string of libpq."},
};
SKETCH_ENTRY(postgres_lookup, options)
