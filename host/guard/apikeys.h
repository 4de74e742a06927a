/* SPDX-License-Identifier: MIT */
/*
 * API keys: 256 random bits that a caller sends with every request, of which only the hash is kept.
 *
 * A key is "pbk_" and 43 letters and digits. SHA-256 without salt and stretching is enough: nobody guesses
 * 256 bits, and a hash tells nothing about them. Several keys may have one name, so that one is replaced by
 * adding the next, moving callers over and deleting the last.
 *
 * Key file, one key a line, `#` begins a comment line, fields parted by blanks:
 *
 *     # name  hash            created               expires  scopes
 *     etl     sha256:1f0c…    2026-11-21T07:31:05Z  -        score,jobs
 *
 * Created and expires are RFC 3339 or "-"; scopes are parted by commas or "-". The last three may be left
 * out.
 *
 * Ownership: built once, then immutable. Threads: readers may be any.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <patchbay/types.h>

#include "base/buf.h"
#include "base/err.h"
#include "guard/digest.h"

enum {
    PB_APIKEY_LEN = 47,     /* "pbk_" and 43 digits of base 62 */
    PB_APIKEYS_MAX = 10000, /* keys */
    PB_APIKEYS_FILE_MAX = 4 * 1024 * 1024,
    PB_APIKEY_NAME_MAX = 64, /* [A-Za-z0-9._-] */
    PB_APIKEY_SCOPES_MAX = 32,
};

struct pbay_config;
struct pb_apikeys;

struct pb_apikey {
    pbay_str name;
    uint8_t hash[PB_SHA256_SIZE];
    int64_t created_ms; /* 0: not known */
    int64_t expires_ms; /* 0: never */
    const pbay_str *scopes;
    size_t n_scopes;
};

/* Returns owned, empty. */
struct pb_apikeys *pb_apikeys_new(void);
void pb_apikeys_free(struct pb_apikeys *keys); /* NULL is fine */
size_t pb_apikeys_count(const struct pb_apikeys *keys);

/* Copies. Errors: INVALID_ARGUMENT: a name or scope that is none, too many, or the same key a second time. */
int pb_apikeys_add(struct pb_apikeys *keys, const struct pb_apikey *key, struct pb_err *err) PB_NODISCARD;
/* Add the keys of a file's text; file is for messages: "keys:3: …". What stood before the fault may be added.
 */
int pb_apikeys_parse(struct pb_apikeys *keys, const char *file, pbay_str text,
                     struct pb_err *err) PB_NODISCARD;
/* [key "NAME"] of patchbay.ini: its options, and its section added to the keys. */
extern const pbay_option_table pb_apikey_options;
int pb_apikeys_add_config(struct pb_apikeys *keys, pbay_str name, const struct pbay_config *cfg,
                          struct pb_err *err) PB_NODISCARD;

/* A new key, with NUL. The caller shows it once and wipes it (pb_wipe). */
void pb_apikey_generate(char out[PB_APIKEY_LEN + 1]);
/* Hash of a key's text. */
void pb_apikey_hash(pbay_str key, uint8_t out[PB_SHA256_SIZE]);
/* "sha256:" and 64 hex digits. False: not that. */
bool pb_apikey_hash_parse(pbay_str text, uint8_t out[PB_SHA256_SIZE]);
/* The line of a key file, with its newline, appended. */
void pb_apikey_line(const struct pb_apikey *key, struct pb_buf *out);
/* The section of patchbay.ini that says the same (without the time of creation), appended. */
void pb_apikey_section(const struct pb_apikey *key, struct pb_buf *out);

/*
 * What a request shows: the value of x-api-key, else of "Authorization: Bearer" when it begins with "pbk_"
 * (other bearers are tokens: jwt.h). Names in lower case, as the HTTP server gives them. 1: there, *out
 * borrows from the headers; 0: none; -1, UNAUTHENTICATED: two different ones.
 */
int pb_apikey_of(const pbay_header *headers, size_t n, pbay_str *out, struct pb_err *err) PB_NODISCARD;
/*
 * The key whose text was shown, borrowed from keys; NULL with err (UNAUTHENTICATED), which is for the log:
 * unknown, or expired, then with name and date. Nothing of what was shown appears in it.
 */
const struct pb_apikey *pb_apikeys_check(const struct pb_apikeys *keys, pbay_str shown, int64_t now_ms,
                                         struct pb_err *err);
