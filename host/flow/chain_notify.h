/* SPDX-License-Identifier: MIT */
/*
 * Messages to people: [notify "ops"]. Sent from durable jobs, so none is lost and none blocks anything. Pure
 * but for pb_notify_send. Threads: [loop].
 */
#pragma once

#include "base/buf.h"
#include "net/http_client.h"

enum pb_notify_format { PB_NOTIFY_JSON, PB_NOTIFY_SLACK, PB_NOTIFY_TEAMS };

struct pb_notify_target {
    pbay_str name, url;
    enum pb_notify_format format;
};

/*
 * The body of a message. JSON: {"text", "source", "target"}. Slack's incoming webhooks take {"text"} with &,
 * < and > as entities (https://api.slack.com/reference/surfaces/formatting); Teams' workflows take a message
 * with an adaptive card (https://learn.microsoft.com/microsoftteams/platform/webhooks-and-connectors).
 */
void pb_notify_body(struct pb_buf *out, const struct pb_notify_target *t, pbay_str text);

/*
 * What an answer means: 0 sent; -1 with err, and whether trying again helps (advice). retry_after: the
 * header, in seconds; empty: not said.
 */
int pb_notify_answer(int32_t status, const pbay_result *how, pbay_str retry_after, struct pb_err *err);
