/* SPDX-License-Identifier: MIT */
/*
 * The AutoML job that `train` asks for.
 *
 * https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_CreateAutoMLJobV2.html
 */
#include "train.h"

#include <stdlib.h>

static void set_text(json_t *o, const char *name, pbay_str v)
{
    if (v.n) json_object_set_new(o, name, json_stringn(v.p, v.n));
}

static json_t *criteria(const struct trainer *t)
{
    const pbay_host *host = t->sm->host;
    json_t *v = json_object();
    if (host->is_set(t->config, "max_candidates"))
        json_object_set_new(v, "MaxCandidates", json_integer(host->get_int(t->config, "max_candidates")));
    if (host->is_set(t->config, "max_runtime"))
        json_object_set_new(v, "MaxAutoMLJobRuntimeInSeconds",
                            json_integer(host->get_int(t->config, "max_runtime") / 1000));
    return v;
}

json_t *train_job(const struct trainer *t, const char *name, const char *folder)
{
    static const char *const TYPES[] = {NULL, "Regression", "BinaryClassification",
                                        "MulticlassClassification"};
    static const char *const MODES[] = {"AUTO", "ENSEMBLING", "HYPERPARAMETER_TUNING"};
    const pbay_host *host = t->sm->host;
    const char *type = TYPES[host->get_int(t->config, "problem_type")];
    pbay_str target = host->get_str(t->config, "target"), uri = host->get_str(t->config, "s3_uri");
    pbay_str endpoint = host->get_str(t->config, "deploy_endpoint"),
             objective = host->get_str(t->config, "objective");
    while (uri.n && uri.p[uri.n - 1] == '/') uri.n--;
    json_t *tabular = json_object(), *limits = criteria(t), *tags = json_array();
    set_text(tabular, "TargetAttributeName", target);
    if (type) json_object_set_new(tabular, "ProblemType", json_string(type));
    if (host->get_int(t->config, "mode"))
        json_object_set_new(tabular, "Mode", json_string(MODES[host->get_int(t->config, "mode")]));
    if (json_object_size(limits)) json_object_set(tabular, "CompletionCriteria", limits);
    json_decref(limits);
    for (uint32_t i = 0; i < host->count(t->config, "tag"); i++) {
        pbay_str key, value = host->item(t->config, "tag", i, &key);
        json_t *tag = json_object();
        set_text(tag, "Key", key);
        json_object_set_new(tag, "Value", json_stringn(value.n ? value.p : "", value.n));
        json_array_append_new(tags, tag);
    }
    json_t *output =
        json_pack("{s:o}", "S3OutputPath", json_sprintf("%.*s/%s/output", (int)uri.n, uri.p, folder));
    set_text(output, "KmsKeyId", host->get_str(t->config, "kms_key"));
    json_t *v =
        json_pack("{s:s, s:[{s:s, s:s, s:{s:{s:s, s:o}}}], s:o, s:{s:o}, s:o}", "AutoMLJobName", name,
                  "AutoMLJobInputDataConfig", "ChannelType", "training", "ContentType",
                  "text/csv;header=present", "DataSource", "S3DataSource", "S3DataType", "S3Prefix", "S3Uri",
                  json_sprintf("%.*s/%s/train.csv", (int)uri.n, uri.p, folder), "OutputDataConfig", output,
                  "AutoMLProblemTypeConfig", "TabularJobConfig", tabular, "Tags", tags);
    if (!v) abort();
    set_text(v, "RoleArn", host->get_str(t->config, "execution_role"));
    if (objective.n) {
        json_t *o = json_object();
        set_text(o, "MetricName", objective);
        json_object_set_new(v, "AutoMLJobObjective", o);
    }
    if (endpoint.n) {
        json_t *o = json_object();
        set_text(o, "EndpointName", endpoint);
        json_object_set_new(v, "ModelDeployConfig", o);
    }
    return v;
}
