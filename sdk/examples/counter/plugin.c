/* SPDX-License-Identifier: MIT */
/*
 * Counters: an action that counts each request once, however often it is asked, and an event.
 *
 * A counter is one value of the host's store: "VALUE KEY:VALUE KEY:VALUE ...", the newest requests last, each
 * with what it made of the counter. It is changed by compare-and-set, so that two workers may add at once;
 * and a request that is repeated after a crash finds its key and is answered as the first time.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <patchbay/actions.h>
#include <patchbay/host_event.h>
#include <patchbay/host_kv.h>

/* REMEMBERED requests of at most 64 bytes of key; a repeat comes within minutes. */
enum { NAME_MOST = 100, REMEMBERED = 64, VALUE_MOST = REMEMBERED * (64 + 24) + 32 };

struct counter {
    const pbay_host *host;
    const pbay_action_1 *action;
    const pbay_event_1 *event;
    const pbay_kv_1 *kv;
    int64_t every;
};

/* One attempt of `add`. */
struct addition {
    struct counter *c;
    pbay_action_run run;
    char name[NAME_MOST + 1], key[65];
    int64_t by, value; /* value: after it */
    char store_key[NAME_MOST + 16];
};

/* ------------------------------------------------------------------------------------------ an addition */

/* The end of the attempt; the host asks again when it may help. */
static void failed(struct addition *a, const pbay_result *result)
{
    a->c->action->failed(a->run, result);
    free(a);
}

static void finish(struct addition *a)
{
    char json[NAME_MOST + 64];
    snprintf(json, sizeof json, "{\"name\": \"%s\", \"value\": %" PRId64 "}", a->name, a->value);
    a->c->action->done(a->run, pbay_str_c(json));
    free(a);
}

static void announced(void *user, const pbay_result *result, uint32_t n_new)
{
    struct addition *a = user;
    (void)n_new; /* 0: an earlier attempt had announced it */
    if (result->code)
        failed(a, result);
    else
        finish(a);
}

static int64_t floor_div(int64_t a, int64_t b)
{
    return a / b - (a % b < 0);
}

/* Counted. Did it pass a multiple of `every`? The event's key lets it be stored once. */
static void counted(struct addition *a)
{
    const int64_t every = a->c->every;
    char key[200], data[NAME_MOST + 96];
    if (!every || floor_div(a->value, every) == floor_div(a->value - a->by, every)) {
        finish(a);
        return;
    }
    snprintf(key, sizeof key, "%s/%s", a->name, a->key);
    snprintf(data, sizeof data, "{\"status\": \"ok\", \"name\": \"%s\", \"value\": %" PRId64 "}", a->name,
             a->value);
    const pbay_str keys[] = {pbay_str_c(key)};
    const pbay_event e = {.struct_size = sizeof e,
                          .n_keys = 1,
                          .keys = keys,
                          .type = {"reached", 7},
                          .subject = pbay_str_c(a->name),
                          .data = pbay_str_c(data)};
    a->c->event->put(a->c->host, &e, 1, announced, a);
}

static void look(struct addition *a);

static void stored(void *user, const pbay_result *result)
{
    struct addition *a = user;
    if (result->code == PBAY_ABORTED)
        look(a); /* somebody else was faster: from the present value again */
    else if (result->code)
        failed(a, result);
    else
        counted(a);
}

/* The value that this request made, when it is among those that are remembered. */
static int remembered(struct addition *a, const char *value)
{
    char word[80];
    snprintf(word, sizeof word, " %s:", a->key);
    const char *at = strstr(value, word);
    if (at) a->value = strtoll(at + strlen(word), NULL, 10);
    return at != NULL;
}

static void found(void *user, const pbay_result *result, pbay_str had)
{
    struct addition *a = user;
    char old[VALUE_MOST], fresh[2 * VALUE_MOST];
    if (result->code && result->code != PBAY_NOT_FOUND) {
        failed(a, result);
        return;
    }
    snprintf(old, sizeof old, "%.*s", (int)had.n, had.n ? had.p : "");
    if (remembered(a, old)) {
        counted(a);
        return;
    }
    char *rest = old;
    const int64_t before = strtoll(old, &rest, 10);
    if (__builtin_add_overflow(before, a->by, &a->value)) {
        pbay_result r = PBAY_RESULT_OK;
        pbay_fail(&r, PBAY_OUT_OF_RANGE, "the counter would pass 2^63");
        failed(a, &r);
        return;
    }
    size_t n = 0;
    for (const char *p = rest; *p; p++) n += *p == ' ';
    while (n-- >= REMEMBERED) rest = strchr(rest + 1, ' '); /* forget the oldest */
    snprintf(fresh, sizeof fresh, "%" PRId64 "%s %s:%" PRId64, a->value, rest ? rest : "", a->key, a->value);
    a->c->kv->put(a->c->host, pbay_str_c(a->store_key), pbay_str_c(fresh), &had, 0, stored, a);
}

static void look(struct addition *a)
{
    a->c->kv->get(a->c->host, pbay_str_c(a->store_key), found, a);
}

static int32_t run(void *self, uint32_t action, pbay_action_run run_, const pbay_action_info *info,
                   pbay_result *why)
{
    struct counter *c = self;
    const pbay_str name = c->host->get_str(info->arguments, "name");
    const char *good = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-";
    (void)action;
    struct addition *a = calloc(1, sizeof *a);
    if (!a) return pbay_fail(why, PBAY_RESOURCE_EXHAUSTED, "no memory");
    a->c = c;
    a->run = run_;
    a->by = c->host->get_int(info->arguments, "by");
    snprintf(a->name, sizeof a->name, "%.*s", (int)name.n, name.n ? name.p : "");
    snprintf(a->key, sizeof a->key, "%.*s", (int)info->key.n, info->key.p);
    if (!name.n || name.n > NAME_MOST || strspn(a->name, good) != name.n) {
        free(a);
        return pbay_fail(why, PBAY_INVALID_ARGUMENT, "name has 1 to 100 letters, digits, '_', '.' and '-'");
    }
    snprintf(a->store_key, sizeof a->store_key, "counter/%s", a->name);
    look(a); /* one done or failed is owed from here on; both come later */
    return PBAY_OK;
}

/* ----------------------------------------------------------------------------------------------- plugin */

static const pbay_option add_arguments[] = {
    {"name", PBAY_OPT_STR, PBAY_OPTF_REQUIRED, NULL, NULL, "The counter."},
    {"by", PBAY_OPT_INT, 0, "1", "-1000000000..1000000000", "What is added."},
};
static const pbay_action actions_table[] = {
    {"add",
     "Adds to a counter, once for each key.",
     PBAY_REPEAT_KEYED,
     0,
     {add_arguments, 2, sizeof(pbay_option)}},
};
static const pbay_actions_1 actions = {
    .struct_size = sizeof actions,
    .n_actions = 1,
    .actions = actions_table,
    .action_stride = sizeof(pbay_action),
    .run = run,
};
static const pbay_option options[] = {
    {"every", PBAY_OPT_INT, 0, "0", "0..1000000000",
     "The event `reached` comes when a counter passes a multiple of this; 0: never."},
};

static int32_t create(const pbay_host *host, const pbay_config *config, void **self, pbay_result *why)
{
    struct counter *c = calloc(1, sizeof *c);
    if (!c) return pbay_fail(why, PBAY_RESOURCE_EXHAUSTED, "no memory");
    c->host = host;
    c->action = host->service(host, PBAY_SVC_ACTION);
    c->event = host->service(host, PBAY_SVC_EVENT);
    c->kv = host->service(host, PBAY_SVC_KV);
    c->every = host->get_int(config, "every");
    *self = c;
    if (c->action && c->event && c->kv) return PBAY_OK;
    free(c);
    return pbay_fail(why, PBAY_UNIMPLEMENTED, "this host has no actions, events or pbay.host.kv/1");
}

static void destroy(void *self)
{
    free(self);
}

static const void *extension(const char *id)
{
    return strcmp(id, PBAY_EXT_ACTIONS) == 0 ? &actions : NULL;
}

PBAY_EXPORT const pbay_entry *pbay_plugin_entry(void)
{
    static const pbay_descriptor descriptor = {
        .struct_size = sizeof descriptor,
        .name = "counter",
        .version = "1.0.0",
        .vendor = "Patchbay",
        .license = "MIT",
        .summary = "Counters that count each request once",
        .options = {options, 1, sizeof(pbay_option)},
    };
    static const pbay_entry entry = {PBAY_MAGIC, sizeof entry, PBAY_ABI_MAJOR, PBAY_ABI_MINOR,
                                     0,          &descriptor,  create,         NULL,
                                     NULL,       destroy,      extension};
    return &entry;
}
