/* SPDX-License-Identifier: MIT */
/*
 * The admin listener: is it alive, may traffic come, what has it counted, and a page for people.
 *
 *   GET  /healthz   200 as long as the loop turns; free for everybody who gets here
 *   GET  /readyz    200 or 503, and a line for each thing that is not as it should be
 *   GET  /metrics   Prometheus' text, over all workers
 *   GET  /          the page; /style.css
 *   GET  /chains    chains and runs; /chains/json, /rows, /list, /dot, /mermaid; /runs and /runs/ID (pages,
 * or JSON) POST /action    do=pause|unpause kind= name= [why=] or do=log level= [room=] do=start object=CHAIN
 * name=APP, resume|cancel object=RUN, skip object=RUN name=APP, replay object=EVENT, release object=chain|app
 * name= held=none|once|all POST /login, /logout
 *
 * What changes something needs a key with the scope "admin": shown as a header, or given to /login, which
 * sets a cookie; with the cookie each form needs the token of its page too. A listener beyond loopback asks
 * for the same before anything but /healthz. Threads: the loop.
 */
#pragma once

#include "base/page.h"
#include "endpoints/catalog.h"
#include "endpoints/gate.h"
#include "net/http_server.h"

struct pb_admin;
struct pb_chain_work;
struct pb_durable;
struct pb_loop;
struct pb_registry;

struct pb_admin_options {
    struct pb_loop *loop;
    struct pb_gate *gate;  /* asks nobody for anything: that is done here */
    bool required;         /* reading needs a key too */
    bool tls;              /* cookies are for TLS alone */
    const uint8_t *secret; /* PB_CSRF_KEY bytes, the same in every worker */
    struct pb_page *page;  /* of all workers */
    struct pb_metrics *metrics;
    struct pb_registry *registry;
    struct pb_durable *durable;   /* NULL: there is no store */
    struct pb_chain_work *chains; /* NULL: none */
    const struct pb_catalog *const *catalogs;
    size_t n_catalogs;
    /* Does this key have the scope? 0; -1 with err for the log. */
    int (*login)(void *user, pbay_str key, struct pb_err *err);
    /* Is it ready? What keeps it from being so, and what else is worth knowing, a line each, appended. */
    bool (*ready)(void *user, struct pb_buf *out);
    void *user;
};

/* Everything is borrowed. Returns owned. */
struct pb_admin *pb_admin_new(const struct pb_admin_options *options);
/* For pb_http_server_new, with the admin as user. */
extern const struct pb_http_ops pb_admin_ops;
/* After the server. */
void pb_admin_free(struct pb_admin *admin); /* NULL is fine */
