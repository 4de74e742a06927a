/* SPDX-License-Identifier: MIT */
/*
 * One ModelDB 1.0 server and the jobs that are on their way into it: v1_sync says what comes next, this does
 * it, with connections (v1_pool) and marks and locks in the host's store.
 *
 * One job must not be on its way twice at once: what runs syncs sees to that (the durable job's key).
 * Different jobs may, in any number of workers.
 *
 * Threads: [loop].
 */
#pragma once

#include <patchbay/host_kv.h>

#include "v1_pool.h"
#include "v1_sync.h"

typedef struct v1_server v1_server;
typedef struct v1_job v1_job;

/*
 * Once, never from inside. result PBAY_OK, or what went wrong, naming job and server; effect NONE when
 * nothing can have been written. outcome: how far it got. Texts are borrowed until return; `wanted` is not
 * needed any more.
 */
typedef void (*v1_job_done)(void *user, const pbay_result *result, const v1_outcome *outcome);

/* kv: NULL leaves out marks and locks. */
v1_server *v1_server_new(const v1_pool_settings *settings, const pbay_kv_1 *kv);
const char *v1_server_where(const v1_server *server);
/* wanted is borrowed until done; name is what errors call the job, copied. */
v1_job *v1_server_sync(v1_server *server, const v1_wanted *wanted, pbay_str name, v1_job_done done,
                       void *user);
/* Reads and compares; differs is told each difference before done. */
v1_job *v1_server_verify(v1_server *server, const v1_wanted *wanted, pbay_str name, v1_differs differs,
                         v1_job_done done, void *user);
/* Is it there, and does it speak? outcome is NULL. */
v1_job *v1_server_ping(v1_server *server, v1_job_done done, void *user);
/* No done comes, and wanted is not looked at again. A call in flight is left to its end. */
void v1_job_cancel(v1_job *job);
/* What waits ends with PBAY_CANCELLED; what is in flight gets its answer, and the next call of its job does
 * not go. */
void v1_server_stop(v1_server *server);
/* No job may be left. */
void v1_server_free(v1_server *server);
