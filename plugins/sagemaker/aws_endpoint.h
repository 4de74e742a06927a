/* SPDX-License-Identifier: MIT */
/*
 * Where a service of AWS is: one set of rules for all that this plugin talks to. Sans I/O.
 *
 * https://docs.aws.amazon.com/general/latest/gr/rande.html (hosts, FIPS, dual stack), China's and the
 * isolated partitions' suffixes as in
 * https://docs.aws.amazon.com/whitepapers/latest/aws-fault-isolation-boundaries/partitions.html, overrides as
 * in https://docs.aws.amazon.com/sdkref/latest/guide/feature-ss-endpoints.html
 */
#pragma once

#include <patchbay/types.h>

enum aws_service {
    AWS_RUNTIME, /* InvokeEndpoint */
    AWS_CONTROL, /* CreateTrainingJob, ... */
    AWS_S3,
    AWS_STS,
    AWS_SSM,
    AWS_SECRETS,
    AWS_SQS,
    AWS_SSO,
    AWS_SERVICES
};

enum { AWS_URL = 512, AWS_REGION = 64 };

struct aws_service_info {
    const char *id;     /* in [services] and service_url.ID: "sagemaker_runtime" */
    const char *env;    /* behind AWS_ENDPOINT_URL_: "SAGEMAKER_RUNTIME" */
    const char *signer; /* the name in the signature: "sagemaker" */
    const char *host;   /* "runtime.sagemaker" */
};
extern const struct aws_service_info aws_services[AWS_SERVICES];

/* [a-z0-9-], as AWS's regions are: what stands in a host's name must not be able to become another host. */
int aws_region_valid(pbay_str region);
/* "https://runtime.sagemaker.eu-west-1.amazonaws.com" into out, no slash at the end; the region is valid. */
void aws_endpoint(enum aws_service service, const char *region, int fips, int dualstack, char out[AWS_URL]);
/* The partition of a region, as it stands in ARNs: "aws", "aws-cn", "aws-us-gov", ... */
const char *aws_partition(const char *region);
/* "https://host:port/prefix" into what is signed: the host as it stands in the Host header, and the prefix.
 */
void aws_url_parts(const char *url, pbay_str *host, pbay_str *prefix);
/* An endpoint written by the operator is http or https with a host. NULL, or what is wrong with it. */
const char *aws_url_wrong(pbay_str url);
