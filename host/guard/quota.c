/* SPDX-License-Identifier: MIT */
#include "guard/quota.h"

#include "base/str.h"

void pb_quota_init(struct pb_quota *q, const struct pb_quota_limits *limits, struct pb_page *page,
                   uint32_t row)
{
    *q = (struct pb_quota){
        .limits = *limits,
        .rates = {.cells = page->rates, .size = PB_PAGE_RATES, .seed = page->seed},
        .counts = {.cells = page->counts,
                   .mine = page->rows[row].counts,
                   .size = PB_PAGE_COUNTS,
                   .seed = page->seed},
        .calls = &page->calls,
        .own_calls = &page->rows[row].calls,
    };
}

void pb_quota_return(struct pb_page *page, uint32_t row)
{
    const struct pb_count_table t = {
        .cells = page->counts, .mine = page->rows[row].counts, .size = PB_PAGE_COUNTS, .seed = page->seed};
    pb_count_table_return(&t);
}

pbay_str pb_quota_peer(pbay_str address)
{
    if (address.n && address.p[0] == '[')
        return pb_str(address.p + 1, pb_str_chr(pb_str(address.p + 1, address.n - 1), ']'));
    size_t colon = pb_str_chr(address, ':');
    return pb_str(address.p, colon);
}

bool pb_quota_conn(const struct pb_quota *q, pbay_str peer, int64_t now_ns, struct pb_count_hold *out)
{
    *out = (struct pb_count_hold){0, 0};
    if (q->limits.connect.rate > 0 &&
        pb_rate_table_take(&q->rates, PB_STR("connect"), pb_quota_peer(peer), &q->limits.connect, now_ns))
        return false;
    if (!q->limits.peer_conns) return true;
    return pb_count_table_take(&q->counts, PB_STR("conn"), pb_quota_peer(peer), q->limits.peer_conns, out);
}

void pb_quota_conn_end(const struct pb_quota *q, struct pb_count_hold hold)
{
    pb_count_table_give(&q->counts, hold);
}

enum pb_quota_answer pb_quota_call(const struct pb_quota *q, pbay_str peer, struct pb_quota_call *out)
{
    *out = (struct pb_quota_call){0};
    if (q->limits.peer_calls && !pb_count_table_take(&q->counts, PB_STR("call"), pb_quota_peer(peer),
                                                     q->limits.peer_calls, &out->peer))
        return PB_QUOTA_PEER;
    atomic_fetch_add_explicit(q->own_calls, 1, memory_order_relaxed);
    out->own = true;
    if (!q->limits.calls) return PB_QUOTA_OK;
    if (pb_count_take(q->calls, q->limits.calls)) {
        out->all = true;
        return PB_QUOTA_OK;
    }
    pb_count_give(q->own_calls);
    pb_count_table_give(&q->counts, out->peer);
    *out = (struct pb_quota_call){0};
    return PB_QUOTA_ALL;
}

void pb_quota_call_end(const struct pb_quota *q, struct pb_quota_call *call)
{
    if (call->all) pb_count_give(q->calls);
    if (call->own) pb_count_give(q->own_calls);
    pb_count_table_give(&q->counts, call->peer);
    *call = (struct pb_quota_call){0};
}

int64_t pb_quota_rate(const struct pb_quota *q, const char *kind, pbay_str account, pbay_str user,
                      int64_t now_ns)
{
    if (account.n && q->limits.key.rate > 0) {
        int64_t ms = pb_rate_table_take(&q->rates, pb_str_c(kind), account, &q->limits.key, now_ns);
        if (ms) return ms;
    }
    if (!user.n || !(q->limits.user.rate > 0)) return 0;
    return pb_rate_table_take(&q->rates, PB_STR("user"), user, &q->limits.user, now_ns);
}
