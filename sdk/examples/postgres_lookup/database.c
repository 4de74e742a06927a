/* SPDX-License-Identifier: MIT */
#include "database.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

enum { LOOK_MS = 20, GIVE_UP_MS = 2000 };

static int64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

void database_close(struct database *d)
{
    PQfinish(d->c); /* NULL is fine */
    *d = (struct database){0};
}

/* --------------------------------------------------------------------------------------- what went wrong
 */

/* https://www.postgresql.org/docs/15/errcodes-appendix.html, by class. */
static void judge(struct trouble *t, const char *state, const char *text)
{
    static const struct {
        const char *prefix;
        int32_t code;
        uint32_t advice;
        int row;
    } all[] = {
        {"08", PBAY_UNAVAILABLE, PBAY_ADVICE_RETRY, 0},
        {"22", PBAY_INVALID_ARGUMENT, PBAY_ADVICE_NONE, 1},
        {"28", PBAY_UNAUTHENTICATED, PBAY_ADVICE_NONE, 0},
        {"25006", PBAY_PERMISSION_DENIED, PBAY_ADVICE_NONE, 0},
        {"40", PBAY_ABORTED, PBAY_ADVICE_RETRY, 0},
        {"42501", PBAY_PERMISSION_DENIED, PBAY_ADVICE_NONE, 0},
        {"42", PBAY_FAILED_PRECONDITION, PBAY_ADVICE_NONE, 0},
        {"53", PBAY_RESOURCE_EXHAUSTED, PBAY_ADVICE_SLOW, 0},
        {"57014", PBAY_DEADLINE_EXCEEDED, PBAY_ADVICE_NONE, 0},
        {"57P", PBAY_UNAVAILABLE, PBAY_ADVICE_RETRY, 0},
    };
    *t = (struct trouble){.code = PBAY_INTERNAL};
    snprintf(t->state, sizeof t->state, "%s", state ? state : "");
    size_t n = strcspn(text, "\n"); /* libpq's own end with one */
    snprintf(t->text, sizeof t->text, "PostgreSQL: %.*s", (int)(n < 300 ? n : 300), text);
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        if (!strncmp(t->state, all[i].prefix, strlen(all[i].prefix))) {
            t->code = all[i].code;
            t->advice = all[i].advice;
            t->row = all[i].row;
            return;
        }
    if (!t->state[0]) { /* not the server's: the connection's */
        t->code = PBAY_UNAVAILABLE;
        t->advice = PBAY_ADVICE_RETRY;
    }
}

static void silent(void *arg, const char *message)
{
    (void)arg, (void)message; /* notices would go to the gateway's standard error */
}

/* ------------------------------------------------------------------------------------------- connections
 */

static int connected(struct database *d, const struct question *q, struct trouble *t)
{
    /* What stands later counts: the operator's words may say another. */
    static const char *const names[] = {"fallback_application_name", "connect_timeout", "client_encoding",
                                        "dbname", NULL};
    const char *const values[] = {"patchbay", "5", "UTF8", q->dsn, NULL};
    char sql[128];
    if (d->c && PQstatus(d->c) == CONNECTION_OK) return 1;
    database_close(d);
    d->c = PQconnectdbParams(names, values, 1);
    if (PQstatus(d->c) == CONNECTION_OK) {
        PQsetNoticeProcessor(d->c, silent, NULL);
        snprintf(sql, sizeof sql,
                 "SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY; SET statement_timeout = %lld",
                 (long long)q->timeout_ms);
        PGresult *r = PQexec(d->c, sql);
        const int good = PQresultStatus(r) == PGRES_COMMAND_OK;
        PQclear(r);
        if (good) return 1;
    }
    judge(t, NULL, PQerrorMessage(d->c));
    database_close(d);
    return 0;
}

/* At once and without waiting for the server: it is told by a connection of its own. */
static void tell_cancel(PGconn *c)
{
    char text[256];
    PGcancel *handle = PQgetCancel(c);
    if (handle) PQcancel(handle, text, sizeof text);
    PQfreeCancel(handle);
}

/* The result of what was sent, watched: cancelled, or too late, it is cut short. NULL: the connection is of
 * no use. */
static PGresult *result(struct database *d, const struct question *q)
{
    int64_t give_up = 0;
    while (PQisBusy(d->c)) {
        struct pollfd fd = {PQsocket(d->c), POLLIN, 0};
        const int64_t now = now_ns();
        if (give_up && now > give_up) return NULL; /* nobody answers there */
        if (!give_up && (atomic_load(q->cancelled) || now > q->deadline_ns)) {
            tell_cancel(d->c);
            give_up = now_ns() + (int64_t)GIVE_UP_MS * 1000000;
        }
        if (poll(&fd, 1, LOOK_MS) < 0 && errno != EINTR) return NULL;
        if (!PQconsumeInput(d->c)) return NULL;
    }
    PGresult *r = PQgetResult(d->c), *more;
    while ((more = PQgetResult(d->c)) != NULL) PQclear(more);
    return r;
}

/* Sends one of both, and waits. NULL with *t. */
static PGresult *step(struct database *d, const struct question *q, const char *prepare, const char *name,
                      struct trouble *t)
{
    const int sent = prepare ? PQsendPrepare(d->c, name, prepare, 0, NULL)
                             : PQsendQueryPrepared(d->c, name, (int)q->n, q->values, NULL, NULL, 0);
    PGresult *r = sent ? result(d, q) : NULL;
    const ExecStatusType status = r ? PQresultStatus(r) : PGRES_FATAL_ERROR;
    if (status == PGRES_TUPLES_OK || status == PGRES_COMMAND_OK) return r;
    const char *text = r ? PQresultErrorField(r, PG_DIAG_MESSAGE_PRIMARY) : NULL;
    judge(t, r ? PQresultErrorField(r, PG_DIAG_SQLSTATE) : NULL, text ? text : PQerrorMessage(d->c));
    PQclear(r);
    if (!r) database_close(d);
    return NULL;
}

PGresult *database_ask(struct database *d, const struct question *q, struct trouble *t)
{
    char name[16];
    snprintf(name, sizeof name, "q%u", q->number);
    for (int again = 0;; again = 1) {
        const int fresh = d->c == NULL;
        if (atomic_load(q->cancelled)) {
            *t = (struct trouble){.code = PBAY_CANCELLED, .text = "cancelled"};
            return NULL;
        }
        if (!connected(d, q, t)) return NULL;
        PGresult *r = NULL;
        int ready = d->prepared >> q->number & 1;
        if (!ready && (r = step(d, q, q->sql, name, t)) != NULL) {
            d->prepared |= (uint64_t)1 << q->number;
            ready = 1;
            PQclear(r);
        }
        r = ready ? step(d, q, NULL, name, t) : NULL;
        if (r) return r;
        if (atomic_load(q->cancelled)) t->code = PBAY_CANCELLED;
        /* A session that was there before may have ended meanwhile: the server was started anew. Once more,
         * in a new one. */
        if (fresh || again || t->code != PBAY_UNAVAILABLE || now_ns() > q->deadline_ns) return NULL;
        database_close(d);
    }
}
