/* SPDX-License-Identifier: MIT */
/*
 * Who holds a lease, as a text that people can read and that tells, on the machine where it was written,
 * whether that process is still there. Threads: any.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include <patchbay/types.h>

/* This process: "worker 0, pid 4711 (5d1c0a7e/4026531836/123456)": boot, process id name space, start. Owned.
 */
char *pb_owner_make(uint32_t worker);
/*
 * True: that process is gone for certain. False: it runs, or this machine cannot tell: another machine or
 * container, or a start of this one before the last; then its leases end by themselves.
 */
bool pb_owner_gone(pbay_str owner);
