/* SPDX-License-Identifier: MIT */
#include <float.h>

#include "v1_calls.h"

static const pbay_str NOTHING = {"", 0};

static pbay_str c_str(const char *s)
{
    size_t n = 0;
    while (s[n]) n++;
    return (pbay_str){s, n};
}

static thrift_mark begin(pbay_text *t, int32_t seqid, enum v1_method m)
{
    return thrift_begin(t, THRIFT_CALL, v1_method_name(m), seqid);
}

/* The arguments end, and with them the message. */
static int end(pbay_text *t, thrift_mark begun)
{
    thrift_stop(t);
    return thrift_end(t, begun);
}

/* The Java server takes lists for granted and answers NullPointerException without them: all are written,
 * empty or not. */
static void frame(pbay_text *t, int16_t field, const v1_frame *f)
{
    const bool known = f->id >= 0;
    const bool column = !known && f->column.name.n;
    thrift_field(t, THRIFT_STRUCT, field);
    thrift_field_i32(t, 1, known ? f->id : -1);
    thrift_field(t, THRIFT_LIST, 2);
    thrift_list(t, THRIFT_STRUCT, column);
    if (column) {
        thrift_field_str(t, 1, f->column.name);
        thrift_field_str(t, 2, f->column.value);
        thrift_stop(t);
    }
    thrift_field_i32(t, 3, -1);
    thrift_field_str(t, 4, known ? NOTHING : f->tag);
    thrift_field_str(t, 5, known ? NOTHING : f->path);
    thrift_field(t, THRIFT_LIST, 6);
    const size_t n = known ? 0 : f->n_metadata;
    thrift_list(t, THRIFT_STRUCT, (uint32_t)n);
    for (size_t i = 0; i < n; i++) {
        thrift_field_str(t, 1, f->metadata[i].name);
        thrift_field_str(t, 2, f->metadata[i].value);
        thrift_field_str(t, 3, f->metadata_type);
        thrift_stop(t);
    }
    thrift_stop(t);
}

static void transformer(pbay_text *t, int16_t field, int32_t id, pbay_str type, pbay_str tag, pbay_str path)
{
    thrift_field(t, THRIFT_STRUCT, field);
    thrift_field_i32(t, 1, id);
    thrift_field_str(t, 2, type);
    thrift_field_str(t, 3, tag);
    thrift_field_str(t, 4, path);
    thrift_stop(t);
}

int v1_ask_nothing(pbay_text *t, int32_t seqid, enum v1_method m)
{
    return end(t, begin(t, seqid, m));
}

int v1_ask_project(pbay_text *t, int32_t seqid, pbay_str name, pbay_str author, pbay_str description)
{
    const thrift_mark begun = begin(t, seqid, V1_STORE_PROJECT);
    thrift_field(t, THRIFT_STRUCT, 1);
    thrift_field(t, THRIFT_STRUCT, 1);
    thrift_field_i32(t, 1, -1);
    thrift_field_str(t, 2, name);
    thrift_field_str(t, 3, author);
    thrift_field_str(t, 4, description);
    thrift_stop(t);
    thrift_stop(t);
    return end(t, begun);
}

int v1_ask_experiment(pbay_text *t, int32_t seqid, int32_t project)
{
    const thrift_mark begun = begin(t, seqid, V1_STORE_EXPERIMENT);
    thrift_field(t, THRIFT_STRUCT, 1);
    thrift_field(t, THRIFT_STRUCT, 1);
    thrift_field_i32(t, 1, -1);
    thrift_field_i32(t, 2, project);
    thrift_field_str(t, 3, NOTHING);
    thrift_field_str(t, 4, NOTHING);
    thrift_field_bool(t, 5, true);
    thrift_stop(t);
    thrift_stop(t);
    return end(t, begun);
}

int v1_ask_run(pbay_text *t, int32_t seqid, int32_t experiment, pbay_str description)
{
    const thrift_mark begun = begin(t, seqid, V1_STORE_RUN);
    thrift_field(t, THRIFT_STRUCT, 1);
    thrift_field(t, THRIFT_STRUCT, 1);
    thrift_field_i32(t, 1, -1);
    thrift_field_i32(t, 2, experiment);
    thrift_field_str(t, 3, description);
    thrift_stop(t);
    thrift_stop(t);
    return end(t, begun);
}

int v1_ask_fit(pbay_text *t, int32_t seqid, const v1_fit *fit)
{
    const thrift_mark begun = begin(t, seqid, V1_STORE_FIT);
    thrift_field(t, THRIFT_STRUCT, 1);
    frame(t, 1, &fit->frame);
    thrift_field(t, THRIFT_STRUCT, 2); /* TransformerSpec */
    thrift_field_i32(t, 1, -1);
    thrift_field_str(t, 2, fit->type);
    thrift_field(t, THRIFT_LIST, 3);
    thrift_list(t, THRIFT_STRUCT, (uint32_t)fit->n_parameters);
    for (size_t i = 0; i < fit->n_parameters; i++) {
        thrift_field_str(t, 1, fit->parameters[i].name);
        thrift_field_str(t, 2, fit->parameters[i].value);
        thrift_field_str(t, 3, fit->parameter_type);
        /* What Python's sys.float_info says; with 32 bits the server makes 0 and infinity of it. */
        thrift_field_double(t, 4, DBL_MIN);
        thrift_field_double(t, 5, DBL_MAX);
        thrift_stop(t);
    }
    thrift_field_str(t, 4, NOTHING);
    thrift_stop(t);
    transformer(t, 3, fit->model, fit->type, fit->model_tag, fit->model_path);
    for (int16_t columns = 4; columns <= 6; columns++) { /* features, predictions, labels */
        thrift_field(t, THRIFT_LIST, columns);
        thrift_list(t, THRIFT_STRING, 0);
    }
    thrift_field_i32(t, 7, fit->run);
    thrift_field_i32(t, 8, 0); /* the kind of problem: undefined */
    thrift_field_str(t, 9, fit->metadata);
    thrift_stop(t);
    return end(t, begun);
}

int v1_ask_metric(pbay_text *t, int32_t seqid, const v1_metric *metric)
{
    const thrift_mark begun = begin(t, seqid, V1_STORE_METRIC);
    thrift_field(t, THRIFT_STRUCT, 1);
    frame(t, 1, &metric->frame);
    transformer(t, 2, metric->model, NOTHING, NOTHING, NOTHING);
    thrift_field_str(t, 3, metric->name);
    thrift_field_double(t, 4, metric->value);
    thrift_field_str(t, 5, c_str("label_col"));
    thrift_field_str(t, 6, c_str("prediction_col"));
    thrift_field_i32(t, 7, metric->run);
    thrift_stop(t);
    return end(t, begun);
}

int v1_ask_frame(pbay_text *t, int32_t seqid, const v1_frame *f, int32_t run)
{
    const thrift_mark begun = begin(t, seqid, V1_STORE_DATA_FRAME);
    frame(t, 1, f);
    thrift_field_i32(t, 2, run);
    return end(t, begun);
}

int v1_ask_ids(pbay_text *t, int32_t seqid, enum v1_method m, const v1_pair *pairs, size_t n)
{
    const thrift_mark begun = begin(t, seqid, m);
    thrift_field(t, THRIFT_MAP, 1);
    thrift_map(t, THRIFT_STRING, THRIFT_STRING, (uint32_t)n);
    for (size_t i = 0; i < n; i++) {
        thrift_str(t, pairs[i].name);
        thrift_str(t, pairs[i].value);
    }
    return end(t, begun);
}

int v1_ask_update_project(pbay_text *t, int32_t seqid, int32_t project, pbay_str key, pbay_str value)
{
    const thrift_mark begun = begin(t, seqid, V1_UPDATE_PROJECT);
    thrift_field_i32(t, 1, project);
    thrift_field_str(t, 2, key);
    thrift_field_str(t, 3, value);
    return end(t, begun);
}

int v1_ask_scalar(pbay_text *t, int32_t seqid, int32_t model, pbay_str key, pbay_str value, pbay_str type)
{
    const thrift_mark begun = begin(t, seqid, V1_SCALAR_FIELD);
    thrift_field_i32(t, 1, model);
    thrift_field_str(t, 2, key);
    thrift_field_str(t, 3, value);
    thrift_field_str(t, 4, type);
    return end(t, begun);
}

int v1_ask_id(pbay_text *t, int32_t seqid, enum v1_method m, int32_t id)
{
    const thrift_mark begun = begin(t, seqid, m);
    thrift_field_i32(t, 1, id);
    return end(t, begun);
}
