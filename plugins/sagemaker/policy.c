/* SPDX-License-Identifier: MIT */
/*
 * The IAM policy of least rights: statements made of the functions that are bound, the queue, the polls, and
 * what the arguments name besides (actions that chains run and secrets of other connectors are not this
 * connector's to know).
 *
 * https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazonsagemaker.html
 */
#include "policy.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "actions.h"
#include "s3.h"

static const pbay_option ARGUMENTS[] = {
    {"account", PBAY_OPT_STR, 0, "*", NULL, "the AWS account, for narrower ARNs"},
    {"actions", PBAY_OPT_LIST, 0, NULL, NULL,
     "actions that chains and functions run: create_training_job, get_object, ..."},
    {"pass_role", PBAY_OPT_LIST, 0, NULL, NULL,
     "ARNs of execution roles that those actions hand to SageMaker"},
    {"s3", PBAY_OPT_LIST, 0, NULL, NULL,
     "s3://BUCKET/PREFIX that get_object, head_object and put_object use"},
    {"parameters", PBAY_OPT_LIST, 0, NULL, NULL, "names behind ssm: in the configuration"},
    {"secrets", PBAY_OPT_LIST, 0, NULL, NULL, "ids behind secretsmanager: in the configuration"},
};

void use_add(struct sagemaker *sm, struct use *u)
{
    struct use **at = &sm->uses;
    while (*at) at = &(*at)->next;
    *at = u;
}

void use_remove(struct sagemaker *sm, struct use *u)
{
    for (struct use **at = &sm->uses; *at; at = &(*at)->next)
        if (*at == u) {
            *at = u->next;
            return;
        }
}

/* ------------------------------------------------------------------------------------------------ statements
 */

struct policy {
    struct sagemaker *sm;
    json_t *statements;
    const char *partition;
    char region[AWS_REGION];
    char account[16];
};

static void once(json_t *list, const char *text)
{
    for (size_t i = 0; i < json_array_size(list); i++)
        if (strcmp(json_string_value(json_array_get(list, i)), text) == 0) return;
    json_array_append_new(list, json_string(text));
}

/* The statement of that name, made when there is none. */
static json_t *statement(struct policy *p, const char *sid)
{
    json_t *s;
    size_t i;
    json_array_foreach(p->statements, i, s)
    {
        if (strcmp(json_string_value(json_object_get(s, "Sid")), sid) == 0) return s;
    }
    s = json_pack("{s:s, s:s, s:[], s:[]}", "Sid", sid, "Effect", "Allow", "Action", "Resource");
    json_array_append_new(p->statements, s);
    return s;
}

static void allow(struct policy *p, const char *sid, const char *action, const char *resource)
{
    json_t *s = statement(p, sid);
    once(json_object_get(s, "Action"), action);
    once(json_object_get(s, "Resource"), resource);
}

/* SageMaker writes names in ARNs in lower case. */
static void resource(const struct policy *p, const char *service, const char *kind, const char *name,
                     char out[512])
{
    int n = snprintf(out, 512, "arn:%s:%s:%s:%s:%s/", p->partition, service, p->region, p->account, kind);
    for (; *name && n < 511; name++) out[n++] = (char)(*name >= 'A' && *name <= 'Z' ? *name + 32 : *name);
    out[n] = 0;
}

static void allow_s3(struct policy *p, const char *sid, const char *action, pbay_str bucket, pbay_str folder,
                     const char *behind)
{
    char arn[S3_BUCKET + S3_KEY + 64];
    snprintf(arn, sizeof arn, "arn:%s:s3:::%.*s/%.*s%s%s", p->partition, (int)bucket.n, bucket.p,
             (int)folder.n, folder.n ? folder.p : "", folder.n ? "/" : "", behind);
    allow(p, sid, action, arn);
}

static void allow_pass(struct policy *p, pbay_str role)
{
    char arn[2048];
    json_t *s = statement(p, "HandRolesToSageMaker");
    snprintf(arn, sizeof arn, "%.*s", (int)(role.n < sizeof arn ? role.n : sizeof arn - 1), role.p);
    once(json_object_get(s, "Action"), "iam:PassRole");
    once(json_object_get(s, "Resource"), arn);
    json_object_set_new(
        s, "Condition",
        json_pack("{s:{s:s}}", "StringEquals", "iam:PassedToService", "sagemaker.amazonaws.com"));
}

static void allow_use(struct policy *p, const struct use *u)
{
    char arn[512];
    resource(p, "sagemaker", u->kind, u->name, arn);
    allow(p,
          strcmp(u->kind, "endpoint") == 0 || strcmp(u->kind, "inference-component") == 0 ? "Invoke"
                                                                                          : "Train",
          u->action, arn);
    if (strcmp(u->kind, "automl-job") == 0) allow(p, "Train", "sagemaker:DescribeAutoMLJobV2", arn);
    if (u->tags) allow(p, "Train", "sagemaker:AddTags", arn);
    if (u->bucket.n) {
        allow_s3(p, "Objects", "s3:PutObject", u->bucket, u->folder, "*");
        allow_s3(p, "Objects", "s3:AbortMultipartUpload", u->bucket, u->folder, "*");
    }
    if (u->pass_role.n) allow_pass(p, u->pass_role);
}

/* ------------------------------------------------------------------------------------------------ arguments
 */

static const struct {
    const char *action, *iam, *kind;
} RIGHTS[] = {
    {"create_training_job", "sagemaker:CreateTrainingJob", "training-job"},
    {"create_training_job", "sagemaker:DescribeTrainingJob", "training-job"},
    {"create_training_job", "sagemaker:AddTags", "training-job"},
    {"describe_training_job", "sagemaker:DescribeTrainingJob", "training-job"},
    {"list_training_jobs", "sagemaker:ListTrainingJobs", NULL},
    {"stop_training_job", "sagemaker:StopTrainingJob", "training-job"},
    {"list_tags", "sagemaker:ListTags", NULL},
    {"create_model", "sagemaker:CreateModel", "model"},
    {"create_model", "sagemaker:DescribeModel", "model"},
    {"create_model", "sagemaker:AddTags", "model"},
    {"create_endpoint_config", "sagemaker:CreateEndpointConfig", "endpoint-config"},
    {"create_endpoint_config", "sagemaker:DescribeEndpointConfig", "endpoint-config"},
    {"create_endpoint_config", "sagemaker:AddTags", "endpoint-config"},
    {"create_endpoint", "sagemaker:CreateEndpoint", "endpoint"},
    {"create_endpoint", "sagemaker:CreateEndpoint", "endpoint-config"},
    {"create_endpoint", "sagemaker:DescribeEndpoint", "endpoint"},
    {"create_endpoint", "sagemaker:AddTags", "endpoint"},
    {"describe_endpoint", "sagemaker:DescribeEndpoint", "endpoint"},
    {"update_endpoint", "sagemaker:UpdateEndpoint", "endpoint"},
    {"update_endpoint", "sagemaker:UpdateEndpoint", "endpoint-config"},
    {"update_endpoint", "sagemaker:DescribeEndpoint", "endpoint"},
    {"delete_endpoint", "sagemaker:DeleteEndpoint", "endpoint"},
    {"create_transform_job", "sagemaker:CreateTransformJob", "transform-job"},
    {"create_transform_job", "sagemaker:DescribeTransformJob", "transform-job"},
    {"create_transform_job", "sagemaker:AddTags", "transform-job"},
    {"describe_transform_job", "sagemaker:DescribeTransformJob", "transform-job"},
    {"create_auto_ml_job_v2", "sagemaker:CreateAutoMLJobV2", "automl-job"},
    {"create_auto_ml_job_v2", "sagemaker:DescribeAutoMLJobV2", "automl-job"},
    {"create_auto_ml_job_v2", "sagemaker:AddTags", "automl-job"},
    {"describe_auto_ml_job_v2", "sagemaker:DescribeAutoMLJobV2", "automl-job"},
};

static const char *allow_action(struct policy *p, pbay_str name, const pbay_config *args)
{
    static char wrong[160];
    const pbay_host *host = p->sm->host;
    int known = 0;
    for (size_t i = 0; i < sizeof RIGHTS / sizeof *RIGHTS; i++) {
        char arn[512];
        if (strlen(RIGHTS[i].action) != name.n || memcmp(RIGHTS[i].action, name.p, name.n) != 0) continue;
        known = 1;
        if (RIGHTS[i].kind) {
            resource(p, "sagemaker", RIGHTS[i].kind, "*", arn);
            allow(p, "Actions", RIGHTS[i].iam, arn);
        } else
            allow(p, "Lists", RIGHTS[i].iam, "*");
    }
    int put = name.n == 10 && memcmp(name.p, "put_object", 10) == 0;
    int get = (name.n == 10 && memcmp(name.p, "get_object", 10) == 0) ||
              (name.n == 11 && memcmp(name.p, "head_object", 11) == 0);
    for (uint32_t i = 0; (put || get) && i < host->count(args, "s3"); i++) {
        pbay_str key, bucket, folder;
        if (s3_uri(host->item(args, "s3", i, &key), &bucket, &folder))
            return "s3: an item is not s3://BUCKET/PREFIX";
        while (folder.n && folder.p[folder.n - 1] == '/') folder.n--;
        allow_s3(p, "Objects", put ? "s3:PutObject" : "s3:GetObject", bucket, folder, "*");
        if (put) allow_s3(p, "Objects", "s3:AbortMultipartUpload", bucket, folder, "*");
        known = 1;
    }
    if ((put || get) && !known)
        return "actions: get_object, head_object and put_object need --s3 s3://BUCKET/PREFIX";
    if (known) return NULL;
    snprintf(wrong, sizeof wrong, "actions: there is no action \"%.*s\"", (int)(name.n < 64 ? name.n : 64),
             name.p);
    return wrong;
}

static const char *allow_arguments(struct policy *p, const pbay_config *args)
{
    const pbay_host *host = p->sm->host;
    char arn[512], name[256];
    pbay_str key, v;
    const char *wrong = NULL;
    for (uint32_t i = 0; !wrong && i < host->count(args, "actions"); i++)
        wrong = allow_action(p, host->item(args, "actions", i, &key), args);
    for (uint32_t i = 0; !wrong && i < host->count(args, "pass_role"); i++) {
        v = host->item(args, "pass_role", i, &key);
        if (v.n < 4 || memcmp(v.p, "arn:", 4) != 0)
            wrong = "pass_role: an item is not an ARN";
        else
            allow_pass(p, v);
    }
    for (uint32_t i = 0; i < host->count(args, "parameters"); i++) {
        v = host->item(args, "parameters", i, &key);
        while (v.n && v.p[0] == '/') v.p++, v.n--;
        snprintf(arn, sizeof arn, "arn:%s:ssm:%s:%s:parameter/%.*s", p->partition, p->region, p->account,
                 (int)v.n, v.p);
        allow(p, "Secrets", "ssm:GetParameter", arn);
    }
    for (uint32_t i = 0; i < host->count(args, "secrets"); i++) {
        v = host->item(args, "secrets", i, &key);
        snprintf(name, sizeof name, "%.*s", (int)(v.n < sizeof name ? v.n : sizeof name - 1), v.p);
        if (strncmp(name, "arn:", 4) == 0) /* as it is; a name gets six characters behind it */
            snprintf(arn, sizeof arn, "%s", name);
        else
            snprintf(arn, sizeof arn, "arn:%s:secretsmanager:%s:%s:secret:%s-??????", p->partition, p->region,
                     p->account, name);
        allow(p, "Secrets", "secretsmanager:GetSecretValue", arn);
    }
    return wrong;
}

/* ------------------------------------------------------------------------------------------------ the
 * command */

static void allow_connector(struct policy *p)
{
    const pbay_host *host = p->sm->host;
    const pbay_config *cfg = p->sm->config;
    pbay_str url = host->get_str(cfg, "queue_url"), role = host->get_str(cfg, "role_arn"), key;
    char arn[2100];
    for (uint32_t i = 0; i < host->count(cfg, "poll"); i++) {
        pbay_str v = host->item(cfg, "poll", i, &key);
        int off = (v.n == 2 && memcmp(v.p, "no", 2) == 0) || (v.n == 3 && memcmp(v.p, "off", 3) == 0);
        if (key.n == 12 && memcmp(key.p, "training_job", 12) == 0 && !off)
            allow(p, "Lists", "sagemaker:ListTrainingJobs", "*");
    }
    if (url.n) { /* https://sqs.REGION.amazonaws.com/ACCOUNT/NAME */
        const char *slash = memrchr(url.p, '/', url.n),
                   *before = slash ? memrchr(url.p, '/', (size_t)(slash - url.p)) : NULL;
        pbay_str name = slash ? (pbay_str){slash + 1, url.n - (size_t)(slash + 1 - url.p)} : url;
        pbay_str account = before ? (pbay_str){before + 1, (size_t)(slash - before - 1)} : (pbay_str){"*", 1};
        snprintf(arn, sizeof arn, "arn:%s:sqs:%s:%.*s:%.*s", p->partition, p->region, (int)account.n,
                 account.p, (int)name.n, name.p);
        allow(p, "Queue", "sqs:ReceiveMessage", arn);
        allow(p, "Queue", "sqs:DeleteMessage", arn);
    }
    if (role.n) {
        snprintf(arn, sizeof arn, "%.*s", (int)role.n, role.p);
        allow(p, "TakeRole", "sts:AssumeRole", arn);
    }
    for (uint32_t i = 0; i < host->count(cfg, "allow_endpoints"); i++) {
        char name[128];
        pbay_str v = host->item(cfg, "allow_endpoints", i, &key);
        snprintf(name, sizeof name, "%.*s", (int)(v.n < 127 ? v.n : 127), v.p);
        resource(p, "sagemaker", "endpoint", name, arn);
        allow(p, "Invoke", "sagemaker:InvokeEndpoint", arn);
    }
    for (const struct use *u = p->sm->uses; u; u = u->next) allow_use(p, u);
}

static void run(void *self, uint32_t command, pbay_command_run r, const pbay_config *args)
{
    struct sagemaker *sm = self;
    pbay_result result = PBAY_RESULT_OK;
    struct policy p = {.sm = sm, .statements = json_array()};
    (void)command;
    struct aws_settings *s = aws_settings_read(sm->host, sm->config, NULL);
    snprintf(p.region, sizeof p.region, "%s", s->region[0] ? s->region : "*");
    aws_settings_free(s);
    p.partition = aws_partition(p.region);
    pbay_str account = sm->host->get_str(args, "account");
    int digits = account.n == 12;
    for (size_t i = 0; i < account.n; i++) digits = digits && account.p[i] >= '0' && account.p[i] <= '9';
    snprintf(p.account, sizeof p.account, "%.*s", (int)(account.n < 16 ? account.n : 15),
             account.n ? account.p : "*");
    allow_connector(&p);
    const char *wrong = digits || (account.n == 1 && *account.p == '*')
                            ? allow_arguments(&p, args)
                            : "--account is the number of an AWS account: 12 digits";
    if (wrong) {
        result.code = PBAY_INVALID_ARGUMENT;
        result.message = (pbay_str){wrong, strlen(wrong)};
    } else {
        json_t *policy = json_pack("{s:s, s:O}", "Version", "2012-10-17", "Statement", p.statements);
        char *text = json_dumps(policy, JSON_INDENT(2));
        json_decref(policy);
        sm->command->print(r, (pbay_str){text, strlen(text)});
        sm->command->print(r, STR("\n"));
        free(text);
    }
    json_decref(p.statements);
    sm->command->done(r, &result);
}

static const pbay_command COMMANDS[] = {
    {"aws-policy",
     "Print the least IAM policy for what is configured: functions, queue, polls; and for what is named "
     "besides.",
     PBAY_COMMAND_BOUND,
     0,
     {ARGUMENTS, sizeof ARGUMENTS / sizeof *ARGUMENTS, sizeof(pbay_option)}},
};
const pbay_commands_1 sagemaker_commands = {
    .struct_size = sizeof sagemaker_commands,
    .n_commands = sizeof COMMANDS / sizeof *COMMANDS,
    .commands = COMMANDS,
    .command_stride = sizeof(pbay_command),
    .run = run,
};
