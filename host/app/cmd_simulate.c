/* SPDX-License-Identifier: MIT */
/*
 * `patchbay simulate`: what an event would do, decision by decision, without a tenant, a store or a running
 * host. It takes the body of a Qlik Cloud webhook as it was delivered, or an event as specs write it.
 */
#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "app/site.h"
#include "app/verbs.h"
#include "base/clock.h"
#include "flow/chain_rehearse.h"

enum { PAYLOAD_MAX = 1 << 20 };

static const char *text(const json_t *o, const char *name)
{
    return json_string_value(json_object_get(o, name));
}

static const char *either(const char *a, const char *b)
{
    return a && *a ? a : b;
}

static bool ends(const char *s, const char *suffix)
{
    return s && pb_str_ends(pb_str_c(s), pb_str_c(suffix));
}

/*
 * The envelopes of a reload's end (https://qlik.dev/apis/event/reloads, .../apps): CloudEvents, and the older
 * one with eventType and extensions. NULL: it is none of them.
 */
static json_t *of_webhook(const json_t *body)
{
    const json_t *data = json_object_get(body, "data"), *ext = json_object_get(body, "extensions");
    const char *type = either(text(body, "type"), text(body, "eventType"));
    bool app = ends(type, "app.reload.finished") || ends(type, "app.reload.ended");
    if (!type || !data || (!app && !ends(type, "reload.finished"))) return NULL;
    const char *top = either(text(body, "toplevelresourceid"), text(ext, "topLevelResourceId"));
    const char *id = app ? either(top, text(data, "appId")) : either(text(data, "appId"), top);
    const char *status = text(data, "status"), *reload = text(data, app ? "reloadId" : "id");
    const json_t *ok = json_object_get(data, "succeeded");
    if (!status && json_is_boolean(ok)) status = json_is_true(ok) ? "ok" : "error";
    if (!id) return NULL;
    json_t *out =
        json_pack("{s:s, s:s, s:s, s:s, s:O}", "type", "reload", "subject", id, "app_id", id, "status",
                  pb_ended_name(status ? pb_ended_parse(pb_str_c(status)) : PB_ENDED_UNKNOWN), "raw", data);
    if (reload) json_object_set_new(out, "reload_id", json_string(reload));
    if (app && text(data, "name")) json_object_set_new(out, "app_name", json_string(text(data, "name")));
    const json_t *ms = json_object_get(data, "duration"), *s = json_object_get(data, "durationSeconds");
    if (json_is_number(ms))
        json_object_set_new(out, "duration_ms", json_integer((json_int_t)json_number_value(ms)));
    if (json_is_number(s))
        json_object_set_new(out, "duration_ms", json_integer((json_int_t)(json_number_value(s) * 1000)));
    return out;
}

/* Whose app is it? The connector that --connector names, else that of the app with this id. */
static int set_connector(struct pb_rehearsal *r, json_t *event, const char *given)
{
    const struct pb_chain_graph *g = pb_chains_graph(pb_rehearsal_bundle(r)->chains);
    const char *id = text(event, "subject");
    if (given) return json_object_set_new(event, "connector", json_string(given));
    if (text(event, "connector") || text(event, "app")) return 0;
    for (uint32_t i = 0; i < g->n_apps; i++)
        if (id && pb_str_is(g->apps[i].id, id))
            return json_object_set_new(event, "connector",
                                       json_stringn(g->apps[i].connector.p, g->apps[i].connector.n));
    return json_object_set_new(event, "connector",
                               g->n_apps ? json_stringn(g->apps[0].connector.p, g->apps[0].connector.n)
                                         : json_string("qlik"));
}

static json_t *read_payload(const char *path, char *why, size_t n)
{
    json_error_t e;
    json_t *body = NULL;
    struct pb_buf b = {0};
    FILE *f = strcmp(path, "-") == 0 ? stdin : fopen(path, "rb");
    if (!f) {
        snprintf(why, n, "%s", strerror(errno));
        return NULL;
    }
    while (!feof(f) && !ferror(f) && b.n <= PAYLOAD_MAX) b.n += fread(pb_buf_room(&b, 65536), 1, 65536, f);
    if (f != stdin) fclose(f);
    if (b.n > PAYLOAD_MAX)
        snprintf(why, n, "more than %d bytes", PAYLOAD_MAX);
    else if (!(body = json_loadb(b.p ? b.p : "", b.n, JSON_REJECT_DUPLICATES, &e)))
        snprintf(why, n, "line %d, column %d: %s", e.line, e.column, e.text);
    else if (!json_is_object(body))
        snprintf(why, n, "not a JSON object");
    pb_buf_free(&b);
    if (json_is_object(body)) return body;
    json_decref(body);
    return NULL;
}

static char *script_dir(const struct pb_args *a)
{
    const char *given = pb_args_get(a, "scripts");
    struct stat st;
    if (given) return pb_strdup(given);
    if (!pb_args_get(a, "config") && stat("scripts/chains", &st) == 0 && S_ISDIR(st.st_mode))
        return pb_strdup("scripts");
    struct pb_site *site = pb_args_site(a);
    char *dir = site ? pb_strdup(site->script_dir) : NULL;
    pb_site_free(site);
    return dir;
}

static int rehearse(struct pb_rehearsal *r, json_t *event, const char *connector, struct pb_err *err)
{
    struct pb_buf out = {0}, report = {0};
    set_connector(r, event, connector);
    json_t *args = json_pack("[O]", event);
    char *given = json_dumps(args, JSON_COMPACT);
    int rc = pb_rehearsal_call(r, PB_STR("given"), pb_str_c(given), &out, err);
    pb_rehearsal_report(r, &report);
    if (rc == 0 && !report.n) printf("no link listens to it\n");
    if (report.n) fwrite(report.p, 1, report.n, stdout);
    free(given);
    json_decref(args);
    pb_buf_free(&out);
    pb_buf_free(&report);
    return rc;
}

static int simulate(int argc, char **argv)
{
    struct pb_args args, *a = &args;
    int rc = pb_args_parse(a, &pb_verb_simulate, argc, argv);
    if (rc >= 0) return rc;
    char why[300];
    struct pb_err err;
    struct pb_rehearsal *r = NULL;
    int64_t now = pb_now_ms();
    const char *at = pb_args_get(a, "at");
    if (at && !pb_parse_time(pb_str_c(at), &now))
        return pb_args_error(a, PB_EXIT_USAGE,
                             "--at %s is no time; expected one such as 2026-11-21T02:30:00Z", at);
    json_t *body = read_payload(a->args[0], why, sizeof why);
    if (!body) return pb_args_error(a, PB_EXIT_INPUT, "%s: %s", a->args[0], why);
    char *dir = script_dir(a);
    json_t *event = of_webhook(body);
    if (!event) event = json_incref(body);
    struct pb_rehearsal_options o = {.dir = dir, .now_ms = now};
    rc = dir ? PB_EXIT_OK : PB_EXIT_USAGE;
    if (dir && pb_rehearsal_open(&o, NULL, 0, &r, &err) != 0)
        rc = pb_args_error(a, PB_EXIT_FAILED, "%s", err.msg);
    if (r && rehearse(r, event, pb_args_get(a, "connector"), &err) != 0)
        rc = pb_args_error(a, PB_EXIT_INPUT, "%s: %s", a->args[0], err.msg);
    pb_rehearsal_close(r);
    pb_free(dir);
    json_decref(event);
    json_decref(body);
    return rc;
}

static const struct pb_cli_option options[] = {
    PB_OPTION_CONFIG,
    {"scripts", 0, "DIR", "the folder with scripts; by default ./scripts, or as the configuration says"},
    {"connector", 0, "NAME", "whose event it is; by default that of the app it is about"},
    {"at", 0, "TIME", "when it happens (RFC 3339); by default now"}};
const struct pb_cli_verb pb_verb_simulate = {
    .name = "simulate",
    .args = "PAYLOAD.json|-",
    .summary = "Show what an event would do: every decision of every chain. Offline.",
    .text = "The payload is the body of a Qlik Cloud webhook as it was delivered, or an event such as\n"
            "{\"app\": \"extract\", \"status\": \"ok\"} or {\"connector\": \"aws\", \"type\": "
            "\"training_job\", \"status\": \"ok\"}.",
    .options = options,
    .n_options = PB_COUNTOF(options),
    .min_args = 1,
    .max_args = 1,
    .run = simulate};
