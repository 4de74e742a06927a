/* SPDX-License-Identifier: MIT */
#include "v2_run.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "facts.h"

enum { AGAIN_MAX = 4, FAULT = 400 };

enum step {
    GET_PROJECT,
    CREATE_PROJECT,
    UPDATE_PROJECT,
    GET_EXPERIMENT,
    CREATE_EXPERIMENT,
    GET_RUN,
    CREATE_RUN,
    DELETE_KEYS, /* of the class `at` */
    LOG_KEYS,
    DELETE_ARTIFACT,
    LOG_ARTIFACTS,
    DELETE_TAGS,
    ADD_TAGS,
    OVER
};

enum { METRICS, HYPERPARAMETERS, ATTRIBUTES, CLASSES };

static const struct class
{
    const char *list, *what, *log, *delete, *keys;
} classes[CLASSES] = {
    {"metrics", "metric", "experiment-run/logMetrics", "experiment-run/deleteMetrics", "metric_keys"},
    {"hyperparameters", "parameter", "experiment-run/logHyperparameters",
     "experiment-run/deleteHyperparameters", "hyperparameter_keys"},
    {"attributes", "field", "experiment-run/logAttributes", "experiment-run/deleteExperimentRunAttributes",
     "attribute_keys"},
};

struct plan {
    v2_wanted w;
    mdb_differs differs; /* only read */
    void *user;
    enum step step;
    int at, again;
    bool other;    /* under the run's other name */
    bool describe; /* the project's description has changed */
    bool created, missing;
    char *project, *experiment, *run;
    json_t *remove[CLASSES]; /* keys, to be deleted before they are logged again */
    json_t *log[CLASSES];    /* key and value, to be logged */
    json_t *remove_artifacts, *log_artifacts, *remove_tags, *add_tags;
    size_t wrote[CLASSES];
    char fault[FAULT];
    bool passes; /* the same again may help */
};

static json_t *wanted(const struct plan *p, int class)
{
    return class == METRICS           ? p->w.metrics
           : class == HYPERPARAMETERS ? p->w.hyperparameters
                                      : p->w.attributes;
}

static bool is(const char *a, const char *b)
{
    return !strcmp(a, b);
}

static void keep(char **to, const json_t *object)
{
    const char *id = json_string_value(json_object_get(object, "id"));
    free(*to);
    *to = id && *id ? strdup(id) : NULL;
}

static pbay_str shown(const json_t *v, char room[40])
{
    if (json_is_string(v)) return (pbay_str){json_string_value(v), json_string_length(v)};
    if (json_is_integer(v))
        snprintf(room, 40, "%" JSON_INTEGER_FORMAT, json_integer_value(v));
    else if (json_is_real(v))
        snprintf(room, 40, "%.17g", json_real_value(v));
    else
        snprintf(room, 40, "%s",
                 json_is_true(v)    ? "true"
                 : json_is_false(v) ? "false"
                 : v                ? "something else"
                                    : "");
    return (pbay_str){room, strlen(room)};
}

static void tell(const struct plan *p, const char *what, const char *name, const json_t *a, const json_t *b)
{
    char room_a[40], room_b[40];
    p->differs(p->user, what, (pbay_str){name, strlen(name)}, shown(a, room_a), shown(b, room_b));
}

/* --------------------------------------------------------------------------------------------------- asking
 */

/* [{"key", "value"}] */
static json_t *pairs(const json_t *object)
{
    json_t *out = json_array(), *v;
    const char *key;
    json_object_foreach((json_t *)object, key, v)
        json_array_append_new(out, json_pack("{s:s, s:O}", "key", key, "value", v));
    return out;
}

static json_t *artifact_list(const json_t *object)
{
    json_t *out = json_array(), *v;
    const char *key;
    json_object_foreach((json_t *)object, key, v)
    {
        json_t *one = json_pack("{s:s, s:b}", "key", key, "path_only", 1);
        json_object_update(one, v);
        json_array_append_new(out, one);
    }
    return out;
}

static void put_workspace(const struct plan *p, json_t *body)
{
    if (p->w.workspace.n) json_object_set_new(body, "workspace_name", rest_text(p->w.workspace));
}

static json_t *new_run(const struct plan *p)
{
    json_t *b =
        json_pack("{s:s, s:s, s:s, s:o, s:o, s:o, s:o, s:O}", "project_id", p->project, "experiment_id",
                  p->experiment, "name", p->other ? p->w.other_name : p->w.name, "metrics",
                  pairs(p->w.metrics), "hyperparameters", pairs(p->w.hyperparameters), "attributes",
                  pairs(p->w.attributes), "artifacts", artifact_list(p->w.artifacts), "tags", p->w.tags);
    if (p->w.started_ms > 0) json_object_set_new(b, "start_time", json_integer(p->w.started_ms));
    if (p->w.ended_ms > 0) json_object_set_new(b, "end_time", json_integer(p->w.ended_ms));
    return b;
}

/* The step's class has nothing to do: the next one. */
static void settle(struct plan *p)
{
    for (;;) {
        if (p->step == DELETE_KEYS || p->step == LOG_KEYS) {
            if (p->at == CLASSES) {
                p->step = DELETE_ARTIFACT;
            } else if (p->step == DELETE_KEYS) {
                if (json_array_size(p->remove[p->at])) return;
                p->step = LOG_KEYS;
            } else {
                if (json_object_size(p->log[p->at])) return;
                p->step = DELETE_KEYS;
                p->at++;
            }
        } else if (p->step == DELETE_ARTIFACT && !json_array_size(p->remove_artifacts)) {
            p->step = LOG_ARTIFACTS;
        } else if (p->step == LOG_ARTIFACTS && !json_object_size(p->log_artifacts)) {
            p->step = DELETE_TAGS;
        } else if (p->step == DELETE_TAGS && !json_array_size(p->remove_tags)) {
            p->step = ADD_TAGS;
        } else if (p->step == ADD_TAGS && !json_array_size(p->add_tags)) {
            p->step = OVER;
        } else {
            return;
        }
    }
}

static void get(rest_want *want, const char *call, const char *scope, const char *id, pbay_str name)
{
    want->method = "GET";
    want->call = call;
    if (scope) rest_query(&want->query, scope, (pbay_str){id, strlen(id)});
    rest_query(&want->query, "name", name);
}

static void send(rest_want *want, const char *method, const char *call, json_t *body)
{
    want->method = method;
    want->call = call;
    want->body = body;
}

static bool plan_next(void *plan, rest_want *want)
{
    struct plan *p = plan;
    const struct class *c;
    const char *name = p->other ? p->w.other_name : p->w.name;
    json_t *body;
    settle(p);
    switch (p->step) {
    case GET_PROJECT:
        get(want, "project/getProjectByName", NULL, NULL, p->w.project);
        if (p->w.workspace.n) rest_query(&want->query, "workspace_name", p->w.workspace);
        return true;
    case CREATE_PROJECT:
        body = json_pack("{s:o, s:o}", "name", rest_text(p->w.project), "description",
                         rest_text(p->w.description));
        put_workspace(p, body);
        send(want, "POST", "project/createProject", body);
        return true;
    case UPDATE_PROJECT:
        send(want, "POST", "project/updateProjectDescription",
             json_pack("{s:s, s:o}", "id", p->project, "description", rest_text(p->w.description)));
        return true;
    case GET_EXPERIMENT:
        get(want, "experiment/getExperimentByName", "project_id", p->project, p->w.experiment);
        return true;
    case CREATE_EXPERIMENT:
        send(want, "POST", "experiment/createExperiment",
             json_pack("{s:s, s:o}", "project_id", p->project, "name", rest_text(p->w.experiment)));
        return true;
    case GET_RUN:
        get(want, "experiment-run/getExperimentRunByName", "experiment_id", p->experiment,
            (pbay_str){name, strlen(name)});
        return true;
    case CREATE_RUN: send(want, "POST", "experiment-run/createExperimentRun", new_run(p)); return true;
    case DELETE_KEYS:
        c = &classes[p->at];
        send(want, "DELETE", c->delete, json_pack("{s:s, s:O}", "id", p->run, c->keys, p->remove[p->at]));
        return true;
    case LOG_KEYS:
        c = &classes[p->at];
        send(want, "POST", c->log, json_pack("{s:s, s:o}", "id", p->run, c->list, pairs(p->log[p->at])));
        return true;
    case DELETE_ARTIFACT:
        send(want, "DELETE", "experiment-run/deleteArtifact",
             json_pack("{s:s, s:O}", "id", p->run, "key", json_array_get(p->remove_artifacts, 0)));
        return true;
    case LOG_ARTIFACTS:
        send(want, "POST", "experiment-run/logArtifacts",
             json_pack("{s:s, s:o}", "id", p->run, "artifacts", artifact_list(p->log_artifacts)));
        return true;
    case DELETE_TAGS:
        send(want, "DELETE", "experiment-run/deleteExperimentRunTags",
             json_pack("{s:s, s:O}", "id", p->run, "tags", p->remove_tags));
        return true;
    case ADD_TAGS:
        send(want, "POST", "experiment-run/addExperimentRunTags",
             json_pack("{s:s, s:O}", "id", p->run, "tags", p->add_tags));
        return true;
    case OVER: break;
    }
    return false;
}

/* -------------------------------------------------------------------------------------------------- answers
 */

static const json_t *stored_value(const json_t *run, const char *list, const char *key)
{
    const json_t *all = json_object_get(run, list), *one;
    size_t i;
    json_array_foreach(all, i, one)
    {
        const char *k = json_string_value(json_object_get(one, "key"));
        if (k && is(k, key)) return one;
    }
    return NULL;
}

static void compare_class(struct plan *p, const json_t *run, int at)
{
    const char *key;
    json_t *v, *stored = rest_by_key(json_object_get(run, classes[at].list));
    p->remove[at] = json_array();
    p->log[at] = json_object();
    json_object_foreach(wanted(p, at), key, v)
    {
        const json_t *one = json_object_get(stored, key), *had = json_object_get(one, "value");
        if (one && v2_same(v, had)) continue;
        if (p->differs) tell(p, classes[at].what, key, v, had);
        json_object_set(p->log[at], key, v);
        if (one) json_array_append_new(p->remove[at], json_string(key));
    }
    /* Attributes of others are theirs; metrics and hyperparameters are what training made. */
    if (p->differs && at != ATTRIBUTES)
        json_object_foreach(stored, key, v) if (!json_object_get(wanted(p, at), key))
            tell(p, classes[at].what, key, NULL, json_object_get(v, "value"));
    json_decref(stored);
}

/* Later servers put a path of their own in the place of ours; ours is an attribute too. */
static bool same_artifact(const json_t *wanted, const json_t *stored)
{
    const char *a = json_string_value(json_object_get(wanted, "path")),
               *b = json_string_value(json_object_get(stored, "path"));
    return a && b && (is(a, b) || strstr(b, "ExperimentRunEntity/"));
}

static bool in(const json_t *array, const json_t *text)
{
    for (size_t i = 0; i < json_array_size(array); i++)
        if (json_equal(json_array_get(array, i), text)) return true;
    return false;
}

static void compare(struct plan *p, const json_t *run)
{
    const char *key;
    json_t *v;
    size_t i;
    for (int at = 0; at < CLASSES; at++) {
        json_decref(p->remove[at]);
        json_decref(p->log[at]);
        compare_class(p, run, at);
    }
    json_decref(p->remove_artifacts);
    json_decref(p->log_artifacts);
    json_decref(p->remove_tags);
    json_decref(p->add_tags);
    p->remove_artifacts = json_array();
    p->log_artifacts = json_object();
    p->remove_tags = json_array();
    p->add_tags = json_array();
    json_object_foreach(p->w.artifacts, key, v)
    {
        const json_t *one = stored_value(run, "artifacts", key);
        if (one && same_artifact(v, one)) continue;
        if (p->differs) tell(p, "artifact", key, json_object_get(v, "path"), json_object_get(one, "path"));
        json_object_set(p->log_artifacts, key, v);
        if (one) json_array_append_new(p->remove_artifacts, json_string(key));
    }
    const json_t *had = json_object_get(run, "tags");
    json_array_foreach(p->w.tags, i, v)
    {
        if (in(had, v)) continue;
        if (p->differs) tell(p, "tag", json_string_value(v), v, NULL);
        json_array_append(p->add_tags, v);
    }
    json_array_foreach(had, i, v)
    {
        const char *t = json_string_value(v);
        if (t && !strncmp(t, "status:", 7) && !in(p->w.tags, v)) json_array_append(p->remove_tags, v);
    }
    p->step = p->differs ? OVER : DELETE_KEYS;
    p->at = 0;
}

static void fault(struct plan *p, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

static void fault(struct plan *p, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(p->fault, sizeof p->fault, fmt, ap);
    va_end(ap);
    p->step = OVER;
}

/* A run of that name: ours, or another job's? Names are unique in one account and region only. */
static void found_run(struct plan *p, const json_t *run)
{
    const json_t *arn = json_object_get(stored_value(run, "attributes", MDB_ARN), "value");
    const char *had = json_string_value(arn);
    keep(&p->run, run);
    if (had && strlen(had) == p->w.arn.n && !memcmp(had, p->w.arn.p, p->w.arn.n))
        compare(p, run);
    else if (!p->other)
        p->other = true; /* GET_RUN again */
    else
        fault(p, "the run names \"%s\" and \"%s\" are both taken by other jobs", p->w.name, p->w.other_name);
}

static void not_there(struct plan *p)
{
    static const enum step create[] = {[GET_PROJECT] = CREATE_PROJECT, [GET_EXPERIMENT] = CREATE_EXPERIMENT};
    if (p->differs) {
        p->missing = true;
        p->differs(p->user, "job", (pbay_str){p->w.name, strlen(p->w.name)}, p->w.arn, STR(""));
        p->step = OVER;
    } else if (p->step == GET_RUN) {
        p->step = p->describe ? UPDATE_PROJECT : CREATE_RUN;
    } else {
        p->step = create[p->step];
    }
}

static void no_id(struct plan *p, const char *what)
{
    p->passes = true;
    fault(p, "the answer holds no %s with an id", what);
}

static void read_project(struct plan *p, const json_t *body)
{
    const json_t *o = json_object_get(body, "project");
    if (!o) o = json_object_get(body, "project_by_user");
    if (!json_object_get(o, "id")) o = json_array_get(json_object_get(body, "shared_projects"), 0);
    keep(&p->project, o);
    const pbay_str had = rest_member(o, "description");
    p->describe = had.n != p->w.description.n || (had.n && memcmp(had.p, p->w.description.p, had.n));
    if (p->describe && p->differs) p->differs(p->user, "project", STR("description"), p->w.description, had);
    p->step = GET_EXPERIMENT;
    if (!p->project) no_id(p, "project");
}

static void read_run(struct plan *p, const json_t *body)
{
    const json_t *o = json_object_get(body, "experiment_run");
    if (!json_string_value(json_object_get(o, "id"))) {
        no_id(p, "experiment run");
    } else if (p->step == CREATE_RUN) {
        keep(&p->run, o);
        p->created = true;
        p->step = OVER;
    } else {
        found_run(p, o);
    }
}

/* The key is there already: somebody else's doing, or an earlier attempt's. Look again. */
static bool look_again(struct plan *p, enum step at)
{
    if (++p->again > AGAIN_MAX) return false;
    p->step = at;
    return true;
}

static bool refused(struct plan *p, const rest_answer *a)
{
    const bool get = p->step == GET_PROJECT || p->step == GET_EXPERIMENT || p->step == GET_RUN;
    /* A 404 of the API's own has a code; one without it is not about the name. */
    if (get && ((a->status == 404 && is(a->code, "5")) || (a->status == 403 && is(a->code, "7")))) {
        not_there(p);
        return true;
    }
    if (a->status != 409 || !is(a->code, "6")) return false;
    switch (p->step) {
    case CREATE_PROJECT: return look_again(p, GET_PROJECT);
    case CREATE_EXPERIMENT: return look_again(p, GET_EXPERIMENT);
    default: return look_again(p, GET_RUN);
    }
}

static bool plan_answer(void *plan, const rest_answer *a)
{
    struct plan *p = plan;
    if (a->status >= 300) return refused(p, a);
    switch (p->step) {
    case GET_PROJECT: read_project(p, a->body); break;
    case CREATE_PROJECT:
        read_project(p, a->body);
        p->describe = false;
        break;
    case UPDATE_PROJECT:
        p->describe = false;
        p->step = CREATE_RUN;
        break;
    case GET_EXPERIMENT:
    case CREATE_EXPERIMENT:
        keep(&p->experiment, json_object_get(a->body, "experiment"));
        p->step = GET_RUN;
        if (!p->experiment) no_id(p, "experiment");
        break;
    case GET_RUN:
    case CREATE_RUN: read_run(p, a->body); break;
    case DELETE_KEYS: p->step = LOG_KEYS; break;
    case LOG_KEYS:
        p->wrote[p->at] = json_object_size(p->log[p->at]);
        p->step = DELETE_KEYS;
        p->at++;
        break;
    case DELETE_ARTIFACT: json_array_remove(p->remove_artifacts, 0); break;
    case LOG_ARTIFACTS: p->step = DELETE_TAGS; break;
    case DELETE_TAGS: p->step = ADD_TAGS; break;
    case ADD_TAGS: p->step = OVER; break;
    case OVER: break;
    }
    return true;
}

/* ---------------------------------------------------------------------------------------------------- life
 */

static const char *plan_end(void *plan, pbay_text *json, bool *passes)
{
    const struct plan *p = plan;
    *passes = p->passes;
    if (p->fault[0]) return p->fault;
    if (p->differs) return NULL;
    json_t *o = json_pack("{s:s, s:s*, s:s*, s:s*, s:b, s:i, s:i, s:i}", "store", "v2", "project_id",
                          p->project, "experiment_id", p->experiment, "run_id", p->run, "created",
                          (int)p->created, "metrics", (int)p->wrote[METRICS], "hyperparameters",
                          (int)p->wrote[HYPERPARAMETERS], "fields", (int)p->wrote[ATTRIBUTES]);
    char *text = json_dumps(o, JSON_COMPACT);
    pbay_text_c(json, text);
    free(text);
    json_decref(o);
    return NULL;
}

static void plan_free(void *plan)
{
    struct plan *p = plan;
    for (int at = 0; at < CLASSES; at++) {
        json_decref(p->remove[at]);
        json_decref(p->log[at]);
    }
    json_decref(p->remove_artifacts);
    json_decref(p->log_artifacts);
    json_decref(p->remove_tags);
    json_decref(p->add_tags);
    free(p->project);
    free(p->experiment);
    free(p->run);
    v2_wanted_free(&p->w);
    free(p);
}

const rest_plan v2_plan = {plan_next, plan_answer, plan_end, plan_free};

void *v2_plan_new(v2_wanted *w, mdb_differs differs, void *user)
{
    struct plan *p = calloc(1, sizeof *p);
    if (!p) abort();
    p->w = *w;
    p->differs = differs;
    p->user = user;
    return p;
}
