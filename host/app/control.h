/* SPDX-License-Identifier: MIT */
/*
 * The control socket: commands that act on a running gateway. A line in, a text out, then the end.
 *
 * It stands in a directory that is its owner's alone (0700), and who connects must be the same user or root
 * (SO_PEERCRED). Threads: [loop]; pb_control_ask: main of another process.
 */
#pragma once

#include "base/attr.h"
#include "base/buf.h"
#include "base/err.h"

struct pb_control;
struct pb_control_call;
struct pb_loop;

/* line is borrowed until return; the call is answered exactly once, now or later. */
typedef void (*pb_control_fn)(void *user, struct pb_control_call *call, const char *line);

/* The directory is made when it is missing. Returns owned, or NULL with err. */
struct pb_control *pb_control_open(struct pb_loop *loop, const char *dir, pb_control_fn fn, void *user,
                                   struct pb_err *err);
void pb_control_answer(struct pb_control_call *call, const char *text);
/* Calls that are not answered are cut off and need no answer. NULL is fine. */
void pb_control_close(struct pb_control *c);

/* Ask the gateway whose socket stands in dir; blocks. Errors: UNAVAILABLE (nobody there). */
int pb_control_ask(const char *dir, const char *line, struct pb_buf *answer, struct pb_err *err);
