/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>

#include "app/paths.h"
#include "app/worker.h"
#include "base/log.h"
#include "endpoints/routes.h"
#include "flow/call.h"
#include "net/http_client.h"
#include "plugin/action.h"
#include "store/durable.h"
#include "store/owner.h"
#include "net/outgoing.h"
#include "store/retry.h"

static void flush_log(void *user)
{
    (void)user;
    pb_log_flush();
}

static int open_store(struct pb_workshop *w, const struct pb_site *site, const char *state_dir,
                      enum pb_store_need need, struct pb_err *err)
{
    pbay_str url = pb_config_get_str(site->store, "url");
    int rc = 0;
    if (url.n)
        w->store_url = pb_strndup(url.p, url.n);
    else {
        w->store_url = pb_sprintf("sqlite:%s/state.db", state_dir);
        rc = pb_path_make(state_dir, err);
    }
    if (rc == 0) rc = pb_store_open(w->store_url, &w->store, err);
    if (rc && url.n && err->code == PBAY_INVALID_ARGUMENT)
        pb_fail_in(err, "%.*s", PB_FMT(pb_config_where(site->store, "url")));
    /* A URL that is none will not become one. */
    if (rc == 0 || need == PB_STORE_MUST || pb_config_get_int(site->store, "required") ||
        err->code == PBAY_INVALID_ARGUMENT)
        return rc;
    w->store_why = *err;
    return 0;
}

int pb_workshop_open(struct pb_workshop *w, const struct pb_site *site, const char *state_dir,
                     enum pb_store_need need, struct pb_err *err)
{
    *w = (struct pb_workshop){0};
    w->loop = pb_loop_new(err);
    if (!w->loop) return -1;
    w->log_hook.fn = flush_log;
    pb_loop_hook_add(w->loop, &w->log_hook);
    w->metrics = pb_metrics_new();
    w->flow = pb_flow_new(w->loop);
    w->routes = pb_routes_new(w->loop, NULL);
    const struct pb_outgoing_conf variables = {0};
    w->outgoing = pb_outgoing_new(&variables, err);
    const struct pb_http_client_conf http = {.outgoing = w->outgoing};
    if (w->outgoing) w->http = pb_http_client_new(w->loop, &http, err);
    if (!w->http || (need != PB_STORE_NONE && open_store(w, site, state_dir, need, err))) {
        pb_workshop_close(w);
        return -1;
    }
    w->env = (struct pb_plugin_env){.loop = w->loop,
                                    .metrics = w->metrics,
                                    .http = w->http,
                                    .outgoing = w->outgoing,
                                    .store = w->store,
                                    .requests = pb_routes_service(),
                                    .request = pb_routes_parent};
    return 0;
}

int pb_workshop_durable(struct pb_workshop *w, const struct pb_site *site, struct pb_page *page, uint32_t row,
                        struct pb_err *err)
{
    const struct pbay_config *cfg = site->jobs;
    pb_job_backoff(pb_config_get_int(cfg, "backoff"), pb_config_get_int(cfg, "backoff_max"));
    PB_AUTO_FREE char *owner = pb_owner_make(row);
    const struct pb_durable_config c = {.loop = w->loop,
                                        .store = w->store,
                                        .url = w->store_url,
                                        .why = &w->store_why,
                                        .page = page,
                                        .row = row,
                                        .owner = pb_str_c(owner),
                                        .concurrency = (uint32_t)pb_config_get_int(cfg, "concurrency"),
                                        .lease_ms = pb_config_get_int(cfg, "lease"),
                                        .keep = {.events = pb_config_get_int(cfg, "keep_events"),
                                                 .jobs = pb_config_get_int(cfg, "keep_jobs"),
                                                 .audit = pb_config_get_int(cfg, "keep_audit")}};
    w->durable = pb_durable_open(&c, err);
    if (!w->durable) return -1;
    w->env.durable = w->durable;
    pb_flow_pauses(w->flow, w->durable);
    w->store = NULL;
    return 0;
}

int pb_workshop_aside(struct pb_workshop *w, const struct pb_site *site, const char *state_dir,
                      void (*woken)(void *user), void *user, struct pb_err *err)
{
    pbay_str url = pb_config_get_str(site->store, "url");
    PB_AUTO_FREE char *path = url.n ? NULL : pb_sprintf("%s/state.db", state_dir);
    if (path && access(path, F_OK))
        return pb_fail(err, PBAY_NOT_FOUND,
                       "there is no store %s: start the gateway once, or say where with --state", path);
    if (open_store(w, site, state_dir, PB_STORE_MUST, err)) return -1;
    w->env.store = w->store;
    PB_AUTO_FREE char *owner = pb_sprintf("command, pid %d", (int)getpid());
    const struct pb_durable_config c = {.loop = w->loop,
                                        .store = w->store,
                                        .owner = pb_str_c(owner),
                                        .concurrency = 1,
                                        .lease_ms = pb_config_get_int(site->jobs, "lease"),
                                        .aside = true,
                                        .woken = woken,
                                        .user = user};
    w->durable = pb_durable_open(&c, err);
    if (!w->durable) return -1;
    w->env.durable = w->durable;
    w->store = NULL;
    return 0;
}

void pb_workshop_share(struct pb_workshop *w, struct pb_page *page, uint32_t row)
{
    pb_metrics_free(w->metrics);
    w->metrics = w->env.metrics = pb_metrics_join(&page->metrics, row);
}

static void set(void *user)
{
    *(bool *)user = true;
}

void pb_workshop_end_generation(struct pb_workshop *w, struct pb_generation *g)
{
    if (!g) return;
    bool done = false;
    pb_generation_close(g, set, &done);
    while (!done) pb_loop_turn(w->loop, true);
    pb_generation_free(g);
}

void pb_workshop_close(struct pb_workshop *w)
{
    if (!w->loop) return;
    if (w->http) {
        bool done = false;
        pb_http_client_close(w->http, set, &done);
        while (!done) pb_loop_turn(w->loop, true);
    }
    if (w->durable) {
        bool done = false;
        pb_durable_close(w->durable, set, &done);
        while (!done) pb_loop_turn(w->loop, true);
    }
    pb_outgoing_free(w->outgoing);
    pb_routes_free(w->routes);
    pb_flow_free(w->flow);
    pb_store_close(w->store);
    pb_free(w->store_url);
    pb_loop_hook_remove(w->loop, &w->log_hook);
    pb_loop_free(w->loop);
    pb_metrics_free(w->metrics);
    pb_builder_pool_free();
    pb_action_pool_free();
    pb_log_flush();
    *w = (struct pb_workshop){0};
}
