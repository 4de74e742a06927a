/* SPDX-License-Identifier: MIT */
/*
 * Snowflake's SQL API for one connector: who asks, requests with the token they need, answers as results.
 * https://docs.snowflake.com/en/developer-guide/sql-api/reference
 */
#pragma once

#include "kit/snowflake_sql.h"
#include "snowflake.h"

struct sql;
struct sql_call;

/*
 * NULL when neither `user` with `private_key` nor `token` is set (then *why is OK), or with *why: they cannot
 * be used.
 */
struct sql *sql_new(struct snowflake *s, pbay_result *why);
void sql_free(struct sql *q); /* no call is under way; NULL is fine */

/*
 * Once: the answer to a request. status: 200 or 202 with result OK, else result says what is wrong. body and
 * result are borrowed until it returns.
 */
typedef void (*sql_answered)(void *user, int32_t status, const pbay_result *result, pbay_str body);

/* body is copied; submitted: it carries a statement. A refused token is renewed once. 0, or -1 with *why. */
int sql_send(struct sql *q, const char *method, const char *path, pbay_str body, int submitted,
             sql_answered fn, void *user, struct sql_call **call, pbay_result *why);
/* The answer comes as CANCELLED. */
void sql_drop(struct sql_call *c);

/* database, schema, warehouse and role as the connector has them. */
void sql_defaults(const struct sql *q, pbay_sf_statement *st);
/* A request id made of an action's key: the same key is the same statement, of this connector alone. */
void sql_request_id(const struct snowflake *s, pbay_str key, char out[PBAY_SF_UUID]);
/* "DB.SCHEMA.T", each part a plain name or in double quotes. 0: it is none, and could be anything else. */
int sql_is_name(pbay_str name, unsigned max_parts);
/* insert into TABLE (C, ...) values (?, ...) */
void sql_put_insert(pbay_text *t, pbay_str table, const pbay_str *columns, uint32_t n);
void sql_put(void *text, const char *p, size_t n); /* pbay_sf_put to a pbay_text */
