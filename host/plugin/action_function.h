/* SPDX-License-Identifier: MIT */
/*
 * Functions bound to actions, as a plugin that is part of the program: its one operation makes of each row a
 * job of an action, waits for the ends, and answers each row's JSON.
 *
 * A parameter is an argument of its name; one called `args` is an object of several, one called `key` is the
 * row's idempotency key. Without it rows of a call that has a key itself (an invocation, a parked batch) are
 * numbered under that, so that the same call again does nothing twice; rows of other calls are new each time.
 * All rows of a batch are stored in one transaction before the first is run. A call that is given up leaves
 * its jobs as they are. Threads: [loop].
 */
#pragma once

#include <patchbay/plugin.h>

#define PB_ACTION_PLUGIN    "action"
#define PB_ACTION_OPERATION "run"
/* What its instance is called; no configured connector can be. */
#define PB_ACTION_CONNECTOR "(actions)"

const pbay_entry *pb_action_function_entry(void);
