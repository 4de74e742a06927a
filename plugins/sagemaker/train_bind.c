/* SPDX-License-Identifier: MIT */
/* The configuration of `train`, checked before the first row. */
#include "train.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "s3.h"

const pbay_option train_options[] = {
    {"s3_uri", PBAY_OPT_STR, PBAY_OPTF_REQUIRED, NULL, NULL,
     "s3://BUCKET/PREFIX: training data and results are put below it"},
    {"execution_role", PBAY_OPT_STR, PBAY_OPTF_REQUIRED, NULL, NULL,
     "ARN of the role that SageMaker trains with"},
    {"target", PBAY_OPT_STR, PBAY_OPTF_REQUIRED, NULL, NULL, "the parameter that the model is to predict"},
    {"key_column", PBAY_OPT_STR, 0, NULL, NULL,
     "a parameter whose first value names the job and that is not trained on; else the rows name it"},
    {"job_prefix", PBAY_OPT_STR, 0, NULL, NULL,
     "how jobs' names begin, up to 15 letters, digits and hyphens; else the function's name"},
    {"problem_type", PBAY_OPT_ENUM, 0, "auto", "auto|regression|binary|multiclass", "what is predicted"},
    {"objective", PBAY_OPT_STR, 0, NULL, NULL,
     "metric to optimise, such as F1 or MSE; goes with problem_type"},
    {"mode", PBAY_OPT_ENUM, 0, "auto", "auto|ensembling|tuning", "how AutoML searches"},
    {"max_candidates", PBAY_OPT_INT, 0, NULL, "1..750", "models to try at most"},
    {"max_runtime", PBAY_OPT_DURATION, 0, NULL, "1m..28d", "of the whole job"},
    {"deploy_endpoint", PBAY_OPT_STR, 0, NULL, NULL,
     "name of an endpoint that the best model is deployed to"},
    {"kms_key", PBAY_OPT_STR, 0, NULL, NULL, "key that results are encrypted with"},
    {"tag", PBAY_OPT_FAMILY, 0, NULL, NULL, "tag.NAME = value: tags of the job"},
};
const uint32_t train_n_options = sizeof train_options / sizeof *train_options;

void train_unbind(struct sagemaker *sm, void *bound)
{
    struct trainer *t = bound;
    if (t->calls) { /* answered, but an upload is still being cleaned up: the last of them comes again */
        t->unbound = 1;
        return;
    }
    use_remove(sm, &t->use);
    for (uint32_t i = 0; t->names && i < t->n_trained; i++) free(t->names[i]);
    free(t->names);
    free(t);
}

static int32_t wrong(struct trainer *t, const char *option, pbay_result *why, const char *text)
{
    pbay_str where = t->sm->host->where(t->config, option);
    return sagemaker_refuse(t->sm, why, PBAY_INVALID_ARGUMENT, "%.*s: %s %s", (int)where.n,
                            where.n ? where.p : "", option, text);
}

static int plain(pbay_str s)
{
    for (size_t i = 0; i < s.n; i++) {
        char ch = s.p[i];
        if (!((ch >= 'a' && ch <= 'z') || (ch >= 'A' && ch <= 'Z') || (ch >= '0' && ch <= '9') ||
              (ch == '-' && i)))
            return 0;
    }
    return s.n && s.n <= TRAIN_JOB_NAME - 17;
}

static int32_t columns(struct trainer *t, const pbay_function_info *info, pbay_result *why)
{
    pbay_str target = t->sm->host->get_str(t->config, "target"),
             key = t->sm->host->get_str(t->config, "key_column");
    int found = 0;
    t->key = -1;
    t->n_sends = info->n_sends;
    t->names = calloc(info->n_sends + 1, sizeof *t->names);
    if (!t->names) abort();
    for (uint32_t i = 0; i < info->n_sends; i++) {
        pbay_str name = info->sends[i].name;
        if (key.n && key.n == name.n && memcmp(key.p, name.p, key.n) == 0) {
            t->key = (int32_t)i;
            continue;
        }
        found |= target.n == name.n && memcmp(target.p, name.p, name.n) == 0;
        t->names[t->n_trained++] = strndup(name.n ? name.p : "", name.n);
    }
    if (!found) return wrong(t, "target", why, "is not one of the function's parameters (or is the key)");
    if (key.n && t->key < 0) return wrong(t, "key_column", why, "is not one of the function's parameters");
    if (t->n_trained < 2)
        return wrong(t, "target", why, "is the only parameter: there is nothing to predict it from");
    return PBAY_OK;
}

static int32_t configure(struct trainer *t, const pbay_function_info *info, pbay_result *why)
{
    const pbay_host *host = t->sm->host;
    pbay_str prefix = host->get_str(t->config, "job_prefix"),
             role = host->get_str(t->config, "execution_role");
    snprintf(t->who, sizeof t->who, "training of %.*s", (int)(info->name.n < 60 ? info->name.n : 60),
             info->name.p);
    if (s3_uri(host->get_str(t->config, "s3_uri"), &t->bucket, &t->folder))
        return wrong(t, "s3_uri", why, "is not an address as s3://bucket/prefix");
    while (t->folder.n && t->folder.p[t->folder.n - 1] == '/') t->folder.n--;
    if (t->folder.n > S3_KEY - 128) return wrong(t, "s3_uri", why, "is too long");
    if (role.n < 4 || memcmp(role.p, "arn:", 4) != 0)
        return wrong(t, "execution_role", why, "is not an ARN (arn:aws:iam::ACCOUNT:role/NAME)");
    if (prefix.n && !plain(prefix))
        return wrong(t, "job_prefix", why, "has 1 to 15 letters, digits and inner hyphens");
    if (host->get_str(t->config, "objective").n && !host->get_int(t->config, "problem_type"))
        return wrong(t, "objective", why, "goes with a problem_type");
    if (!prefix.n) prefix = info->name;
    size_t n = 0;
    for (size_t i = 0; i < prefix.n && n < TRAIN_JOB_NAME - 17; i++) {
        char ch = prefix.p[i] == '_' ? '-' : prefix.p[i];
        if (ch != '-' || n) t->prefix[n++] = ch;
    }
    while (n && t->prefix[n - 1] == '-') n--;
    if (!n) t->prefix[n++] = 'p';
    t->prefix[n] = 0;
    return columns(t, info, why);
}

int32_t train_bind(struct sagemaker *sm, const pbay_function_info *info, void **bound, pbay_result *why)
{
    struct trainer *t = calloc(1, sizeof *t);
    if (!t) return sagemaker_refuse(sm, why, PBAY_RESOURCE_EXHAUSTED, "out of memory");
    t->op = &train_operation;
    t->sm = sm;
    t->config = info->config;
    int32_t rc = configure(t, info, why);
    if (rc != PBAY_OK) {
        train_unbind(sm, t);
        return rc;
    }
    t->use = (struct use){.action = "sagemaker:CreateAutoMLJobV2",
                          .kind = "automl-job",
                          .name = "*",
                          .bucket = t->bucket,
                          .folder = t->folder,
                          .pass_role = sm->host->get_str(info->config, "execution_role"),
                          .tags = sm->host->count(info->config, "tag") > 0};
    use_add(sm, &t->use);
    *bound = t;
    return PBAY_OK;
}
