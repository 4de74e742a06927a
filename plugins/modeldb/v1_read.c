/* SPDX-License-Identifier: MIT */
#include <stdlib.h>
#include <string.h>

#include "v1_calls.h"

/* What the fields of a result struct are: field 0 is the success, others are exceptions. */
enum shape {
    SHAPE_NUMBER,     /* i32 */
    SHAPE_YES,        /* bool */
    SHAPE_IDS,        /* list<i32> */
    SHAPE_RESPONSE_1, /* a struct whose field 1 is the id */
    SHAPE_FIT,
    SHAPE_METRIC,
    SHAPE_RUNS,
    SHAPE_DETAILS,
    SHAPE_MODEL,
    SHAPE_FRAMES
};

#define SLE  "ServerLogicException"
#define IERE "InvalidExperimentRunException"
#define RNFE "ResourceNotFoundException"

static const struct method {
    const char *name;
    enum shape shape;
    bool repeats;
    const char *exceptions[2]; /* of fields 1 and 2 */
} methods[V1_METHODS] = {
    [V1_TEST_CONNECTION] = {"testConnection", SHAPE_NUMBER, true, {NULL, NULL}},
    [V1_STORE_PROJECT] = {"storeProjectEvent", SHAPE_RESPONSE_1, false, {SLE, NULL}},
    [V1_STORE_EXPERIMENT] = {"storeExperimentEvent", SHAPE_RESPONSE_1, true, {SLE, NULL}},
    [V1_STORE_RUN] = {"storeExperimentRunEvent", SHAPE_RESPONSE_1, false, {SLE, NULL}},
    [V1_STORE_FIT] = {"storeFitEvent", SHAPE_FIT, false, {IERE, SLE}},
    [V1_STORE_METRIC] = {"storeMetricEvent", SHAPE_METRIC, false, {IERE, SLE}},
    [V1_STORE_DATA_FRAME] = {"storeDataFrame", SHAPE_NUMBER, false, {IERE, SLE}},
    [V1_GET_PROJECT_IDS] = {"getProjectIds", SHAPE_IDS, true, {SLE, NULL}},
    [V1_GET_MODEL_IDS] = {"getModelIds", SHAPE_IDS, true, {SLE, NULL}},
    [V1_UPDATE_PROJECT] = {"updateProject", SHAPE_YES, true, {SLE, NULL}},
    [V1_SCALAR_FIELD] = {"createOrUpdateScalarField", SHAPE_YES, true, {SLE, NULL}},
    [V1_PROJECT_RUNS] = {"getRunsAndExperimentsInProject", SHAPE_RUNS, true, {SLE, NULL}},
    [V1_RUN_DETAILS] = {"getExperimentRunDetails", SHAPE_DETAILS, true, {SLE, RNFE}},
    [V1_GET_MODEL] = {"getModel", SHAPE_MODEL, true, {RNFE, SLE}},
    [V1_FRAME_ANCESTRY] = {"getDataFrameAncestry", SHAPE_FRAMES, true, {RNFE, SLE}},
};

const char *v1_method_name(enum v1_method m)
{
    return methods[m].name;
}

bool v1_method_repeats(enum v1_method m)
{
    return methods[m].repeats;
}

static pbay_str c_str(const char *s)
{
    return (pbay_str){s, strlen(s)};
}

/* A struct can be one byte on the wire and a hundred in memory: far more of them than any answer has end it.
 */
enum { MODELS_MAX = 10000, PARAMETERS_MAX = 100000, RUNS_MAX = 400000, FRAMES_MAX = 10000 };

static bool too_many(thrift_in *in, size_t n, size_t max, const char *what)
{
    if (n >= max) thrift_in_fail(in, THRIFT_LENGTH, "more than %zu %s", max, what);
    return n >= max;
}

/* Room for one more at the end of an array that doubles. */
static void *grown(void *array, size_t n, size_t each)
{
    if (n & (n - 1)) return array;
    void *fresh = realloc(array, (n ? 2 * n : 1) * each);
    if (!fresh) abort();
    return fresh;
}

/* ------------------------------------------------------------------------------------------------ structs */

static void pair(thrift_in *in, v1_pair *p)
{
    enum thrift_type type;
    int16_t id;
    *p = (v1_pair){{"", 0}, {"", 0}};
    while (thrift_in_field(in, &type, &id)) {
        if (type == THRIFT_STRING && id == 1)
            p->name = thrift_in_str(in);
        else if (type == THRIFT_STRING && id == 2)
            p->value = thrift_in_str(in);
        else
            thrift_in_skip(in, type);
    }
}

/* The head of a list of structs; one of other things is passed over and counts as empty. */
static uint32_t structs(thrift_in *in)
{
    enum thrift_type element;
    uint32_t n = thrift_in_list(in, &element);
    if (element == THRIFT_STRUCT) return n;
    for (uint32_t i = 0; i < n && !in->fault; i++) thrift_in_skip(in, element);
    return 0;
}

static void data_frame(thrift_in *in, v1_stored_frame *f)
{
    enum thrift_type type;
    int16_t id;
    *f = (v1_stored_frame){-1, {"", 0}, {"", 0}, {{"", 0}, {"", 0}}};
    while (thrift_in_field(in, &type, &id)) {
        if (type == THRIFT_I32 && id == 1) {
            f->id = thrift_in_i32(in);
        } else if (type == THRIFT_LIST && id == 2) {
            uint32_t n = structs(in);
            if (n) pair(in, &f->column);
            for (uint32_t i = 1; i < n && !in->fault; i++) thrift_in_skip(in, THRIFT_STRUCT);
        } else if (type == THRIFT_STRING && id == 4) {
            f->tag = thrift_in_str(in);
        } else if (type == THRIFT_STRING && id == 5) {
            f->path = thrift_in_str(in);
        } else {
            thrift_in_skip(in, type);
        }
    }
}

static void run(thrift_in *in, v1_run *r)
{
    enum thrift_type type;
    int16_t id;
    *r = (v1_run){-1, -1, {"", 0}};
    while (thrift_in_field(in, &type, &id)) {
        if (type == THRIFT_I32 && id == 1)
            r->id = thrift_in_i32(in);
        else if (type == THRIFT_I32 && id == 2)
            r->experiment = thrift_in_i32(in);
        else if (type == THRIFT_STRING && id == 3)
            r->description = thrift_in_str(in);
        else
            thrift_in_skip(in, type);
    }
}

static void specification(thrift_in *in, v1_model *m)
{
    enum thrift_type type;
    int16_t id;
    while (thrift_in_field(in, &type, &id)) {
        if (type == THRIFT_STRING && id == 2) {
            m->type = thrift_in_str(in);
        } else if (type == THRIFT_LIST && id == 3) {
            uint32_t n = structs(in);
            for (uint32_t i = 0; i < n && !in->fault; i++) {
                if (too_many(in, m->n_parameters, PARAMETERS_MAX, "hyperparameters")) return;
                m->parameters = grown(m->parameters, m->n_parameters, sizeof *m->parameters);
                pair(in, &m->parameters[m->n_parameters++]);
            }
        } else {
            thrift_in_skip(in, type);
        }
    }
}

/* map<string, map<i32, double>> */
static void metrics(thrift_in *in, v1_model *m)
{
    enum thrift_type k, v, k2, v2;
    const uint32_t n = thrift_in_map(in, &k, &v);
    for (uint32_t i = 0; i < n && !in->fault; i++) {
        if (k != THRIFT_STRING || v != THRIFT_MAP) {
            thrift_in_skip(in, k);
            thrift_in_skip(in, v);
            continue;
        }
        const pbay_str name = thrift_in_str(in);
        const uint32_t inner = thrift_in_map(in, &k2, &v2);
        for (uint32_t j = 0; j < inner && !in->fault; j++) {
            if (k2 != THRIFT_I32 || v2 != THRIFT_DOUBLE) {
                thrift_in_skip(in, k2);
                thrift_in_skip(in, v2);
                continue;
            }
            m->metrics = grown(m->metrics, m->n_metrics, sizeof *m->metrics);
            v1_stored_metric *one = &m->metrics[m->n_metrics++];
            one->name = name;
            one->frame = thrift_in_i32(in);
            one->value = thrift_in_double(in);
        }
    }
}

static void model(thrift_in *in, v1_answer *a)
{
    enum thrift_type type;
    int16_t id;
    if (too_many(in, a->n_models, MODELS_MAX, "models")) return;
    a->models = grown(a->models, a->n_models, sizeof *a->models);
    v1_model *m = &a->models[a->n_models++];
    *m = (v1_model){
        .id = -1, .run = -1, .experiment = -1, .project = -1, .type = {"", 0}, .metadata = {"", 0}};
    m->frame = (v1_stored_frame){-1, {"", 0}, {"", 0}, {{"", 0}, {"", 0}}};
    while (thrift_in_field(in, &type, &id)) {
        if (type == THRIFT_I32 && id >= 1 && id <= 4)
            *(id == 1   ? &m->id
              : id == 2 ? &m->run
              : id == 3 ? &m->experiment
                        : &m->project) = thrift_in_i32(in);
        else if (type == THRIFT_STRUCT && id == 5)
            data_frame(in, &m->frame);
        else if (type == THRIFT_STRUCT && id == 6)
            specification(in, m);
        else if (type == THRIFT_MAP && id == 11)
            metrics(in, m);
        else if (type == THRIFT_STRING && id == 17)
            m->metadata = thrift_in_str(in);
        else
            thrift_in_skip(in, type);
    }
}

static void project(thrift_in *in, v1_answer *a)
{
    enum thrift_type type;
    int16_t id;
    while (thrift_in_field(in, &type, &id)) {
        if (type == THRIFT_STRING && id >= 2 && id <= 4)
            *(id == 2   ? &a->project_name
              : id == 3 ? &a->project_author
                        : &a->project_description) = thrift_in_str(in);
        else
            thrift_in_skip(in, type);
    }
}

static void one_run(thrift_in *in, v1_answer *a)
{
    if (too_many(in, a->n_runs, RUNS_MAX, "runs")) return;
    a->runs = grown(a->runs, a->n_runs, sizeof *a->runs);
    run(in, &a->runs[a->n_runs++]);
}

/* --------------------------------------------------------------------------------------------- successes */

/* The responses of store...: ids in numbered fields. */
static void ids_of(thrift_in *in, v1_answer *a, int16_t main, int16_t frame)
{
    enum thrift_type type;
    int16_t id;
    while (thrift_in_field(in, &type, &id)) {
        if (type == THRIFT_I32 && id == main)
            a->id = thrift_in_i32(in);
        else if (type == THRIFT_I32 && id == frame)
            a->frame = thrift_in_i32(in);
        else
            thrift_in_skip(in, type);
    }
    if (a->id < 0 || (frame && a->frame < 0))
        thrift_in_fail(in, THRIFT_MALFORMED, "the answer names no id where one was stored (%ld)",
                       (long)a->id);
}

static void each(thrift_in *in, v1_answer *a, int16_t list, void (*read)(thrift_in *in, v1_answer *a))
{
    enum thrift_type type;
    int16_t id;
    while (thrift_in_field(in, &type, &id)) {
        if (type == THRIFT_LIST && id == list) {
            uint32_t n = structs(in);
            for (uint32_t i = 0; i < n && !in->fault; i++) read(in, a);
        } else {
            thrift_in_skip(in, type);
        }
    }
}

static void one_frame(thrift_in *in, v1_answer *a)
{
    if (too_many(in, a->n_frames, FRAMES_MAX, "DataFrames")) return;
    a->frames = grown(a->frames, a->n_frames, sizeof *a->frames);
    data_frame(in, &a->frames[a->n_frames++]);
}

static void details(thrift_in *in, v1_answer *a)
{
    enum thrift_type type;
    int16_t id;
    while (thrift_in_field(in, &type, &id)) {
        if (type == THRIFT_STRUCT && id == 1) {
            project(in, a);
        } else if (type == THRIFT_STRUCT && id == 3) {
            one_run(in, a);
        } else if (type == THRIFT_LIST && id == 4) {
            uint32_t n = structs(in);
            for (uint32_t i = 0; i < n && !in->fault; i++) model(in, a);
        } else {
            thrift_in_skip(in, type);
        }
    }
}

static void numbers(thrift_in *in, v1_answer *a)
{
    enum thrift_type element;
    const uint32_t n = thrift_in_list(in, &element);
    if (n && element != THRIFT_I32) {
        thrift_in_fail(in, THRIFT_MALFORMED, "the answer is a list of type %u instead of numbers",
                       (unsigned)element);
        return;
    }
    for (uint32_t i = 0; i < n && !in->fault; i++) {
        a->ids = grown(a->ids, a->n_ids, sizeof *a->ids);
        a->ids[a->n_ids++] = thrift_in_i32(in);
    }
}

static enum thrift_type type_of(enum shape shape)
{
    return shape == SHAPE_NUMBER ? THRIFT_I32
           : shape == SHAPE_YES  ? THRIFT_BOOL
           : shape == SHAPE_IDS  ? THRIFT_LIST
                                 : THRIFT_STRUCT;
}

static void success(thrift_in *in, enum shape shape, v1_answer *a)
{
    switch (shape) {
    case SHAPE_NUMBER: a->id = thrift_in_i32(in); break;
    case SHAPE_YES: a->yes = thrift_in_bool(in); break;
    case SHAPE_IDS: numbers(in, a); break;
    case SHAPE_RESPONSE_1: ids_of(in, a, 1, 0); break;
    case SHAPE_FIT: ids_of(in, a, 3, 1); break;
    case SHAPE_METRIC: ids_of(in, a, 2, 0); break;
    case SHAPE_RUNS: each(in, a, 3, one_run); break;
    case SHAPE_DETAILS: details(in, a); break;
    case SHAPE_MODEL: model(in, a); break;
    case SHAPE_FRAMES: each(in, a, 1, one_frame); break;
    }
}

/* ----------------------------------------------------------------------------------------------- messages */

/* All declared exceptions are {1: string message}. */
static pbay_str sentence(thrift_in *in)
{
    thrift_exception e;
    thrift_in_exception(in, &e);
    return e.message;
}

static void result(thrift_in *in, const struct method *m, v1_answer *a)
{
    enum thrift_type type;
    int16_t id;
    bool found = false;
    while (thrift_in_field(in, &type, &id)) {
        if (id == 0 && type == type_of(m->shape)) {
            success(in, m->shape, a);
            found = true;
        } else if ((id == 1 || id == 2) && type == THRIFT_STRUCT && m->exceptions[id - 1]) {
            a->end = V1_REFUSED;
            a->exception = c_str(m->exceptions[id - 1]);
            a->message = sentence(in);
            found = true;
        } else {
            thrift_in_skip(in, type);
        }
    }
    if (!found)
        thrift_in_fail(in, THRIFT_MALFORMED, "the answer to %s holds neither a result nor an exception",
                       m->name);
}

void v1_read(pbay_str frame, enum v1_method method, int32_t seqid, v1_answer *a)
{
    const struct method *m = &methods[method];
    thrift_in in;
    thrift_message head;
    *a = (v1_answer){.id = -1, .frame = -1, .exception = {"", 0}, .message = {"", 0}};
    thrift_in_init(&in, frame);
    if (thrift_in_message(&in, &head)) {
        const bool same = head.method.n == strlen(m->name) && !memcmp(head.method.p, m->name, head.method.n);
        if (head.kind == THRIFT_EXCEPTION) {
            thrift_exception e;
            thrift_in_exception(&in, &e);
            a->end = V1_FAILED;
            a->exception = c_str(thrift_exception_name(e.type));
            a->message = e.message;
        } else if (head.kind != THRIFT_REPLY) {
            thrift_in_fail(&in, THRIFT_MALFORMED, "a message of kind %u instead of the answer to %s",
                           (unsigned)head.kind, m->name);
        } else if (!same || head.seqid != seqid) {
            thrift_in_fail(&in, THRIFT_MALFORMED,
                           "the answer is for %.*s number %ld, asked was %s number %ld",
                           (int)(head.method.n < 60 ? head.method.n : 60), head.method.p, (long)head.seqid,
                           m->name, (long)seqid);
        } else {
            result(&in, m, a);
        }
    }
    if (thrift_in_done(&in)) return;
    a->end = V1_UNREADABLE;
    a->fault = in.fault;
    memcpy(a->why, in.why, sizeof a->why);
}

void v1_answer_free(v1_answer *a)
{
    for (size_t i = 0; i < a->n_models; i++) {
        free(a->models[i].parameters);
        free(a->models[i].metrics);
    }
    free(a->models);
    free(a->ids);
    free(a->runs);
    free(a->frames);
    *a = (v1_answer){.id = -1};
}
