/* SPDX-License-Identifier: MIT */
/*
 * Where requests go and who signs them: region, endpoint and keys, from the connector's options, the
 * environment and the shared files, in the order that AWS's own tools use.
 *
 *   keys      access_key_id and secret_access_key of the connector; AWS_ACCESS_KEY_ID and
 * AWS_SECRET_ACCESS_KEY, unless a profile is named; the profile in the shared files region    region of the
 * connector; AWS_REGION; AWS_DEFAULT_REGION; the profile's endpoint  endpoint_url of the connector;
 * AWS_ENDPOINT_URL_SAGEMAKER_RUNTIME; AWS_ENDPOINT_URL; the profile's; else AWS's own for the region
 *
 * Read at start, and again when the keys are refused. All functions: [loop].
 */
#pragma once

#include <patchbay/host_secret.h>
#include <patchbay/plugin.h>

#include "kit/sigv4.h"

struct credentials {
    char id[256], secret[256], token[8192];
    char region[64];
    char endpoint[512]; /* "https://runtime.sagemaker.eu-west-1.amazonaws.com", without a slash at the end */
    const char *source; /* "the connector's options", ... for messages */
};

enum { CREDENTIALS_WHY = 512 };

/* Read anew. PBAY_OK; or a code with a sentence in why, and *out has what was found. */
int32_t credentials_load(const pbay_host *host, const pbay_config *config, const pbay_secret_1 *secrets,
                         struct credentials *out, char why[CREDENTIALS_WHY]);
pbay_aws_keys credentials_keys(const struct credentials *c);
/* [a-z0-9-], as AWS's regions are: what stands in a host's name must not be able to become another host. */
int region_valid(pbay_str region);
