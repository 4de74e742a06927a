/* SPDX-License-Identifier: MIT */
/*
 * What callers may have at once and in a second, counted for the whole machine in the page that workers share
 * (base/page.h). Threads: any.
 */
#pragma once

#include "base/page.h"
#include "guard/limits.h"

/* 0 anywhere: no such limit. */
struct pb_quota_limits {
    uint32_t peer_conns;    /* connections at once from one address */
    uint32_t peer_calls;    /* calls at once from one address */
    uint64_t calls;         /* calls at once in all */
    struct pb_rate connect; /* new connections a second from one address */
    struct pb_rate key;     /* requests a second of one key, token or certificate */
    struct pb_rate user;    /* of one Qlik user */
};

struct pb_quota {
    struct pb_quota_limits limits;
    struct pb_rate_table rates;
    struct pb_count_table counts;
    pb_word *calls, *own_calls;
};

/* row: of the process that takes; the page outlives q. */
void pb_quota_init(struct pb_quota *q, const struct pb_quota_limits *limits, struct pb_page *page,
                   uint32_t row);
/* Supervisor: what a dead process held of peers' counts is given back; before pb_page_clear_row. */
void pb_quota_return(struct pb_page *page, uint32_t row);

/* "203.0.113.7:51034" -> "203.0.113.7": what counts as one peer. IPv6 as written, without brackets. */
pbay_str pb_quota_peer(pbay_str address);
/* A connection of this peer. False: it has too many, or opens them too often; nothing was taken. */
bool pb_quota_conn(const struct pb_quota *q, pbay_str peer, int64_t now_ns, struct pb_count_hold *out);
void pb_quota_conn_end(const struct pb_quota *q, struct pb_count_hold hold);

/* What one call holds. Zero-initialised: nothing. */
struct pb_quota_call {
    struct pb_count_hold peer;
    bool own, all; /* counted among this process' own, among all */
};
enum pb_quota_answer { PB_QUOTA_OK, PB_QUOTA_PEER, PB_QUOTA_ALL };
enum pb_quota_answer pb_quota_call(const struct pb_quota *q, pbay_str peer, struct pb_quota_call *out);
void pb_quota_call_end(const struct pb_quota *q, struct pb_quota_call *call);
/*
 * One request of who was proven (by what kind of proof, and pb_identity_account; empty: nobody) or of a Qlik
 * user (empty: none). 0: go on; else milliseconds until one may come.
 */
int64_t pb_quota_rate(const struct pb_quota *q, const char *kind, pbay_str account, pbay_str user,
                      int64_t now_ns);
