/* SPDX-License-Identifier: MIT */
/*
 * The plain-HTTP listener: which endpoint a request belongs to, and how errors look.
 *
 *   /functions, /functions/NAME   endpoints/functions_http.h
 *   /CONNECTOR...                 endpoints/routes.h
 *
 * What an endpoint keeps for a request begins with a struct pb_http_job, set as the request's user. Who asks
 * is known before any of them sees the request: it is handed a struct pb_http_guest, and frees it when the
 * request has ended, or sets the pointer to NULL when it keeps it. Threads: the loop.
 */
#pragma once

#include "base/err.h"
#include "endpoints/gate.h"
#include "net/http_server.h"

struct pb_catalog;
struct pb_flow;
struct pb_http_door;
struct pb_loop;
struct pb_routes;

/* A request that is being answered. */
struct pb_http_job {
    /* The client left: the request is dead, free what is kept for it. */
    void (*gone)(struct pb_http_job *job);
};

/* Who sent a request that was let in. */
struct pb_http_guest {
    struct pb_http_job job; /* first; the door's, until the body is there */
    struct pb_pass pass;
};
void pb_http_guest_free(struct pb_http_guest *guest); /* NULL is fine */
/* Ask the gate. NULL: it refused, and the request is answered. */
struct pb_http_guest *pb_http_guest_new(struct pb_gate *gate, struct pb_http_request *req, bool own);

/*
 * Everything is borrowed; routes may be NULL. gate NULL: everybody is let in, as who his certificate says he
 * is. Returns owned.
 */
struct pb_http_door *pb_http_door_new(struct pb_loop *loop, const struct pb_catalog *catalog,
                                      struct pb_flow *flow, struct pb_routes *routes, struct pb_gate *gate);
/* For pb_http_server_new, with the door as user. */
extern const struct pb_http_ops pb_http_door_ops;
/* After the server. */
void pb_http_door_free(struct pb_http_door *door); /* NULL is fine */

/*
 * {"error":{"code":"NOT_FOUND","message":"..."}} with the status of the code (net/http_status.h), or with
 * `status` when it is not 0; Retry-After with 429 and 503, WWW-Authenticate with 401. The request is dead
 * afterwards.
 */
void pb_http_error(struct pb_http_request *req, int status, const struct pb_err *err);
/* 405 with Allow. */
void pb_http_not_allowed(struct pb_http_request *req, const char *allow);
/* A JSON body; Cache-Control: no-store. */
void pb_http_json(struct pb_http_request *req, int status, pbay_str body);
/* Is the media type of Content-Type this one, whatever its parameters? */
bool pb_http_type_is(const struct pb_http_request *req, const char *type);
/* Undo %XX, appended to out. -1 with err (INVALID_ARGUMENT): not two hex digits, a NUL, or not UTF-8. */
int pb_http_unescape(pbay_str s, struct pb_buf *out, struct pb_err *err);
