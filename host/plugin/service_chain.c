/* SPDX-License-Identifier: MIT */
/* pbay.host.chain/1: pictures of the chains, drawn by whoever runs them. */
#include <patchbay/host_chain.h>

#include "base/mem.h"
#include "plugin/connector_priv.h"
#include "plugin/services.h"

struct ask {
    struct pb_connector *connector;
    struct pb_defer refused;
    struct pb_err err;
    void (*got)(void *user, const pbay_result *result, pbay_str text);
    void *user;
};

static void answer(void *user, const struct pb_err *err, pbay_str text)
{
    struct ask *a = user;
    struct pb_connector *c = a->connector;
    static const pbay_result fine = PBAY_RESULT_OK;
    pbay_result result = err ? pb_err_result(err) : fine;
    struct pb_visit v;
    pb_visit_enter(&v, c, "chains drawn", NULL);
    a->got(a->user, &result, text);
    pb_visit_leave(&v);
    pb_free(a);
    pb_connector_ended(c);
}

static void refused(void *user)
{
    struct ask *a = user;
    answer(a, &a->err, pb_str("", 0));
}

static void chain_graph(const pbay_host *host, uint32_t format, pbay_str chain,
                        void (*got)(void *user, const pbay_result *result, pbay_str text), void *user)
{
    struct pb_connector *c = pb_connector_of(host);
    const struct pb_chain_pictures *p = c->env->chains;
    struct ask *a = pb_zalloc(sizeof *a);
    *a = (struct ask){.connector = c, .got = got, .user = user};
    a->refused = pb_defer_make(refused, a);
    pb_connector_began(c);
    if (pb_connector_locked(c, PBAY_SVC_CHAIN)) {
        pb_fail(&a->err, PBAY_PERMISSION_DENIED, "the request has not been accepted yet");
    } else if (!p || !p->draw) {
        pb_fail(&a->err, PBAY_UNAVAILABLE, "there are no chains here");
    } else {
        p->draw(p->user, format, chain, answer, a);
        return;
    }
    pb_loop_defer(c->env->loop, &a->refused);
}

const pbay_chain_1 pb_service_chain = {.struct_size = sizeof(pbay_chain_1), .graph = chain_graph};
