/* SPDX-License-Identifier: MIT */
/*
 * Chains: how long 5,000 apps with 20,000 links take to load, and an event to be evaluated.
 *
 *     chain_bench --dir DIR [--apps N] [--links N] [--events N]
 *
 * evaluate: correlate, ask the conditions of every listening link, decide, write decisions, runs, steps and
 * jobs, in transactions of 64 events, as the store thread groups them. Each event is the reload of another
 * app; four links listen, one of them with a condition in Lua, three fire. ask: the part without the store.
 * Prints one line of JSON.
 */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "flow/chain.h"

enum { GROUP = 64 };

static void die(const char *what, const struct pb_err *err)
{
    fprintf(stderr, "chain_bench: %s: %s\n", what, err->msg);
    exit(1);
}

static int put_action(void *user, struct pb_store *s, const struct pb_job_put *job, char id[PB_ID_SIZE],
                      struct pb_err *err)
{
    bool known;
    (void)user;
    return pb_store_job_put(s, job, id, &known, err);
}

static const struct pb_bundle *none(void *user, struct pb_store *s, pbay_str hash, struct pb_err *err)
{
    (void)user, (void)s, (void)hash;
    pb_fail(err, PBAY_NOT_FOUND, "no other bundle");
    return NULL;
}

static struct pb_chains *load(int apps, int links, double *ms)
{
    struct pb_buf lua = {0}, bundle = {0};
    struct pb_chains *c;
    struct pb_err err;
    pb_buf_printf(&lua, "for i = 1, %d do app(\"a\" .. i) { id = \"id\" .. i, connector = \"prod\" } end\n",
                  apps);
    pb_buf_printf(
        &lua,
        "local links, n = {}, 0\n"
        "for i = 1, %d do for k = 1, 4 do\n"
        "  n = n + 1\n"
        "  if n > %d or i + k > %d then break end\n"
        "  local l = on(\"a\" .. i)\n"
        "  if k == 4 then l = l.when(function(ev, run) return ev.duration_ms > 6e5, \"slow\" end) "
        "else l = l.ok end\n"
        "  links[#links + 1] = l { \"a\" .. i + k }\n"
        "end end\n"
        "while #links < %d do links[#links + 1] = on(\"a1\").error { \"a%d\" } end\nchain \"big\" (links)\n",
        apps, links, apps, links, apps);
    pb_buf_printf(&bundle, "patchbay-chains 1\nscript chains/big.lua\t%zu\n%.*s\n", lua.n,
                  PB_FMT(pb_buf_view(&lua)));
    int64_t from = pb_mono_ns();
    if (pb_chains_load(&(struct pb_chains_options){.bundle = pb_buf_view(&bundle), .budget_ms = 60000}, &c,
                       &err))
        die("load", &err);
    *ms = (double)(pb_mono_ns() - from) / 1e6;
    pb_buf_free(&lua);
    pb_buf_free(&bundle);
    return c;
}

struct group {
    struct pb_bundle *b;
    const struct pb_chain_host *h;
    int first, n, apps;
    int64_t ask_ns;
};

static int evaluate(struct pb_store *s, void *user, struct pb_err *err)
{
    struct group *g = user;
    for (int i = g->first; i < g->first + g->n; i++) {
        struct pb_chain_plan plan = {0};
        char id[PB_ID_SIZE], subject[32], data[160];
        snprintf(id, sizeof id, "00000000-0000-7000-8000-%012d", i);
        snprintf(subject, sizeof subject, "id%d", 1 + i % (g->apps - 4));
        snprintf(data, sizeof data,
                 "{\"status\":\"ok\",\"app_id\":\"%s\",\"reload_id\":\"r%d\",\"duration_ms\":1200,"
                 "\"partial\":false}",
                 subject, i);
        struct pb_event e = {.id = pb_str_c(id),
                             .connector = PB_STR("prod"),
                             .type = PB_STR("reload"),
                             .subject = pb_str_c(subject),
                             .data = pb_str_c(data),
                             .time_ms = pb_now_ms(),
                             .stored_ms = pb_now_ms()};
        if (pb_chain_plan(&plan, s, &e, g->b, none, NULL, err)) return -1;
        int64_t from = pb_mono_ns();
        pb_chain_ask(&plan);
        g->ask_ns += pb_mono_ns() - from;
        if (pb_chain_decide(&plan, s, g->h, err)) return -1;
        pb_chain_plan_free(&plan);
    }
    return 0;
}

int main(int argc, char **argv)
{
    static const struct option options[] = {{"dir", 1, NULL, 'd'},
                                            {"apps", 1, NULL, 'a'},
                                            {"links", 1, NULL, 'l'},
                                            {"events", 1, NULL, 'e'},
                                            {0}};
    const char *dir = ".";
    int apps = 5000, links = 20000, events = 2000, c;
    while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
        if (c == 'd') dir = optarg;
        if (c == 'a') apps = atoi(optarg);
        if (c == 'l') links = atoi(optarg);
        if (c == 'e') events = atoi(optarg);
        if (c == '?') return 2;
    }
    if (apps < 10 || links < 1 || events < 1) return 2;
    struct pb_err err;
    double load_ms;
    struct pb_bundle b;
    pb_bundle_set(&b, load(apps, links, &load_ms));
    char url[512];
    struct pb_store *s;
    snprintf(url, sizeof url, "sqlite:%s/chains-%lld.db", dir, (long long)pb_now_ms());
    if (pb_store_open(url, &s, &err)) die("store", &err);
    const struct pb_chain_host h = {.put_action = put_action};
    struct group g = {.b = &b, .h = &h, .apps = apps};
    int64_t from = pb_mono_ns();
    for (int i = 0; i < events; i += GROUP) {
        g.first = i;
        g.n = events - i < GROUP ? events - i : GROUP;
        if (pb_store_atomic(s, evaluate, &g, &err)) die("evaluate", &err);
    }
    double ms = (double)(pb_mono_ns() - from) / 1e6;
    printf("{\"apps\": %u, \"links\": %u, \"load_ms\": %.1f, \"evaluate_ms\": %.4f, \"ask_ms\": %.4f}\n",
           pb_chains_graph(b.chains)->n_apps, pb_chains_graph(b.chains)->n_links, load_ms, ms / events,
           (double)g.ask_ns / 1e6 / events);
    pb_store_close(s);
    pb_bundle_clear(&b);
    return 0;
}
