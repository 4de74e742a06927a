/* SPDX-License-Identifier: MIT */
/* `patchbay PLUGIN VERB`: commands that plugins bring (pbay.commands/1). Threads: main. */
#pragma once

#include <stdbool.h>

#include "base/buf.h"
#include "plugin/loader.h"

/* Is there a plugin of that name (a dash stands for an underscore) where the configuration or the program
 * looks? */
bool pb_cmd_plugin_known(int argc, char **argv);
/* Run it; argv[0] is the plugin's name. The exit code. */
int pb_cmd_plugin(int argc, char **argv);
/* What `patchbay help PLUGIN` says of its commands, appended. */
void pb_cmd_plugin_help(const struct pb_plugin *p, struct pb_buf *out);
