/* SPDX-License-Identifier: MIT */
/*
 * What the host's store remembers of a job that was written: which state it was in, what the operator's rule
 * had said, which SageMaker does not know, and what a script had changed of what SageMaker says.
 *
 * For the last, `collect` puts a digest of each member into the job ("digests", record.h); what does not fit
 * its digest when it is written was changed in between. Sans I/O; threads: any.
 */
#pragma once

#include "kit/text.h"
#include "record.h"

enum { MARK_KEY = 512 };

/* "job/ARN"; an ARN has at most 256 characters. NUL-terminated. */
void mark_key(const char *what, pbay_str arn, char out[MARK_KEY]);
/* Put the digests into a job that was collected. */
void mark_digests(json_t *job);
/* The mark's JSON; owned. */
char *mark_of(const mdb_record *r);
/* Is what was written a later state than r? A mark that cannot be read is not. */
bool mark_is_later(pbay_str mark, const mdb_record *r);
/* r's JSON with project, user and description as they were when it was written, if that was another project;
 * else NULL. Owned. */
json_t *mark_elsewhere(pbay_str mark, const mdb_record *r);
/* What the rule had said and the script had changed, put into a job (record.h) as SageMaker has it now. The
 * names of what was changed are appended to changed ("metrics, tags"). -1: the mark cannot be read. */
int mark_apply(pbay_str mark, json_t *job, pbay_text *changed);
