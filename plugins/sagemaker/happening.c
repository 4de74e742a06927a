/* SPDX-License-Identifier: MIT */
#include "happening.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kit/time.h"

/* Which changes there are: by detail-type, and where name, ARN and state are. */
static const struct kind {
    const char *detail_type, *type, *name, *arn, *status;
} KINDS[] = {
    {"SageMaker Training Job State Change", "training_job", "TrainingJobName", "TrainingJobArn",
     "TrainingJobStatus"},
    {"SageMaker Transform Job State Change", "transform_job", "TransformJobName", "TransformJobArn",
     "TransformJobStatus"},
    {"SageMaker Processing Job State Change", "processing_job", "ProcessingJobName", "ProcessingJobArn",
     "ProcessingJobStatus"},
    {"SageMaker HyperParameter Tuning Job State Change", "tuning_job", "HyperParameterTuningJobName",
     "HyperParameterTuningJobArn", "HyperParameterTuningJobStatus"},
    {"SageMaker AutoML Job State Change", "automl_job", "AutoMLJobName", "AutoMLJobArn", "AutoMLJobStatus"},
    {"SageMaker Endpoint State Change", "endpoint", "EndpointName", "EndpointArn", "EndpointStatus"},
    {"SageMaker Model Package State Change", "model_package", "ModelPackageName", "ModelPackageArn",
     "ModelPackageStatus"},
};

static const char *text(const json_t *o, const char *name)
{
    const char *s = json_string_value(json_object_get(o, name));
    return s ? s : "";
}

/* The word that chains know: "completed", "failed", "stopped"; of endpoints, "in_service" is as good as
 * completed. */
static void set_status(json_t *data, const char *status)
{
    char word[64];
    size_t n = 0;
    if (strcmp(status, "InService") == 0) status = "Completed";
    for (const char *p = status; *p && n + 2 < sizeof word; p++) {
        int upper = *p >= 'A' && *p <= 'Z';
        if (upper && n && !(p[-1] >= 'A' && p[-1] <= 'Z')) word[n++] = '_';
        word[n++] = (char)(upper ? *p + 32 : *p);
    }
    word[n] = 0;
    json_object_set_new(data, "status", json_string(word));
}

static int is_end(const char *status)
{
    static const char *const ENDS[] = {"Completed", "Failed", "Stopped", "InService"};
    for (size_t i = 0; i < sizeof ENDS / sizeof *ENDS; i++)
        if (strcmp(status, ENDS[i]) == 0) return 1;
    return 0;
}

/* An end happens once to a job; an endpoint comes into service again and again. */
static void make_key(const struct kind *k, const json_t *detail, const char *changed, struct happening *out)
{
    const char *status = text(detail, k->status);
    int again = strcmp(k->type, "endpoint") == 0 || strcmp(k->type, "model_package") == 0;
    if (is_end(status) && !again)
        snprintf(out->key, sizeof out->key, "%s/%s", text(detail, k->arn), status);
    else
        snprintf(out->key, sizeof out->key, "%s/%s/%s%s%s", text(detail, k->arn), status,
                 text(detail, "SecondaryStatus"), again ? "/" : "", again ? changed : "");
}

static int64_t moment(const json_t *v)
{
    const char *s = json_string_value(v);
    if (s) return pbay_time_rfc3339((pbay_str){s, strlen(s)});
    return json_is_number(v) && json_number_value(v) > 0 ? (int64_t)(json_number_value(v) * 1000) : -1;
}

static int make(const struct kind *k, const json_t *detail, struct happening *out)
{
    const char *reason = text(detail, "FailureReason");
    json_t *data = json_copy((json_t *)detail);
    if (!data) return -1;
    out->type = k->type;
    snprintf(out->subject, sizeof out->subject, "%s", text(detail, k->name));
    set_status(data, text(detail, k->status));
    json_object_set_new(data, "name", json_string(out->subject));
    json_object_set_new(data, "arn", json_string(text(detail, k->arn)));
    if (*reason) json_object_set_new(data, "message", json_string(reason));
    out->data = json_dumps(data, JSON_COMPACT);
    json_decref(data);
    return out->data ? 0 : -1;
}

int happening_from_bridge(const json_t *event, struct happening *out, char why[HAPPENING_WHY])
{
    memset(out, 0, sizeof *out);
    const json_t *detail = json_object_get(event, "detail");
    const char *detail_type = text(event, "detail-type");
    const struct kind *k = NULL;
    if (!json_is_object(event) || !*detail_type || !json_is_object(detail)) {
        snprintf(why, HAPPENING_WHY,
                 "not an event of EventBridge: an object with \"detail-type\" and \"detail\" is expected");
        return -1;
    }
    for (size_t i = 0; i < sizeof KINDS / sizeof *KINDS; i++)
        if (strcmp(detail_type, KINDS[i].detail_type) == 0) k = &KINDS[i];
    if (!k || strcmp(text(event, "source"), "aws.sagemaker") != 0) return 1;
    if (!*text(detail, k->arn) || !*text(detail, k->status)) {
        snprintf(why, HAPPENING_WHY, "%s without %s and %s", detail_type, k->arn, k->status);
        return -1;
    }
    if (strlen(text(event, "id")) < sizeof out->id)
        snprintf(out->id, sizeof out->id, "%s", text(event, "id"));
    out->time_ms = moment(json_object_get(event, "time"));
    if (out->time_ms < 0) out->time_ms = 0;
    make_key(k, detail, text(event, "time"), out);
    return make(k, detail, out);
}

int happening_from_summary(const json_t *summary, struct happening *out)
{
    memset(out, 0, sizeof *out);
    const struct kind *k = &KINDS[0];
    if (!*text(summary, k->arn) || !*text(summary, k->status)) return -1;
    out->time_ms = moment(json_object_get(summary, "LastModifiedTime"));
    if (out->time_ms < 0) out->time_ms = 0;
    make_key(k, summary, "", out);
    return make(k, summary, out);
}

void happening_from_message(const char *id, pbay_str body, struct happening *out)
{
    memset(out, 0, sizeof *out);
    json_t *data = json_object(), *t = json_stringn(body.n ? body.p : "", body.n);
    out->type = "message";
    snprintf(out->key, sizeof out->key, "message/%s", id);
    snprintf(out->subject, sizeof out->subject, "%s", id);
    if (t) json_object_set_new(data, "body", t);
    out->data = json_dumps(data, JSON_COMPACT);
    json_decref(data);
    if (!out->data) abort();
}

pbay_event happening_event(const struct happening *h, pbay_str *key)
{
    *key = (pbay_str){h->key, strlen(h->key)};
    return (pbay_event){
        .struct_size = sizeof(pbay_event),
        .n_keys = 1,
        .keys = key,
        .type = {h->type, strlen(h->type)},
        .id = {h->id, strlen(h->id)},
        .subject = {h->subject, strlen(h->subject)},
        .time_ms = h->time_ms,
        .data = {h->data, strlen(h->data)},
    };
}

void happening_free(struct happening *h)
{
    free(h->data);
    h->data = NULL;
}
