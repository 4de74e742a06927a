/* SPDX-License-Identifier: MIT */
/*
 * A recipe for credentials, carried out: the first keys from wherever they come, then a role for each hop.
 *
 * Everything is asked asynchronously; a command of credential_process and the files of tokens are read in the
 * connector's work pool or are small. [loop]
 *   IMDSv2             https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/instancedata-data-retrieval.html
 *   containers         https://docs.aws.amazon.com/sdkref/latest/guide/feature-container-credentials.html
 *   AssumeRole         https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRole.html
 *   web identity       https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRoleWithWebIdentity.html
 *   credential_process https://docs.aws.amazon.com/sdkref/latest/guide/feature-process-credentials.html
 *   single sign-on
 * https://docs.aws.amazon.com/singlesignon/latest/PortalAPIReference/API_GetRoleCredentials.html
 */
#pragma once

#include <patchbay/host_crypto.h>
#include <patchbay/host_http.h>
#include <patchbay/host_timer.h>
#include <patchbay/host_work.h>

#include "aws_settings.h"
#include "kit/sigv4.h"

/* What a chain works with; borrowed for its life. */
struct aws_tools {
    const pbay_host *host;
    const pbay_http_1 *http;
    const pbay_crypto_1 *crypto;
    const pbay_timer_1 *timer;
    const pbay_work_1 *work; /* NULL: no credential_process */
    pbay_sigv4 *signer;
};

struct aws_chain;

/*
 * The end, exactly once, never from inside aws_chain_run. code PBAY_OK: keys (copied by the callee) and a
 * region that was asked for, or empty. Else why says what went wrong; UNAVAILABLE: nobody answered, the old
 * keys may be used longer.
 */
typedef void aws_chain_done(void *user, int32_t code, const struct aws_keys *keys, const char *region,
                            const char *why);

/* settings: of state PBAY_OK and not STATIC without hops; borrowed until done. skew_ms: AWS's clock minus
 * ours. */
struct aws_chain *aws_chain_run(const struct aws_tools *tools, const struct aws_settings *settings,
                                int64_t skew_ms, aws_chain_done *done, void *user);
/* done comes soon, with PBAY_CANCELLED. */
void aws_chain_cancel(struct aws_chain *c);
/* Before done, when nothing will run any more: no exchange and no command is under way. NULL is fine. */
void aws_chain_free(struct aws_chain *c);

/* {"AccessKeyId", "SecretAccessKey", "SessionToken" or "Token", "Expiration"} of a JSON text. 0, or -1 with
 * *why. */
int aws_keys_from_json(pbay_str json, int process, int64_t now_ms, struct aws_keys *out, const char **why);
/* The <Credentials> of an answer of STS. */
int aws_keys_from_sts(pbay_str xml, struct aws_keys *out);
