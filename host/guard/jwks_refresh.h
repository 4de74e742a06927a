/* SPDX-License-Identifier: MIT */
/*
 * When to fetch an issuer's keys: decisions without a clock and without a network.
 *
 * Keys are fetched before they are too old, and at once when a token names a key that is not known, for
 * issuers publish a new key shortly before they use it. Tokens with invented names must not turn that into a
 * flood: at most one fetch a minute. Keys that cannot be renewed go on being used for a day, and no longer: a
 * key that was withdrawn must end some time. Threads: one at a time.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include <patchbay/types.h>

enum {
    PB_JWKS_PAUSE_MS = 60 * 1000,       /* between two fetches */
    PB_JWKS_AGE_MIN_MS = 5 * 60 * 1000, /* what Cache-Control says is kept within these two */
    PB_JWKS_AGE_MAX_MS = 24 * 3600 * 1000,
    PB_JWKS_AGE_MS = 3600 * 1000,        /* when it says nothing */
    PB_JWKS_STALE_MS = 24 * 3600 * 1000, /* beyond their age keys are used this much longer */
};

/* Zero-initialised: nothing was fetched yet. Times are monotonic ms, above 0. */
struct pb_jwks_refresh {
    int64_t tried_ms;   /* the last fetch began; 0: never */
    int64_t fetched_ms; /* the last good one; 0: never */
    int64_t age_ms;     /* how long that one is fresh */
    uint32_t failures;  /* since the last good one */
    bool running;
};

/* Is it time? True also when there are none yet. Never while a fetch runs. */
bool pb_jwks_refresh_due(const struct pb_jwks_refresh *r, int64_t now_ms);
/* A token named an unknown key (PB_JWT_UNKNOWN_KEY): shall newer keys be fetched, and the token be tried
 * again? */
bool pb_jwks_refresh_unknown(const struct pb_jwks_refresh *r, int64_t now_ms);
/* May tokens be checked with the keys there are? */
bool pb_jwks_refresh_usable(const struct pb_jwks_refresh *r, int64_t now_ms);
/* When to ask pb_jwks_refresh_due again, for a timer. */
int64_t pb_jwks_refresh_next(const struct pb_jwks_refresh *r);

void pb_jwks_refresh_began(struct pb_jwks_refresh *r, int64_t now_ms);
/* good: a set was fetched and parsed; cache_control is the value of that header, or empty. */
void pb_jwks_refresh_ended(struct pb_jwks_refresh *r, int64_t now_ms, bool good, pbay_str cache_control);
