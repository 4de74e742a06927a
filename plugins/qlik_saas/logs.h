/* SPDX-License-Identifier: MIT */
/*
 * The script log of a reload that failed, as an event of its own, so that an alert can carry it: type
 * `script_log`, about the app,
 * {"status": "error", "app_id", "app_name", "reload_id", "log", "cut"}. Off unless `script_logs` says how
 * much. [loop]
 */
#pragma once

#include "qlik.h"

/* Ask for it in a moment, and again a few times: Qlik may not have it yet. Best effort. All texts are copied.
 */
void logs_fetch(struct qlik *q, pbay_str app, pbay_str app_name, pbay_str reload);
void logs_free(struct qlik *q);

/* "log":TEXT,"cut":BOOL of the last `most` bytes of a log, appended. */
void logs_tail(pbay_text *out, pbay_str log, size_t most);
