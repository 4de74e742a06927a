/* SPDX-License-Identifier: MIT */
/*
 * pbay.secrets/1 seen from who needs a value: which connector resolves a scheme, asking it, and the values
 * that are known.
 *
 * A value stands in the registry under its reference ("ssm:/prod/key"), for all connectors that name it,
 * until its time to live is over; then, or when the other side refused it, it is asked for again while the
 * old one serves. Values are wiped when they are replaced. Owner: registry. Threads: [loop].
 */
#pragma once

#include <stdbool.h>

#include <patchbay/secrets.h>

#include "base/err.h"
#include "base/map.h"

struct pb_connector;
struct pb_plugin;
struct pb_registry;

/* Index of a scheme among those that the plugin resolves; -1: it does not. */
int pb_secrets_scheme(const struct pb_plugin *p, pbay_str scheme);

/*
 * Ask a started connector for a value, once however many ask. got, once, on a later turn: err->code PBAY_OK
 * and the value is in the registry; else why not. Bounded by the connector's timeout.
 */
void pb_secrets_ask(struct pb_connector *provider, uint32_t scheme, pbay_str rest,
                    void (*got)(void *user, const struct pb_err *err), void *user);
/*
 * The known value of a reference; false: there is none. Borrowed until the next call for this reference. One
 * whose time is over is asked for again, and serves meanwhile.
 */
bool pb_secrets_known(struct pb_registry *r, pbay_str scheme, pbay_str rest, pbay_str *value);
/* The value was refused by the other side: ask again, at most every few seconds. */
void pb_secrets_refused(struct pb_registry *r, pbay_str scheme, pbay_str rest);
/* A value had elsewhere (a file that was read again). */
void pb_secrets_put(struct pb_registry *r, pbay_str scheme, pbay_str rest, pbay_str value);
/* What the registry keeps. */
struct pb_map *pb_registry_secrets(struct pb_registry *r);
void pb_secrets_free(struct pb_map *known);
