/* SPDX-License-Identifier: MIT */
#include "qlik.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kit/time.h"
#include "names.h"
#include "pages.h"

enum { C_LIST, C_CREATE, C_CHECK, C_RESEND, C_FIND };
enum { TIMEOUT_MS = 60000, URL_MAX = 2000 };

/* The one command of this process. */
struct command_run {
    struct qlik *q;
    pbay_command_run id;
    const pbay_config *a;
    uint32_t command;
    int cancelled;
    struct pages *pages;
    struct api_call *call;
    struct name_lookup *names;
    char *hook;   /* the webhook that is looked at */
    json_t *todo; /* deliveries */
    size_t at, failed, wrong;
    int64_t since;
};

static pbay_str member(const json_t *o, const char *name)
{
    const json_t *v = json_object_get(o, name);
    return json_is_string(v) ? (pbay_str){json_string_value(v), json_string_length(v)} : (pbay_str){NULL, 0};
}

static void say(struct command_run *r, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static void say(struct command_run *r, const char *fmt, ...)
{
    char text[4096];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    r->q->command->print(r->id, pbay_str_c(text));
}

static void finish(struct command_run *r, const pbay_result *result)
{
    struct qlik *q = r->q;
    pbay_command_run id = r->id;
    free(r->hook);
    json_decref(r->todo);
    free(r);
    q->command_run = NULL;
    q->command->done(id, result);
}

static void end(struct command_run *r, int32_t code, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
static void end(struct command_run *r, int32_t code, const char *fmt, ...)
{
    pbay_result result = PBAY_RESULT_OK;
    char text[1000];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    result.code = code;
    result.message = pbay_str_c(text);
    finish(r, &result);
}

static int64_t deadline(const struct command_run *r)
{
    return r->q->timer->monotonic_ns() + TIMEOUT_MS * NS_PER_MS;
}

/* What --url says, or the configuration. */
static pbay_str wanted_url(const struct command_run *r)
{
    const pbay_host *h = r->q->host;
    return h->is_set(r->a, "url") ? h->get_str(r->a, "url") : h->get_str(r->q->config, "webhook_url");
}

static int is_true(const json_t *o, const char *name)
{
    return json_is_true(json_object_get(o, name));
}

/* ------------------------------------------------------------------------------------------------ list */

static void types_of(const json_t *hook, pbay_text *out)
{
    const json_t *types = json_object_get(hook, "eventTypes"), *t;
    size_t i;
    json_array_foreach(types, i, t) if (json_is_string(t))
        pbay_text_printf(out, "%s%s", i ? ", " : "", json_string_value(t));
}

static void show_hook(struct command_run *r, const json_t *hook)
{
    pbay_text types = {NULL, 0, 0};
    types_of(hook, &types);
    say(r, "%.*s  %s  %.*s\n    %.*s\n    %.*s%s%s\n", FMT(member(hook, "id")),
        is_true(hook, "enabled") ? "on " : "off", FMT(member(hook, "name")), FMT(member(hook, "url")),
        FMT(pbay_text_view(&types)), is_true(hook, "enableCloudEventDelivery") ? "; as CloudEvents" : "",
        is_true(hook, "secretKeyAdded") ? "; signed" : "");
    pbay_str why = member(hook, "disabledReason");
    if (why.n) say(r, "    disabled: %.*s\n", FMT(why));
    pbay_text_free(&types);
}

static void on_list(void *user, const pbay_result *result, const json_t *all, int cut)
{
    struct command_run *r = user;
    const json_t *hook;
    size_t i;
    (void)cut;
    r->pages = NULL;
    if (result->code == PBAY_OK) {
        json_array_foreach(all, i, hook) show_hook(r, hook);
        say(r, "%zu webhook%s at %s%s\n", json_array_size(all), json_array_size(all) == 1 ? "" : "s",
            r->q->base, hooks_path(r->q));
    }
    finish(r, result);
}

/* ------------------------------------------------------------------------------------------------ create */

/* Qlik takes https with a name, not an address (https://help.qlik.com, "Creating webhooks"). */
static const char *bad_url(pbay_str url)
{
    if (!url.n)
        return "--url is missing, and webhook_url is not configured: where does Qlik reach /CONNECTOR/hook?";
    if (url.n > URL_MAX) return "the URL is too long";
    if (url.n < 9 || memcmp(url.p, "https://", 8) != 0) return "Qlik delivers to https:// only";
    size_t i = 8, dots = 0, letters = 0;
    for (; i < url.n && url.p[i] != '/' && url.p[i] != ':' && url.p[i] != '?'; i++) {
        dots += url.p[i] == '.';
        letters += (url.p[i] >= 'a' && url.p[i] <= 'z') || (url.p[i] >= 'A' && url.p[i] <= 'Z');
    }
    return dots && letters ? NULL : "Qlik delivers to a fully qualified name, not to an address";
}

static void put_text(pbay_text *b, const char *name, pbay_str value)
{
    pbay_text_printf(b, "%s\"%s\":", b->n > 1 ? "," : "", name);
    pbay_text_json(b, value);
}

static void hook_name(const struct command_run *r, pbay_text *out)
{
    if (r->q->host->is_set(r->a, "name"))
        pbay_text_add(out, r->q->host->get_str(r->a, "name"));
    else
        pbay_text_printf(out, "Patchbay %.*s", FMT(r->q->host->name(r->q->host)));
}

static void hook_body(const struct command_run *r, pbay_text *b)
{
    const struct qlik *q = r->q;
    const pbay_host *h = q->host;
    pbay_text name = {NULL, 0, 0};
    pbay_str key;
    pbay_text_c(b, "{");
    hook_name(r, &name);
    put_text(b, "name", pbay_text_view(&name));
    put_text(b, "url", wanted_url(r));
    put_text(b, "level", h->get_str(r->a, "level"));
    pbay_text_c(b, ",\"enabled\":true,\"enableCloudEventDelivery\":true,\"checkCertificateRevocation\":true,"
                   "\"eventTypes\":[");
    uint32_t n = h->count(r->a, "events");
    for (uint32_t i = 0; i < n; i++) {
        pbay_text_c(b, i ? "," : "");
        pbay_text_json(b, h->item(r->a, "events", i, &key));
    }
    pbay_text_c(b, "]");
    if (h->is_set(q->config, "webhook_secret")) put_text(b, "secret", qlik_secret(q, "webhook_secret"));
    if (h->is_set(q->config, "webhook_api_key")) {
        pbay_text_c(b, ",\"encryptedHeaders\":{");
        pbay_text_json(b, h->get_str(q->config, "webhook_api_key_header"));
        pbay_text_c(b, ":");
        pbay_text_json(b, qlik_secret(q, "webhook_api_key"));
        pbay_text_c(b, "}");
    }
    pbay_text_c(b, "}");
    pbay_text_free(&name);
}

static void on_created(void *user, const struct api_reply *reply)
{
    struct command_run *r = user;
    r->call = NULL;
    if (reply->result.code == PBAY_OK) {
        json_t *hook = json_loadb(reply->body.n ? reply->body.p : "", reply->body.n, 0, NULL);
        say(r, "created\n");
        if (hook) show_hook(r, hook);
        json_decref(hook);
    }
    finish(r, &reply->result);
}

/* There is no idempotency key, so look first. */
static void on_before_create(void *user, const pbay_result *result, const json_t *all, int cut)
{
    struct command_run *r = user;
    const json_t *hook;
    size_t i;
    (void)cut;
    r->pages = NULL;
    if (result->code != PBAY_OK) {
        finish(r, result);
        return;
    }
    json_array_foreach(all, i, hook) if (qlik_same(member(hook, "url"), wanted_url(r)))
    {
        say(r, "there is one that delivers there already\n");
        show_hook(r, hook);
        end(r, PBAY_OK, "%s", "");
        return;
    }
    pbay_text body = {NULL, 0, 0};
    hook_body(r, &body);
    const struct api_request rq = {.method = "POST",
                                   .path = pbay_str_c(hooks_path(r->q)),
                                   .body = pbay_text_view(&body),
                                   .tier = TIER_WRITE,
                                   .deadline = deadline(r)};
    r->call = api_send(r->q, &rq, on_created, r);
    memset(body.p, 0, body.n);
    pbay_text_free(&body);
}

/* ------------------------------------------------------------------------------------------------ check,
 * resend */

static void ask_deliveries(struct command_run *r, const char *query, pages_done fn)
{
    pbay_text path = {NULL, 0, 0};
    pbay_text_printf(&path, "%s/", hooks_path(r->q));
    pbay_text_percent(&path, pbay_str_c(r->hook));
    pbay_text_printf(&path, "/deliveries?limit=100%s", query);
    const struct pages_request request = {.path = pbay_text_view(&path), .deadline = deadline(r)};
    r->pages = pages_get(r->q, &request, fn, r);
    pbay_text_free(&path);
}

static void wrong(struct command_run *r, const char *what)
{
    r->wrong++;
    say(r, "    wrong: %s\n", what);
}

static void on_checked(void *user, const pbay_result *result, const json_t *all, int cut)
{
    struct command_run *r = user;
    const json_t *d, *newest = NULL;
    size_t i, good = 0, bad = 0;
    (void)cut;
    r->pages = NULL;
    if (result->code != PBAY_OK) {
        finish(r, result);
        return;
    }
    json_array_foreach(all, i, d)
    {
        pbay_str when = member(d, "triggeredAt"), last = member(newest, "triggeredAt");
        int failed = qlik_same(member(d, "status"), STR("fail"));
        *(failed ? &bad : &good) += 1;
        if (failed && (!newest || pbay_time_rfc3339(when) > pbay_time_rfc3339(last))) newest = d;
    }
    say(r, "    deliveries that Qlik keeps: %zu good, %zu failed\n", good, bad);
    if (newest) {
        const json_t *response = json_object_get(newest, "response");
        say(r, "    the last that failed: %.*s, %lld %.*s\n", FMT(member(newest, "triggeredAt")),
            (long long)json_integer_value(json_object_get(response, "statusCode")),
            FMT(member(newest, "statusMessage").n ? member(newest, "statusMessage")
                                                  : member(response, "body")));
        say(r, "    `patchbay qlik_saas webhooks resend` has them delivered again\n");
    }
    if (r->wrong)
        end(r, PBAY_FAILED_PRECONDITION, "%zu thing%s to put right", r->wrong, r->wrong == 1 ? "" : "s");
    else
        end(r, PBAY_OK, "%s", "");
}

static void check_hook(struct command_run *r, const json_t *hook)
{
    const pbay_host *h = r->q->host;
    const json_t *types = json_object_get(hook, "eventTypes"), *t;
    size_t i;
    int reloads = 0, attempts = 0;
    show_hook(r, hook);
    json_array_foreach(types, i, t)
    {
        reloads |= qlik_same(pbay_str_c(json_string_value(t)), STR("com.qlik.v1.reload.finished"));
        attempts |= qlik_same(pbay_str_c(json_string_value(t)), STR("com.qlik.v1.app.reload.finished"));
    }
    if (!is_true(hook, "enabled")) wrong(r, "it is switched off");
    if (!is_true(hook, "enableCloudEventDelivery"))
        wrong(r, "it does not deliver CloudEvents; the older members go on or after 2026-10-06");
    if (!reloads && !attempts) wrong(r, "it delivers no reloads: choose \"Reload finished\"");
    if (reloads && attempts)
        say(r, "    note: it delivers the engine's attempts as well as final results; a chain needs the "
               "latter alone\n");
    if (!reloads && attempts)
        say(r, "    note: com.qlik.v1.app.reload.finished comes before the app is saved; "
               "com.qlik.v1.reload.finished is final\n");
    if (h->is_set(r->q->config, "webhook_secret") && !is_true(hook, "secretKeyAdded"))
        wrong(r, "it has no secret, and deliveries without a signature are refused here");
    if (!h->is_set(r->q->config, "webhook_secret") && is_true(hook, "secretKeyAdded"))
        say(r, "    note: it signs, but webhook_secret is not configured here\n");
    if (!strcmp(hooks_path(r->q), "/api/v1/webhooks"))
        say(r, "    note: /api/v1/webhooks ends on or after 2027-11-01; `webhooks_api = core` uses its "
               "successor\n");
}

/* ---- again */

static void resend_next(struct command_run *r);

static void on_resent(void *user, const struct api_reply *reply)
{
    struct command_run *r = user;
    r->call = NULL;
    if (reply->result.code == PBAY_CANCELLED) {
        finish(r, &reply->result);
        return;
    }
    json_t *d = json_loadb(reply->body.n ? reply->body.p : "", reply->body.n, 0, NULL);
    const json_t *old = json_array_get(r->todo, r->at);
    if (reply->result.code != PBAY_OK || qlik_same(member(d, "status"), STR("fail"))) {
        r->failed++;
        pbay_str why = reply->result.code != PBAY_OK ? reply->result.message : member(d, "statusMessage");
        say(r, "%.*s failed again: %.*s\n", FMT(member(old, "id")), FMT(why));
    }
    json_decref(d);
    r->at++;
    r->q->command->progress(r->id, r->at, json_array_size(r->todo), STR("delivered again"));
    resend_next(r);
}

static void resend_next(struct command_run *r)
{
    size_t n = json_array_size(r->todo);
    if (r->cancelled || r->at >= n) {
        say(r, "%zu of %zu deliveries sent again%s", r->at - r->failed, n, r->failed ? "" : "\n");
        if (r->failed) say(r, ", %zu failed\n", r->failed);
        end(r,
            r->cancelled ? PBAY_CANCELLED
            : r->failed  ? PBAY_ABORTED
                         : PBAY_OK,
            "%zu failed again", r->failed);
        return;
    }
    pbay_text path = {NULL, 0, 0};
    pbay_text_printf(&path, "%s/", hooks_path(r->q));
    pbay_text_percent(&path, pbay_str_c(r->hook));
    pbay_text_c(&path, "/deliveries/");
    pbay_text_percent(&path, member(json_array_get(r->todo, r->at), "id"));
    pbay_text_c(&path, "/actions/resend");
    const struct api_request rq = {
        .method = "POST", .path = pbay_text_view(&path), .tier = TIER_WRITE, .deadline = deadline(r)};
    r->call = api_send(r->q, &rq, on_resent, r);
    pbay_text_free(&path);
}

static void on_failed_ones(void *user, const pbay_result *result, const json_t *all, int cut)
{
    struct command_run *r = user;
    const json_t *d;
    size_t i;
    (void)cut;
    r->pages = NULL;
    if (result->code != PBAY_OK) {
        finish(r, result);
        return;
    }
    r->todo = json_array();
    json_array_foreach(all, i, d) if (pbay_time_rfc3339(member(d, "triggeredAt")) >= r->since)
        json_array_append(r->todo, (json_t *)(uintptr_t)d);
    resend_next(r);
}

/* The webhook that --id names, or that delivers to --url or webhook_url. */
static void on_hooks(void *user, const pbay_result *result, const json_t *all, int cut)
{
    struct command_run *r = user;
    const pbay_host *h = r->q->host;
    pbay_str url = wanted_url(r), id = h->get_str(r->a, "id");
    const json_t *hook, *found = NULL;
    size_t i;
    (void)cut;
    r->pages = NULL;
    if (result->code != PBAY_OK) {
        finish(r, result);
        return;
    }
    json_array_foreach(all, i, hook) if (qlik_same(member(hook, id.n ? "id" : "url"), id.n ? id : url))
        found = hook;
    if (!found) {
        end(r, PBAY_NOT_FOUND, "no webhook of the tenant %s \"%.*s\"; there are %zu",
            id.n ? "has the id" : "delivers to", FMT(id.n ? id : url), json_array_size(all));
        return;
    }
    r->hook = qlik_copy(member(found, "id"));
    if (r->command == C_CHECK) {
        check_hook(r, found);
        ask_deliveries(r, "", on_checked);
    } else
        ask_deliveries(r, "&status=fail", on_failed_ones);
}

/* ------------------------------------------------------------------------------------------------ apps */

static void on_found(void *user, const pbay_result *result, pbay_str id, pbay_str json)
{
    struct command_run *r = user;
    (void)json;
    r->names = NULL;
    if (result->code == PBAY_OK) say(r, "%.*s\n", FMT(id));
    finish(r, result);
}

/* ------------------------------------------------------------------------------------------------ table */

static void run(void *self, uint32_t command, pbay_command_run id, const pbay_config *arguments)
{
    struct qlik *q = self;
    const pbay_host *h = q->host;
    struct command_run *r = qlik_alloc(sizeof *r);
    r->q = q;
    r->id = id;
    r->a = arguments;
    r->command = command;
    q->command_run = r;
    if (command == C_FIND) {
        r->names = names_app(q, h->get_str(arguments, "name"), h->get_str(arguments, "space"), deadline(r),
                             on_found, r);
        return;
    }
    pbay_str url = command == C_LIST ? STR("") : wanted_url(r);
    const char *bad = command == C_CREATE ? bad_url(url) : NULL;
    if (bad) {
        end(r, PBAY_INVALID_ARGUMENT, "%s: \"%.*s\"", bad, FMT(url));
        return;
    }
    if ((command == C_CHECK || command == C_RESEND) && !url.n && !h->is_set(arguments, "id")) {
        end(r, PBAY_INVALID_ARGUMENT, "which webhook? Say --url or --id, or configure webhook_url");
        return;
    }
    if (command == C_RESEND) r->since = q->timer->now_ms() - h->get_int(arguments, "since");
    r->pages = hooks_list(q, deadline(r),
                          command == C_LIST     ? on_list
                          : command == C_CREATE ? on_before_create
                                                : on_hooks,
                          r);
}

static void cancel(void *self, uint32_t command, pbay_command_run id)
{
    struct command_run *r = ((struct qlik *)self)->command_run;
    (void)command;
    if (!r || r->id != id) return;
    r->cancelled = 1;
    pages_cancel(r->pages);
    names_cancel(r->names);
    api_cancel(r->call);
}

static const pbay_option CREATE[] = {
    {"url", PBAY_OPT_STR, 0, NULL, NULL, "Where Qlik reaches /CONNECTOR/hook; webhook_url unless given."},
    {"name", PBAY_OPT_STR, 0, NULL, NULL, "What the webhook is called; \"Patchbay CONNECTOR\" unless given."},
    {"events", PBAY_OPT_LIST, 0, "com.qlik.v1.reload.finished", NULL, "The types of events."},
    {"level", PBAY_OPT_ENUM, 0, "tenant", "tenant|user",
     "Of the whole tenant, which takes an administrator, or of what one may see."},
};
static const pbay_option ONE[] = {
    {"url", PBAY_OPT_STR, 0, NULL, NULL, "The webhook that delivers there; webhook_url unless given."},
    {"id", PBAY_OPT_STR, 0, NULL, NULL, "The webhook with this id."},
};
static const pbay_option RESEND[] = {
    {"url", PBAY_OPT_STR, 0, NULL, NULL, "The webhook that delivers there; webhook_url unless given."},
    {"id", PBAY_OPT_STR, 0, NULL, NULL, "The webhook with this id."},
    {"since", PBAY_OPT_DURATION, 0, "1d", "1s..7d",
     "How old a failed delivery may be; Qlik keeps them for 7 days."},
};
static const pbay_option FIND[] = {
    {"name", PBAY_OPT_STR, PBAY_OPTF_REQUIRED, NULL, NULL, "Exact but for case."},
    {"space", PBAY_OPT_STR, 0, NULL, NULL, "The space it is in, \"personal\" for one's own; else anywhere."},
};
#define TABLE(t)                                                                                             \
    {                                                                                                        \
        t, COUNT(t), sizeof(pbay_option)                                                                     \
    }
static const pbay_command COMMANDS[] = {
    [C_LIST] = {"webhooks list", "List the tenant's webhooks.", PBAY_COMMAND_STARTED, 0, {NULL, 0, 0}},
    [C_CREATE] = {"webhooks create",
                  "Make a webhook that delivers here, signed, as CloudEvents, unless there is one.",
                  PBAY_COMMAND_STARTED, 0, TABLE(CREATE)},
    [C_CHECK] = {"webhooks check", "Say what is wrong with the webhook, and how its deliveries went.",
                 PBAY_COMMAND_STARTED, 0, TABLE(ONE)},
    [C_RESEND] = {"webhooks resend", "Have deliveries that failed sent again.", PBAY_COMMAND_STARTED, 0,
                  TABLE(RESEND)},
    [C_FIND] = {"apps find", "The id of an app, by its name.", PBAY_COMMAND_STARTED, 0, TABLE(FIND)},
};

const pbay_commands_1 qlik_commands = {
    .struct_size = sizeof qlik_commands,
    .n_commands = COUNT(COMMANDS),
    .commands = COMMANDS,
    .command_stride = sizeof(pbay_command),
    .run = run,
    .cancel = cancel,
};
