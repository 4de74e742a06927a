/* SPDX-License-Identifier: MIT */
/* The sink `v1`: records as ModelDB 1.0 holds them. */
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "facts.h"
#include "sink.h"
#include "v1_server.h"

struct sink {
    struct modeldb *m;
    v1_server *server;
    mdb_task *tasks;
};

struct mdb_task {
    struct sink *sink;
    mdb_task *next;
    v1_job *job; /* NULL: cancelled, and done is due */
    pbay_timer late;
    int64_t deadline;
    mdb_done done;
    mdb_differs differs;
    void *user;
    bool cancelled;
    char name[300];
    char why[500];
    /* What v1_wanted points to. */
    v1_wanted w;
    mdb_facts facts;
    v1_pair *pairs; /* parameters, channels' facts, fields */
    v1_number *numbers;
    v1_channel *channels;
    pbay_text run;
};

/* ------------------------------------------------------------------------------------------------- mapping
 */

static void *many(size_t n, size_t each)
{
    void *p = calloc(n ? n : 1, each);
    if (!p) abort();
    return p;
}

/* The seed sends the first two, as they are; we send what is said. */
static size_t channel_facts(const mdb_channel *c, bool seed, v1_pair *out)
{
    const v1_pair all[] = {{STR("CompressionType"), c->compression},
                           {STR("RecordWrapperType"), c->wrapper},
                           {STR("ContentType"), c->content_type},
                           {STR("InputMode"), c->input_mode},
                           {STR("DataType"), c->data_type}};
    size_t n = 0;
    for (size_t i = 0; i < (seed ? 2 : COUNT(all)); i++)
        if (all[i].value.n) out[n++] = all[i];
    return n;
}

static void map(mdb_task *t, const mdb_record *r)
{
    enum { FACTS = 5 };
    const bool seed = t->sink->m->seed;
    v1_wanted *w = &t->w;
    mdb_facts_of(r, true, &t->facts);
    pbay_text_printf(&t->run, "%.*s (%.*s)", FMT(r->name), FMT(r->arn));
    *w = (v1_wanted){.seed = seed,
                     .project = r->project,
                     .author = r->user,
                     .description = r->description,
                     .arn = r->arn,
                     .run = pbay_text_view(&t->run),
                     .type = r->model_type,
                     .name = r->model_name,
                     .artifact = r->artifact};
    v1_pair *at = t->pairs = many(r->n_parameters + FACTS * r->n_channels + t->facts.n, sizeof *at);
    w->parameters = at;
    for (size_t i = 0; i < r->n_parameters; i++)
        *at++ = (v1_pair){r->parameters[i].name, r->parameters[i].value};
    w->n_parameters = r->n_parameters;
    w->channels = t->channels = many(r->n_channels, sizeof *t->channels);
    for (size_t i = 0; i < r->n_channels; i++) {
        const size_t n = channel_facts(&r->channels[i], seed, at);
        t->channels[i] = (v1_channel){r->channels[i].name, r->channels[i].uri, at, n};
        at += n;
    }
    w->n_channels = r->n_channels;
    w->fields = at;
    for (size_t i = 0; i < t->facts.n; i++) *at++ = (v1_pair){t->facts.p[i].name, t->facts.p[i].value};
    w->n_fields = t->facts.n;
    /* Metrics can only be appended, so those of a job that goes on are not sent yet; what is not finite the
     * server's database takes for NULL and refuses. Both are in the metadata. */
    w->metrics = t->numbers = many(r->n_metrics, sizeof *t->numbers);
    for (size_t i = 0; i < r->n_metrics; i++)
        if (r->metrics[i].finite && mdb_record_over(r))
            t->numbers[w->n_metrics++] = (v1_number){r->metrics[i].name, r->metrics[i].value};
}

/* --------------------------------------------------------------------------------------------------- tasks
 */

static void end(mdb_task *t, const pbay_result *r, pbay_str json)
{
    struct modeldb *m = t->sink->m;
    mdb_task **at = &t->sink->tasks;
    while (*at != t) at = &(*at)->next;
    *at = t->next;
    if (t->late) m->timer->cancel(t->late);
    t->done(t->user, r, json);
    mdb_facts_free(&t->facts);
    free(t->pairs);
    free(t->numbers);
    free(t->channels);
    pbay_text_free(&t->run);
    free(t);
}

static void told(mdb_task *t, const v1_outcome *o, pbay_text *json)
{
    pbay_text_c(json, "{\"store\": \"v1\", \"server\": ");
    pbay_text_json(json,
                   (pbay_str){v1_server_where(t->sink->server), strlen(v1_server_where(t->sink->server))});
    pbay_text_printf(
        json,
        ", \"project_id\": %ld, \"experiment_id\": %ld, \"run_id\": %ld, \"model_id\": %ld, \"created\": %s, "
        "\"completed\": %s, \"fields\": %u, \"metrics\": %u, \"data_frames\": %u, \"metrics_kept\": %u}",
        (long)o->project, (long)o->experiment, (long)o->run, (long)o->model, o->found ? "false" : "true",
        o->repaired ? "true" : "false", o->n_fields, o->n_metrics, o->n_frames, o->n_kept);
}

static void finished(void *user, const pbay_result *r, const v1_outcome *o)
{
    mdb_task *t = user;
    pbay_text json = {NULL, 0, 0};
    t->job = NULL;
    if (!r->code && !t->differs) told(t, o, &json);
    end(t, r, pbay_text_view(&json));
    pbay_text_free(&json);
}

static void differs(void *user, const v1_difference *d)
{
    mdb_task *t = user;
    const bool all = !strcmp(d->what, "model") && !d->stored.n;
    t->differs(t->user, all ? "job" : d->what, d->name, d->wanted, d->stored);
}

/* The deadline has come, or somebody cancelled. */
static void too_late(void *user)
{
    mdb_task *t = user;
    pbay_result r = PBAY_RESULT_OK;
    t->late = 0;
    if (t->job) v1_job_cancel(t->job);
    t->job = NULL;
    r.code = t->cancelled ? PBAY_CANCELLED : PBAY_DEADLINE_EXCEEDED;
    r.effect = t->differs ? PBAY_EFFECT_NONE : PBAY_EFFECT_MAYBE;
    r.advice = PBAY_ADVICE_RETRY;
    snprintf(t->why, sizeof t->why, "%s: %s is not through with it %s", t->name,
             v1_server_where(t->sink->server), t->cancelled ? "and it was cancelled" : "in time");
    r.message = (pbay_str){t->why, strlen(t->why)};
    end(t, &r, STR(""));
}

static mdb_task *begin(void *sink, const mdb_record *r, int64_t deadline, mdb_differs d, mdb_done done,
                       void *user)
{
    struct sink *s = sink;
    const pbay_timer_1 *timer = s->m->timer;
    mdb_task *t = many(1, sizeof *t);
    t->sink = s;
    t->done = done;
    t->differs = d;
    t->user = user;
    t->next = s->tasks;
    s->tasks = t;
    snprintf(t->name, sizeof t->name, "job %.*s", (int)(r->name.n < 200 ? r->name.n : 200),
             r->name.n ? r->name.p : "");
    map(t, r);
    const int64_t left = (deadline - timer->monotonic_ns()) / NS_PER_MS;
    t->late = timer->start(s->m->host, left > 0 ? left : 0, 0, too_late, t);
    const pbay_str name = {t->name, strlen(t->name)};
    t->job = d ? v1_server_verify(s->server, &t->w, name, differs, finished, t)
               : v1_server_sync(s->server, &t->w, name, finished, t);
    return t;
}

static mdb_task *sink_write(void *sink, const mdb_record *r, int64_t deadline, mdb_done done, void *user)
{
    return begin(sink, r, deadline, NULL, done, user);
}

static mdb_task *sink_verify(void *sink, const mdb_record *r, int64_t deadline, mdb_differs d, mdb_done done,
                             void *user)
{
    return begin(sink, r, deadline, d, done, user);
}

static void sink_cancel(mdb_task *t)
{
    const struct modeldb *m = t->sink->m;
    if (t->cancelled) return;
    t->cancelled = true;
    m->timer->cancel(t->late);
    t->late = m->timer->start(m->host, 0, 0, too_late, t);
}

/* ---------------------------------------------------------------------------------------------------- life
 */

/* "fe80::1%eth0", too. */
static bool is_ipv6(pbay_str s)
{
    char text[64];
    struct in6_addr to;
    const char *zone = memchr(s.p, '%', s.n);
    snprintf(text, sizeof text, "%.*s", zone ? (int)(zone - s.p) : s.n < sizeof text ? (int)s.n : 0, s.p);
    return inet_pton(AF_INET6, text, &to) == 1;
}

static void *sink_open(struct modeldb *m, pbay_result *why)
{
    const pbay_host *h = m->host;
    const pbay_str address = h->get_str(m->config, "address");
    if (!address.n) {
        modeldb_refuse(
            m, why, PBAY_INVALID_ARGUMENT,
            "%.*s: store = v1 needs `address`, the host of ModelDB's Thrift port (\"modeldb.example.com\")",
            FMT(h->where(m->config, "address")));
        return NULL;
    }
    if (memchr(address.p, '/', address.n)) {
        modeldb_refuse(
            m, why, PBAY_INVALID_ARGUMENT,
            "%.*s: address is \"%.*s\": a bare host is wanted, not a URL; the port has its own option",
            FMT(h->where(m->config, "address")), FMT(address));
        return NULL;
    }
    if (memchr(address.p, ':', address.n) && !is_ipv6(address)) {
        modeldb_refuse(
            m, why, PBAY_INVALID_ARGUMENT,
            "%.*s: address is \"%.*s\": a bare host or address is wanted; the port has its own option, "
            "an IPv6 address no brackets",
            FMT(h->where(m->config, "address")), FMT(address));
        return NULL;
    }
    const v1_pool_settings o = {.host = h,
                                .stream = m->stream,
                                .timer = m->timer,
                                .address = address,
                                .port = (uint32_t)h->get_int(m->config, "port"),
                                .tls = h->get_int(m->config, "tls") != 0,
                                .connections = (uint32_t)h->get_int(m->config, "connections"),
                                .connect_ms = h->get_int(m->config, "connect_timeout"),
                                .answer_ms = h->get_int(m->config, "answer_timeout")};
    struct sink *s = many(1, sizeof *s);
    s->m = m;
    s->server = v1_server_new(&o, m->kv);
    return s;
}

static void sink_stop(void *sink)
{
    struct sink *s = sink;
    v1_server_stop(s->server);
}

static void sink_close(void *sink)
{
    struct sink *s = sink;
    v1_server_free(s->server);
    free(s);
}

const mdb_sink mdb_v1 = {"v1", sink_open, sink_stop, sink_close, sink_write, sink_verify, sink_cancel};
