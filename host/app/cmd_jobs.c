/* SPDX-License-Identifier: MIT */
/* `patchbay jobs`: durable work, seen and changed from outside, whether a gateway runs or not. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "app/store_args.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/mem.h"
#include "plugin/actions.h"
#include "store/control.h"
#include "store/jobs.h"

static const char *const effects[] = {"none", "maybe", "done"};
static const char *const repeats[] = {"safe", "keyed", "check"};
static const char *const phases[] = {"run", "check", "poll"};

/* ------------------------------------------------------------------------ list */

static int read_filter(const struct pb_args *a, struct pb_job_filter *f)
{
    const char *states = pb_args_get(a, "states"), *limit = pb_args_get(a, "limit");
    uint64_t n = 50;
    *f = (struct pb_job_filter){.queue = pb_str_c(pb_args_get(a, "queue")),
                                .connector = pb_str_c(pb_args_get(a, "connector")),
                                .action = pb_str_c(pb_args_get(a, "action")),
                                .run = pb_str_c(pb_args_get(a, "run")),
                                .before = pb_str_c(pb_args_get(a, "before"))};
    for (pbay_str rest = pb_str_c(states), one; states && pb_str_split(&rest, ',', &one);) {
        enum pb_job_state s;
        if (!pb_job_state_parse(pb_str_trim(one), &s))
            return pb_cli_usage(
                a->verb, "--states %s: waiting, running, done, dead, cancelled, parked; commas between",
                states);
        f->states |= 1u << s;
    }
    if (limit && (!pb_parse_u64(pb_str_c(limit), &n) || !n || n > PB_LIST_MAX))
        return pb_cli_usage(a->verb, "--limit %s: a number from 1 to %d", limit, PB_LIST_MAX);
    f->limit = (uint32_t)n;
    return -1;
}

static void print_counts_of(void *user, pbay_str queue, enum pb_job_state state, uint64_t n)
{
    bool *headed = user;
    if (!*headed) printf("by queue:\n");
    *headed = true;
    printf("  ");
    pb_print_text(queue, 60);
    printf(" %s %" PRIu64 "\n", pb_job_state_name(state), n);
}

static void print_line(const struct pb_job *j)
{
    printf("%.*s  %-9s  ", PB_FMT(j->id), pb_job_state_name(j->state));
    pb_print_time(j->created_ms);
    printf("  %u/%u  ", j->attempt, j->max_attempts);
    pb_print_text(j->queue, 60);
    printf("  ");
    pb_print_text(j->action, 100);
    if (j->key.n) {
        printf("  key=");
        pb_print_text(j->key, 80);
    }
    if (j->error.n && j->state != PB_JOB_DONE) {
        printf("  error=");
        pb_print_text(j->error, 120);
    }
    printf("\n");
}

static int list(const struct pb_args *a, struct pb_store *s)
{
    struct pb_job_filter f;
    struct pb_jobs jobs;
    struct pb_err err;
    int rc = read_filter(a, &f);
    if (rc >= 0) return rc;
    rc = pb_store_job_list(s, &f, &jobs, &err);
    if (rc) {
        pb_jobs_free(&jobs);
        return pb_args_error(a, PB_EXIT_FAILED, "%s", err.msg);
    }
    for (size_t i = 0; i < jobs.n; i++) print_line(jobs.items[i]);
    size_t n = jobs.n;
    pb_jobs_free(&jobs);
    if (n == f.limit) fprintf(stderr, "the newest %zu; --limit for more, --before ID for older ones\n", n);
    if (!n)
        printf("no jobs%s\n",
               f.states || f.queue.n || f.connector.n || f.action.n || f.run.n ? " like that" : "");
    bool headed = false;
    if (pb_store_job_counts(s, print_counts_of, &headed, &err))
        return pb_args_error(a, PB_EXIT_FAILED, "%s", err.msg);
    return PB_EXIT_OK;
}

/* ------------------------------------------------------------------------ show */

static void field(const char *name, pbay_str text)
{
    if (!text.n) return;
    printf("%-13s ", name);
    pb_print_text(text, 4096);
    printf("\n");
}

static void time_field(const char *name, int64_t ms)
{
    if (!ms) return;
    printf("%-13s ", name);
    pb_print_time(ms);
    printf("\n");
}

static void print_job(const struct pb_job *j)
{
    field("id", j->id);
    printf("%-13s %s%s\n", "state", pb_job_state_name(j->state),
           j->cancel && j->state < PB_JOB_DONE ? ", to be cancelled" : "");
    field("queue", j->queue);
    field("connector", j->connector);
    field("function", j->function);
    field("action", j->action);
    field("args", j->args);
    field("key", j->key);
    field("cause", j->cause);
    field("run", j->run);
    field("limit", j->limit_key);
    printf("%-13s %s; effect so far: %s; next: %s\n", "repeat", repeats[j->repeat],
           effects[j->effect > 2 ? 1 : j->effect], phases[j->phase]);
    printf("%-13s %u of %u\n", "attempts", j->attempt, j->max_attempts);
    time_field("created", j->created_ms);
    time_field("first attempt", j->first_ms);
    if (j->state == PB_JOB_WAITING) time_field("due", j->run_at_ms);
    if (j->state == PB_JOB_RUNNING) {
        field("runs in", j->owner);
        time_field("lease until", j->lease_until_ms);
    }
    field("handle", j->handle);
    time_field("ended", j->ended_ms);
    if (j->error.n) {
        printf("%-13s %s%s", "last failure", pb_code_name(j->code), j->vendor_status ? "" : ": ");
        if (j->vendor_status) printf(" (%d): ", j->vendor_status);
        pb_print_text(j->error, 4096);
        printf("\n");
    }
    if (j->input_n) printf("%-13s %" PRIu64 " bytes\n", "input", j->input_n);
}

static int show(const struct pb_args *a, struct pb_store *s, const struct pb_job *j)
{
    struct pb_buf result = {0};
    struct pb_err err;
    print_job(j);
    if (j->result_n && pb_store_job_result(s, j->id, &result, &err) == 0) {
        printf("%-13s ", "result");
        pb_print_text(pb_buf_view(&result), 65536);
        printf("\n");
        time_field("kept until", j->expires_ms);
    }
    pb_buf_free(&result);
    (void)a;
    return PB_EXIT_OK;
}

/* ------------------------------------------------------------------------ retry, cancel */

struct change {
    pbay_str id;
    bool retry;
};

static int change(struct pb_store *s, void *user, struct pb_err *err)
{
    const struct change *c = user;
    char object[64];
    if (c->retry ? pb_store_job_retry(s, c->id, err) : pb_store_job_cancel(s, c->id, err)) return -1;
    snprintf(object, sizeof object, "job %.*s", PB_FMT(c->id));
    const struct pb_audit audit = {.who = pb_args_who(),
                                   .what = c->retry ? PB_STR("retry") : PB_STR("cancel"),
                                   .object = pb_str_c(object)};
    return pb_store_audit_put(s, &audit, err);
}

static int change_job(const struct pb_args *a, struct pb_store *s, const struct pb_job *j, bool retry)
{
    struct change c = {j->id, retry};
    struct pb_err err;
    struct pb_job *now;
    if (!retry && (j->state == PB_JOB_DONE || j->state == PB_JOB_DEAD || j->state == PB_JOB_CANCELLED))
        return pb_args_error(a, PB_EXIT_FAILED, "job %.*s is %s already", PB_FMT(j->id),
                             pb_job_state_name(j->state));
    if (pb_store_atomic(s, change, &c, &err) || pb_store_job_get(s, j->id, PB_STR(""), &now, &err))
        return pb_args_error(a, PB_EXIT_FAILED, "%s", err.msg);
    pb_args_wake(a);
    printf("job %.*s is %s%s\n", PB_FMT(j->id), pb_job_state_name(now->state),
           now->state == PB_JOB_RUNNING && now->cancel ? " and will end soon: its worker is told" : "");
    pb_free(now);
    return PB_EXIT_OK;
}

static int jobs(int argc, char **argv)
{
    struct pb_args args, *a = &args;
    int rc = pb_args_parse(a, &pb_verb_jobs, argc, argv);
    if (rc >= 0) return rc;
    const char *what = a->n ? a->args[0] : "list";
    bool one = strcmp(what, "show") == 0 || strcmp(what, "retry") == 0 || strcmp(what, "cancel") == 0;
    if (!one && strcmp(what, "list") != 0)
        return pb_cli_usage(a->verb, "%s: list, show, retry or cancel", what);
    if (one && a->n != 2) return pb_cli_usage(a->verb, "%s which job? `patchbay jobs` lists them", what);
    if (!one && a->n > 1) return pb_cli_usage(a->verb, "list takes options, no arguments");
    struct pb_store *s = pb_args_store(a);
    if (!s) return PB_EXIT_FAILED;
    if (one) {
        struct pb_job *j = NULL;
        struct pb_err err;
        pbay_str id = pb_str_c(a->args[1]), none = PB_STR("");
        /* An id, or a key. */
        if (pb_store_job_get(s, id, none, &j, &err) && pb_store_job_get(s, none, id, &j, &err))
            rc = pb_args_error(a, PB_EXIT_FAILED, "no job has the id or the key \"%s\"", a->args[1]);
        else
            rc = strcmp(what, "show") == 0 ? show(a, s, j) : change_job(a, s, j, strcmp(what, "retry") == 0);
        pb_free(j);
    } else
        rc = list(a, s);
    pb_store_close(s);
    return rc;
}

static const struct pb_cli_option options[] = {
    PB_OPTION_CONFIG,
    PB_OPTION_STATE,
    {"states", 0, "A,B", "only those that are waiting, running, done, dead, cancelled or parked"},
    {"queue", 'q', "NAME", "only those of a queue"},
    {"connector", 0, "NAME", "only those of a connector"},
    {"action", 0, "NAME", "only those of an action: CONNECTOR.ACTION"},
    {"run", 0, "ID", "only those of a run of a chain"},
    {"before", 0, "ID", "only those that were put before this one"},
    {"limit", 'n', "N", "at most so many; 50 unless given"},
};
const struct pb_cli_verb pb_verb_jobs = {
    .name = "jobs",
    .args = "[list | show ID | retry ID | cancel ID]",
    .summary = "Durable work: list it, look at a job, run one again, cancel one.",
    .text = "ID is a job's id or its key. `retry` runs again what is dead, cancelled or parked, with its "
            "attempts\n"
            "counted anew, and what waits at once. A parked job is one of which nobody can tell whether it "
            "was done:\n"
            "look, then retry it, or cancel it. A gateway that runs reacts at once.",
    .options = options,
    .n_options = PB_COUNTOF(options),
    .max_args = 2,
    .run = jobs};
