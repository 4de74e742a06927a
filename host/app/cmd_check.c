/* SPDX-License-Identifier: MIT */
/* `patchbay check`: load everything, start nothing, say what there is or what is wrong. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "app/gatekeeper.h"
#include "app/serve.h"
#include "app/verbs.h"
#include "app/worker.h"
#include "base/log.h"
#include "plugin/current.h"
#include "store/store.h"

static const char *const type_names[] = {"scalar", "aggregation", "tensor"};

static void print_fields(const struct pb_script_field *f, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        printf("%s%.*s%s%s", i ? ", " : "", PB_FMT(f[i].name), f[i].name.n ? ":" : "",
               f[i].integer ? "int" : pb_kind_name(f[i].kind));
}

static void print_catalog(const struct pb_catalog *c, pbay_str address)
{
    if (address.n) printf("%.*s on %.*s\n", PB_FMT(c->name), PB_FMT(address));
    for (size_t i = 0; i < c->n; i++) {
        const struct pb_function *f = c->functions[i];
        if (f->id >= 0)
            printf("    %6d  ", f->id);
        else
            printf("    (new)   ");
        printf("%.*s(", PB_FMT(f->name));
        print_fields(f->params, f->n_params);
        printf(") -> ");
        print_fields(f->returns, f->n_returns);
        printf("  %s", type_names[f->type]);
        if (f->refusal)
            printf("  cannot be called: %s", f->refusal);
        else if (f->script)
            printf("  Lua");
        else {
            pbay_str conn = pb_connector_name(pb_op_connector(f->op));
            printf("  through %.*s", PB_FMT(conn));
        }
        printf("\n");
    }
}

static int check_listeners(struct pb_generation *g, struct pb_workshop *shop, struct pb_err *err)
{
    const struct pb_gatekeeper_options o = {.site = g->site, .loop = shop->loop};
    struct pb_gatekeeper *keeper = pb_gatekeeper_new(&o, err);
    int rc = keeper ? pb_serving_check(g, keeper, err) : -1;
    pb_gatekeeper_free(keeper);
    return rc;
}

/* The store, when there is one: what is none yet is made by `run`. */
static int check_store(const struct pb_site *site, const char *state, bool full, struct pb_err *err)
{
    pbay_str url = pb_config_get_str(site->store, "url");
    PB_AUTO_FREE char *u = url.n ? pb_strndup(url.p, url.n) : pb_sprintf("sqlite:%s/state.db", state);
    struct stat st;
    bool none = strncmp(u, "sqlite:", 7) == 0 && stat(u + 7, &st) != 0 && errno == ENOENT;
    int rc = none ? 0 : pb_store_verify(u, !full, err);
    if (rc && url.n && err->code == PBAY_INVALID_ARGUMENT)
        pb_fail_in(err, "%.*s", PB_FMT(pb_config_where(site->store, "url")));
    return rc;
}

static int check(int argc, char **argv)
{
    struct pb_args args, *a = &args;
    int rc = pb_args_parse(a, &pb_verb_check, argc, argv);
    if (rc >= 0) return rc;
    struct pb_site *site = pb_args_site(a);
    if (!site) return PB_EXIT_FAILED;
    pb_log_level(NULL, PB_LOG_WARN);
    pb_current_tell_ends("patchbay check");
    char *state = pb_args_state(a);
    char *path = pb_strdup(site->path);
    struct pb_workshop shop;
    struct pb_err err;
    rc = PB_EXIT_OK;
    bool full = pb_args_get(a, "store") != NULL;
    if (pb_workshop_open(&shop, site, state, full ? PB_STORE_MUST : PB_STORE_NONE, &err)) {
        pb_site_free(site);
        rc = pb_args_error(a, PB_EXIT_FAILED, "%s", err.msg);
    } else {
        const struct pb_generation_options o = {.check_only = true,
                                                .state_dir = state,
                                                .probe = pb_config_get_int(site->plugins, "probe") != 0,
                                                .env = shop.env,
                                                .flow = shop.flow};
        struct pb_generation *g = pb_generation_build(site, &o, &err);
        if (g && check_store(site, state, full, &err)) rc = pb_args_error(a, PB_EXIT_FAILED, "%s", err.msg);
        if (g && !rc && check_listeners(g, &shop, &err)) rc = pb_args_error(a, PB_EXIT_FAILED, "%s", err.msg);
        if (!g)
            rc = pb_args_error(a, PB_EXIT_FAILED, "%s", err.msg);
        else if (!rc) {
            size_t n = g->catalog.n;
            print_catalog(&g->catalog, pb_str(NULL, 0));
            for (size_t i = 0; i < g->n_qrags; i++) {
                print_catalog(&g->qrags[i].catalog, g->qrags[i].address);
                n += g->qrags[i].catalog.n;
            }
            size_t connectors = pb_registry_n_connectors(g->registry);
            const struct pb_chain_graph *chains = pb_chains_graph(g->chains);
            printf("%s is sound: %zu connector%s, %zu function%s", path, connectors,
                   connectors == 1 ? "" : "s", n, n == 1 ? "" : "s");
            if (chains->n_chains)
                printf(", %u chain%s with %u link%s", chains->n_chains, chains->n_chains == 1 ? "" : "s",
                       chains->n_links, chains->n_links == 1 ? "" : "s");
            printf("\n");
        }
        pb_workshop_end_generation(&shop, g);
        pb_workshop_close(&shop);
    }
    pb_free(path);
    pb_free(state);
    return rc;
}

static const struct pb_cli_option options[] = {
    PB_OPTION_CONFIG,
    PB_OPTION_STATE,
    {"store", 0, NULL,
     "check the store's indices too, which takes several times as long; make it when there is none, and "
     "give new functions their ids there"}};
const struct pb_cli_verb pb_verb_check = {
    .name = "check",
    .summary = "Load configuration, plugins and scripts; start nothing; say what is wrong.",
    .text = "A store that is there is read as a whole (SQLite's quick_check) and not changed; a damaged one\n"
            "is an error.",
    .options = options,
    .n_options = PB_COUNTOF(options),
    .run = check};
