/* SPDX-License-Identifier: MIT */
/*
 * Snowflake's SQL API: who asks, what is asked, and what an answer means. Sans I/O: the caller keeps time,
 * sends and reads.
 *
 * https://docs.snowflake.com/en/developer-guide/sql-api/authenticating (key-pair tokens),
 * https://docs.snowflake.com/en/developer-guide/sql-api/reference (requests, statuses). Threads: one at a
 * time per object.
 */
#pragma once

#include <patchbay/host_crypto.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ------------------------------------------------------------------------------------------------ who asks
 */

/* X-Snowflake-Authorization-Token-Type. */
#define PBAY_SF_KEYPAIR "KEYPAIR_JWT"
#define PBAY_SF_OAUTH   "OAUTH"
#define PBAY_SF_PAT     "PROGRAMMATIC_ACCESS_TOKEN"

typedef struct pbay_sf_jwt pbay_sf_jwt;

enum {
    PBAY_SF_JWT_LIFE_S = 59 * 60, /* Snowflake takes tokens of at most an hour */
    PBAY_SF_JWT_RENEW_S = 5 * 60, /* before its end a new one is made */
};

/*
 * Tokens of a user with a private key (RSA), which is borrowed, as is crypto. account: its identifier, of
 * which the part before the first '.' counts, in capitals, as in the tokens. NULL: no memory, or a name that
 * is empty or longer than 255 bytes.
 */
pbay_sf_jwt *pbay_sf_jwt_new(const pbay_crypto_1 *crypto, const pbay_key *key, pbay_str account,
                             pbay_str user);
void pbay_sf_jwt_free(pbay_sf_jwt *j); /* NULL is fine */
/*
 * A token that is good at now_ms (UTC since 1970), the one before as long as it lasts; borrowed until the
 * next call. p NULL: the key cannot sign RS256.
 */
pbay_str pbay_sf_jwt_token(pbay_sf_jwt *j, int64_t now_ms);
/* It was refused: the next is a new one. */
void pbay_sf_jwt_drop(pbay_sf_jwt *j);

/* ------------------------------------------------------------------------------------------ what is asked */

/* A bound value; `?` number i of the statement is bindings[i]. */
typedef struct pbay_sf_binding {
    const char *type;       /* "FIXED", "REAL", "TEXT", "BOOLEAN", "DATE", ...; a literal */
    const pbay_str *values; /* n of them, as text; p NULL: null */
    uint32_t n;
    uint32_t many; /* 0: a single value (n is 1); 1: an array, a row each of an INSERT */
} pbay_sf_binding;

typedef struct pbay_sf_statement {
    pbay_str text;
    pbay_str database, schema, warehouse,
        role;          /* empty: the user's own; as Snowflake writes names: "MY_DB" */
    int64_t timeout_s; /* of the statement, on Snowflake's side; 0: the account's */
    const pbay_sf_binding *bindings;
    uint32_t n_bindings;
    uint32_t n_statements; /* in text, separated by ';'; 0 and 1: one; UINT32_MAX: any number */
    pbay_str query_tag;    /* shown in the query history; empty: none */
} pbay_sf_statement;

/* Where text goes that is made here. */
typedef void (*pbay_sf_put)(void *to, const char *p, size_t n);

/* The body of POST /api/v2/statements. Texts are UTF-8 and become JSON strings. */
void pbay_sf_put_body(const pbay_sf_statement *s, pbay_sf_put put, void *to);

enum { PBAY_SF_UUID = 37, PBAY_SF_PATH = 256 };

/* A request id of 16 random bytes (RFC 9562, version 4). */
void pbay_sf_uuid(const uint8_t random[16], char out[PBAY_SF_UUID]);
/*
 * The target of a request. submit: the same request_id again with `again` runs the statement at most once.
 * poll and cancel: handle as the answer gave it; partition 0 and up.
 */
size_t pbay_sf_path_submit(const char *request_id, int again, int async, char out[PBAY_SF_PATH]);
/* 0: the handle is not one (letters, digits and '-', at most 64). */
size_t pbay_sf_path_poll(pbay_str handle, uint32_t partition, char out[PBAY_SF_PATH]);
size_t pbay_sf_path_cancel(pbay_str handle, char out[PBAY_SF_PATH]);

/* -------------------------------------------------------------------------------------- what an answer means
 */

#define PBAY_SF_DONE    1u /* 200: results */
#define PBAY_SF_RUNNING 2u /* 202: poll by its handle */
#define PBAY_SF_FAILED  3u /* the statement failed, or the request was wrong: not again */
#define PBAY_SF_TOKEN   4u /* 401, 403: with a new token, once */
#define PBAY_SF_AGAIN   5u /* 429, 5xx, or no answer (status 0): later, with the same request id and retry */

uint32_t pbay_sf_class(int32_t status);
/* code, effect, advice and vendor_status of a failure. submitted: did the request carry a statement? Then
 * what has no clear answer may have been done. */
void pbay_sf_result(int32_t status, int submitted, pbay_result *r);

#ifdef __cplusplus
}
#endif
