/* SPDX-License-Identifier: MIT */
/* pbay.commands/1 of this plugin: what has to be set up on Snowflake's side and before this one. */
#pragma once

#include <patchbay/commands.h>

const pbay_commands_1 *snowflake_commands(void);
