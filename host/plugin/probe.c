/* SPDX-License-Identifier: MIT */
#include "plugin/probe.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/mem.h"
#include "base/str.h"
#include "plugin/describe.h"
#include "plugin/loader.h"

/* The child's verdict: one line on stdout after everything that the plugin's own constructors may have
 * printed. */
#define VERDICT "\npatchbay-probe "
enum { TIMEOUT_S = 5, OUTPUT_MAX = 64 * 1024 };

struct verdict {
    struct verdict *next;
    dev_t dev;
    ino_t ino;
    struct timespec mtime;
    off_t size;
    struct pb_err err;  /* code OK: it loads */
    struct pb_buf told; /* what it says of itself */
};

static struct verdict *known;
static const char *program = "/proc/self/exe";

void pb_probe_program(const char *path)
{
    program = path;
}

const char *pb_probe_program_path(void)
{
    return program;
}

/* False: nobody listens, as when a person calls it. */
static bool tell(const struct pb_plugin *p)
{
    struct pb_buf told = {0};
    pb_describe(p, &told);
    size_t at = 0;
    while (at < told.n) {
        ssize_t n = write(PB_PROBE_FD, told.p + at, told.n - at);
        if (n > 0)
            at += (size_t)n;
        else if (errno != EINTR)
            break;
    }
    bool all = at == told.n;
    pb_buf_free(&told);
    return all;
}

int pb_probe_child(const char *path)
{
    struct pb_err err;
    struct pb_plugin *p;
    int rc = pb_plugin_load(path, &p, &err);
    if (rc)
        printf(VERDICT "%d %s\n", (int)err.code, err.msg);
    else if (tell(p))
        printf(VERDICT "0 %s %s\n", p->name, p->descriptor.version);
    fflush(stdout);
    if (!rc) pb_plugin_free(p);
    return rc ? 1 : 0;
}

/* In the child, between fork and exec. */
static void limit(int what, rlim_t value)
{
    struct rlimit r = {value, value};
    setrlimit(what, &r);
}

static void run_child(const char *path, int out, int told)
{
    setpgid(0, 0);
    limit(RLIMIT_CORE, 0);
    limit(RLIMIT_CPU, TIMEOUT_S + 1);
    limit(RLIMIT_FSIZE, 0);
    limit(RLIMIT_NOFILE, 256);
#ifndef __SANITIZE_ADDRESS__ /* it reserves terabytes */
    limit(RLIMIT_AS, (rlim_t)4 << 30);
#endif
    int null = open("/dev/null", O_RDWR);
    if (null < 0 || (told = fcntl(told, F_DUPFD, 10)) < 0 || dup2(null, 0) < 0 || dup2(out, 1) < 0 ||
        dup2(null, 2) < 0 || dup2(told, PB_PROBE_FD) < 0)
        _exit(126);
    close(told);
    execl(program, "patchbay", "plugin-probe", path, (char *)NULL);
    _exit(127);
}

/* Everything the child says, until it is silent for good or the time is up. False: the time was up. */
static bool listen_to(int fds[2], struct pb_buf *out, struct pb_buf *told)
{
    int64_t end = pb_mono_ns() + TIMEOUT_S * PB_SEC;
    struct pollfd p[2] = {{fds[0], POLLIN, 0}, {fds[1], POLLIN, 0}};
    while (p[0].fd >= 0 || p[1].fd >= 0) {
        int64_t left = (end - pb_mono_ns()) / PB_MS;
        if (left <= 0) return false;
        if (poll(p, 2, (int)left) <= 0) continue;
        for (int i = 0; i < 2; i++) {
            struct pb_buf *b = i ? told : out;
            if (p[i].fd < 0 || !p[i].revents) continue;
            ssize_t n = read(fds[i], pb_buf_room(b, 4096), 4096);
            if (n < 0 && errno == EINTR) continue;
            if (n <= 0)
                p[i].fd = -1;
            else
                b->n += (size_t)n;
        }
        /* Only the end counts. */
        if (out->n > OUTPUT_MAX) pb_buf_drop(out, out->n - OUTPUT_MAX / 2);
        if (told->n > PB_DESCRIPTION_MAX) p[1].fd = -1;
    }
    return true;
}

/* Wait for the end of a child that has closed its output, or is to be killed. */
static int reap(pid_t pid, bool kill_it)
{
    int status = 0;
    if (kill_it) kill(-pid, SIGKILL);
    for (int tries = 0;; tries++) {
        pid_t got = waitpid(pid, &status, kill_it ? 0 : WNOHANG);
        if (got == pid) return status;
        if (got < 0 && errno != EINTR) return -1;
        if (!kill_it && tries == 100) { /* a plugin that closed its output and lives on */
            kill(-pid, SIGKILL);
            kill_it = true;
        } else if (!kill_it) {
            struct timespec ms = {0, PB_MS};
            nanosleep(&ms, NULL);
        }
    }
}

static int judge(const char *path, struct pb_buf *said, bool in_time, int status, struct pb_err *err)
{
    if (!in_time)
        return pb_fail(err, PBAY_DEADLINE_EXCEEDED, "%s: loading it did not end within %d s", path,
                       (int)TIMEOUT_S);
    if (status >= 0 && WIFSIGNALED(status))
        return pb_fail(err, PBAY_INTERNAL, "%s: loading it crashed (signal %d, %s)", path, WTERMSIG(status),
                       strsignal(WTERMSIG(status)));
    pb_buf_ch(said, 0);
    char *at = NULL, *line = said->p;
    while ((line = strstr(line, VERDICT))) at = line += strlen(VERDICT);
    int code;
    int skip = 0;
    if (!at || sscanf(at, "%d %n", &code, &skip) != 1 || !skip || status < 0)
        return pb_fail(err, PBAY_INTERNAL, "%s: loading it ended the process (exit status %d) without a word",
                       path, status >= 0 && WIFEXITED(status) ? WEXITSTATUS(status) : -1);
    if (!code) return 0;
    at += skip;
    at[strcspn(at, "\n")] = 0;
    return pb_fail(err, code, "%s", at);
}

static int try_it(const char *path, struct pb_buf *told, struct pb_err *err)
{
    int out[2], desc[2];
    if (pipe2(out, O_CLOEXEC)) return pb_fail(err, PBAY_INTERNAL, "%s: probing: %s", path, strerror(errno));
    if (pipe2(desc, O_CLOEXEC)) {
        close(out[0]);
        close(out[1]);
        return pb_fail(err, PBAY_INTERNAL, "%s: probing: %s", path, strerror(errno));
    }
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0) run_child(path, out[1], desc[1]);
    close(out[1]);
    close(desc[1]);
    int fds[2] = {out[0], desc[0]};
    if (pid < 0) {
        close(fds[0]);
        close(fds[1]);
        return pb_fail(err, PBAY_INTERNAL, "%s: probing: %s", path, strerror(errno));
    }
    setpgid(pid, pid); /* whoever is first; killing needs it */
    struct pb_buf said = {0};
    bool in_time = listen_to(fds, &said, told);
    close(fds[0]);
    close(fds[1]);
    int status = reap(pid, !in_time);
    int rc = judge(path, &said, in_time, status, err);
    pb_buf_free(&said);
    return rc;
}

int pb_plugin_probe(const char *path, struct pb_plugin **out, struct pb_err *err)
{
    struct stat st;
    if (stat(path, &st)) return pb_fail(err, PBAY_NOT_FOUND, "%s: %s", path, strerror(errno));
    struct verdict *v = known;
    while (v && (v->dev != st.st_dev || v->ino != st.st_ino || v->size != st.st_size ||
                 v->mtime.tv_sec != st.st_mtim.tv_sec || v->mtime.tv_nsec != st.st_mtim.tv_nsec))
        v = v->next;
    if (!v) {
        v = pb_zalloc(sizeof *v);
        v->dev = st.st_dev;
        v->ino = st.st_ino;
        v->mtime = st.st_mtim;
        v->size = st.st_size;
        try_it(path, &v->told, &v->err);
        v->next = known;
        known = v;
    }
    if (v->err.code == PBAY_OK) return pb_described(pb_buf_view(&v->told), path, out, err);
    if (err) *err = v->err;
    return -1;
}
