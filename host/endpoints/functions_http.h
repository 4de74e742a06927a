/* SPDX-License-Identifier: MIT */
/*
 * Functions over plain HTTP.
 *
 *   GET  /functions        what there is: names, ids, parameters, answers
 *   POST /functions/NAME   {"rows": [[1, "a"], ...]}, or a list of objects by parameter name; answers
 * {"rows": [...]} in order, a table with "columns" beside them. Rows that failed alone are null and stand in
 *                          "errors": [{"row": 0, "code": "...", "message": "..."}], counted from 0
 *
 * The codec is the one plugins use (data/codec.h). Threads: the loop.
 */
#pragma once

struct pb_catalog;
struct pb_flow;
struct pb_functions_http;
struct pb_http_guest;
struct pb_http_request;
struct pb_loop;

/* Borrows all three. Returns owned: free when no request is open. */
struct pb_functions_http *pb_functions_http_new(struct pb_loop *loop, const struct pb_catalog *catalog,
                                                struct pb_flow *flow);
/* A whole request whose path begins with /functions; its user may be set. */
void pb_functions_http_request(struct pb_functions_http *h, struct pb_http_request *req,
                               struct pb_http_guest **guest);
void pb_functions_http_free(struct pb_functions_http *h); /* NULL is fine */
