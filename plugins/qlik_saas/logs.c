/* SPDX-License-Identifier: MIT */
#include "logs.h"

#include <stdlib.h>
#include <string.h>

#include "api.h"

enum { LOG_MAX = 64 << 20, WAITING_MAX = 200 };

static const int64_t DELAYS_MS[] = {500, 1500, 5000, 30000};

struct log_fetch {
    struct qlik *q;
    struct log_fetch *next, *prev; /* q->logs */
    char *app, *name, *reload;
    struct api_call *call;
    unsigned attempt;
};

void logs_tail(pbay_text *out, pbay_str log, size_t most)
{
    int cut = log.n > most;
    if (cut) {
        log.p += log.n - most;
        log.n = most;
        while (log.n && ((unsigned char)*log.p & 0xc0) == 0x80) log.p++, log.n--;
    }
    json_t *checked = json_stringn(log.n ? log.p : "", log.n); /* NULL: it is not UTF-8 */
    pbay_text_c(out, "\"log\":");
    pbay_text_json(out, checked ? log : pbay_str_c("(the log is not UTF-8)"));
    pbay_text_c(out, cut ? ",\"cut\":true" : ",\"cut\":false");
    json_decref(checked);
}

static void end(struct log_fetch *l)
{
    if (l->next) l->next->prev = l->prev;
    *(l->prev ? &l->prev->next : &l->q->logs) = l->next;
    l->q->n_logs--;
    free(l->app);
    free(l->name);
    free(l->reload);
    free(l);
}

static void on_stored(void *user, const pbay_result *result, uint32_t n_new)
{
    struct qlik *q = user;
    (void)n_new;
    if (result->code != PBAY_OK)
        qlik_log(q, PBAY_LOG_WARN, "a script log could not be stored", "error", result->message, NULL,
                 STR(""));
}

static void put_log(struct log_fetch *l, pbay_str log)
{
    struct qlik *q = l->q;
    pbay_text key = {NULL, 0, 0}, data = {NULL, 0, 0};
    pbay_text_printf(&key, "log/%s", l->reload);
    pbay_text_c(&data, "{\"status\":\"error\",\"app_id\":");
    pbay_text_json(&data, pbay_str_c(l->app));
    if (l->name[0]) {
        pbay_text_c(&data, ",\"app_name\":");
        pbay_text_json(&data, pbay_str_c(l->name));
    }
    pbay_text_c(&data, ",\"reload_id\":");
    pbay_text_json(&data, pbay_str_c(l->reload));
    pbay_text_c(&data, ",");
    logs_tail(&data, log, (size_t)q->host->get_int(q->config, "script_logs"));
    pbay_text_c(&data, "}");
    const pbay_str keys[] = {pbay_text_view(&key)};
    const pbay_event event = {.struct_size = sizeof event,
                              .n_keys = 1,
                              .keys = keys,
                              .type = STR("script_log"),
                              .subject = pbay_str_c(l->app),
                              .data = pbay_text_view(&data)};
    q->event->put(q->host, &event, 1, on_stored, q);
    pbay_text_free(&key);
    pbay_text_free(&data);
}

static void ask(void *user);

static void on_log(void *user, const struct api_reply *reply)
{
    struct log_fetch *l = user;
    struct qlik *q = l->q;
    l->call = NULL;
    if (reply->result.code == PBAY_OK) {
        put_log(l, reply->body);
        end(l);
    } else if (reply->result.code != PBAY_CANCELLED && ++l->attempt < COUNT(DELAYS_MS)) {
        q->timer->start(q->host, DELAYS_MS[l->attempt], 0, ask, l);
    } else {
        qlik_log(q, PBAY_LOG_WARN, "no script log of a failed reload", "error", reply->result.message,
                 "reload", pbay_str_c(l->reload));
        end(l);
    }
}

static void ask(void *user)
{
    struct log_fetch *l = user;
    pbay_text path = {NULL, 0, 0};
    pbay_text_c(&path, "/api/v1/apps/");
    pbay_text_percent(&path, pbay_str_c(l->app));
    pbay_text_c(&path, "/reloads/logs/");
    pbay_text_percent(&path, pbay_str_c(l->reload));
    const struct api_request rq = {
        .method = "GET", .path = pbay_text_view(&path), .tier = TIER_READ, .max_reply = LOG_MAX};
    l->call = api_send(l->q, &rq, on_log, l);
    pbay_text_free(&path);
}

void logs_fetch(struct qlik *q, pbay_str app, pbay_str app_name, pbay_str reload)
{
    if (!q->event || !app.n || !reload.n || q->n_logs >= WAITING_MAX ||
        !q->host->get_int(q->config, "script_logs"))
        return;
    struct log_fetch *l = qlik_alloc(sizeof *l);
    l->q = q;
    l->app = qlik_copy(app);
    l->name = qlik_copy(app_name);
    l->reload = qlik_copy(reload);
    l->next = q->logs;
    if (l->next) l->next->prev = l;
    q->logs = l;
    q->n_logs++;
    q->timer->start(q->host, DELAYS_MS[0], 0, ask, l);
}

void logs_free(struct qlik *q)
{
    while (q->logs) end(q->logs);
}
