/* SPDX-License-Identifier: MIT */
/* What commands on the store of a gateway have in common, whether one runs or not. Threads: main. */
#pragma once

#include "app/verbs.h"
#include "base/str.h"
#include "store/store.h"

/*
 * Open the store that the configuration ([store] url), or else the state directory, names; one that is not
 * there is not made. NULL: the reason was printed.
 */
struct pb_store *pb_args_store(const struct pb_args *a);
/* Have a running gateway look at once. Nothing happens when none runs. */
void pb_args_wake(const struct pb_args *a);
/* "cli:anna": who is doing it, for the audit. Borrowed for ever. */
pbay_str pb_args_who(void);
/* "2026-11-29 14:03:05", local time; "-" for 0. */
void pb_print_time(int64_t ms);
/* Text from outside, harmless for a terminal and on one line; quoted when it needs it; at most max bytes. */
void pb_print_text(pbay_str text, size_t max);
