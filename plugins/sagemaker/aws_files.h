/* SPDX-License-Identifier: MIT */
/*
 * The shared files of AWS's tools, ~/.aws/credentials and ~/.aws/config. Sans I/O: texts in, values of a
 * profile out.
 *
 * https://docs.aws.amazon.com/sdkref/latest/guide/file-format.html: sections `[name]` (credentials) or
 * `[profile name]` and `[default]` (config), `key = value`, comments from `#` or `;` at the start of a line
 * or after a blank; indented lines belong to the key before and are skipped.
 */
#pragma once

#include <patchbay/types.h>

enum { AWS_VALUE = 2048 };

struct aws_profile {
    char access_key_id[256];
    char secret_access_key[256];
    char session_token[8192];
    char region[64];
    char endpoint_url[512];
    char role_arn[2048]; /* asked for but not yet understood: named in the message */
    char source_profile[256];
    char credential_process[AWS_VALUE];
    char sso[256]; /* sso_session or sso_start_url */
    char web_identity[1024];
    int found; /* the section was there */
};

/* Fill what the text says of the profile; what it says already stays unless overwritten. */
void aws_profile_read(pbay_str text, pbay_str profile, int is_config, struct aws_profile *out);
