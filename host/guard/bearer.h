/* SPDX-License-Identifier: MIT */
/* "Authorization: Bearer …" (RFC 6750 §2.1). Threads: any. */
#pragma once

#include <stdbool.h>

#include <patchbay/types.h>

/* Is it that header (name in lower case), and not empty? *out borrows from its value. */
bool pb_bearer_of(const pbay_header *header, pbay_str *out);
