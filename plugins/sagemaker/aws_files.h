/* SPDX-License-Identifier: MIT */
/*
 * The shared files of AWS's tools, ~/.aws/credentials and ~/.aws/config. Sans I/O: texts in, values of a
 * profile out.
 *
 * https://docs.aws.amazon.com/sdkref/latest/guide/file-format.html: sections `[name]` (credentials) or
 * `[profile name]`, `[default]`, `[sso-session name]` and `[services name]` (config), `key = value`, comments
 * from `#` or `;` at the start of a line or after a blank; indented `key = value` lines belong to the key
 * before, which is how `[services]` names a service's endpoint_url.
 */
#pragma once

#include <patchbay/types.h>

enum { AWS_VALUE = 2048 };

/* What is not set is empty. */
struct aws_profile {
    char access_key_id[256];
    char secret_access_key[256];
    char session_token[8192];
    char region[64];
    char endpoint_url[512];
    char services[128];
    char role_arn[AWS_VALUE];
    char source_profile[256];
    char credential_source[64];
    char external_id[1232];
    char mfa_serial[256];
    char duration_seconds[16];
    char role_session_name[72];
    char web_identity_token_file[4096];
    char credential_process[AWS_VALUE];
    char sso_session[128];
    char sso_start_url[512];
    char sso_region[64];
    char sso_account_id[32];
    char sso_role_name[128];
    char max_attempts[16];
    char use_fips_endpoint[8];
    char use_dualstack_endpoint[8];
    char ignore_configured_endpoint_urls[8];
    int found; /* the section was there */
};

/* Fill what the text says of the profile; what it says already stays unless overwritten. */
void aws_profile_read(pbay_str text, pbay_str profile, int is_config, struct aws_profile *out);

/* Called for `key = value` (sub is empty) and for what is indented below it (`sub = value`). Borrowed. */
typedef void aws_file_fn(void *user, pbay_str key, pbay_str sub, pbay_str value);
/*
 * Every value of a section. kind: "" (credentials: the name alone), "profile" ([default] too), "sso-session",
 * "services". Non-zero: the section was there.
 */
int aws_file_section(pbay_str text, const char *kind, pbay_str name, aws_file_fn *fn, void *user);
