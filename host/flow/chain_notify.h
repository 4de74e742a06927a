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
    uint32_t log_lines; /* of a failed reload's script log, below the text; 0: none */
};

/*
 * The body of a message. JSON: {"text", "source", "target"}. Slack's incoming webhooks take {"text"} with &,
 * < and > as entities (https://api.slack.com/reference/surfaces/formatting); Teams' workflows take a message
 * with an adaptive card (https://learn.microsoft.com/microsoftteams/platform/webhooks-and-connectors). log,
 * unless empty: JSON has it as a member, Slack as a block of code below the text, Teams as a second block in
 * monospace.
 */
void pb_notify_body(struct pb_buf *out, const struct pb_notify_target *t, pbay_str text, pbay_str log);

/*
 * What an answer means: 0 sent; -1 with err, and whether trying again helps (advice). retry_after: the
 * header, in seconds; empty: not said.
 */
int pb_notify_answer(int32_t status, const pbay_result *how, pbay_str retry_after, struct pb_err *err);
