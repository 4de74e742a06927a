/* SPDX-License-Identifier: MIT */
/*
 * What systemd is told: the protocol of sd_notify(3), datagrams to the socket that $NOTIFY_SOCKET names.
 * Nothing happens when nobody asked. Threads: main.
 */
#pragma once

#include <stdint.h>

#include "base/attr.h"

/* "READY=1", "STOPPING=1", "STATUS=..."; lines separated by \n. */
void pb_notify(const char *fmt, ...) PB_PRINTF(1, 2);
/* "RELOADING=1" with the time that systemd wants beside it; READY=1 ends it. */
void pb_notify_reloading(void);
/* How often "WATCHDOG=1" is wanted, in ms: half of what $WATCHDOG_USEC allows. 0: not at all. */
int64_t pb_notify_watchdog_ms(void);
