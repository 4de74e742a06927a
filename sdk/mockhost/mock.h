/* SPDX-License-Identifier: MIT */
/* The inside of the mock host, for this folder alone. What it is: patchbay/mockhost.h. */
#pragma once

#include <patchbay/host_event.h>
#include <patchbay/mockhost.h>
#include <pthread.h>
#include <stdbool.h>

#include "base/buf.h"
#include "base/map.h"
#include "data/batch.h"
#include "data/codec.h"
#include "mockhost/alloc.h"
#include "mockhost/declare.h"
#include "plugin/action.h"
#include "plugin/command.h"
#include "plugin/operation.h"
#include "plugin/registry.h"

/* Something of the plugin's that waits for its turn: called on a later turn, or at a time. */
struct pb_mock_later {
    struct pb_timer timer; /* first */
    struct pb_mock_later *next, *prev;
    void (*fn)(struct pb_mock_later *l);
};

struct pbay_mock {
    pthread_t thread;
    struct pb_loop *loop;
    struct pb_plugin_env env;
    struct pb_registry *registry;
    struct pb_plugin *plugin;
    struct pb_connector *connector; /* NULL: not made, or destroyed */
    struct pb_ini *ini;
    struct pb_declared *functions; /* a list */
    struct pb_err why;
    bool check_only, started, closed, clean, watched;
    int64_t ns, utc_ms; /* the clock */
    char *without[16];
    uint32_t n_without;
    struct pb_timer kick;      /* makes the loop look at the clock */
    uint32_t works;            /* in threads, or waiting for one */
    uint64_t faults_seen;      /* of pb_connector_stats */
    int log_fd;                /* the host's own lines */
    struct pb_mock_later ring; /* list head of what waits */

    struct pbay_mock_call *calls;
    struct pb_buf text; /* of the function that answered last */
    char *user, *app, *principal;
    int64_t patience_ms;

    struct pbay_mock_http *http, **http_end;
    struct pbay_mock_peer *peers, **peers_end;
    struct pbay_mock_target *targets;
    struct pb_mock_owned *owned; /* guard.c: builders, readers, writers */
    uint32_t n_owned, owned_cap;
    struct pb_mock_store *store;
    struct pb_mock_record *record;
};

/* The one there is; NULL: none. */
extern struct pbay_mock *pb_mock;

/* A fault, as patchbay/mockhost.h says; returns when whoever hears of it does. [any] */
void pb_mock_fault(const char *fmt, ...) PB_PRINTF(1, 2);
/* False, and a fault: not the loop's thread. [any] */
bool pb_mock_on_loop(const char *service, const char *function);
/* fn(l) on a later turn (after_ms 0), or when time has passed. The node is its owner's. */
void pb_mock_later(struct pb_mock_later *l, int64_t after_ms, void (*fn)(struct pb_mock_later *l));
void pb_mock_later_cancel(struct pb_mock_later *l);
/* The text to answer with: empty, borrowed until the next use. */
struct pb_buf *pb_mock_text(void);
/* Its content with a NUL behind it. */
const char *pb_mock_said(struct pb_buf *b);
/* '*' in the pattern is any run. */
bool pb_mock_fits(const char *pattern, pbay_str s);
/* "name: value\n" each; owned with the names in lower case, texts in mem. */
struct pb_mock_headers {
    pbay_header *list;
    uint32_t n, cap;
    struct pb_arena mem;
};
void pb_mock_headers_parse(struct pb_mock_headers *h, const char *text);
void pb_mock_headers_copy(struct pb_mock_headers *h, const pbay_header *list, uint32_t n);
const char *pb_mock_headers_get(const struct pb_mock_headers *h, const char *name);
void pb_mock_headers_free(struct pb_mock_headers *h);

/* "a:num,b:str", or "num" alone; owned. */
struct pb_mock_fields {
    pbay_field *list;
    uint32_t n, cap;
    struct pb_arena mem;
};
void pb_mock_fields_parse(struct pb_mock_fields *f, const char *text);
void pb_mock_fields_free(struct pb_mock_fields *f);
/* calls.c: rows as JSON, to and from; a fault that names `of`, and NULL, when they cannot be read. Owned. */
struct pbay_builder *pb_mock_rows_read(const char *of, const pbay_field *fields, uint32_t n, pbay_str text);
void pb_mock_rows_write(struct pb_buf *out, const pbay_batch *batch);

/* ------------------------------------------------------------------------------------------------ parts */

/* The table for a service; each part answers for its own. NULL: not one of its. */
const void *pb_mock_guarded(const char *id);  /* guard.c */
const void *pb_mock_net(const char *id);      /* http.c, connections.c */
const void *pb_mock_stored(const char *id);   /* store.c, jobs.c */
const void *pb_mock_recorded(const char *id); /* record.c */

extern const pbay_request_1 pb_mock_requests;   /* requests.c */
extern const struct pb_invoker pb_mock_invoker; /* invoke.c */
const struct pbay_invoke_1 *pb_mock_invoke_service(void);
extern const struct pbay_http_1 pb_mock_http_service;
extern const struct pbay_ws_1 pb_mock_ws_service;
extern const struct pbay_stream_1 pb_mock_stream_service;
extern const struct pbay_job_1 pb_mock_job_service;

/* At the end of the mock: what was kept is a fault, the rest is freed. */
void pb_mock_calls_end(struct pbay_mock *m);  /* before the connector is closed */
void pb_mock_calls_held(struct pbay_mock *m); /* after: what was never answered */
void pb_mock_calls_free(struct pbay_mock *m);
void pb_mock_guard_free(struct pbay_mock *m);
void pb_mock_http_free(struct pbay_mock *m);
void pb_mock_peers_free(struct pbay_mock *m);
void pb_mock_targets_free(struct pbay_mock *m);
void pb_mock_store_free(struct pbay_mock *m);
void pb_mock_jobs_free(struct pbay_mock *m);
void pb_mock_record_free(struct pbay_mock *m);

/* Events as JSON, appended; used by polls too. */
struct pb_event_put;
void pb_mock_event_json(struct pb_buf *b, const pbay_event *e);
