/* SPDX-License-Identifier: MIT */
/* A listening socket as a bare descriptor: made here, or handed over by whoever started the program. Threads:
 * any. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/err.h"

enum { PB_BOUND_NAME = 64 };

/* Is it "HOST:PORT"? -1 with err. The host is not looked up. */
int pb_bound_check(const char *address, struct pb_err *err) PB_NODISCARD;
/*
 * Listen on "HOST:PORT" ("[v6]:port" in brackets; port 0 takes a free one). Returns a descriptor (owned,
 * non-blocking, close-on-exec), or -1 with err, which names the address.
 */
int pb_bound_open(const char *address, int backlog, struct pb_err *err) PB_NODISCARD;
/* Where fd really listens: "127.0.0.1:41235", "[::]:50058"; returns the port. */
uint16_t pb_bound_name(int fd, char out[PB_BOUND_NAME]);
/* Does fd listen where the address says? Never for port 0, which names no place. */
bool pb_bound_is(int fd, const char *address);
