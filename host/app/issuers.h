/* SPDX-License-Identifier: MIT */
/*
 * [issuer "NAME"]: whose tokens are taken, and their public keys from a file or a URL, renewed when they are
 * old or when a token names one that is not known (guard/jwks_refresh.h). Threads: the loop.
 */
#pragma once

#include "app/site.h"
#include "guard/auth.h"

struct pb_http_client;
struct pb_issuers;
struct pb_loop;

extern const pbay_option_table pb_issuer_options;

/*
 * Files are read now, and one that holds no keys is an error; URLs are fetched from the next turn on. http
 * NULL: nothing is fetched (check). site is borrowed. NULL with err.
 */
struct pb_issuers *pb_issuers_new(const struct pb_site *site, struct pb_loop *loop,
                                  struct pb_http_client *http, struct pb_err *err);
/* Before the http client closes. NULL is fine. */
void pb_issuers_free(struct pb_issuers *all);
/* As guard/auth.h takes them; the members change as keys come in. */
const struct pb_auth_issuer *pb_issuers_list(const struct pb_issuers *all, size_t *n);
/* A token named a key that number i is not known to have. */
void pb_issuers_stale(struct pb_issuers *all, size_t i);
