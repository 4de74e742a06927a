/* SPDX-License-Identifier: MIT */
/* What the host has noticed of a plugin stands in its log: as a sentence. Shared by patchbay-check and the
 * mock host. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

/* The last breach of a log in logfmt, "what (of what)", NUL-terminated. False: there is none. The log is
 * written out first. */
bool pb_breach_last(int log_fd, char *to, size_t cap);
