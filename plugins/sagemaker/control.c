/* SPDX-License-Identifier: MIT */
/*
 * SageMaker's control plane as actions: AWS JSON 1.1, POST / with X-Amz-Target.
 *
 * https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_Operations_Amazon_SageMaker_Service.html
 * Creating things is not idempotent there, but names are unique, so `lookup` asks for the name. What takes
 * long is polled until its end unless the arguments say "Wait": false.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "actions.h"
#include "aws_shape.h"
#include "http_error.h"

enum { NAME = 256, WHO = 160, REPLY_MAX = 4 << 20, PAGES = 1000, SLACK_MS = 60000 };

/* What an action does, beyond its table. */
struct control {
    const char *target; /* "CreateTrainingJob" */
    const char *shape;
    const char *describe; /* what looks the thing up by its name, and how it is */
    const char *name;     /* the member that names it */
    const char *arn;      /* the member of what describe answers */
    const char *status;
    const char *good; /* "Completed" */
    const char *bad;  /* "Failed|Stopped" */
    const char *list; /* of pages: the member that holds the items */
    int once;         /* it changes something */
    int job;          /* its name is used up for ever: an older one of the same name is not it */
};

enum phase { RUN, COMPARE, POLL, LOOKUP };

struct work {
    struct running r;
    const struct control *op;
    enum phase phase;
    json_t *args;
    json_t *items; /* of pages so far */
    char *body;
    struct aws_call *call;
    char name[NAME], who[WHO];
    int wait, pages;
    uint32_t attempt, n_pages;
    int64_t first_ms, deadline;
};

static void ask(struct work *w, const char *target);

static int in_list(const char *list, const char *word)
{
    size_t n = word ? strlen(word) : 0;
    for (const char *p = list; p && n && *p;) {
        size_t k = strcspn(p, "|");
        if (k == n && memcmp(p, word, n) == 0) return 1;
        p += k + (p[k] == '|');
    }
    return 0;
}

/* ------------------------------------------------------------------------------------------------ ends */

static void drop(struct work *w)
{
    running_remove(&w->r);
    json_decref(w->args);
    json_decref(w->items);
    free(w->body);
    free(w);
}

static void end_done(struct work *w, json_t *value)
{
    action_done(&w->r, value);
    drop(w);
}

static void end_failed(struct work *w, const pbay_result *r)
{
    w->r.sm->action->failed(w->r.run, r);
    drop(w);
}

static void end_code(struct work *w, int32_t code, uint32_t effect, const char *vendor, const char *text)
{
    pbay_result r = PBAY_RESULT_OK;
    r.code = code;
    r.effect = effect;
    r.vendor_code = (pbay_str){vendor, vendor ? strlen(vendor) : 0};
    r.message = (pbay_str){text, strlen(text)};
    end_failed(w, &r);
}

static void end_started(struct work *w, int64_t after_ms)
{
    w->r.sm->action->started(w->r.run, (pbay_str){w->name, strlen(w->name)}, after_ms);
    drop(w);
}

/* It was made, now or before: to be waited for, or all there is to say is its ARN. */
static void made(struct work *w, json_t *value)
{
    if (w->op->status && w->wait) {
        json_decref(value);
        end_started(w, w->r.sm->poll_ms);
    } else
        end_done(w, value);
}

static json_t *arn_of(const struct work *w, const json_t *description)
{
    json_t *v = json_object();
    json_object_set(v, w->op->arn, json_object_get(description, w->op->arn));
    return v;
}

/* ------------------------------------------------------------------------------------------------ the same?
 */

/* What was asked for and is described must be equal; what is not described (tags) cannot be compared. */
static int differs(const json_t *asked, const json_t *is, char *place, size_t room, size_t n)
{
    const char *key;
    json_t *v;
    if (json_is_object(asked) && json_is_object(is)) {
        json_object_foreach((json_t *)asked, key, v)
        {
            const json_t *other = json_object_get(is, key);
            if (!other) continue;
            int k = snprintf(place + n, room - n, "%s%.60s", n ? "." : "", key);
            size_t to = k < 0 || (size_t)k >= room - n ? room - 1 : n + (size_t)k;
            if (differs(v, other, place, room, to)) return 1;
        }
        place[n] = 0;
        return 0;
    }
    if (json_is_array(asked) && json_is_array(is)) {
        if (json_array_size(asked) != json_array_size(is)) return 1;
        for (size_t i = 0; i < json_array_size(asked); i++)
            if (differs(json_array_get(asked, i), json_array_get(is, i), place, room, n)) return 1;
        return 0;
    }
    if (json_is_number(asked) && json_is_number(is)) {
        double gap = json_number_value(asked) - json_number_value(is);
        return gap > 1e-9 || gap < -1e-9;
    }
    return !json_equal(asked, is);
}

static int older(const struct work *w, const json_t *description)
{
    const json_t *at = json_object_get(description, "CreationTime");
    int64_t ms = (int64_t)(json_number_value(at) * 1000);
    return json_is_number(at) && ms + SLACK_MS < w->first_ms + w->r.sm->aws.skew_ms;
}

static void compare(struct work *w, json_t *description)
{
    char place[256] = "", text[512];
    if (w->op->job && older(w, description))
        snprintf(text, sizeof text, "%s: the name was used before, and names of jobs are used once", w->who);
    else if (differs(w->args, description, place, sizeof place, 0))
        snprintf(text, sizeof text, "%s: it exists already and differs in %s", w->who, place);
    else {
        made(w, arn_of(w, description));
        return;
    }
    end_code(w, PBAY_ALREADY_EXISTS, PBAY_EFFECT_NONE, "", text);
}

/* ------------------------------------------------------------------------------------------------ answers */

static int has(pbay_str s, const char *part)
{
    size_t n = strlen(part);
    for (size_t i = 0; i + n <= s.n; i++)
        if (memcmp(s.p + i, part, n) == 0) return 1;
    return 0;
}

static int is_code(const pbay_result *r, const char *code)
{
    return r->vendor_code.n == strlen(code) && memcmp(r->vendor_code.p, code, r->vendor_code.n) == 0;
}

/* Both are ValidationException as often as they have codes of their own. */
static int not_found(const pbay_result *r)
{
    return is_code(r, "ResourceNotFound") ||
           (is_code(r, "ValidationException") &&
            (has(r->message, "not found") || has(r->message, "Could not find") ||
             has(r->message, "does not exist")));
}

static int exists_already(const pbay_result *r)
{
    return is_code(r, "ResourceInUse") || is_code(r, "ResourceInUseException") ||
           (is_code(r, "ValidationException") &&
            (has(r->message, "already exist") || has(r->message, "be unique")));
}

static void failed(struct work *w, const pbay_result *r)
{
    pbay_result mine = *r;
    if (w->phase == RUN && w->op->once && w->op->describe && exists_already(r) && w->op->arn) {
        w->phase = COMPARE;
        ask(w, w->op->describe);
        return;
    }
    if (w->phase == RUN && strcmp(w->op->target, "DeleteEndpoint") == 0 && w->attempt > 1 && not_found(r)) {
        end_done(w, json_object());
        return;
    }
    if (not_found(r)) mine.code = PBAY_NOT_FOUND;
    if (w->phase == LOOKUP && mine.code == PBAY_UNKNOWN) mine.code = PBAY_UNAVAILABLE;
    if (w->phase != RUN || !w->op->once) mine.effect = PBAY_EFFECT_NONE;
    end_failed(w, &mine);
}

static void polled(struct work *w, json_t *description)
{
    const char *status = json_string_value(json_object_get(description, w->op->status));
    if (in_list(w->op->good, status)) {
        end_done(w, description);
    } else if (in_list(w->op->bad, status)) {
        const char *reason = json_string_value(json_object_get(description, "FailureReason"));
        char text[900];
        snprintf(text, sizeof text, "%s: %s%s%.600s", w->who, status, reason ? ": " : "",
                 reason ? reason : "");
        char vendor[64];
        snprintf(vendor, sizeof vendor, "%s", status);
        json_decref(description);
        end_code(w, strcmp(vendor, "Stopped") == 0 ? PBAY_ABORTED : PBAY_FAILED_PRECONDITION,
                 PBAY_EFFECT_DONE, vendor, text);
    } else {
        json_decref(description);
        end_started(w, w->r.sm->poll_ms);
    }
}

static void looked_up(struct work *w, json_t *description)
{
    char text[WHO + 64];
    const char *wanted = json_string_value(json_object_get(w->args, "EndpointConfigName"));
    const char *is = json_string_value(json_object_get(description, "EndpointConfigName"));
    const json_t *coming = json_object_get(description, "PendingDeploymentSummary");
    if (coming) is = json_string_value(json_object_get(coming, "EndpointConfigName"));
    int update = strcmp(w->op->target, "UpdateEndpoint") == 0;
    if (update ? (wanted && is && strcmp(wanted, is) == 0) : !older(w, description)) {
        made(w, arn_of(w, description));
    } else {
        snprintf(text, sizeof text, "%s: what is there is of an earlier time", w->who);
        end_code(w, PBAY_NOT_FOUND, PBAY_EFFECT_NONE, "", text);
    }
    json_decref(description);
}

/* A page of a list. All of them are one answer. */
static void page(struct work *w, json_t *v)
{
    json_t *items = json_object_get(v, w->op->list);
    json_t *next = json_object_get(v, "NextToken");
    if (!w->pages) {
        end_done(w, v);
        return;
    }
    if (!w->items) w->items = json_array();
    if (items) json_array_extend(w->items, items);
    if (json_is_string(next) && json_string_length(next) && ++w->n_pages < PAGES) {
        json_object_set(w->args, "NextToken", next);
        json_decref(v);
        ask(w, w->op->target);
        return;
    }
    json_object_set(v, w->op->list, w->items);
    end_done(w, v);
}

static void on_done(void *user, const pbay_result *result, const pbay_http_reply *reply)
{
    struct work *w = user;
    w->call = NULL;
    if (result->code != PBAY_OK) {
        failed(w, result);
        return;
    }
    json_t *v =
        reply->body.n ? json_loadb(reply->body.p, reply->body.n, JSON_ALLOW_NUL, NULL) : json_object();
    if (!json_is_object(v)) {
        char text[WHO + 64];
        json_decref(v);
        snprintf(text, sizeof text, "%s: the answer is not a JSON object", w->who);
        end_code(w, PBAY_DATA_LOSS, w->op->once && w->phase == RUN ? PBAY_EFFECT_MAYBE : PBAY_EFFECT_NONE, "",
                 text);
        return;
    }
    switch (w->phase) {
    case RUN:
        if (w->op->list)
            page(w, v);
        else
            made(w, v);
        break;
    case COMPARE:
        compare(w, v);
        json_decref(v);
        break;
    case POLL: polled(w, v); break;
    case LOOKUP: looked_up(w, v); break;
    }
}

/* ------------------------------------------------------------------------------------------------ questions
 */

static void ask(struct work *w, const char *target)
{
    char full[80];
    json_t *body = NULL;
    int own = w->phase == RUN;
    if (!own) {
        body = json_object();
        json_object_set_new(body, w->op->name, json_string(w->name));
    }
    free(w->body);
    w->body = json_dumps(own ? w->args : body, JSON_COMPACT);
    json_decref(body);
    if (!w->body) abort();
    snprintf(full, sizeof full, "SageMaker.%s", target);
    pbay_header headers[] = {{STR("Content-Type"), STR("application/x-amz-json-1.1")},
                             {STR("X-Amz-Target"), {full, strlen(full)}}};
    struct aws_request r = {
        .service = AWS_CONTROL,
        .method = STR("POST"),
        .path = STR("/"),
        .headers = headers,
        .n_headers = 2,
        .body = {w->body, strlen(w->body)},
        .max_reply = REPLY_MAX,
    };
    snprintf(w->who, sizeof w->who, "%s%s%.80s", target, w->name[0] ? " of " : "", w->name);
    w->call = aws_call_start(&w->r.sm->aws, &r, own && w->op->once ? AWS_CALL_ONCE : 0, w->deadline, w->who,
                             on_done, w);
}

static void cancel(struct running *r)
{
    struct work *w = (struct work *)r;
    if (w->call) aws_call_cancel(w->call);
}

static struct work *begin(struct sagemaker *sm, const struct action *a, pbay_action_run run,
                          const pbay_action_info *info, enum phase phase, pbay_result *why)
{
    char wrong[SHAPE_WHY];
    const struct control *op = a->spec;
    json_t *args = action_arguments(sm, info, why);
    if (!args) return NULL;
    int wait = op->status && op->once ? action_flag(sm, args, "Wait", 1, why) : 0;
    int pages = op->list ? action_flag(sm, args, "AllPages", 0, why) : 0;
    if (wait < 0 || pages < 0 ||
        (aws_shape_check(op->shape, args, wrong) &&
         sagemaker_refuse(sm, why, PBAY_INVALID_ARGUMENT, "%s: %s", op->target, wrong))) {
        json_decref(args);
        return NULL;
    }
    struct work *w = calloc(1, sizeof *w);
    if (!w) abort();
    w->op = op;
    w->phase = phase;
    w->args = args;
    w->wait = wait;
    w->pages = pages;
    w->attempt = info->attempt;
    w->first_ms = info->first_attempt_ms;
    w->deadline = info->deadline ? info->deadline : INT64_MAX;
    const char *name = op->name ? json_string_value(json_object_get(args, op->name)) : NULL;
    if (info->handle.n && phase == POLL)
        snprintf(w->name, sizeof w->name, "%.*s", (int)info->handle.n, info->handle.p);
    else
        snprintf(w->name, sizeof w->name, "%s", name ? name : "");
    running_add(&w->r, sm, run, cancel);
    return w;
}

static int32_t run(struct sagemaker *sm, const struct action *a, pbay_action_run r,
                   const pbay_action_info *info, pbay_result *why)
{
    struct work *w = begin(sm, a, r, info, RUN, why);
    if (!w) return why->code;
    ask(w, w->op->target);
    return PBAY_OK;
}

static int32_t poll(struct sagemaker *sm, const struct action *a, pbay_action_run r,
                    const pbay_action_info *info, pbay_result *why)
{
    struct work *w = begin(sm, a, r, info, POLL, why);
    if (!w) return why->code;
    ask(w, w->op->describe);
    return PBAY_OK;
}

static int32_t lookup(struct sagemaker *sm, const struct action *a, pbay_action_run r,
                      const pbay_action_info *info, pbay_result *why)
{
    struct work *w = begin(sm, a, r, info, LOOKUP, why);
    if (!w) return why->code;
    ask(w, w->op->describe);
    return PBAY_OK;
}

/* ------------------------------------------------------------------------------------------------ the
 * actions */

#define JOB_BAD "Failed|Stopped"

static const struct control CREATE_TRAINING_JOB = {.target = "CreateTrainingJob",
                                                   .shape = aws_create_training_job,
                                                   .describe = "DescribeTrainingJob",
                                                   .name = "TrainingJobName",
                                                   .arn = "TrainingJobArn",
                                                   .status = "TrainingJobStatus",
                                                   .good = "Completed",
                                                   .bad = JOB_BAD,
                                                   .once = 1,
                                                   .job = 1},
                            DESCRIBE_TRAINING_JOB = {.target = "DescribeTrainingJob",
                                                     .shape = "{TrainingJobName!:name}",
                                                     .name = "TrainingJobName"},
                            LIST_TRAINING_JOBS = {.target = "ListTrainingJobs",
                                                  .shape = aws_list_training_jobs,
                                                  .list = "TrainingJobSummaries"},
                            STOP_TRAINING_JOB = {.target = "StopTrainingJob",
                                                 .shape = "{TrainingJobName!:name}",
                                                 .name = "TrainingJobName"},
                            LIST_TAGS = {.target = "ListTags", .shape = aws_list_tags, .list = "Tags"},
                            CREATE_MODEL = {.target = "CreateModel",
                                            .shape = aws_create_model,
                                            .describe = "DescribeModel",
                                            .name = "ModelName",
                                            .arn = "ModelArn",
                                            .once = 1},
                            CREATE_ENDPOINT_CONFIG = {.target = "CreateEndpointConfig",
                                                      .shape = aws_create_endpoint_config,
                                                      .describe = "DescribeEndpointConfig",
                                                      .name = "EndpointConfigName",
                                                      .arn = "EndpointConfigArn",
                                                      .once = 1},
                            CREATE_ENDPOINT = {.target = "CreateEndpoint",
                                               .shape = aws_create_endpoint,
                                               .describe = "DescribeEndpoint",
                                               .name = "EndpointName",
                                               .arn = "EndpointArn",
                                               .status = "EndpointStatus",
                                               .good = "InService",
                                               .bad = "Failed|OutOfService|UpdateRollbackFailed",
                                               .once = 1},
                            DESCRIBE_ENDPOINT = {.target = "DescribeEndpoint",
                                                 .shape = "{EndpointName!:name}",
                                                 .name = "EndpointName"},
                            UPDATE_ENDPOINT = {.target = "UpdateEndpoint",
                                               .shape = aws_update_endpoint,
                                               .describe = "DescribeEndpoint",
                                               .name = "EndpointName",
                                               .arn = "EndpointArn",
                                               .status = "EndpointStatus",
                                               .good = "InService",
                                               .bad = "Failed|OutOfService|UpdateRollbackFailed",
                                               .once = 1},
                            DELETE_ENDPOINT = {.target = "DeleteEndpoint",
                                               .shape = "{EndpointName!:name}",
                                               .name = "EndpointName"},
                            CREATE_TRANSFORM_JOB = {.target = "CreateTransformJob",
                                                    .shape = aws_create_transform_job,
                                                    .describe = "DescribeTransformJob",
                                                    .name = "TransformJobName",
                                                    .arn = "TransformJobArn",
                                                    .status = "TransformJobStatus",
                                                    .good = "Completed",
                                                    .bad = JOB_BAD,
                                                    .once = 1,
                                                    .job = 1},
                            DESCRIBE_TRANSFORM_JOB = {.target = "DescribeTransformJob",
                                                      .shape = "{TransformJobName!:name}",
                                                      .name = "TransformJobName"},
                            CREATE_AUTO_ML_JOB_V2 = {.target = "CreateAutoMLJobV2",
                                                     .shape = aws_create_auto_ml_job_v2,
                                                     .describe = "DescribeAutoMLJobV2",
                                                     .name = "AutoMLJobName",
                                                     .arn = "AutoMLJobArn",
                                                     .status = "AutoMLJobStatus",
                                                     .good = "Completed",
                                                     .bad = JOB_BAD,
                                                     .once = 1,
                                                     .job = 1},
                            DESCRIBE_AUTO_ML_JOB_V2 = {.target = "DescribeAutoMLJobV2",
                                                       .shape = "{AutoMLJobName!:s32}",
                                                       .name = "AutoMLJobName"};

#define ACTION(id, spec, repeats, text)                                                                      \
    {                                                                                                        \
        {id, text, repeats, PBAY_ACTF_MORE, {NULL, 0, sizeof(pbay_option)}}, &(spec), run, poll, lookup      \
    }

const struct action control_actions[] = {
    ACTION("create_training_job", CREATE_TRAINING_JOB, PBAY_REPEAT_CHECK,
           "CreateTrainingJob, and wait until the job has ended (\"Wait\": false: do not)."),
    ACTION("describe_training_job", DESCRIBE_TRAINING_JOB, PBAY_REPEAT_SAFE, "DescribeTrainingJob."),
    ACTION("list_training_jobs", LIST_TRAINING_JOBS, PBAY_REPEAT_SAFE,
           "ListTrainingJobs; \"AllPages\": true follows NextToken."),
    ACTION("stop_training_job", STOP_TRAINING_JOB, PBAY_REPEAT_SAFE, "StopTrainingJob."),
    ACTION("list_tags", LIST_TAGS, PBAY_REPEAT_SAFE,
           "ListTags of an ARN; \"AllPages\": true follows NextToken."),
    ACTION("create_model", CREATE_MODEL, PBAY_REPEAT_CHECK,
           "CreateModel; one that exists and is the same is as good."),
    ACTION("create_endpoint_config", CREATE_ENDPOINT_CONFIG, PBAY_REPEAT_CHECK,
           "CreateEndpointConfig; one that exists and is the same is as good."),
    ACTION("create_endpoint", CREATE_ENDPOINT, PBAY_REPEAT_CHECK,
           "CreateEndpoint, and wait until it is in service (\"Wait\": false: do not)."),
    ACTION("describe_endpoint", DESCRIBE_ENDPOINT, PBAY_REPEAT_SAFE, "DescribeEndpoint."),
    ACTION("update_endpoint", UPDATE_ENDPOINT, PBAY_REPEAT_CHECK,
           "UpdateEndpoint, and wait until it is in service again (\"Wait\": false: do not)."),
    ACTION("delete_endpoint", DELETE_ENDPOINT, PBAY_REPEAT_SAFE, "DeleteEndpoint."),
    ACTION("create_transform_job", CREATE_TRANSFORM_JOB, PBAY_REPEAT_CHECK,
           "CreateTransformJob, and wait until the job has ended (\"Wait\": false: do not)."),
    ACTION("describe_transform_job", DESCRIBE_TRANSFORM_JOB, PBAY_REPEAT_SAFE, "DescribeTransformJob."),
    ACTION("create_auto_ml_job_v2", CREATE_AUTO_ML_JOB_V2, PBAY_REPEAT_CHECK,
           "CreateAutoMLJobV2, and wait until the job has ended (\"Wait\": false: do not)."),
    ACTION("describe_auto_ml_job_v2", DESCRIBE_AUTO_ML_JOB_V2, PBAY_REPEAT_SAFE, "DescribeAutoMLJobV2."),
};
const uint32_t control_n_actions = sizeof control_actions / sizeof *control_actions;
