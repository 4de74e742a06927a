/* SPDX-License-Identifier: MIT */
/*
 * pbay.secrets/1: ssm:NAME is a parameter of Systems Manager, decrypted; secretsmanager:ID is a secret,
 * ID#KEY one member of a secret that is a JSON object.
 *
 * https://docs.aws.amazon.com/systems-manager/latest/APIReference/API_GetParameter.html
 * https://docs.aws.amazon.com/secretsmanager/latest/apireference/API_GetSecretValue.html
 */
#include "parameters.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "aws_call.h"

enum { SSM, SECRETS_MANAGER, WHO = 128 };

static const char *const SCHEMES[] = {[SSM] = "ssm", [SECRETS_MANAGER] = "secretsmanager"};

struct parameter {
    struct sagemaker *sm;
    pbay_resolve question;
    uint32_t scheme;
    struct parameter *next;
    struct aws_call *call;
    char *body;
    char *key; /* NULL: the whole secret */
};

static void answer(struct parameter *p, const pbay_result *result, pbay_str value)
{
    struct sagemaker *sm = p->sm;
    for (struct parameter **at = &sm->parameters; *at; at = &(*at)->next)
        if (*at == p) {
            *at = p->next;
            break;
        }
    sm->resolve->resolved(p->question, result, value, sm->secret_ttl_ms);
    free(p->body);
    free(p->key);
    free(p);
}

static void refuse(struct parameter *p, int32_t code, const char *text)
{
    pbay_result r = PBAY_RESULT_OK;
    r.code = code;
    r.message = (pbay_str){text, strlen(text)};
    answer(p, &r, (pbay_str){NULL, 0});
}

static void on_done(void *user, const pbay_result *result, const pbay_http_reply *reply)
{
    struct parameter *p = user;
    const pbay_result ok = PBAY_RESULT_OK;
    if (result->code != PBAY_OK) {
        answer(p, result, (pbay_str){NULL, 0});
        return;
    }
    json_t *v = json_loadb(reply->body.n ? reply->body.p : "", reply->body.n, 0, NULL), *inner = NULL;
    const json_t *s = p->scheme == SSM ? json_object_get(json_object_get(v, "Parameter"), "Value")
                                       : json_object_get(v, "SecretString");
    if (!json_is_string(s)) {
        refuse(p, PBAY_FAILED_PRECONDITION,
               p->scheme == SSM ? "the answer has no Parameter.Value"
                                : "the secret is binary: only texts can be used");
    } else if (!p->key) {
        answer(p, &ok, (pbay_str){json_string_value(s), json_string_length(s)});
    } else {
        inner = json_loadb(json_string_value(s), json_string_length(s), 0, NULL);
        const json_t *member = json_object_get(inner, p->key);
        if (json_is_string(member))
            answer(p, &ok, (pbay_str){json_string_value(member), json_string_length(member)});
        else
            refuse(p, PBAY_NOT_FOUND,
                   json_is_object(inner) ? "the secret has no text under the key behind #"
                                         : "the secret is not a JSON object, so it has no keys");
    }
    json_decref(inner);
    json_decref(v);
}

static void resolve(void *self, uint32_t scheme, pbay_resolve question, pbay_str rest)
{
    struct sagemaker *sm = self;
    struct parameter *p = calloc(1, sizeof *p);
    char who[WHO];
    if (!p) abort();
    p->sm = sm;
    p->question = question;
    p->scheme = scheme;
    p->next = sm->parameters;
    sm->parameters = p;
    if (scheme == SECRETS_MANAGER) {
        const char *hash = rest.n ? memrchr(rest.p, '#', rest.n) : NULL;
        if (hash) {
            p->key = strndup(hash + 1, rest.n - (size_t)(hash + 1 - rest.p));
            rest.n = (size_t)(hash - rest.p);
        }
    }
    if (!rest.n || rest.n > 2048 || (p->key && !p->key[0])) {
        refuse(p, PBAY_INVALID_ARGUMENT,
               scheme == SSM ? "a parameter's name is expected behind ssm:"
                             : "ID or ID#KEY is expected behind secretsmanager:");
        return;
    }
    json_t *args = json_object();
    json_object_set_new(args, scheme == SSM ? "Name" : "SecretId", json_stringn(rest.p, rest.n));
    if (scheme == SSM) json_object_set_new(args, "WithDecryption", json_true());
    p->body = json_dumps(args, JSON_COMPACT);
    json_decref(args);
    if (!p->body) abort();
    pbay_header headers[] = {{STR("Content-Type"), STR("application/x-amz-json-1.1")},
                             {STR("X-Amz-Target"), scheme == SSM ? STR("AmazonSSM.GetParameter")
                                                                 : STR("secretsmanager.GetSecretValue")}};
    struct aws_request r = {.service = scheme == SSM ? AWS_SSM : AWS_SECRETS,
                            .method = STR("POST"),
                            .path = STR("/"),
                            .headers = headers,
                            .n_headers = 2,
                            .body = {p->body, strlen(p->body)},
                            .timeout_ms = 10000,
                            .max_reply = 256 << 10};
    snprintf(who, sizeof who, "%s", scheme == SSM ? "GetParameter" : "GetSecretValue");
    p->call = aws_call_start(&sm->aws, &r, 0, INT64_MAX, who, on_done, p);
}

void parameters_stop(struct sagemaker *sm)
{
    for (struct parameter *p = sm->parameters; p; p = p->next)
        if (p->call) aws_call_cancel(p->call);
}

const pbay_secrets_1 sagemaker_secrets = {sizeof sagemaker_secrets, sizeof SCHEMES / sizeof *SCHEMES, SCHEMES,
                                          resolve};
