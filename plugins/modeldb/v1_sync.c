/* SPDX-License-Identifier: MIT */
#include "v1_sync.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "v1_compare.h"

/* As the light client writes them, and as we do: https://github.com/VertaAI/modeldb,
 * client/python/modeldb/basic. */
#define SEED_TYPE "<class 'str'>"
#define OUR_TYPE  "string"
/* The column of a DataFrame, and the field of the metadata, by which the job is known. */
#define ARN_KEY "sagemaker_training_job_arn"
#define NOTE    "dataframes"

/* Frames of other jobs that may have come between ours and the training frame before it. */
enum { PROBES_MAX = 256, FAULT = 400 };

enum step {
    FIND_MODEL,
    FIND_PROJECT,
    FIND_PROJECT_ANY,
    UPDATE_PROJECT,
    LOCK,
    STORE_PROJECT,
    UNLOCK,
    EXPERIMENT,
    MARK,
    SCAN,
    SET_MARK,
    RUN,
    RUN_DETAILS,
    FIT,
    READ_MODEL,
    FIELDS,
    METRICS,
    PROBE,
    FRAMES,
    NOTE_FRAMES,
    VERIFY_RUN,
    OVER
};

struct v1_sync {
    v1_wanted w;
    enum step step;
    enum v1_method method;
    bool locked, fit_again, probing;
    v1_differs differs; /* only reads */
    void *user;
    size_t train, test; /* channels; n_channels: there is none */
    int32_t train_frame, metric_frame, probe;
    unsigned probes;
    size_t at; /* in the list of the step */
    bool *field_due, *metric_due;
    int32_t *frames; /* of channels; -1: not stored */
    bool noted;      /* the note is right */
    char *note;
    v1_outcome out;
    char fault[FAULT];
    bool fault_passes;
};

static pbay_str c_str(const char *s)
{
    return (pbay_str){s, strlen(s)};
}

static void fault(v1_sync *s, bool passes, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

static void fault(v1_sync *s, bool passes, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(s->fault, sizeof s->fault, fmt, ap);
    va_end(ap);
    s->fault_passes = passes;
    s->step = OVER;
}

/* ------------------------------------------------------------------------------------------------ channels
 */

static bool like(pbay_str s, const char *word)
{
    const size_t n = strlen(word);
    if (s.n != n) return false;
    for (size_t i = 0; i < n; i++) {
        const char c = s.p[i] >= 'A' && s.p[i] <= 'Z' ? (char)(s.p[i] + 32) : s.p[i];
        if (c != word[i]) return false;
    }
    return true;
}

static size_t channel(const v1_wanted *w, const char *name)
{
    size_t i = 0;
    while (i < w->n_channels && !like(w->channels[i].name, name)) i++;
    return i;
}

/* The seed knows "train" and "test" in these letters alone; we take the next best. */
static void roles(v1_sync *s)
{
    const v1_wanted *w = &s->w;
    if (w->seed) {
        for (s->train = 0; s->train < w->n_channels; s->train++)
            if (v1_same(w->channels[s->train].name, c_str("train"))) break;
        for (s->test = 0; s->test < w->n_channels; s->test++)
            if (v1_same(w->channels[s->test].name, c_str("test"))) break;
        return;
    }
    s->train = channel(w, "train");
    if (s->train == w->n_channels) s->train = channel(w, "training");
    s->test = channel(w, "test");
    if (s->test == w->n_channels) s->test = channel(w, "validation");
    if (s->train < w->n_channels || !w->n_channels) return;
    for (s->train = 0; s->train < w->n_channels && s->train == s->test;) s->train++;
}

static v1_frame frame_of(const v1_sync *s, size_t i)
{
    v1_frame f = {.id = -1};
    if (i >= s->w.n_channels) return f;
    const v1_channel *c = &s->w.channels[i];
    f.tag = c->name;
    f.path = c->uri;
    f.metadata = c->facts;
    f.n_metadata = c->n_facts;
    f.metadata_type = c_str(s->w.seed ? SEED_TYPE : OUR_TYPE);
    if (!s->w.seed && i != s->train) f.column = (v1_pair){c_str(ARN_KEY), s->w.arn};
    return f;
}

/* The channel is stored by a call of its own: not with the fit, and not with the first metric. */
static bool own_frame(const v1_sync *s, size_t i)
{
    return i != s->train && !(i == s->test && s->w.n_metrics);
}

static bool frames_wanted(const v1_sync *s)
{
    for (size_t i = 0; i < s->w.n_channels; i++)
        if (i != s->train) return true;
    return false;
}

/* "test=32,validation=33" */
static void write_note(v1_sync *s)
{
    pbay_text t = {NULL, 0, 0};
    for (size_t i = 0; i < s->w.n_channels; i++) {
        if (i == s->train || s->frames[i] < 0) continue;
        if (t.n) pbay_text_c(&t, ",");
        pbay_text_add(&t, s->w.channels[i].name);
        pbay_text_printf(&t, "=%ld", (long)s->frames[i]);
    }
    pbay_text_add(&t, (pbay_str){"", 1});
    free(s->note);
    s->note = t.p;
}

static void read_note(v1_sync *s, pbay_str note)
{
    for (size_t from = 0; from < note.n;) {
        size_t eq = from, to;
        while (eq < note.n && note.p[eq] != '=') eq++;
        int64_t id = 0;
        for (to = eq + 1; to < note.n && note.p[to] >= '0' && note.p[to] <= '9' && id < INT32_MAX; to++)
            id = 10 * id + (note.p[to] - '0');
        for (size_t i = 0; i < s->w.n_channels; i++)
            if (v1_same(s->w.channels[i].name, (pbay_str){note.p + from, eq - from}) && id > 0 &&
                id <= INT32_MAX)
                s->frames[i] = (int32_t)id;
        from = to + 1;
    }
}

static bool all_frames(const v1_sync *s)
{
    for (size_t i = 0; i < s->w.n_channels; i++)
        if (i != s->train && s->frames[i] < 0 && own_frame(s, i)) return false;
    return true;
}

/* -------------------------------------------------------------------------------------------------- asking
 */

static int ask_project_ids(const v1_sync *s, pbay_text *out, int32_t seqid, size_t n)
{
    const v1_pair pairs[] = {{c_str("name"), s->w.project},
                             {c_str("author"), s->w.author},
                             {c_str("description"), s->w.description}};
    return v1_ask_ids(out, seqid, V1_GET_PROJECT_IDS, pairs, n);
}

static int ask_fit(const v1_sync *s, pbay_text *out, int32_t seqid)
{
    pbay_text metadata = {NULL, 0, 0};
    pbay_text_c(&metadata, "{");
    for (size_t i = 0; !s->w.seed && i < s->w.n_fields; i++) {
        if (i) pbay_text_c(&metadata, ", ");
        pbay_text_json(&metadata, s->w.fields[i].name);
        pbay_text_c(&metadata, ": ");
        pbay_text_json(&metadata, s->w.fields[i].value);
    }
    pbay_text_c(&metadata, "}");
    const v1_fit fit = {.frame = frame_of(s, s->train),
                        .type = s->w.type,
                        .parameters = s->w.parameters,
                        .n_parameters = s->w.n_parameters,
                        .parameter_type = c_str(s->w.seed ? "str" : OUR_TYPE),
                        .model = s->fit_again ? s->out.model : -1,
                        .model_tag = s->w.seed ? (pbay_str){"", 0} : s->w.name,
                        .model_path = s->w.artifact,
                        .run = s->out.run,
                        .metadata = pbay_text_view(&metadata)};
    const int rc = v1_ask_fit(out, seqid, &fit);
    pbay_text_free(&metadata);
    return rc;
}

static int ask_metric(const v1_sync *s, pbay_text *out, int32_t seqid)
{
    const v1_number *n = &s->w.metrics[s->at];
    const v1_metric m = {
        .frame = s->metric_frame >= 0 ? (v1_frame){.id = s->metric_frame} : frame_of(s, s->test),
        .model = s->out.model,
        .run = s->out.run,
        .name = n->name,
        .value = n->value,
    };
    return v1_ask_metric(out, seqid, &m);
}

/* The step's call into out. 0, or -1: it is too long for a frame. */
static int ask(v1_sync *s, pbay_text *out, int32_t seqid)
{
    const v1_pair arn = {c_str(ARN_KEY), s->w.arn};
    const v1_wanted *w = &s->w;
    v1_frame f;
    switch (s->step) {
    case FIND_MODEL: s->method = V1_GET_MODEL_IDS; return v1_ask_ids(out, seqid, s->method, &arn, 1);
    case FIND_PROJECT: s->method = V1_GET_PROJECT_IDS; return ask_project_ids(s, out, seqid, 3);
    case FIND_PROJECT_ANY: s->method = V1_GET_PROJECT_IDS; return ask_project_ids(s, out, seqid, 2);
    case UPDATE_PROJECT:
        s->method = V1_UPDATE_PROJECT;
        return v1_ask_update_project(out, seqid, s->out.project, c_str("description"), w->description);
    case STORE_PROJECT:
        s->method = V1_STORE_PROJECT;
        return v1_ask_project(out, seqid, w->project, w->author, w->description);
    case EXPERIMENT: s->method = V1_STORE_EXPERIMENT; return v1_ask_experiment(out, seqid, s->out.project);
    case SCAN: s->method = V1_PROJECT_RUNS; return v1_ask_id(out, seqid, s->method, s->out.project);
    case RUN:
        s->method = V1_STORE_RUN;
        s->out.begun = true;
        return v1_ask_run(out, seqid, s->out.experiment, w->seed ? (pbay_str){"", 0} : w->run);
    case RUN_DETAILS:
    case VERIFY_RUN: s->method = V1_RUN_DETAILS; return v1_ask_id(out, seqid, s->method, s->out.run);
    case FIT: s->method = V1_STORE_FIT; return ask_fit(s, out, seqid);
    case READ_MODEL: s->method = V1_GET_MODEL; return v1_ask_id(out, seqid, s->method, s->out.model);
    case FIELDS:
        s->method = V1_SCALAR_FIELD;
        return v1_ask_scalar(out, seqid, s->out.model, w->fields[s->at].name, w->fields[s->at].value,
                             c_str(OUR_TYPE));
    case METRICS: s->method = V1_STORE_METRIC; return ask_metric(s, out, seqid);
    case PROBE: s->method = V1_FRAME_ANCESTRY; return v1_ask_id(out, seqid, s->method, s->probe);
    case FRAMES:
        f = frame_of(s, s->at);
        s->method = V1_STORE_DATA_FRAME;
        return v1_ask_frame(out, seqid, &f, s->out.run);
    case NOTE_FRAMES:
        s->method = V1_SCALAR_FIELD;
        return v1_ask_scalar(out, seqid, s->out.model, c_str(NOTE), c_str(s->note), c_str(OUR_TYPE));
    default: return 0;
    }
}

/* Past everything in lists that needs no call. */
static void settle(v1_sync *s)
{
    for (;; s->at = 0) {
        switch (s->step) {
        case FIELDS:
            while (s->at < s->w.n_fields && !s->field_due[s->at]) s->at++;
            if (s->at < s->w.n_fields) return;
            s->step = METRICS;
            break;
        case METRICS:
            while (s->at < s->w.n_metrics && !s->metric_due[s->at]) s->at++;
            if (s->at < s->w.n_metrics) return;
            s->step = s->w.seed || s->noted || !frames_wanted(s) ? OVER : s->probing ? PROBE : FRAMES;
            break;
        case PROBE:
            if (s->probes < PROBES_MAX && !all_frames(s) && s->train_frame >= 0) return;
            s->step = FRAMES;
            break;
        case FRAMES:
            while (s->at < s->w.n_channels && (s->frames[s->at] >= 0 || !own_frame(s, s->at))) s->at++;
            if (s->at < s->w.n_channels) return;
            write_note(s);
            s->step = NOTE_FRAMES;
            return;
        default: return;
        }
    }
}

enum v1_need v1_sync_next(v1_sync *s, pbay_text *out, int32_t seqid)
{
    pbay_text_clear(out);
    settle(s);
    switch (s->step) {
    case OVER: return V1_NEED_NOTHING;
    case MARK: return V1_NEED_MARK;
    case SET_MARK: return V1_NEED_SET_MARK;
    case LOCK: return V1_NEED_LOCK;
    case UNLOCK: return V1_NEED_UNLOCK;
    default: break;
    }
    if (!ask(s, out, s->w.seed ? 0 : seqid)) return V1_NEED_CALL;
    fault(s, false, "%s would be longer than the %d bytes that a frame may have", v1_method_name(s->method),
          THRIFT_FRAME_MAX);
    return V1_NEED_NOTHING;
}

enum v1_method v1_sync_method(const v1_sync *s)
{
    return s->method;
}

/* ------------------------------------------------------------------------------------------------- answers
 */

static int32_t smallest(const v1_answer *a)
{
    int32_t least = a->ids[0];
    for (size_t i = 1; i < a->n_ids; i++)
        if (a->ids[i] < least) least = a->ids[i];
    return least;
}

static size_t different(const v1_answer *a)
{
    size_t n = 0;
    for (size_t i = 0, j; i < a->n_ids; i++) {
        for (j = 0; j < i && a->ids[j] != a->ids[i];) j++;
        n += j == i;
    }
    return n;
}

static void tell(const v1_sync *s, const char *what, pbay_str name, pbay_str wanted, pbay_str stored)
{
    const v1_difference d = {what, name, wanted, stored};
    if (s->differs) s->differs(s->user, &d);
}

static void found_models(v1_sync *s, const v1_answer *a)
{
    s->out.found = a->n_ids > 0;
    if (!a->n_ids) {
        s->step = s->differs ? OVER : FIND_PROJECT;
        if (s->differs) tell(s, "model", s->w.run, s->w.arn, (pbay_str){"", 0});
        return;
    }
    s->out.model = smallest(a);
    s->step = READ_MODEL;
    if (different(a) > 1) {
        char text[40];
        snprintf(text, sizeof text, "%zu models", different(a));
        tell(s, "model", s->w.run, c_str("1 model"), c_str(text));
    }
}

static void found_projects(v1_sync *s, const v1_answer *a)
{
    if (a->n_ids) {
        s->out.project = smallest(a);
        s->step = s->step == FIND_PROJECT_ANY ? UPDATE_PROJECT : s->locked ? UNLOCK : EXPERIMENT;
    } else {
        s->step = s->step == FIND_PROJECT ? FIND_PROJECT_ANY : s->locked ? STORE_PROJECT : LOCK;
    }
}

static void found_runs(v1_sync *s, const v1_answer *a)
{
    for (size_t i = 0; i < a->n_runs; i++) {
        if (!v1_same(a->runs[i].description, s->w.run)) continue;
        s->out.run = a->runs[i].id;
        s->out.repaired = true;
        s->step = RUN_DETAILS;
        return;
    }
    s->step = RUN; /* it died between the mark and the run */
}

/* The run of an earlier attempt: how far did it get? */
static void found_run(v1_sync *s, const v1_answer *a)
{
    s->step = FIT;
    if (!a->n_models) return;
    s->out.model = a->models[0].id;
    s->fit_again = !a->models[0].metadata.n;
    if (!s->fit_again) s->step = READ_MODEL;
}

static void stored_fit(v1_sync *s, const v1_answer *a)
{
    s->out.model = a->id;
    s->train_frame = a->frame;
    if (s->fit_again) {
        s->fit_again = false;
        s->step = READ_MODEL;
        return;
    }
    if (!s->w.seed && s->test == s->w.n_channels) s->metric_frame = a->frame;
    for (size_t i = 0; i < s->w.n_metrics; i++) s->metric_due[i] = true;
    s->step = METRICS;
    s->at = 0;
}

static void read_metrics(v1_sync *s, const v1_model *m)
{
    char wanted[32], stored[32];
    for (size_t i = 0; i < s->w.n_metrics; i++) {
        const v1_number *n = &s->w.metrics[i];
        const v1_stored_metric *had = v1_stored(m, n);
        s->metric_due[i] = !had;
        snprintf(wanted, sizeof wanted, "%.17g", n->value);
        if (!had) {
            tell(s, "metric", n->name, c_str(wanted), (pbay_str){"", 0});
            continue;
        }
        if (s->metric_frame < 0) s->metric_frame = had->frame;
        if ((float)had->value == (float)n->value) continue;
        s->out.n_kept++;
        snprintf(stored, sizeof stored, "%.9g", had->value);
        tell(s, "metric", n->name, c_str(wanted), c_str(stored));
    }
}

static void read_model(v1_sync *s, const v1_model *m)
{
    v1_document *d = v1_document_read(m->metadata);
    pbay_str note;
    s->out.project = m->project;
    s->out.experiment = m->experiment;
    s->out.run = m->run;
    s->train_frame = m->frame.id;
    for (size_t i = 0; i < s->w.n_fields; i++) {
        pbay_str stored = {"", 0};
        const v1_pair *f = &s->w.fields[i];
        s->field_due[i] = !v1_document_text(d, f->name, &stored) || !v1_same(stored, f->value);
        if (s->field_due[i]) tell(s, "field", f->name, f->value, stored);
    }
    s->noted = v1_document_text(d, c_str(NOTE), &note);
    if (s->noted) {
        read_note(s, note);
        s->noted = all_frames(s);
    } else {
        s->probing = frames_wanted(s);
        s->probe = s->train_frame + 1;
    }
    if (s->test < s->w.n_channels && s->test != s->train) s->metric_frame = s->frames[s->test];
    read_metrics(s, m);
    if (s->test == s->w.n_channels && s->metric_frame < 0) s->metric_frame = s->train_frame;
    if (s->test < s->w.n_channels && s->frames[s->test] < 0) s->frames[s->test] = s->metric_frame;
    if (s->differs) {
        for (size_t i = 0; i < s->w.n_channels; i++)
            if (i != s->train && s->frames[i] < 0)
                tell(s, "channel", s->w.channels[i].name, s->w.channels[i].uri, (pbay_str){"", 0});
        v1_compare_model(&s->w, m, s->train, s->differs, s->user);
    }
    v1_document_free(d);
    s->at = 0;
    s->step = s->differs ? VERIFY_RUN : FIELDS;
}

static void probed(v1_sync *s, const v1_answer *a)
{
    s->probes++;
    if (a->end == V1_REFUSED) { /* the newest frame of all was the one before */
        s->probes = PROBES_MAX;
        return;
    }
    s->probe++;
    for (size_t j = 0; j < a->n_frames; j++) {
        const v1_stored_frame *f = &a->frames[j];
        if (!v1_same(f->column.name, c_str(ARN_KEY)) || !v1_same(f->column.value, s->w.arn)) continue;
        for (size_t i = 0; i < s->w.n_channels; i++)
            if (s->frames[i] < 0 && v1_same(s->w.channels[i].name, f->tag)) s->frames[i] = f->id;
    }
}

static void verify_run(v1_sync *s, const v1_answer *a)
{
    if (!v1_same(a->project_name, s->w.project))
        tell(s, "project", c_str("name"), s->w.project, a->project_name);
    if (!v1_same(a->project_author, s->w.author))
        tell(s, "project", c_str("author"), s->w.author, a->project_author);
    if (!v1_same(a->project_description, s->w.description))
        tell(s, "project", c_str("description"), s->w.description, a->project_description);
    if (a->n_runs && !v1_same(a->runs[0].description, s->w.run))
        tell(s, "run", c_str("description"), s->w.run, a->runs[0].description);
    s->step = OVER;
}

void v1_sync_answer(v1_sync *s, const v1_answer *a)
{
    if (a->end == V1_REFUSED && s->step != PROBE) {
        fault(s, true, "%s: %.*s", v1_method_name(s->method), (int)(a->message.n < 200 ? a->message.n : 200),
              a->message.p);
        return;
    }
    switch (s->step) {
    case FIND_MODEL: found_models(s, a); break;
    case FIND_PROJECT:
    case FIND_PROJECT_ANY: found_projects(s, a); break;
    case UPDATE_PROJECT: s->step = s->locked ? UNLOCK : EXPERIMENT; break;
    case STORE_PROJECT:
        s->out.project = a->id;
        s->step = s->locked ? UNLOCK : EXPERIMENT;
        break;
    case EXPERIMENT:
        s->out.experiment = a->id;
        s->step = s->w.seed ? RUN : MARK;
        break;
    case SCAN: found_runs(s, a); break;
    case RUN:
        s->out.run = a->id;
        s->step = FIT;
        break;
    case RUN_DETAILS: found_run(s, a); break;
    case FIT: stored_fit(s, a); break;
    case READ_MODEL:
        if (a->n_models) read_model(s, &a->models[0]);
        break;
    case FIELDS:
    case NOTE_FRAMES:
        if (!a->yes)
            fault(s, true, "the server has no metadata of model %ld, though it found the model by them",
                  (long)s->out.model);
        else if (s->step == NOTE_FRAMES)
            s->step = OVER;
        else
            s->field_due[s->at] = false, s->out.n_fields++;
        break;
    case METRICS:
        s->metric_frame = a->id;
        if (s->test < s->w.n_channels) s->frames[s->test] = a->id;
        s->metric_due[s->at] = false;
        s->out.n_metrics++;
        break;
    case PROBE: probed(s, a); break;
    case FRAMES:
        s->frames[s->at] = a->id;
        s->out.n_frames++;
        break;
    case VERIFY_RUN: verify_run(s, a); break;
    default: break;
    }
}

void v1_sync_mark(v1_sync *s, bool there)
{
    s->step = there ? SCAN : SET_MARK;
}

void v1_sync_go_on(v1_sync *s)
{
    if (s->step == SET_MARK) {
        s->step = RUN;
    } else if (s->step == LOCK) {
        s->locked = true;
        s->step = FIND_PROJECT; /* somebody may have made it meanwhile */
    } else if (s->step == UNLOCK) {
        s->locked = false;
        s->step = EXPERIMENT;
    }
}

bool v1_sync_locked(const v1_sync *s)
{
    return s->locked;
}

/* ---------------------------------------------------------------------------------------------------- life
 */

v1_sync *v1_sync_new(const v1_wanted *w)
{
    v1_sync *s = calloc(1, sizeof *s);
    if (!s) abort();
    s->w = *w;
    s->step = w->seed ? STORE_PROJECT : FIND_MODEL;
    s->train_frame = s->metric_frame = -1;
    s->out.project = s->out.experiment = s->out.run = s->out.model = -1;
    s->field_due = calloc(w->n_fields + 1, sizeof *s->field_due);
    s->metric_due = calloc(w->n_metrics + 1, sizeof *s->metric_due);
    s->frames = calloc(w->n_channels + 1, sizeof *s->frames);
    if (!s->field_due || !s->metric_due || !s->frames) abort();
    for (size_t i = 0; i < w->n_channels; i++) s->frames[i] = -1;
    roles(s);
    return s;
}

v1_sync *v1_verify_new(const v1_wanted *w, v1_differs differs, void *user)
{
    v1_sync *s = v1_sync_new(w);
    s->differs = differs;
    s->user = user;
    if (w->seed)
        fault(s, false, "with mode = seed nothing is left in ModelDB 1.0 by which a job could be found");
    return s;
}

void v1_sync_free(v1_sync *s)
{
    if (!s) return;
    free(s->field_due);
    free(s->metric_due);
    free(s->frames);
    free(s->note);
    free(s);
}

const char *v1_sync_fault(const v1_sync *s)
{
    return s->fault[0] ? s->fault : NULL;
}

bool v1_sync_fault_passes(const v1_sync *s)
{
    return s->fault_passes;
}

const v1_outcome *v1_sync_outcome(const v1_sync *s)
{
    return &s->out;
}
