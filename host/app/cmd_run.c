/* SPDX-License-Identifier: MIT */
/* `patchbay run`, the workers that it starts, `patchbay reload` and `restart`. */
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "app/control.h"
#include "app/leash.h"
#include "app/paths.h"
#include "app/supervisor.h"
#include "app/verbs.h"
#include "app/worker.h"
#include "base/log.h"

/* ------------------------------------------------------------------------------------------------ run */

/* As many connections as the system allows. */
static void raise_limits(void)
{
    struct rlimit r;
    if (getrlimit(RLIMIT_NOFILE, &r) || r.rlim_cur >= r.rlim_max) return;
    r.rlim_cur = r.rlim_max;
    setrlimit(RLIMIT_NOFILE, &r);
}

/* As many as there are processors for us, at most 4: more share too little. */
static int64_t automatic(void)
{
    cpu_set_t set;
    int64_t n = sched_getaffinity(0, sizeof set, &set) ? 1 : CPU_COUNT(&set);
    return n < 1 ? 1 : n > 4 ? 4 : n;
}

static int supervise(const struct pb_args *a, unsigned workers, char **argv)
{
    const char *given = pb_args_get(a, "config");
    char *config = given ? pb_strdup(given) : pb_path_config();
    if (!config)
        return pb_args_error(
            a, PB_EXIT_FAILED,
            "there is no ./patchbay.ini and no /etc/patchbay/patchbay.ini; name the file with --config");
    char *state = pb_args_state(a);
    char *runtime = pb_path_runtime(pb_args_get(a, "state"), state);
    struct pb_err err;
    int rc;
    if (pb_path_make(state, &err))
        rc = pb_args_error(a, PB_EXIT_FAILED, "%s", err.msg);
    else {
        const struct pb_supervisor_options o = {config, state, runtime, workers, argv};
        rc = pb_supervisor_run(&o);
    }
    pb_free(runtime);
    pb_free(state);
    pb_free(config);
    return rc;
}

static int run(int argc, char **argv)
{
    struct pb_args args, *a = &args;
    int rc = pb_args_parse(a, &pb_verb_run, argc, argv);
    if (rc >= 0) return rc;
    const char *given = pb_args_get(a, "workers");
    int64_t workers = 0;
    if (!given || strcmp(given, "auto") == 0)
        workers = automatic();
    else if (!pb_parse_i64(pb_str_c(given), &workers) || workers < 0 || workers > PB_PAGE_WORKERS)
        return pb_cli_usage(&pb_verb_run, "--workers %s: auto, or a number from 0 to %d", given,
                            PB_PAGE_WORKERS);
    raise_limits();
    if (workers) {
        /* As it was given: the words behind the program's name. */
        char **again = pb_array((size_t)argc + 2, sizeof *again);
        static char name[] = "patchbay";
        again[0] = name;
        memcpy(again + 1, argv, (size_t)argc * sizeof *argv);
        again[argc + 1] = NULL;
        rc = supervise(a, (unsigned)workers, again);
        pb_free(again);
        return rc;
    }
    struct pb_site *site = pb_args_site(a);
    if (!site) return PB_EXIT_FAILED;
    char *state = pb_args_state(a);
    char *runtime = pb_path_runtime(pb_args_get(a, "state"), state);
    const struct pb_worker_options o = {.site = site, .state_dir = state, .runtime_dir = runtime};
    rc = pb_worker_run(&o);
    pb_free(runtime);
    pb_free(state);
    return rc;
}

static const struct pb_cli_option run_options[] = {
    PB_OPTION_CONFIG,
    PB_OPTION_STATE,
    {"workers", 'w', "N",
     "worker processes below a supervisor; auto, unless given: one per processor, at most 4; 0: none, all in "
     "one process, for a debugger"}};
const struct pb_cli_verb pb_verb_run = {
    .name = "run",
    .summary = "Serve until SIGTERM or Ctrl-C, then let calls in flight end.",
    .text = "Prints `ready NAME=ADDRESS ...` when every listener is open. The log goes to standard error.\n"
            "A second signal stops without waiting. SIGHUP and `patchbay reload` read the\n"
            "configuration, scripts and plugins again: new workers take over when they are healthy.",
    .options = run_options,
    .n_options = PB_COUNTOF(run_options),
    .run = run};

/* ------------------------------------------------------------------------------------------------ worker */

static int number(const struct pb_args *a, const char *option, uint32_t *out)
{
    uint64_t n;
    const char *v = pb_args_get(a, option);
    if (!v || !pb_parse_u64(pb_str_c(v), &n) || n > UINT32_MAX) return -1;
    *out = (uint32_t)n;
    return 0;
}

static int work(int argc, char **argv)
{
    struct pb_args args, *a = &args;
    int rc = pb_args_parse(a, &pb_verb_worker, argc, argv);
    if (rc >= 0) return rc;
    uint32_t slot, generation;
    const char *config = pb_args_get(a, "config"), *state = pb_args_get(a, "state");
    struct pb_err err;
    if (!config || !state || number(a, "slot", &slot) || number(a, "generation", &generation))
        return pb_cli_usage(&pb_verb_worker, "`patchbay run` starts workers");
    pb_log_worker(slot, (int)getpid());
    struct pb_leash *leash = pb_leash_new(slot, generation, &err);
    if (!leash) return pb_args_error(a, PB_EXIT_FAILED, "%s", err.msg);
    struct pb_site *site = pb_site_load_fd(PB_LEASH_CONFIG, config, &err);
    close(PB_LEASH_CONFIG);
    if (!site) {
        pb_leash_failed(leash, err.msg);
        pb_leash_free(leash);
        return PB_EXIT_FAILED;
    }
    const struct pb_worker_options o = {
        .site = site, .state_dir = state, .leash = leash, .trial = pb_args_get(a, "trial") != NULL};
    return pb_worker_run(&o);
}

static const struct pb_cli_option worker_options[] = {PB_OPTION_CONFIG,
                                                      PB_OPTION_STATE,
                                                      {"slot", 0, "N", "its row of the page"},
                                                      {"generation", 0, "N", "of the configuration"},
                                                      {"trial", 0, NULL, "others serve"}};
const struct pb_cli_verb pb_verb_worker = {.name = "worker",
                                           .summary = "One worker of `patchbay run`.",
                                           .options = worker_options,
                                           .n_options = PB_COUNTOF(worker_options),
                                           .hidden = true,
                                           .run = work};

/* ------------------------------------------------------------------------------------------------ reload */

int pb_args_control(const struct pb_args *a, const char *line)
{
    char *state = pb_args_state(a);
    char *runtime = pb_path_runtime(pb_args_get(a, "state"), state);
    struct pb_buf answer = {0};
    struct pb_err err;
    int rc = PB_EXIT_OK;
    if (pb_control_ask(runtime, line, &answer, &err))
        rc = pb_args_error(a, PB_EXIT_CONNECT, "%s", err.msg);
    else {
        pbay_str text = pb_str_trim(pb_buf_view(&answer)), error = PB_STR("error: ");
        if (pb_str_starts(text, error))
            rc = pb_args_error(a, PB_EXIT_FAILED, "%.*s", (int)(text.n - error.n), text.p + error.n);
        else
            printf("%.*s\n", PB_FMT(text));
    }
    pb_buf_free(&answer);
    pb_free(runtime);
    pb_free(state);
    return rc;
}

static int ask_reload(int argc, char **argv)
{
    struct pb_args args, *a = &args;
    int rc = pb_args_parse(a, &pb_verb_reload, argc, argv);
    return rc >= 0 ? rc : pb_args_control(a, "reload");
}

static int ask_restart(int argc, char **argv)
{
    struct pb_args args, *a = &args;
    int rc = pb_args_parse(a, &pb_verb_restart, argc, argv);
    return rc >= 0 ? rc : pb_args_control(a, "restart");
}

static const struct pb_cli_option reload_options[] = {PB_OPTION_STATE};
const struct pb_cli_verb pb_verb_reload = {
    .name = "reload",
    .summary = "Have a running gateway read configuration, scripts and plugins again.",
    .text = "Ends when the new workers serve. When they do not come up, the old ones go on and it says why.",
    .options = reload_options,
    .n_options = PB_COUNTOF(reload_options),
    .run = ask_reload};

const struct pb_cli_verb pb_verb_restart = {
    .name = "restart",
    .summary = "Have a running gateway start its program anew, without refusing anybody.",
    .text = "For an upgrade: the supervisor becomes the program that stands where it came from, in the same\n"
            "process, with its listening sockets; old workers end their calls while new ones serve. When\n"
            "`check` of that program finds something wrong, nothing happens and the log says what. SIGUSR2\n"
            "does the same. `reload` is enough for all that is not the program itself.",
    .options = reload_options,
    .n_options = PB_COUNTOF(reload_options),
    .run = ask_restart};
