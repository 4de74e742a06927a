/* SPDX-License-Identifier: MIT */
/* `patchbay call`: a CSV through a running gateway's SSE port. Threads: main. */
#pragma once

#include "app/cli.h"

extern const struct pb_cli_verb pb_verb_call;

/* argv[0] is "call". Returns the exit code (PB_EXIT_*). */
int pb_cmd_call(int argc, char **argv);
