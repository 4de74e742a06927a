/* SPDX-License-Identifier: MIT */
#include "app/issuers.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "data/jwks.h"
#include "guard/jwks_refresh.h"
#include "loop/loop.h"
#include "net/http_client.h"

static const pbay_option list[] = {
    {"issuer", PBAY_OPT_STR, PBAY_OPTF_REQUIRED, NULL, NULL, "What its tokens say in `iss`, exactly."},
    {"audience", PBAY_OPT_LIST, PBAY_OPTF_REQUIRED, NULL, NULL,
     "What its tokens must name in `aud`; one of several."},
    {"jwks_url", PBAY_OPT_STR, 0, NULL, NULL,
     "Where its public keys are published (JSON Web Key Set); fetched again before they are old, and when a "
     "token names a new one."},
    {"jwks_file", PBAY_OPT_FILE, 0, NULL, NULL, "In place of jwks_url: a file that holds them."},
    {"leeway", PBAY_OPT_DURATION, 0, "60s", "0..5m", "How far its clock and ours may differ."},
    {"subject_claim", PBAY_OPT_STR, 0, "sub", NULL, "The claim that names the caller, for allow_tokens."},
    {"scope_claim", PBAY_OPT_STR, 0, NULL, NULL, "The claim with the scopes; by default scope, else scp."},
    {"admin", PBAY_OPT_BOOL, 0, "no", NULL,
     "yes: the scope admin in its tokens lets their bearers change what the gateway does, as a key with that "
     "scope does."},
    {"require", PBAY_OPT_FAMILY, 0, NULL, NULL,
     "require.CLAIM = VALUE: a claim that must be there with this value."},
};
const pbay_option_table pb_issuer_options = {list, PB_COUNTOF(list), sizeof *list};

struct issuer {
    struct pb_issuers *all; /* NULL: only the end of its exchange is awaited */
    size_t i;
    pbay_str name, url;
    char *file; /* NULL: a URL */
    struct pb_jwt_keys *keys;
    struct pb_jwks_refresh refresh;
    struct pb_timer timer;
    uint64_t exchange; /* 0: none */
};

struct pb_issuers {
    struct pb_loop *loop;
    struct pb_http_client *http;
    struct pb_arena mem;
    struct issuer **each;
    struct pb_auth_issuer *rules;
    size_t n;
};

static void look(void *user);

static int64_t now(void)
{
    return pb_mono_ns() / PB_MS;
}

static void look_later(struct issuer *is)
{
    int64_t ms = pb_jwks_refresh_next(&is->refresh) - now();
    is->timer.fn = look;
    is->timer.user = is;
    if (is->all->http) pb_timer_set(is->all->loop, &is->timer, ms < 1000 ? 1000 : ms);
}

static int take(struct issuer *is, pbay_str text, struct pb_err *err)
{
    struct pb_jwks set = {0};
    struct pb_jwt_keys *keys = pb_jwks_parse(text, &set, err) ? NULL : pb_jwt_keys_new(&set, err);
    if (keys && set.with_secret)
        pb_log(PB_LOG_WARN, "app", "an issuer publishes keys that must stay secret", PB_V("issuer", is->name),
               PB_I("keys", set.with_secret));
    pb_jwks_free(&set);
    if (!keys) return -1;
    pb_jwt_keys_free(is->keys);
    is->keys = keys;
    is->all->rules[is->i].keys = keys;
    return 0;
}

static void ended(struct issuer *is, const struct pb_err *err, pbay_str cache_control)
{
    pb_jwks_refresh_ended(&is->refresh, now(), !err, cache_control);
    if (err)
        pb_log(PB_LOG_WARN, "app", "the keys of an issuer could not be renewed", PB_V("issuer", is->name),
               PB_S("why", err->msg), PB_I("keys", is->keys ? pb_jwt_keys_count(is->keys) : 0));
    else
        pb_log(PB_LOG_INFO, "app", "the keys of an issuer were read", PB_V("issuer", is->name),
               PB_I("keys", pb_jwt_keys_count(is->keys)));
    if (is->keys && !pb_jwks_refresh_usable(&is->refresh, now())) {
        pb_log(PB_LOG_ERROR, "app", "the keys of an issuer are too old to be believed",
               PB_V("issuer", is->name));
        is->all->rules[is->i].keys = NULL;
    }
    look_later(is);
}

/* ------------------------------------------------------------------------------------------------ files */

static int read_file(struct issuer *is, struct pb_err *err)
{
    struct pb_buf text = {0};
    int fd = open(is->file, O_RDONLY | O_CLOEXEC), rc = 0;
    ssize_t n = -1;
    while (fd >= 0 && (n = read(fd, pb_buf_room(&text, 16384), 16384)) > 0 && text.n <= PB_JWKS_TEXT_MAX)
        text.n += (size_t)n;
    if (n < 0) rc = pb_fail(err, PBAY_NOT_FOUND, "%s: %s", is->file, strerror(errno));
    if (fd >= 0) close(fd);
    if (!rc && take(is, pb_buf_view(&text), err)) rc = pb_fail_in(err, "%s", is->file);
    pb_buf_free(&text);
    return rc;
}

/* ------------------------------------------------------------------------------------------------ URLs */

static void on_done(void *user, uint64_t exchange, const struct pb_fetch_reply *reply)
{
    struct issuer *is = user;
    struct pb_err err;
    pbay_str cache = {NULL, 0};
    (void)exchange;
    is->exchange = 0;
    if (!is->all) {
        pb_free(is);
        return;
    }
    for (uint32_t i = 0; i < reply->n_headers; i++)
        if (pb_str_is(reply->headers[i].name, "cache-control")) cache = reply->headers[i].value;
    int rc;
    if (reply->result.code != PBAY_OK) {
        pb_err_from_result(&err, &reply->result);
        rc = -1;
    } else if (reply->status != 200)
        rc = pb_fail(&err, PBAY_UNAVAILABLE, "it answers %d", (int)reply->status);
    else
        rc = take(is, reply->body, &err);
    if (rc) pb_fail_in(&err, "%.*s", PB_FMT(is->url));
    ended(is, rc ? &err : NULL, cache);
}

static void fetch(struct issuer *is)
{
    static const struct pb_fetch_events events = {.on_done = on_done};
    const pbay_header accept = {PB_STR("accept"), PB_STR("application/json")};
    const struct pb_fetch_request req = {.flags = PB_FETCH_CONFIGURED,
                                         .n_headers = 1,
                                         .method = PB_STR("GET"),
                                         .url = is->url,
                                         .headers = &accept,
                                         .timeout_ms = 15000,
                                         .max_reply = PB_JWKS_TEXT_MAX};
    struct pb_err err;
    is->exchange = pb_fetch_send(is->all->http, &req, &events, is, &err);
    if (!is->exchange) ended(is, &err, pb_str(NULL, 0));
}

static void renew(struct issuer *is)
{
    struct pb_err err;
    pb_jwks_refresh_began(&is->refresh, now());
    if (is->file)
        ended(is, read_file(is, &err) ? &err : NULL, pb_str(NULL, 0));
    else
        fetch(is);
}

static void look(void *user)
{
    struct issuer *is = user;
    if (pb_jwks_refresh_due(&is->refresh, now()))
        renew(is);
    else if (!is->refresh.running)
        look_later(is);
}

void pb_issuers_stale(struct pb_issuers *all, size_t i)
{
    struct issuer *is = all->each[i];
    if (all->http && pb_jwks_refresh_unknown(&is->refresh, now())) renew(is);
}

/* ------------------------------------------------------------------------------------------------ life */

static pbay_str *items(struct pb_issuers *all, const struct pbay_config *cfg, const char *key, size_t *n)
{
    *n = pb_config_count(cfg, key);
    pbay_str *out = pb_arena_alloc(&all->mem, (*n + 1) * sizeof *out);
    for (size_t i = 0; i < *n; i++) out[i] = pb_config_item(cfg, key, (uint32_t)i, NULL);
    return out;
}

static int make(struct pb_issuers *all, size_t i, const struct pb_site_part *part, struct pb_err *err)
{
    const struct pbay_config *cfg = part->cfg;
    struct issuer *is = all->each[i] = pb_zalloc(sizeof *is);
    all->rules[i].name = part->name;
    all->rules[i].admin = pb_config_get_int(part->cfg, "admin") != 0;
    struct pb_jwt_rule *r = &all->rules[i].rule;
    *is = (struct issuer){.all = all, .i = i, .name = part->name, .url = pb_config_get_str(cfg, "jwks_url")};
    pbay_str file = pb_config_get_str(cfg, "jwks_file");
    *r = (struct pb_jwt_rule){.issuer = pb_config_get_str(cfg, "issuer"),
                              .leeway_ms = pb_config_get_int(cfg, "leeway"),
                              .subject_claim = pb_config_get_str(cfg, "subject_claim"),
                              .scope_claim = pb_config_get_str(cfg, "scope_claim")};
    r->audiences = items(all, cfg, "audience", &r->n_audiences);
    r->n_require = pb_config_count(cfg, "require");
    struct pb_jwt_claim *claims = pb_arena_alloc(&all->mem, (r->n_require + 1) * sizeof *claims);
    for (size_t c = 0; c < r->n_require; c++)
        claims[c].value = pb_config_item(cfg, "require", (uint32_t)c, &claims[c].name);
    r->require = claims;
    if (pb_jwt_rule_check(r, err)) return pb_config_fail(cfg, "issuer", err, "%s", err->msg);
    if (is->url.n == 0 && file.n == 0)
        return pb_config_fail(cfg, "issuer", err, "where are its keys? Write jwks_url or jwks_file");
    if (is->url.n && file.n)
        return pb_config_fail(cfg, "jwks_file", err, "jwks_url stands there too: one of the two");
    if (!file.n) return 0;
    is->file = pb_strndup(file.p, file.n);
    if (!read_file(is, err)) return 0;
    char why[PB_ERR_TEXT];
    snprintf(why, sizeof why, "%s", err->msg);
    return pb_config_fail(cfg, "jwks_file", err, "%s", why);
}

struct pb_issuers *pb_issuers_new(const struct pb_site *site, struct pb_loop *loop,
                                  struct pb_http_client *http, struct pb_err *err)
{
    const struct pb_site_parts *parts = &site->issuers;
    struct pb_issuers *all = pb_zalloc(sizeof *all);
    all->loop = loop;
    all->http = http;
    /* NOLINTNEXTLINE(bugprone-sizeof-expression): the items are pointers */
    all->each = pb_zalloc((parts->n + 1) * sizeof *all->each);
    all->rules = pb_zalloc((parts->n + 1) * sizeof *all->rules);
    for (size_t i = 0; i < parts->n; i++) {
        all->n = i + 1;
        if (make(all, i, &parts->list[i], err)) {
            pb_issuers_free(all);
            return NULL;
        }
    }
    for (size_t i = 0; http && i < all->n; i++) {
        struct issuer *is = all->each[i];
        if (!is->file) {
            renew(is);
            continue;
        }
        pb_jwks_refresh_began(&is->refresh, now());
        pb_jwks_refresh_ended(&is->refresh, now(), true, pb_str(NULL, 0));
        look_later(is);
    }
    return all;
}

void pb_issuers_free(struct pb_issuers *all)
{
    if (!all) return;
    for (size_t i = 0; i < all->n; i++) {
        struct issuer *is = all->each[i];
        pb_timer_cancel(&is->timer);
        pb_jwt_keys_free(is->keys);
        pb_free(is->file);
        is->all = NULL;
        if (is->exchange)
            pb_fetch_cancel(all->http, is->exchange); /* on_done frees it */
        else
            pb_free(is);
    }
    pb_free(all->each);
    pb_free(all->rules);
    pb_arena_free(&all->mem);
    pb_free(all);
}

const struct pb_auth_issuer *pb_issuers_list(const struct pb_issuers *all, size_t *n)
{
    *n = all->n;
    return all->rules;
}
