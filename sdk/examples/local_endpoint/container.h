/* SPDX-License-Identifier: MIT */
/* Requests passed on to a container that serves a model at http://HOST:PORT/invocations, as SageMaker does.
 */
#pragma once

#include <patchbay/host_http.h>
#include <patchbay/plugin.h>

/* What came of it, once, on a later turn: status 0 when nobody answered. Borrowed until return. */
typedef void (*container_answered)(void *user, int32_t status, pbay_str type, pbay_str body);

/* url: of the container. type and body are copied. 0 with *why when it could not be sent. */
int container_ask(const pbay_host *host, const pbay_http_1 *http, pbay_str url, pbay_str type, pbay_str body,
                  container_answered answered, void *user, pbay_result *why);
