/* SPDX-License-Identifier: MIT */
/*
 * What the recommendation engine's Lambdas did, for every row of a batch:
 *
 *   train_and_get_recommendations(input_table_name, output_table_name)   the job's ARN
 *   deploy_model(model_name, job_or_s3_url)                              the endpoint's ARN
 *   training_status(job), endpoint_status(name)                          an object
 *
 * Each step is an action of the sagemaker connector under a key of the row's: a batch that comes again finds
 * what it began, and a deployment that was cut short goes on where it stopped. The payloads are those of
 * https://github.com/Snowflake-Labs/sfguide-recommender-pipeline (sls/).
 */
#include "train.h"

#include <jansson.h>

#include "score.h"

enum { AT_ONCE = 16, URL_MAX = 1100 };

struct plan;

struct row {
    struct plan *p;
    uint32_t i;
    uint32_t step;
    char *url; /* deploy_model's artifact */
    pbay_invoke call;
};

/* One kind of function: what step n of a row is. */
struct kind {
    /* The action and its JSON, appended; 0: go on, 1: there are no more steps, -1: the row's answer is told.
     */
    int (*ask)(struct row *r, const char **action, pbay_text *json);
    /* What it answered. */
    void (*take)(struct row *r, const json_t *answer);
    int keyed;
};

struct plan {
    struct flight *f;
    const struct kind *kind;
    struct told *told;
    struct row *rows;
    pbay_str connector;
    uint32_t next, live;
    int pumping, cancelled;
};

static pbay_str cell(const struct row *r, uint32_t c)
{
    const pbay_column *col = pbay_batch_col(r->p->f->in, c);
    return pbay_cell_null(col, r->i) ? (pbay_str){NULL, 0} : pbay_cell_text(col, r->i);
}

static pbay_str option(const struct row *r, const char *name)
{
    const struct snowflake *s = r->p->f->s;
    return s->host->get_str(s->config, name);
}

static void tell(struct row *r, int32_t code, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
static void tell(struct row *r, int32_t code, const char *fmt, ...)
{
    char text[1500];
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    told_error(&r->p->told[r->i], code,
               (pbay_str){text, n < 0                     ? 0
                                : (size_t)n < sizeof text ? (size_t)n
                                                          : sizeof text - 1});
}

static void tell_json(struct row *r, json_t *v)
{
    char *text = json_dumps(v, JSON_COMPACT | JSON_ENCODE_ANY);
    json_decref(v);
    if (!text) abort();
    told_value(&r->p->told[r->i], str_c(text));
    free(text);
}

/* ------------------------------------------------------------------------------------------------ the pump
 */

static void pump(struct plan *p);
static void step(struct row *r);

static void row_over(struct row *r)
{
    r->p->live--;
    pump(r->p);
}

static void on_done(void *user, pbay_invoke call, const pbay_result *result, pbay_str json)
{
    struct row *r = user;
    (void)call;
    r->call = 0;
    if (result->code != PBAY_OK) {
        told_error(&r->p->told[r->i], result->code, result->message);
        row_over(r);
        return;
    }
    json_t *v = json.n ? json_loadb(json.p, json.n, JSON_ALLOW_NUL | JSON_DECODE_ANY, NULL) : NULL;
    r->p->kind->take(r, v);
    json_decref(v);
    r->step++;
    step(r);
}

/* A key of the row's: the same rows under the same batch id make the same keys. */
static void row_key(const struct row *r, char key[65])
{
    const struct flight *f = r->p->f;
    char at[32];
    int n = snprintf(at, sizeof at, "/%u/%u", r->i, r->step);
    const pbay_str parts[2] = {str_c(f->key), {at, (size_t)n}};
    memcpy(key, "sf-", 3);
    hash_hex(f->s, parts, 2, key + 3, 40);
}

static void step(struct row *r)
{
    static const pbay_invoke_events events = {sizeof events, 0, NULL, NULL, NULL, on_done};
    struct flight *f = r->p->f;
    struct snowflake *s = f->s;
    const char *action = NULL;
    pbay_text json = {0};
    pbay_result why = PBAY_RESULT_OK;
    if (r->p->cancelled && !r->p->told[r->i].text) tell(r, PBAY_CANCELLED, "cancelled before it was done");
    int more =
        r->p->told[r->i].code == PBAY_OK && !r->p->told[r->i].text ? r->p->kind->ask(r, &action, &json) : 1;
    if (more) {
        pbay_text_free(&json);
        row_over(r);
        return;
    }
    char target[160], key[65];
    int n = snprintf(target, sizeof target, "%.*s.%s", (int)r->p->connector.n, r->p->connector.p, action);
    row_key(r, key);
    pbay_invoke_info info = {.struct_size = sizeof info,
                             .kind = PBAY_INVOKE_ACTION,
                             .target = {target, (size_t)n},
                             .flags = PBAY_INVOKE_DETACHED,
                             .parent_request = f->waiters ? f->waiters->request : 0,
                             .deadline = f->deadline,
                             .user = f->user,
                             .app = f->account,
                             .key = r->p->kind->keyed ? str_c(key) : (pbay_str){NULL, 0}};
    r->call = s->invoke->open(s->host, &info, pbay_text_view(&json), &events, r, &why);
    pbay_text_free(&json);
    if (r->call) return;
    told_error(&r->p->told[r->i], why.code, why.message);
    row_over(r);
}

static void finish(void *user)
{
    struct plan *p = user;
    struct told *told = p->told;
    p->told = NULL;
    flight_told(p->f, told, PBAY_JSON);
}

static void pump(struct plan *p)
{
    if (p->pumping) return;
    p->pumping = 1;
    while (p->next < p->f->in->n_rows && p->live < AT_ONCE) {
        struct row *r = &p->rows[p->next];
        *r = (struct row){.p = p, .i = p->next++};
        p->live++;
        step(r);
    }
    p->pumping = 0;
    if (p->next == p->f->in->n_rows && !p->live && p->told)
        p->f->s->timer->start(p->f->s->host, 0, 0, finish, p);
}

static int begin(struct flight *f, const struct kind *kind, pbay_result *why)
{
    pbay_str connector;
    if (snowflake_region(f->s, f->region, &connector, why)) return -1;
    struct plan *p = calloc(1, sizeof *p);
    if (!p) abort();
    *p = (struct plan){.f = f, .kind = kind, .connector = connector};
    p->told = calloc(f->in->n_rows, sizeof *p->told);
    p->rows = calloc(f->in->n_rows, sizeof *p->rows);
    if (!p->told || !p->rows) abort();
    f->task = p;
    pump(p);
    return 0;
}

static void cancel(struct flight *f)
{
    struct plan *p = f->task;
    if (p) p->cancelled = 1; /* what has not begun does not */
    for (uint32_t i = 0; p && i < p->next; i++)
        if (p->rows[i].call) f->s->invoke->cancel(p->rows[i].call);
}

static void end(struct flight *f)
{
    struct plan *p = f->task;
    f->task = NULL;
    if (!p) return;
    for (uint32_t i = 0; i < p->next; i++) free(p->rows[i].url);
    free(p->told);
    free(p->rows);
    free(p);
}

/* ------------------------------------------------------------------------------------------------ train */

static void put_member(pbay_text *t, const char *before, pbay_str value)
{
    pbay_text_c(t, before);
    pbay_text_json(t, value);
}

/* s3://<bucket>/, or the bucket that the older set-up made: sagemaker-snf-demo-<unique_id>. */
static void put_bucket(const struct row *r, pbay_text *t)
{
    pbay_str bucket = option(r, "s3_bucket"), id = option(r, "unique_id");
    pbay_text_c(t, ",\"OutputDataConfig\":{\"S3OutputPath\":\"s3://");
    if (bucket.n)
        pbay_text_add(t, bucket);
    else {
        pbay_text_c(t, "sagemaker-snf-demo-");
        pbay_text_add(t, id);
    }
    pbay_text_c(t, "/\"}");
}

static int ask_train(struct row *r, const char **action, pbay_text *t)
{
    const struct snowflake *s = r->p->f->s;
    char name[65];
    if (r->step) return 1;
    if (!cell(r, 0).n || !cell(r, 1).n) {
        tell(r, PBAY_INVALID_ARGUMENT, "train_and_get_recommendations wants the names of two tables");
        return -1;
    }
    *action = "create_training_job";
    row_key(r, name);
    /* Unique for the row and the same when it comes again: no second job is paid for. */
    pbay_text_printf(t, "{\"TrainingJobName\":\"training-job-%.20s\"", name + 3);
    put_member(t, ",\"HyperParameters\":{\"input_table_name\":", cell(r, 0));
    put_member(t, ",\"output_table_name\":", cell(r, 1));
    put_member(t, ",\"region\":", option(r, "region"));
    for (uint32_t i = 0; i < s->host->count(s->config, "hyperparameter"); i++) {
        pbay_str key, value = s->host->item(s->config, "hyperparameter", i, &key);
        put_member(t, ",", key);
        put_member(t, ":", value);
    }
    put_member(t, "},\"AlgorithmSpecification\":{\"TrainingImage\":", option(r, "training_image_ecr_path"));
    pbay_text_c(t, ",\"TrainingInputMode\":\"File\"");
    uint32_t n = s->host->count(s->config, "metric");
    for (uint32_t i = 0; i < n; i++) {
        pbay_str key, value = s->host->item(s->config, "metric", i, &key);
        put_member(t, i ? ",{\"Name\":" : ",\"MetricDefinitions\":[{\"Name\":", key);
        put_member(t, ",\"Regex\":", value);
        pbay_text_c(t, i + 1 == n ? "}]" : "}");
    }
    put_member(t, "},\"RoleArn\":", option(r, "sagemaker_role_arn"));
    put_bucket(r, t);
    put_member(t, ",\"ResourceConfig\":{\"InstanceType\":", option(r, "train_instance_type"));
    pbay_text_printf(
        t,
        ",\"InstanceCount\":1,\"VolumeSizeInGB\":%lld},\"StoppingCondition\":{\"MaxRuntimeInSeconds\":%lld}",
        (long long)s->host->get_int(s->config, "train_volume_gb"),
        (long long)s->host->get_int(s->config, "train_max_runtime") / 1000);
    pbay_text_c(t, ",\"Wait\":false}");
    return 0;
}

static void take_train(struct row *r, const json_t *answer)
{
    json_t *arn = json_object_get(answer, "TrainingJobArn");
    if (arn)
        tell_json(r, json_incref(arn));
    else
        tell(r, PBAY_INTERNAL, "CreateTrainingJob answered no TrainingJobArn");
}

/* ------------------------------------------------------------------------------------------------ deploy */

static int is_s3(pbay_str s)
{
    return s.n > 5 && memcmp(s.p, "s3://", 5) == 0;
}

static void keep_url(struct row *r, pbay_str url)
{
    free(r->url);
    r->url = malloc(url.n + 1);
    if (!r->url) abort();
    memcpy(r->url, url.p, url.n);
    r->url[url.n] = 0;
}

static int ask_deploy(struct row *r, const char **action, pbay_text *t)
{
    pbay_str name = cell(r, 0), from = cell(r, 1);
    if (!name.n || !from.n) {
        tell(r, PBAY_INVALID_ARGUMENT, "deploy_model wants a name, and a training job or an s3:// URL");
        return -1;
    }
    if (r->step == 0 && is_s3(from)) {
        if (from.n > URL_MAX) {
            tell(r, PBAY_INVALID_ARGUMENT, "the URL is longer than %d bytes", URL_MAX);
            return -1;
        }
        keep_url(r, from);
        r->step = 1;
    }
    switch (r->step) {
    case 0: /* which artifact? an ARN's last part is the job's name */
        for (size_t i = from.n; i; i--)
            if (from.p[i - 1] == '/') {
                from = (pbay_str){from.p + i, from.n - i};
                break;
            }
        *action = "describe_training_job";
        put_member(t, "{\"TrainingJobName\":", from);
        pbay_text_c(t, "}");
        return 0;
    case 1:
        *action = "create_model";
        put_member(t, "{\"ModelName\":", name);
        put_member(t, ",\"PrimaryContainer\":{\"Image\":", option(r, "training_image_ecr_path"));
        put_member(t, ",\"ModelDataUrl\":", str_c(r->url));
        put_member(t, "},\"ExecutionRoleArn\":", option(r, "sagemaker_role_arn"));
        pbay_text_c(t, "}");
        return 0;
    case 2:
        *action = "create_endpoint_config";
        put_member(t, "{\"EndpointConfigName\":", name);
        put_member(t, ",\"ProductionVariants\":[{\"VariantName\":\"variant-1\",\"ModelName\":", name);
        put_member(t, ",\"InitialInstanceCount\":1,\"InstanceType\":", option(r, "deploy_instance_type"));
        pbay_text_c(t, "}]}");
        return 0;
    case 3:
        *action = "create_endpoint";
        put_member(t, "{\"EndpointName\":", name);
        put_member(t, ",\"EndpointConfigName\":", name);
        pbay_text_c(t, ",\"Wait\":false}");
        return 0;
    default: return 1;
    }
}

static void take_deploy(struct row *r, const json_t *answer)
{
    if (r->step == 0) {
        const char *status = json_string_value(json_object_get(answer, "TrainingJobStatus"));
        const char *url =
            json_string_value(json_object_get(json_object_get(answer, "ModelArtifacts"), "S3ModelArtifacts"));
        if (status && strcmp(status, "Completed") != 0)
            tell(r, PBAY_FAILED_PRECONDITION, "the training job is %s, so it has no model yet", status);
        else if (!url || strlen(url) > URL_MAX)
            tell(r, PBAY_FAILED_PRECONDITION, "the training job has no model artifact");
        else
            keep_url(r, str_c(url));
    } else if (r->step == 3) {
        json_t *arn = json_object_get(answer, "EndpointArn");
        if (arn)
            tell_json(r, json_incref(arn));
        else
            tell(r, PBAY_INTERNAL, "CreateEndpoint answered no EndpointArn");
    }
}

/* ------------------------------------------------------------------------------------------------ status */

static int ask_name(struct row *r, const char **action, pbay_text *t, const char *what, const char *member)
{
    pbay_str name = cell(r, 0);
    if (r->step || !name.n) return 1; /* null for null */
    for (size_t i = name.n; i; i--)
        if (name.p[i - 1] == '/') {
            name = (pbay_str){name.p + i, name.n - i};
            break;
        }
    *action = what;
    pbay_text_printf(t, "{\"%s\":", member);
    pbay_text_json(t, name);
    pbay_text_c(t, "}");
    return 0;
}

static int ask_training(struct row *r, const char **action, pbay_text *t)
{
    return ask_name(r, action, t, "describe_training_job", "TrainingJobName");
}

static int ask_endpoint(struct row *r, const char **action, pbay_text *t)
{
    return ask_name(r, action, t, "describe_endpoint", "EndpointName");
}

static void set(json_t *o, const char *name, const json_t *from, const char *member)
{
    json_t *v = json_object_get(from, member);
    if (v) json_object_set(o, name, v);
}

static void take_training(struct row *r, const json_t *a)
{
    json_t *o = json_object(), *metrics = json_object();
    set(o, "status", a, "TrainingJobStatus");
    set(o, "secondary_status", a, "SecondaryStatus");
    set(o, "failure_reason", a, "FailureReason");
    set(o, "arn", a, "TrainingJobArn");
    set(o, "model_url", json_object_get(a, "ModelArtifacts"), "S3ModelArtifacts");
    set(o, "billable_seconds", a, "BillableTimeInSeconds");
    size_t i;
    json_t *m;
    json_array_foreach(json_object_get(a, "FinalMetricDataList"), i, m)
    {
        const char *name = json_string_value(json_object_get(m, "MetricName"));
        if (name && json_object_get(m, "Value")) json_object_set(metrics, name, json_object_get(m, "Value"));
    }
    if (json_object_size(metrics)) json_object_set(o, "metrics", metrics);
    json_decref(metrics);
    tell_json(r, o);
}

static void take_endpoint(struct row *r, const json_t *a)
{
    json_t *o = json_object();
    set(o, "status", a, "EndpointStatus");
    set(o, "failure_reason", a, "FailureReason");
    set(o, "arn", a, "EndpointArn");
    set(o, "config", a, "EndpointConfigName");
    tell_json(r, o);
}

/* ------------------------------------------------------------------------------------------------ the works
 */

static const struct kind TRAIN = {ask_train, take_train, 1}, DEPLOY = {ask_deploy, take_deploy, 1},
                         TRAINING = {ask_training, take_training, 0},
                         ENDPOINT = {ask_endpoint, take_endpoint, 0};

static int begin_train(struct flight *f, pbay_result *why)
{
    static const char *const NEEDED[] = {"training_image_ecr_path", "sagemaker_role_arn", "region"};
    const struct snowflake *s = f->s;
    for (size_t i = 0; i < sizeof NEEDED / sizeof *NEEDED; i++)
        if (!s->host->get_str(s->config, NEEDED[i]).n)
            return snowflake_refuse(f->s, why, PBAY_FAILED_PRECONDITION, "%s is not set for this connector",
                                    NEEDED[i]),
                   -1;
    if (!s->host->get_str(s->config, "s3_bucket").n && !s->host->get_str(s->config, "unique_id").n)
        return snowflake_refuse(f->s, why, PBAY_FAILED_PRECONDITION,
                                "s3_bucket is not set for this connector"),
               -1;
    return begin(f, &TRAIN, why);
}

static int begin_deploy(struct flight *f, pbay_result *why)
{
    return begin(f, &DEPLOY, why);
}

static int begin_training(struct flight *f, pbay_result *why)
{
    return begin(f, &TRAINING, why);
}

static int begin_endpoint(struct flight *f, pbay_result *why)
{
    return begin(f, &ENDPOINT, why);
}

const struct work train_work = {"train", begin_train, cancel, end};
const struct work deploy_work = {"deploy", begin_deploy, cancel, end};
const struct work training_status_work = {"training_status", begin_training, cancel, end};
const struct work endpoint_status_work = {"endpoint_status", begin_endpoint, cancel, end};
