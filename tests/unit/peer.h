/* SPDX-License-Identifier: MIT */
/* A program of tests/peers (for Python or, .mjs, for Node) beside a test: it is started with a fresh folder,
 * says "ready PORT...", ends with its input. */
#pragma once

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

struct peer {
    pid_t pid;
    int in;
    char dir[64];
    int ports[4];
};

static int peer_start(struct peer *p, const char *program)
{
    signal(SIGPIPE, SIG_IGN);
    snprintf(p->dir, sizeof p->dir, "/tmp/pb-peer-XXXXXX");
    int in[2], out[2];
    /* Closed on exec: a second peer must not keep the first one's input open. */
    if (!mkdtemp(p->dir) || pipe2(in, O_CLOEXEC) || pipe2(out, O_CLOEXEC)) return -1;
    p->pid = fork();
    if (p->pid < 0) return -1;
    if (p->pid == 0) {
        dup2(in[0], 0);
        dup2(out[1], 1);
        close(in[0]);
        close(in[1]);
        close(out[0]);
        close(out[1]);
        size_t n = strlen(program);
        if (n > 4 && strcmp(program + n - 4, ".mjs") == 0)
            execlp("node", "node", program, p->dir, (char *)NULL);
        else
            execl("/usr/bin/python3", "python3", program, p->dir, (char *)NULL);
        _exit(127);
    }
    close(in[0]);
    close(out[1]);
    p->in = in[1];
    char line[128];
    FILE *f = fdopen(out[0], "r");
    int n = fgets(line, sizeof line, f)
                ? sscanf(line, "ready %d %d %d %d", &p->ports[0], &p->ports[1], &p->ports[2], &p->ports[3])
                : 0;
    fclose(f);
    return n > 0 ? 0 : -1;
}

static int peer_stop(struct peer *p)
{
    close(p->in);
    int status;
    waitpid(p->pid, &status, 0);
    char command[128];
    snprintf(command, sizeof command, "rm -rf '%s'", p->dir);
    return system(command);
}
