/* SPDX-License-Identifier: MIT */
/* What the host's store remembers of a job that was written: which state it was in, and what the operator's
 * rule had said, which SageMaker does not know. Sans I/O; threads: any. */
#pragma once

#include "record.h"

enum { MARK_KEY = 512 };

/* "job/ARN"; an ARN has at most 256 characters. NUL-terminated. */
void mark_key(const char *what, pbay_str arn, char out[MARK_KEY]);
/* The mark's JSON; owned. */
char *mark_of(const mdb_record *r);
/* Is what was written a later state than r? A mark that cannot be read is not. */
bool mark_is_later(pbay_str mark, const mdb_record *r);
/* What the rule had said, put into a job (record.h) as SageMaker has it now. -1: the mark cannot be read. */
int mark_apply(pbay_str mark, json_t *job);
