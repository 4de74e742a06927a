/* SPDX-License-Identifier: MIT */
/* pbay.actions/1 of this plugin (sql_actions.c). */
#pragma once

#include <patchbay/actions.h>

const pbay_actions_1 *sql_actions(void);
