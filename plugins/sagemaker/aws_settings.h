/* SPDX-License-Identifier: MIT */
/*
 * What is configured about AWS, found out: region, endpoints, attempts, and the recipe for credentials. Reads
 * the connector's options, the environment and the shared files; asks nobody.
 *
 * The order is that of AWS's own tools
 * (https://docs.aws.amazon.com/sdkref/latest/guide/standardized-credentials.html):
 *
 *   keys      access_key_id of the connector; AWS_ACCESS_KEY_ID (unless a profile is named); the profile;
 *             AWS_WEB_IDENTITY_TOKEN_FILE; AWS_CONTAINER_CREDENTIALS_*_URI; the instance's metadata.
 *             credential_source of the connector takes one of them alone. role_arn of the connector: that
 * role, taken with those keys region    region of the connector; AWS_REGION; AWS_DEFAULT_REGION; the
 * profile's; the instance's endpoint  service_url.ID of the connector, endpoint_url of the connector,
 * AWS_ENDPOINT_URL_ID, AWS_ENDPOINT_URL, [services] of the profile, endpoint_url of the profile, AWS's own
 */
#pragma once

#include <patchbay/host_secret.h>
#include <patchbay/plugin.h>

#include "aws_endpoint.h"
#include "aws_files.h"

enum { AWS_HOPS = 8, AWS_WHY = 512, AWS_PATH = 4096 };

/* How the first keys are had. */
enum aws_base { AWS_STATIC, AWS_PROCESS, AWS_WEB, AWS_SSO_CACHE, AWS_CONTAINER, AWS_IMDS };

struct aws_keys {
    char id[256], secret[256], token[8192];
    int64_t expires_ms; /* UTC; 0: never */
};

/* A role that is taken with the keys so far. */
struct aws_role {
    char arn[AWS_VALUE];
    char external_id[1232];
    char session[72]; /* empty: patchbay and the time */
    int64_t duration_s;
};

struct aws_recipe {
    enum aws_base base;
    const char *source; /* "the connector's options", ... for messages */
    char profile[256];
    struct aws_keys keys;      /* STATIC */
    char command[AWS_VALUE];   /* PROCESS */
    char token_file[AWS_PATH]; /* WEB: read anew each time; SSO_CACHE: the cached token */
    struct aws_role web;       /* WEB */
    char sso_region[64], sso_account[32], sso_role[128];
    char container_url[AWS_VALUE];
    uint32_t n_hops;
    struct aws_role hops[AWS_HOPS]; /* taken in this order */
};

struct aws_settings {
    char region[AWS_REGION];
    char url[AWS_SERVICES][AWS_URL]; /* overrides without a slash at the end; empty: AWS's own */
    int fips, dualstack;
    uint32_t max_attempts; /* in all, of what the plugin repeats itself */
    int32_t state;         /* PBAY_OK: the recipe can be tried */
    char why[AWS_WHY];     /* else a sentence */
    struct aws_recipe recipe;
};

/* Reads files: a few KiB, at start and when keys were refused. Returns owned; never NULL. */
struct aws_settings *aws_settings_read(const pbay_host *host, const pbay_config *config,
                                       const pbay_secret_1 *secrets);
void aws_settings_free(struct aws_settings *s); /* wiped */
/* Options that are wrong whatever the environment says. NULL, or the option, with *why (constant). */
const char *aws_settings_wrong(const pbay_host *host, const pbay_config *config, const char **why);
/* Where requests to a service go. */
void aws_settings_url(const struct aws_settings *s, enum aws_service service, const char *region,
                      char out[AWS_URL]);
/*
 * May keys be fetched from here? https; http only to loopback and to the addresses that ECS and EKS use
 * (https://docs.aws.amazon.com/sdkref/latest/guide/feature-container-credentials.html).
 */
int aws_container_url_ok(const char *url);
