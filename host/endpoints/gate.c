/* SPDX-License-Identifier: MIT */
#include "endpoints/gate.h"

#include <stdio.h>

#include "base/clock.h"
#include "base/log.h"
#include "flow/function.h"
#include "loop/loop.h"
#include "net/grpc_server.h"
#include "net/http_server.h"

struct pb_gate {
    struct pb_gate_options o;
    int64_t told_ns; /* the last line */
    uint64_t untold; /* since */
    struct pb_timer later;
    struct pb_err last; /* of those, the newest */
    char last_peer[80];
};

static void tell_now(struct pb_gate *gate, pbay_str peer, const struct pb_err *err)
{
    pb_log(PB_LOG_WARN, "guard", "refused", PB_S("listener", gate->o.listener), PB_V("peer", peer),
           PB_S("status", pb_code_name(err->code)), PB_S("why", err->msg), PB_I("untold", gate->untold));
    gate->told_ns = pb_mono_ns();
    gate->untold = 0;
}

/* A second has passed since the last line, and nobody came whose line could have told of these. */
static void tell_last(void *user)
{
    struct pb_gate *gate = user;
    if (!gate->untold) return;
    gate->untold--;
    tell_now(gate, pb_str_c(gate->last_peer), &gate->last);
}

struct pb_gate *pb_gate_new(const struct pb_gate_options *options)
{
    struct pb_gate *gate = pb_zalloc(sizeof *gate);
    gate->o = *options;
    gate->later = (struct pb_timer){.fn = tell_last, .user = gate};
    return gate;
}

void pb_gate_free(struct pb_gate *gate)
{
    if (!gate) return;
    tell_last(gate);
    pb_timer_cancel(&gate->later);
    pb_free(gate);
}

void pb_pass_close(struct pb_pass *pass)
{
    if (pass->gate && pass->gate->o.quota) pb_quota_call_end(pass->gate->o.quota, &pass->call);
    pb_arena_free(&pass->arena);
    *pass = (struct pb_pass){0};
}

/* ---------------------------------------------------------------------------------------------- refusals */

static void tell(struct pb_gate *gate, const struct pb_identity *id, const struct pb_err *err)
{
    int64_t now = pb_mono_ns();
    if (!gate->told_ns || now - gate->told_ns >= PB_SEC) {
        tell_now(gate, id->peer, err);
        return;
    }
    gate->last = *err;
    snprintf(gate->last_peer, sizeof gate->last_peer, "%.*s", PB_FMT(id->peer));
    if (!gate->untold++ && gate->o.loop)
        pb_timer_set(gate->o.loop, &gate->later, (PB_SEC - (now - gate->told_ns)) / PB_MS + 1);
}

/* What the log says stays there. */
static int refuse(struct pb_gate *gate, const struct pb_identity *id, struct pb_err *err)
{
    if (gate) tell(gate, id, err);
    int64_t ms = err->retry_after_ms;
    if (err->code == PBAY_UNAUTHENTICATED || err->code == PBAY_PERMISSION_DENIED)
        pb_fail(err, err->code, "%s", pb_denial_public(err->code));
    err->retry_after_ms = ms;
    return -1;
}

int pb_gate_refuse(const struct pb_pass *pass, struct pb_err *err)
{
    return refuse(pass->gate, &pass->id, err);
}

/* ---------------------------------------------------------------------------------------------- who */

static int identify(struct pb_gate *gate, bool own, const pbay_header *headers, size_t n, pbay_str subject,
                    pbay_str peer, struct pb_pass *pass, struct pb_err *err)
{
    struct pb_auth_stale stale = {false, 0};
    struct pb_auth auth = gate->o.auth;
    if (own) auth.required = false; /* the plugin finds out who it is */
    const struct pb_auth_request r = {
        .headers = headers, .n_headers = n, .subject = subject, .peer = peer, .now_ms = pb_now_coarse_ms()};
    int rc = pb_auth_check(&auth, &r, &pass->arena, &pass->id, &stale, err);
    if (stale.unknown_key && gate->o.stale) gate->o.stale(gate->o.user, stale.issuer);
    return rc;
}

static int within_limits(struct pb_gate *gate, struct pb_pass *pass, struct pb_err *err)
{
    const struct pb_quota *q = gate->o.quota;
    if (!q) return 0;
    int64_t ms = pb_quota_rate(q, pb_auth_method_name(pass->id.method), pb_identity_account(&pass->id),
                               pass->id.user, pb_mono_coarse_ns());
    if (ms) {
        pb_fail(err, PBAY_RESOURCE_EXHAUSTED,
                "too many requests a second: the limits are key_rate and user_rate");
        err->retry_after_ms = ms > 0 ? ms : 1000;
        return -1;
    }
    enum pb_quota_answer got = pb_quota_call(q, pass->id.peer, &pass->call);
    if (got == PB_QUOTA_OK) return 0;
    pb_fail(err, PBAY_RESOURCE_EXHAUSTED, "too many calls at once%s: the limit is %s",
            got == PB_QUOTA_PEER ? " from one address" : "", got == PB_QUOTA_PEER ? "peer_calls" : "calls");
    err->retry_after_ms = 1000;
    return -1;
}

int pb_gate_http(struct pb_gate *gate, struct pb_http_request *req, bool own, struct pb_pass *pass,
                 struct pb_err *err)
{
    *pass = (struct pb_pass){.gate = gate};
    pass->id.peer = pb_http_peer(req);
    const struct pb_origin_request from = {.method = pb_http_method(req),
                                           .host = pb_http_host(req),
                                           .origin = pb_http_header(req, "origin"),
                                           .fetch_site = pb_http_header(req, "sec-fetch-site")};
    int status = 0;
    size_t n;
    const pbay_header *headers = pb_http_headers(req, &n);
    if (pb_host_check(&gate->o.vhost, from.host, err))
        status = 421;
    else if (pb_origin_check(&gate->o.vhost, &from, err))
        status = 403;
    else if (identify(gate, own, headers, own ? 0 : n, pb_http_tls_subject(req), pb_http_peer(req), pass,
                      err))
        status = err->code == PBAY_UNAUTHENTICATED ? 401 : 403;
    else if (within_limits(gate, pass, err))
        status = 429;
    if (!status) return 0;
    refuse(gate, &pass->id, err);
    if (status == 421) pb_fail(err, PBAY_PERMISSION_DENIED, "this server is not known by that name");
    pb_pass_close(pass);
    return status;
}

int pb_gate_grpc(struct pb_gate *gate, struct pb_grpc_call *call, pbay_str user, pbay_str app,
                 struct pb_pass *pass, struct pb_err *err)
{
    *pass = (struct pb_pass){.gate = gate};
    static const char *const names[] = {"x-api-key", "authorization"};
    pbay_header headers[PB_COUNTOF(names)];
    size_t n = 0;
    for (size_t i = 0; i < PB_COUNTOF(names); i++) {
        headers[n] = (pbay_header){pb_str_c(names[i]), pb_grpc_metadata(call, names[i])};
        if (headers[n].value.p) n++;
    }
    int rc = identify(gate, false, headers, n, pb_grpc_tls_subject(call), pb_grpc_peer(call), pass, err);
    pass->id.user = user;
    pass->id.app = app;
    if (!rc) rc = within_limits(gate, pass, err);
    if (!rc) return 0;
    refuse(gate, &pass->id, err);
    pb_pass_close(pass);
    return -1;
}

/* ---------------------------------------------------------------------------------------------- may he */

int pb_gate_function(const struct pb_pass *pass, const struct pb_function *fn, struct pb_err *err)
{
    if (fn->allow && pb_allow_check(fn->allow, "function", fn->name, &pass->id, err))
        return refuse(pass->gate, &pass->id, err);
    if (!fn->effects || pass->id.method != PB_AUTH_NONE) return 0;
    pb_fail(err, PBAY_UNAUTHENTICATED,
            "function \"%.*s\" changes something, so its caller must show a key, a token or a certificate",
            PB_FMT(fn->name));
    return refuse(pass->gate, &pass->id, err);
}

int pb_gate_route(const struct pb_pass *pass, const struct pb_allow *allow, pbay_str path, bool proven,
                  struct pb_err *err)
{
    if (proven && pass->id.method == PB_AUTH_NONE)
        pb_fail(err, PBAY_UNAUTHENTICATED, "%.*s is for callers who show a key, a token or a certificate",
                PB_FMT(path));
    else if (!allow || pb_allow_check(allow, "route", path, &pass->id, err) == 0)
        return 0;
    return refuse(pass->gate, &pass->id, err);
}
