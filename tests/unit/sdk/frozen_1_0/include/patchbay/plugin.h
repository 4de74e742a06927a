/* SPDX-License-Identifier: MIT */
/*
 * The one function a plugin exports, and how plugin and host find what the other offers.
 *
 * A plugin is a shared object that exports `pbay_plugin_entry` and nothing else. Both ways, everything more
 * is a table asked for by an id with a revision: the plugin's are *extensions* ("pbay.functions/1"), the
 * host's are *services* ("pbay.host.log/1"). A table may grow at its end and carries its size; a changed
 * meaning gets a new revision. What is not there answers NULL: a plugin that needs it refuses in `create` and
 * says what is missing.
 *
 * A connector is one configured, named instance of a plugin; each worker process creates its own. The life of
 * one:
 *
 *     create -> start -> ( calls, routes, events ) -> stop -> destroy
 *
 * `patchbay check` creates and destroys without start. Between `stop` and `destroy` the calls in flight
 * complete.
 *
 * ABI 1.0 is frozen: what stands in these headers keeps its place and its meaning in every host of major 1
 * (sdk/README.md says what may be added, and how).
 *
 * Example: all that a plugin needs but what it does; `functions` stands in patchbay/functions.h.
 *
 *     struct mine {
 *         const pbay_host *host;
 *         const pbay_batch_1 *batch;
 *         const pbay_call_1 *call;
 *     };
 *     static int32_t create(const pbay_host *host, const pbay_config *config, void **self, pbay_result *why)
 *     {
 *         struct mine *m = calloc(1, sizeof *m);
 *         (void)config;
 *         if (!m) return pbay_fail(why, PBAY_RESOURCE_EXHAUSTED, "no memory");
 *         m->host = host;
 *         m->batch = host->service(host, PBAY_SVC_BATCH);
 *         m->call = host->service(host, PBAY_SVC_CALL);
 *         *self = m;
 *         if (m->batch && m->call) return PBAY_OK;
 *         free(m);
 *         return pbay_fail(why, PBAY_UNIMPLEMENTED, "this host has no pbay.host.batch/1 or call/1");
 *     }
 *     static const void *extension(const char *id)
 *     {
 *         return strcmp(id, PBAY_EXT_FUNCTIONS) == 0 ? &functions : NULL;
 *     }
 *     PBAY_EXPORT const pbay_entry *pbay_plugin_entry(void)
 *     {
 *         static const pbay_descriptor descriptor = {
 *             .struct_size = sizeof descriptor,
 *             .name = "mine",
 *             .version = "1.0.0",
 *             .vendor = "Example",
 *             .license = "MIT",
 *             .summary = "Does what mine does",
 *         };
 *         static const pbay_entry entry = {PBAY_MAGIC, sizeof entry, PBAY_ABI_MAJOR, PBAY_ABI_MINOR, 0,
 *                                          &descriptor, create, NULL, NULL, free, extension};
 *         return &entry;
 *     }
 */
#pragma once

#include <patchbay/types.h>

#ifdef __cplusplus
extern "C" {
#endif

#define PBAY_MAGIC     0x59414250u /* the bytes "PBAY" */
#define PBAY_ABI_MAJOR 1u          /* differs: the host refuses the plugin */
#define PBAY_ABI_MINOR 0u          /* grows: tables got longer */

/* The configuration of a connector, of an operation bound to a function, or of arguments: checked against the
 * option table. Opaque; read by the functions of pbay_host. */
typedef struct pbay_config pbay_config;

/* The host as one connector sees it: one per instance, valid from before `create` until after `destroy`. */
typedef struct pbay_host pbay_host;
struct pbay_host {
    uint32_t struct_size;
    uint16_t abi_major;
    uint16_t abi_minor;
    void *impl; /* the host's own */
    /* [any] The table for a service id such as "pbay.host.log/1", or NULL. The same pointer every time. */
    const void *(*service)(const pbay_host *host, const char *id);
    /* [any] The connector's name as configured: `prod` for [connector "prod"]. Borrowed for the instance's
     * life. */
    pbay_str (*name)(const pbay_host *host);
    /* [any] "patchbay/0.1.0": for User-Agent and the like. */
    pbay_str (*version)(const pbay_host *host);
    /* [any] Non-zero in an instance that will never be started (`patchbay check`, `patchbay help`). */
    int (*check_only)(const pbay_host *host);

    /*
     * [any] Readers of a configuration. `name` is an option of the table the configuration was checked
     * against, or of the host's own keys of the section (`timeout`, `work_threads`). is_set: the operator
     * wrote it, or it has a default. The readers return 0 or "" for what is not set, and texts borrowed as
     * long as the configuration. Another type, and a name that is not in the table, are faults.
     *   get_int      INT, BOOL (0 or 1), DURATION (ms), SIZE (bytes), ENUM (index into its choices)
     *   get_num      NUM
     *   get_str      all but LIST and FAMILY, as written (SECRET values resolved)
     *   count, item  LIST (the value; *key is empty) and FAMILY (*key without the prefix, and the value).
     *                i < count, else ""; key may be NULL
     */
    int (*is_set)(const pbay_config *cfg, const char *name);
    int64_t (*get_int)(const pbay_config *cfg, const char *name);
    double (*get_num)(const pbay_config *cfg, const char *name);
    pbay_str (*get_str)(const pbay_config *cfg, const char *name);
    uint32_t (*count)(const pbay_config *cfg, const char *name);
    pbay_str (*item)(const pbay_config *cfg, const char *name, uint32_t i, pbay_str *key);
    /* [any] "patchbay.ini:12" where the option, or (not set) its section, stands: for messages. */
    pbay_str (*where)(const pbay_config *cfg, const char *name);
};

typedef struct pbay_descriptor {
    uint32_t struct_size;
    uint32_t reserved;
    const char *name;    /* what `plugin =` in patchbay.ini says; [a-z][a-z0-9_]* */
    const char *version; /* of the plugin: "1.2.0" */
    const char *vendor;
    const char *license;       /* SPDX expression */
    const char *summary;       /* one line for `patchbay plugins` */
    const char *url;           /* documentation, or NULL */
    pbay_option_table options; /* keys of [connector "NAME"] beside the host's own */
} pbay_descriptor;

typedef struct pbay_entry {
    /* Frozen for all time: these 16 bytes are read before anything else is believed. */
    uint32_t magic;       /* PBAY_MAGIC */
    uint32_t struct_size; /* sizeof(pbay_entry) as the plugin knows it */
    uint16_t abi_major;   /* PBAY_ABI_MAJOR */
    uint16_t abi_minor;   /* PBAY_ABI_MINOR */
    uint32_t flags;       /* 0 */

    const pbay_descriptor *descriptor;

    /*
     * [loop] Make an instance. Keep `host`; `config` is borrowed for the instance's life. Reads options, asks
     * for services, touches neither network nor files that may block. Returns PBAY_OK and sets *self, or
     * another code with *why filled: then nothing was made, and `destroy` is not called. why->message may
     * point to storage that lives until the next call into the plugin. (Everywhere: the code that a function
     * returns counts; why->code need not be set.)
     */
    int32_t (*create)(const pbay_host *host, const pbay_config *config, void **self, pbay_result *why);
    /* [loop] Begin: timers, first connections. May fail like create; then `destroy` follows. NULL: nothing to
     * do. */
    int32_t (*start)(void *self, pbay_result *why);
    /* [loop] No new work will come; give up timers and polls, let calls in flight complete. NULL: nothing to
     * do. */
    void (*stop)(void *self);
    /* [loop] Last call for this instance; nothing is in flight. Frees what create made. */
    void (*destroy)(void *self);
    /* [any] The table for an extension id such as "pbay.functions/1", or NULL; the same pointer every time.
     */
    const void *(*extension)(const char *id);
} pbay_entry;

#if defined(__GNUC__)
#define PBAY_EXPORT __attribute__((visibility("default")))
#else
#define PBAY_EXPORT
#endif

/*
 * [loop] The only exported symbol. Cheap, no side effects; the same pointer every time, valid while loaded.
 */
PBAY_EXPORT const pbay_entry *pbay_plugin_entry(void);

#ifdef __cplusplus
}
#endif
