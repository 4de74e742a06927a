/* SPDX-License-Identifier: MIT */
#include "aws_endpoint.h"

#include <stdio.h>
#include <string.h>

const struct aws_service_info aws_services[AWS_SERVICES] = {
    [AWS_RUNTIME] = {"sagemaker_runtime", "SAGEMAKER_RUNTIME", "sagemaker", "runtime.sagemaker"},
    [AWS_CONTROL] = {"sagemaker", "SAGEMAKER", "sagemaker", "api.sagemaker"},
    [AWS_S3] = {"s3", "S3", "s3", "s3"},
    [AWS_STS] = {"sts", "STS", "sts", "sts"},
    [AWS_SSM] = {"ssm", "SSM", "ssm", "ssm"},
    [AWS_SECRETS] = {"secrets_manager", "SECRETS_MANAGER", "secretsmanager", "secretsmanager"},
    [AWS_SQS] = {"sqs", "SQS", "sqs", "sqs"},
    [AWS_SSO] = {"sso", "SSO", "awsssoportal", "portal.sso"},
};

static const struct {
    const char *prefix, *name, *suffix, *dual;
} PARTITIONS[] = {
    {"cn-", "aws-cn", "amazonaws.com.cn", "api.amazonwebservices.com.cn"},
    {"us-gov-", "aws-us-gov", "amazonaws.com", "api.aws"},
    {"us-iso-", "aws-iso", "c2s.ic.gov", "c2s.ic.gov"},
    {"us-isob-", "aws-iso-b", "sc2s.sgov.gov", "sc2s.sgov.gov"},
    {"eusc-", "aws-eusc", "amazonaws.eu", "api.amazonwebservices.eu"},
    {"", "aws", "amazonaws.com", "api.aws"},
};

static size_t partition(const char *region)
{
    size_t i = 0;
    while (strncmp(region, PARTITIONS[i].prefix, strlen(PARTITIONS[i].prefix)) != 0) i++;
    return i;
}

const char *aws_partition(const char *region)
{
    return PARTITIONS[partition(region)].name;
}

int aws_region_valid(pbay_str region)
{
    for (size_t i = 0; i < region.n; i++) {
        char c = region.p[i];
        if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || (c == '-' && i))) return 0;
    }
    return region.n > 0 && region.n < AWS_REGION && region.p[region.n - 1] != '-';
}

void aws_endpoint(enum aws_service service, const char *region, int fips, int dualstack, char out[AWS_URL])
{
    const struct aws_service_info *s = &aws_services[service];
    size_t p = partition(region);
    int gov = strcmp(PARTITIONS[p].name, "aws-us-gov") == 0, sagemaker = service <= AWS_CONTROL;
    char host[64];
    snprintf(host, sizeof host, "%s%s", s->host, fips ? "-fips" : "");
    if (fips && !dualstack) {
        /* In GovCloud the plain names of these are the validated ones. */
        if (gov && (service == AWS_RUNTIME || service == AWS_STS || service == AWS_SSM || service == AWS_SQS))
            snprintf(host, sizeof host, "%s", s->host);
        else if (sagemaker && (gov || strcmp(PARTITIONS[p].name, "aws") == 0))
            snprintf(host, sizeof host, "%s",
                     service == AWS_RUNTIME ? "runtime-fips.sagemaker" : "api-fips.sagemaker");
    }
    if (service == AWS_S3 && dualstack)
        snprintf(out, AWS_URL, "https://%s.dualstack.%s.%s", host, region, PARTITIONS[p].suffix);
    else
        snprintf(out, AWS_URL, "https://%s.%s.%s", host, region,
                 dualstack ? PARTITIONS[p].dual : PARTITIONS[p].suffix);
}

void aws_url_parts(const char *url, pbay_str *host, pbay_str *prefix)
{
    int tls = strncmp(url, "https", 5) == 0;
    const char *from = strstr(url, "://");
    from = from ? from + 3 : url;
    size_t n = strcspn(from, "/?#");
    *prefix = (pbay_str){from + n, strlen(from + n)};
    const char *own = tls ? ":443" : ":80";
    size_t skip = strlen(own);
    if (n > skip && memcmp(from + n - skip, own, skip) == 0) n -= skip;
    *host = (pbay_str){from, n};
}

const char *aws_url_wrong(pbay_str url)
{
    size_t skip = url.n > 8 && memcmp(url.p, "https://", 8) == 0  ? 8
                  : url.n > 7 && memcmp(url.p, "http://", 7) == 0 ? 7
                                                                  : 0;
    if (!skip) return "begins with neither https:// nor http://";
    if (url.n >= AWS_URL) return "is longer than 511 bytes";
    if (url.p[skip] == '/') return "names no host";
    if (memchr(url.p, '?', url.n) || memchr(url.p, '#', url.n)) return "has a query or a fragment";
    for (size_t i = 0; i < url.n; i++)
        if (url.p[i] <= ' ' || url.p[i] == 0x7f) return "has blanks or control characters";
    return NULL;
}
