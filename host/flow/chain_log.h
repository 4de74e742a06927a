/* SPDX-License-Identifier: MIT */
/* What is known of why a reload failed, for the message about it: its script's log, which a connector has
 * stored as an event (type "script_log", data {"reload_id", "log"}). Thread: the store's. */
#pragma once

#include "store/events.h"

/*
 * cause: the event that a message is about. *reload: it told of an app's reload that failed, so there may be
 * a log, or will be. Then, when there is, its last `lines` lines are appended to out, without the last
 * newline.
 */
int pb_chain_log(struct pb_store *s, pbay_str cause, uint32_t lines, bool *reload, struct pb_buf *out,
                 struct pb_err *err);
