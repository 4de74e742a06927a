/* SPDX-License-Identifier: MIT */
#include "check.h"

#include <errno.h>
#include <getopt.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/log.h"
#include "mockhost/breach.h"
#include "plugin/current.h"

enum { PASSED = 0, FAULT = 3, SKIPPED = 4, UNTRIED = 5 };

static unsigned timeout_s = 60;
static size_t only; /* the number of the one check that is made; 0: all */

const struct check checks[] = {
    {"the file is a shared object for this machine", check_file},
    {"it exports pbay_plugin_entry and nothing else", check_exports},
    {"it is hardened", check_hardening},
    {"it takes sockets, HTTP and cryptography from the host", check_libraries},
    {"its tables are well-formed", check_tables},
    {"its options have names, documentation and sound defaults", check_options},
    {"its entry and extensions stay where they are", check_entry},
    {"a host with a longer table does not disturb it", check_longer_host},
    {"a host without services is refused, with a message", check_bare_host},
    {"an instance is made, started, stopped and destroyed", check_create},
    {"instances come and go, memory and descriptors stay", check_cycles},
    {"an allocation that fails while it is made is survived", check_memory},
    {"every call ends once, with as many rows as were sent", check_calls},
    {"a call that is cancelled at once still ends once", check_cancel},
    {"a deadline does not keep a call from ending", check_deadline},
    {"it can be closed with calls in flight", check_close},
    {"every request is answered once, whatever it holds", check_routes},
    {"a caller that reads slowly is waited for", check_pressure},
    {"the loop is not kept", check_loop},
    {"an allocation that fails in a call or an action is survived", check_call_memory},
    {"every attempt of an action ends once", check_actions},
    {"an action that is cancelled or late still ends once", check_action_cancel},
    {"every poll of a source is answered once", check_sources},
    {"every command ends once", check_commands},
    {"every question for a secret is answered once", check_secrets},
    {"how it is has a reason", check_health},
};
const size_t n_checks = sizeof checks / sizeof *checks;

/* ------------------------------------------------------------------------------------------------ the child
 */

static int out = -1; /* the child's way to say why */
static int log_fd = -1;

static void say(const char *fmt, va_list args)
{
    char text[2048];
    int n = vsnprintf(text, sizeof text, fmt, args);
    size_t len = n < 0 ? 0 : (size_t)n < sizeof text ? (size_t)n : sizeof text - 1;
    if (write(out, text, len) < 0) _exit(FAULT);
}

PB_NORETURN void kit_fault(const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    say(fmt, args);
    va_end(args);
    _exit(FAULT);
}

PB_NORETURN void kit_skip(const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    say(fmt, args);
    va_end(args);
    _exit(SKIPPED);
}

PB_NORETURN void kit_untried(const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    say(fmt, args);
    va_end(args);
    _exit(UNTRIED);
}

void kit_no_faults(struct kit *k, struct pb_connector *c)
{
    char said[768] = "its log says no more";
    (void)k;
    const unsigned long long n = pb_connector_stats(c)->faults;
    if (!n) return;
    pb_breach_last(log_fd, said, sizeof said);
    if (n == 1) kit_fault("the host noticed a breach of the rules: %s", said);
    kit_fault("the host noticed %llu breaches of the rules; the last: %s", n, said);
}

/* What is said in a signal handler is put together before. */
static const struct {
    int sig;
    const char *said;
} deadly[] = {
    {SIGSEGV, "it crashed (SEGV) in "}, {SIGBUS, "it crashed (BUS) in "},
    {SIGFPE, "it crashed (FPE) in "},   {SIGILL, "it crashed (ILL) in "},
    {SIGABRT, "it crashed (ABRT) in "}, {SIGTRAP, "it crashed (TRAP) in "},
};

static void on_crash(int sig)
{
    const char *what = pb_current.what ? pb_current.what : "its code or in the host";
    for (size_t i = 0; i < sizeof deadly / sizeof *deadly; i++)
        if (deadly[i].sig == sig && write(out, deadly[i].said, strlen(deadly[i].said)) < 0) _exit(FAULT);
    if (write(out, what, strlen(what)) < 0) _exit(FAULT);
    _exit(FAULT);
}

static PB_NORETURN void child(struct kit *k, const struct check *check, int fd)
{
    out = fd;
    log_fd = fileno(tmpfile());
    pb_log_open(log_fd, PB_LOG_LOGFMT);
    for (size_t i = 0; i < sizeof deadly / sizeof *deadly; i++) signal(deadly[i].sig, on_crash);
    signal(SIGPIPE, SIG_IGN);
    alarm(timeout_s);
    check->run(k);
    _exit(PASSED);
}

/* ------------------------------------------------------------------------------------------------ the parent
 */

struct verdict {
    int code;
    char why[4096];
};

static struct verdict judge(struct kit *k, const struct check *check)
{
    struct verdict v = {0};
    int pipes[2];
    size_t n = 0;
    fflush(NULL);
    if (pipe(pipes)) {
        perror("patchbay-check: pipe");
        exit(2);
    }
    pid_t pid = fork();
    if (pid == 0) {
        close(pipes[0]);
        child(k, check, pipes[1]);
    }
    close(pipes[1]);
    for (ssize_t got; n < sizeof v.why - 1 && (got = read(pipes[0], v.why + n, sizeof v.why - 1 - n)) != 0;)
        if (got > 0)
            n += (size_t)got;
        else if (errno != EINTR)
            break;
    close(pipes[0]);
    int status = 0;
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {
    }
    if (WIFSIGNALED(status)) {
        v.code = FAULT;
        if (WTERMSIG(status) == SIGALRM)
            snprintf(v.why, sizeof v.why, "it did not end within %u s: something blocks or never returns",
                     timeout_s);
        else if (!n)
            snprintf(v.why, sizeof v.why, "the process ended with signal %d (%s)", WTERMSIG(status),
                     strsignal(WTERMSIG(status)));
    } else
        v.code = WEXITSTATUS(status);
    if (v.code != PASSED && v.code != SKIPPED && v.code != UNTRIED && !v.why[0])
        snprintf(v.why, sizeof v.why, "the process ended with exit code %d without a word", v.code);
    return v;
}

static bool run_all(struct kit *k)
{
    size_t faults = 0, skipped = 0, untried = 0;
    printf("TAP version 13\n1..%zu\n", n_checks);
    for (size_t i = 0; i < n_checks; i++) {
        if (only && only != i + 1) {
            printf("ok %zu - %s # SKIP not asked for\n", i + 1, checks[i].name);
            skipped++;
            continue;
        }
        struct verdict v = judge(k, &checks[i]);
        for (char *p = v.why; *p; p++)
            if (*p == '\n') *p = ' ';
        if (v.code == PASSED)
            printf("ok %zu - %s\n", i + 1, checks[i].name);
        else if (v.code == SKIPPED || v.code == UNTRIED) {
            printf("ok %zu - %s # SKIP %s%s\n", i + 1, checks[i].name, v.code == UNTRIED ? "untried: " : "",
                   v.why);
            skipped += v.code == SKIPPED;
            untried += v.code == UNTRIED;
        } else {
            printf("not ok %zu - %s\n# %s\n", i + 1, checks[i].name, v.why);
            faults++;
        }
        fflush(stdout);
    }
    if (faults) printf("# %zu of %zu checks found a fault\n", faults, n_checks);
    if (untried)
        printf("# %zu of %zu checks were not tried: --config FILE.ini gives the plugin a [connector] "
               "section, and [function] "
               "sections to call\n",
               untried, n_checks);
    if (!faults && !untried)
        printf("# %s keeps the rules (%zu of %zu checks skipped)\n", k->path, skipped, n_checks);
    return faults == 0;
}

static const char usage[] =
    "patchbay-check [--config FILE.ini] [--cycles N] [--patience MS] [--timeout S] [--only N] PLUGIN.so\n"
    "\n"
    "Does a plugin keep the rules of the ABI? Prints TAP; exit code 0 when it does, 1 when it does not.\n"
    "  --config FILE.ini   a [connector] section of the plugin, and [function] sections with an "
    "`operation`,\n"
    "                      its options and `params = name:kind, ...`: what is checked with calls\n"
    "  --cycles N          instances made and destroyed (1000)\n"
    "  --patience MS       how long a call may take (5000)\n"
    "  --timeout S         how long a check may take (60)\n"
    "  --only N            the one check of that number\n";

static struct pb_ini *read_config(const char *path)
{
    struct pb_buf text = {0};
    struct pb_ini *ini = NULL;
    struct pb_err err;
    FILE *f = fopen(path, "re");
    if (!f) {
        fprintf(stderr, "patchbay-check: %s: %s\n", path, strerror(errno));
        exit(2);
    }
    size_t n;
    while ((n = fread(pb_buf_room(&text, 65536), 1, 65536, f)) > 0) text.n += n;
    fclose(f);
    if (pb_ini_parse(path, pb_buf_view(&text), PB_INI_OURS, &ini, &err)) {
        fprintf(stderr, "patchbay-check: %s\n", err.msg);
        exit(2);
    }
    pb_buf_free(&text);
    return ini;
}

int main(int argc, char **argv)
{
    static const struct option known[] = {{"config", required_argument, NULL, 'c'},
                                          {"cycles", required_argument, NULL, 'n'},
                                          {"patience", required_argument, NULL, 'p'},
                                          {"timeout", required_argument, NULL, 't'},
                                          {"only", required_argument, NULL, 'o'},
                                          {"help", no_argument, NULL, 'h'},
                                          {0}};
    struct kit k = {.cycles = 1000, .patience_ms = 5000};
    uint64_t number;
    for (int c; (c = getopt_long(argc, argv, "h", known, NULL)) != -1;) {
        switch (c) {
        case 'c': k.ini = read_config(optarg); break;
        case 'n':
        case 'p':
        case 't':
        case 'o':
            if (!pb_parse_u64(pb_str_c(optarg), &number) || number < 1 || number > 1000000) {
                fprintf(stderr, "patchbay-check: \"%s\" is not a number from 1 to 1000000\n", optarg);
                return 2;
            }
            if (c == 'n')
                k.cycles = (uint32_t)number;
            else if (c == 'p')
                k.patience_ms = (int64_t)number;
            else if (c == 't')
                timeout_s = (unsigned)number;
            else
                only = number;
            break;
        case 'h': fputs(usage, stdout); return 0;
        default: fputs(usage, stderr); return 2;
        }
    }
    if (optind != argc - 1) {
        fputs(usage, stderr);
        return 2;
    }
    k.path = argv[optind];
    bool kept = run_all(&k);
    pb_ini_free(k.ini);
    return kept ? 0 : 1;
}
