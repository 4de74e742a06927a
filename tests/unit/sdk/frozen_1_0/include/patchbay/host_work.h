/* SPDX-License-Identifier: MIT */
/*
 * Service pbay.host.work/1: blocking work in a small pool of the connector's own threads.
 *
 * Work gets the number of the slot it runs in, so a plugin that keeps one connection per slot needs no lock.
 * When all slots have been stuck for longer than the connector's `timeout`, the connector goes out.
 *
 * Example: a call answered by something that blocks, with one connection for each slot.
 *
 *     struct errand {
 *         struct mine *m;
 *         pbay_call call;
 *         pbay_builder *out; // made on the loop, filled in the work
 *     };
 *     static void work(void *user, uint32_t slot) // [work]
 *     {
 *         struct errand *e = user;
 *         void **connection = &e->m->connections[slot]; // nobody else uses it meanwhile
 *         if (!*connection) *connection = e->m;         // connect: it may take its time
 *         e->m->batch->num(e->out, 0, 1);
 *     }
 *     static void done(void *user, int cancelled) // [loop]
 *     {
 *         struct errand *e = user;
 *         pbay_result result = PBAY_RESULT_OK;
 *         if (cancelled) {
 *             pbay_fail(&result, PBAY_CANCELLED, "the connector stops");
 *             e->m->batch->free(e->out);
 *             e->out = NULL;
 *         }
 *         e->m->call->complete(e->call, &result, e->out);
 *         free(e);
 *     }
 *     static int32_t begin(struct errand *e)
 *     {
 *         return e->m->work->submit(e->m->host, work, done, e); // not PBAY_OK: nothing of it will be called
 *     }
 */
#pragma once

#include <patchbay/plugin.h>

#ifdef __cplusplus
extern "C" {
#endif

#define PBAY_SVC_WORK "pbay.host.work/1"

/* A connector has at most so many slots (`work_threads`): room for what is kept per slot. */
#define PBAY_WORK_SLOTS 256u

typedef struct pbay_work_1 {
    uint32_t struct_size;
    uint32_t reserved;
    /*
     * [loop] Run fn(user, slot) in the pool, slot 0 .. work_threads - 1; then done(user) on the loop, exactly
     * once, also when the work was dropped because the instance stops (cancelled is 1 then and fn was not
     * called). PBAY_OK; PBAY_RESOURCE_EXHAUSTED when work_queue items wait already; PBAY_UNAVAILABLE after
     * `stop`; PBAY_PERMISSION_DENIED before `accept` (patchbay/routes.h). user is the plugin's to free: in
     * done, or when it was refused. What runs cannot be stopped from outside, and `destroy` waits for it:
     * give it a time limit of its own. The connector's `work_threads` (default 4) and `work_queue` (default
     * 1024) are options of the host.
     */
    int32_t (*submit)(const pbay_host *host, void (*fn)(void *user, uint32_t slot),
                      void (*done)(void *user, int cancelled), void *user);
} pbay_work_1;

#ifdef __cplusplus
}
#endif
