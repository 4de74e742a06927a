/* SPDX-License-Identifier: MIT */
/* `patchbay qlik-setup`: what to type into Qlik for what is configured. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "app/generation.h"
#include "app/verbs.h"
#include "app/worker.h"
#include "base/log.h"

struct setup {
    const char *alias, *host, *folder, *only;
    bool tls;
    char port[16];
    uint32_t shown;
};

/* A field as an expression names it: letters, digits and _ need no brackets. */
static void put_field(struct pb_buf *b, pbay_str name)
{
    bool plain = name.n && !(name.p[0] >= '0' && name.p[0] <= '9');
    for (size_t i = 0; i < name.n; i++) {
        char c = name.p[i];
        plain =
            plain && ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_');
    }
    if (plain) {
        pb_buf_str(b, name);
        return;
    }
    pb_buf_ch(b, '[');
    for (size_t i = 0; i < name.n; i++) {
        if (name.p[i] == ']') pb_buf_ch(b, ']');
        pb_buf_ch(b, name.p[i]);
    }
    pb_buf_ch(b, ']');
}

static void put_params(struct pb_buf *b, const struct pb_function *fn)
{
    for (uint32_t i = 0; i < fn->n_params; i++) {
        if (i) pb_buf_c(b, ", ");
        put_field(b, fn->params[i].name);
    }
}

static void put_function(const struct setup *s, const struct pb_function *fn)
{
    struct pb_buf params = {0};
    put_params(&params, fn);
    pbay_str p = params.n ? pb_buf_view(&params) : PB_STR("");
    printf("\n%.*s", PB_FMT(fn->name));
    if (fn->doc.n) printf(": %.*s", PB_FMT(fn->doc));
    printf("\n");
    if (fn->refusal)
        printf("    cannot be called: %s\n", fn->refusal);
    else {
        if (fn->shape != PBAY_SHAPE_TABLE)
            printf("    chart        %s.%.*s(%.*s)\n", s->alias, PB_FMT(fn->name), PB_FMT(p));
        if (fn->shape == PBAY_SHAPE_MAP)
            printf("    LOAD         LOAD *, %s.%.*s(%.*s) AS [%.*s] RESIDENT YourTable;   // a call for "
                   "each row\n",
                   s->alias, PB_FMT(fn->name), PB_FMT(p), PB_FMT(fn->name));
        if (fn->shape == PBAY_SHAPE_AGGREGATE)
            printf("    LOAD         LOAD YourKey, %s.%.*s(%.*s) AS [%.*s] RESIDENT YourTable GROUP BY "
                   "YourKey;\n",
                   s->alias, PB_FMT(fn->name), PB_FMT(p), PB_FMT(fn->name));
        if (fn->n_params)
            printf("    whole table  LOAD * EXTENSION %s.%.*s(YourTable{%.*s});\n", s->alias,
                   PB_FMT(fn->name), PB_FMT(p));
        else
            printf("    whole table  LOAD * EXTENSION %s.%.*s();\n", s->alias, PB_FMT(fn->name));
    }
    pb_buf_free(&params);
}

static void put_connection(const struct setup *s)
{
    struct pb_buf json = {0};
    const char *folder = s->tls ? s->folder : "";
    printf("QMC, Analytic connections, Create new:\n"
           "    Name                   %s\n"
           "    Host                   %s\n"
           "    Port                   %s\n"
           "    Certificate file path  %s\n"
           "    Reconnect timeout      20\n"
           "    Request timeout        0\n",
           s->alias, s->host, s->port, s->tls ? folder : "(empty)");
    printf("\nQlik Sense Desktop and QlikView, Settings.ini (ends with an empty line; restart the engine):\n"
           "    [Settings 7]\n"
           "    SSEPlugin=%s,%s:%s%s%s\n",
           s->alias, s->host, s->port, s->tls ? "," : "", folder);
    pb_buf_c(&json, "{\"name\":");
    pb_buf_json(&json, pb_str_c(s->alias));
    pb_buf_c(&json, ",\"host\":");
    pb_buf_json(&json, pb_str_c(s->host));
    pb_buf_printf(&json, ",\"port\":%s,\"certificateFilePath\":", s->port);
    pb_buf_json(&json, pb_str_c(folder));
    pb_buf_c(&json, ",\"reconnectTimeout\":20,\"requestTimeout\":0}");
    printf("\nThe same by Qlik's repository service (QRS), with the certificates that the QMC exports:\n"
           "    curl --cert client.pem --key client_key.pem --cacert root.pem -X POST \\\n"
           "        -H 'X-Qlik-Xrfkey: 0123456789abcdef' -H 'X-Qlik-User: UserDirectory=INTERNAL; "
           "UserId=sa_api' \\\n"
           "        -H 'Content-Type: application/json' -d '%.*s' \\\n"
           "        'https://YOUR-QLIK-SERVER:4242/qrs/analyticconnection?xrfkey=0123456789abcdef'\n",
           PB_FMT(pb_buf_view(&json)));
    pb_buf_free(&json);
    if (s->tls)
        printf("\nThat folder of the engine's machine holds root_cert.pem, sse_client_cert.pem and "
               "sse_client_key.pem:\n"
               "    patchbay certs pem %s      makes them, in pem/client\n",
               s->host);
}

static void put_catalog(struct setup *s, const struct pb_catalog *c)
{
    bool any = false;
    for (size_t i = 0; i < c->n; i++) any = any || !s->only || pb_str_is(c->functions[i]->name, s->only);
    if (!any) return;
    if (s->shown++) printf("\n\n");
    put_connection(s);
    for (size_t i = 0; i < c->n; i++)
        if (!s->only || pb_str_is(c->functions[i]->name, s->only)) put_function(s, c->functions[i]);
}

static void set_port(struct setup *s, pbay_str address)
{
    size_t at = address.n;
    while (at && address.p[at - 1] != ':') at--;
    snprintf(s->port, sizeof s->port, "%.*s", (int)(address.n - at < 8 ? address.n - at : 8), address.p + at);
}

static void put_all(const struct pb_args *a, struct pb_generation *g, struct setup *s)
{
    const char *alias = pb_args_get(a, "name");
    for (size_t i = 0; i < g->site->listens.n; i++) {
        const struct pb_site_part *part = &g->site->listens.list[i];
        if (!pb_str_is(part->name, "sse")) continue;
        s->alias = alias ? alias : "Patchbay";
        s->tls = pb_config_get_str(part->cfg, "tls_dir").n > 0;
        set_port(s, pb_config_get_str(part->cfg, "address"));
        put_catalog(s, &g->catalog);
    }
    for (size_t i = 0; i < g->n_qrags; i++) {
        char *name = pb_strndup(g->qrags[i].part->name.p, g->qrags[i].part->name.n);
        s->alias = alias ? alias : name;
        s->tls = g->qrags[i].tls_dir.n > 0;
        set_port(s, g->qrags[i].address);
        put_catalog(s, &g->qrags[i].catalog);
        pb_free(name);
    }
}

static int qlik_setup(int argc, char **argv)
{
    struct pb_args args, *a = &args;
    int rc = pb_args_parse(a, &pb_verb_qlik_setup, argc, argv);
    if (rc >= 0) return rc;
    struct pb_site *site = pb_args_site(a);
    if (!site) return PB_EXIT_FAILED;
    pb_log_level(NULL, PB_LOG_WARN);
    char host[256] = "localhost";
    gethostname(host, sizeof host - 1);
    struct setup s = {
        .host = pb_args_get(a, "host"), .folder = pb_args_get(a, "folder"), .only = a->n ? a->args[0] : NULL};
    if (!s.host) s.host = host;
    if (!s.folder) s.folder = "C:\\certs\\patchbay";
    struct pb_workshop shop;
    struct pb_err err;
    if (pb_workshop_open(&shop, site, NULL, PB_STORE_NONE, &err)) {
        pb_site_free(site);
        return pb_args_error(a, PB_EXIT_FAILED, "%s", err.msg);
    }
    const struct pb_generation_options o = {.check_only = true,
                                            .probe = pb_config_get_int(site->plugins, "probe") != 0,
                                            .env = shop.env,
                                            .flow = shop.flow};
    struct pb_generation *g = pb_generation_build(site, &o, &err);
    rc = PB_EXIT_OK;
    if (!g)
        rc = pb_args_error(a, PB_EXIT_FAILED, "%s", err.msg);
    else {
        put_all(a, g, &s);
        if (!s.shown)
            rc = s.only ? pb_args_error(a, PB_EXIT_FAILED, "there is no function \"%s\" that Qlik could call",
                                        s.only)
                        : pb_args_error(a, PB_EXIT_FAILED,
                                        "there is no [listen \"sse\"] and no [qrag] for Qlik to connect to");
    }
    pb_workshop_end_generation(&shop, g);
    pb_workshop_close(&shop);
    return rc;
}

static const struct pb_cli_option options[] = {
    PB_OPTION_CONFIG,
    {"name", 'n', "NAME",
     "the connection's name in Qlik; Patchbay, or that of the [qrag] section, unless given"},
    {"host", 0, "HOST", "what the engine knows this machine by; its own name unless given"},
    {"folder", 0, "PATH",
     "where the client's certificates are on the engine's machine; C:\\certs\\patchbay unless given"},
};
const struct pb_cli_verb pb_verb_qlik_setup = {
    .name = "qlik-setup",
    .args = "[FUNCTION]",
    .summary = "Print what to type into Qlik for what is configured.",
    .text = "For each listener that Qlik connects to: the analytic connection for the QMC, the line of "
            "Settings.ini, the\n"
            "request to Qlik's repository service; and for each function an expression, a LOAD and a LOAD "
            "... EXTENSION.",
    .options = options,
    .n_options = PB_COUNTOF(options),
    .max_args = 1,
    .run = qlik_setup};
