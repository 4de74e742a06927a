/* SPDX-License-Identifier: MIT */
/*
 * Rows to SageMaker endpoints whose names come with the batch or in its rows, through the sagemaker
 * connector:
 *
 *   SAGEMAKER_INVOKE(parameters variant)        the endpoint is a header of the function; a row is an array
 *   invoke_model(model_name, user_id, item_id)  the endpoint is in the row; answers are texts
 *
 * Both send CSV and take what the model answers, one per row; which endpoints may be named is the sagemaker
 * connector's `allow_endpoints`.
 */
#include "score.h"

#include "csv_line.h"

enum { GROUPS_MAX = 64 };

/* Rows of one endpoint. */
struct group {
    struct score *sc;
    pbay_str endpoint;
    pbay_builder *rows;
    uint32_t *at; /* the rows of the batch that they are */
    uint32_t n, answered;
    pbay_invoke call;
};

struct score {
    struct flight *f;
    struct told *told;
    struct group *groups;
    uint32_t n_groups, left;
    int pairs; /* invoke_model */
    int starting;
};

static void finish(struct score *sc)
{
    if (sc->left || sc->starting) return;
    struct flight *f = sc->f;
    struct told *told = sc->told;
    sc->told = NULL;
    flight_told(f, told, sc->pairs ? PBAY_STR : PBAY_JSON);
}

static void finish_later(void *user)
{
    finish(user);
}

static void on_ready(void *user, pbay_invoke call)
{
    struct group *g = user;
    struct snowflake *s = g->sc->f->s;
    const pbay_batch *rows = s->batch->seal(g->rows, NULL);
    if (rows && s->invoke->push(call, rows) == PBAY_OK) s->invoke->end(call);
}

static void on_rows(void *user, pbay_invoke call, const pbay_batch *rows)
{
    struct group *g = user;
    g->sc->f->s->invoke->credit(call, rows->n_rows);
    const pbay_column *col = pbay_batch_col(rows, 0);
    for (uint32_t i = 0, e = 0; i < rows->n_rows && g->answered < g->n; i++, g->answered++) {
        struct told *t = &g->sc->told[g->at[g->answered]];
        if (e < rows->n_row_errors && rows->row_errors[e].row == i) {
            told_error(t, rows->row_errors[e].code, rows->row_errors[e].message);
            e++;
        } else if (rows->n_cols && !pbay_cell_null(col, i))
            told_value(t, pbay_cell_text(col, i));
    }
}

static void on_done(void *user, pbay_invoke call, const pbay_result *result, pbay_str json)
{
    struct group *g = user;
    struct score *sc = g->sc;
    (void)call;
    (void)json;
    g->call = 0;
    pbay_str message = result->message;
    int32_t code = result->code;
    if (code == PBAY_OK && g->answered != g->n) {
        code = PBAY_INTERNAL;
        message = STR("the endpoint did not answer every row");
    }
    if (code != PBAY_OK)
        for (uint32_t i = 0; i < g->n; i++) told_error(&sc->told[g->at[i]], code, message);
    sc->left--;
    finish(sc);
}

/* ------------------------------------------------------------------------------------------------ rows */

/* NULL: there are too many. */
static struct group *group_of(struct score *sc, pbay_str endpoint)
{
    for (uint32_t i = 0; i < sc->n_groups; i++)
        if (str_eq(sc->groups[i].endpoint, endpoint)) return &sc->groups[i];
    if (sc->n_groups == (sc->pairs ? GROUPS_MAX : 1)) return NULL;
    struct snowflake *s = sc->f->s;
    struct group *g = &sc->groups[sc->n_groups++];
    *g = (struct group){.sc = sc, .endpoint = endpoint, .rows = s->batch->create(s->host)};
    s->batch->add_column(g->rows, STR("row"), PBAY_STR);
    g->at = malloc(sc->f->in->n_rows * sizeof *g->at);
    if (!g->at) abort();
    return g;
}

/* A row's line goes to its group, or its answer is known already. */
static void sort_row(struct score *sc, uint32_t i, pbay_text *line)
{
    struct flight *f = sc->f;
    const pbay_batch *in = f->in;
    const pbay_column *first = pbay_batch_col(in, 0);
    const char *wrong = NULL;
    pbay_str endpoint = f->endpoint;
    pbay_text_clear(line);
    if (!sc->pairs) {
        if (pbay_cell_null(first, i)) return; /* null */
        wrong = csv_line_of_array(f->s, pbay_cell_text(first, i), line);
    } else {
        if (pbay_cell_null(first, i)) return;
        endpoint = pbay_cell_text(first, i);
        for (uint32_t c = 1; c < 3; c++) {
            const pbay_column *col = pbay_batch_col(in, c);
            if (c > 1) pbay_text_c(line, ",");
            if (!pbay_cell_null(col, i)) csv_field(line, pbay_cell_text(col, i));
        }
    }
    if (wrong) {
        told_error(&sc->told[i], PBAY_INVALID_ARGUMENT, str_c(wrong));
        return;
    }
    struct group *g = group_of(sc, endpoint);
    if (!g) {
        told_error(&sc->told[i], PBAY_INVALID_ARGUMENT, STR("the rows of a batch name more than 64 models"));
        return;
    }
    g->at[g->n++] = i;
    f->s->batch->text(g->rows, 0, pbay_text_view(line));
}

static void open_group(struct group *g, pbay_str connector)
{
    static const pbay_invoke_events events = {sizeof events, 0, on_ready, NULL, on_rows, on_done};
    struct score *sc = g->sc;
    struct flight *f = sc->f;
    struct snowflake *s = f->s;
    pbay_result why = PBAY_RESULT_OK;
    char target[160];
    const pbay_header options[] = {
        {STR("endpoint"), g->endpoint},
        {STR("format"), STR("csv")},
        {STR("body"), STR("raw")},
        {STR("accept"), sc->pairs ? STR("text/csv") : STR("application/json")},
        {STR("last_newline"), sc->pairs ? STR("yes") : STR("no")},
    };
    const pbay_field sends = {STR("row"), PBAY_STR, 0},
                     answers = {STR(""), sc->pairs ? PBAY_STR : PBAY_JSON, 0};
    int n = snprintf(target, sizeof target, "%.*s.invoke", (int)connector.n, connector.p);
    pbay_invoke_info info = {.struct_size = sizeof info,
                             .kind = PBAY_INVOKE_OPERATION,
                             .target = {target, (size_t)n},
                             .flags = PBAY_INVOKE_DETACHED | PBAY_INVOKE_ROW_ERRORS,
                             .options = options,
                             .n_options = sizeof options / sizeof *options,
                             .parent_request = f->waiters ? f->waiters->request : 0,
                             .deadline = f->deadline,
                             .user = f->user,
                             .app = f->account,
                             .sends = &sends,
                             .answers = &answers,
                             .n_sends = 1,
                             .n_answers = 1};
    g->call = s->invoke->open(s->host, &info, (pbay_str){NULL, 0}, &events, g, &why);
    if (g->call) {
        on_ready(g, g->call);
        return;
    }
    for (uint32_t i = 0; i < g->n; i++) told_error(&sc->told[g->at[i]], why.code, why.message);
    sc->left--;
}

/* ------------------------------------------------------------------------------------------------ the work
 */

static int begin(struct flight *f, pbay_result *why, int pairs)
{
    pbay_str connector;
    if (snowflake_region(f->s, f->region, &connector, why)) return -1;
    if (!pairs && !f->endpoint.n) {
        snowflake_refuse(f->s, why, PBAY_INVALID_ARGUMENT,
                         "the header sf-custom-sagemaker-endpoint-name is missing: create the function with "
                         "HEADERS = ('sagemaker-endpoint-name' = '...')");
        return -1;
    }
    struct score *sc = calloc(1, sizeof *sc);
    if (!sc) abort();
    *sc = (struct score){.f = f, .pairs = pairs, .starting = 1};
    sc->told = calloc(f->in->n_rows, sizeof *sc->told);
    sc->groups = calloc(pairs ? GROUPS_MAX : 1, sizeof *sc->groups);
    if (!sc->told || !sc->groups) abort();
    f->task = sc;
    pbay_text line = {0};
    for (uint32_t i = 0; i < f->in->n_rows; i++) sort_row(sc, i, &line);
    pbay_text_free(&line);
    sc->left = sc->n_groups;
    for (uint32_t i = 0; i < sc->n_groups; i++) open_group(&sc->groups[i], connector);
    sc->starting = 0;
    /* Known already; the end never comes from within the beginning. */
    if (!sc->left) f->s->timer->start(f->s->host, 0, 0, finish_later, sc);
    return 0;
}

static int begin_arrays(struct flight *f, pbay_result *why)
{
    return begin(f, why, 0);
}

static int begin_pairs(struct flight *f, pbay_result *why)
{
    return begin(f, why, 1);
}

static void cancel(struct flight *f)
{
    struct score *sc = f->task;
    for (uint32_t i = 0; sc && i < sc->n_groups; i++)
        if (sc->groups[i].call) f->s->invoke->cancel(sc->groups[i].call);
}

static void end(struct flight *f)
{
    struct score *sc = f->task;
    f->task = NULL;
    if (!sc) return;
    for (uint32_t i = 0; i < sc->n_groups; i++) {
        f->s->batch->free(sc->groups[i].rows);
        free(sc->groups[i].at);
    }
    free(sc->groups);
    free(sc->told);
    free(sc);
}

const struct work score_arrays = {"sagemaker_invoke", begin_arrays, cancel, end};
const struct work score_pairs = {"invoke_model", begin_pairs, cancel, end};
