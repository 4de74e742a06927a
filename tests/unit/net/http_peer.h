/* SPDX-License-Identifier: MIT */
/* Starts tests/peers/http_peer.py and ends it. */
#pragma once

#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

static int peer_port;
static pid_t peer_pid;
static int peer_stdin;

/* 0, or -1: the peer did not start. */
static int peer_start(const char *script)
{
    int in[2], out[2];
    char path[512], line[32] = "";
    snprintf(path, sizeof path, "%s/peers/%s", PB_TESTS_DIR, script);
    if (pipe(in) || pipe(out)) return -1;
    peer_pid = fork();
    if (peer_pid == 0) {
        dup2(in[0], 0);
        dup2(out[1], 1);
        close(in[1]);
        close(out[0]);
        unsetenv("LD_PRELOAD");
        execl("/usr/bin/python3", "python3", "-u", path, (char *)NULL);
        _exit(127);
    }
    close(in[0]);
    close(out[1]);
    peer_stdin = in[1];
    FILE *f = fdopen(out[0], "r");
    if (!f || !fgets(line, sizeof line, f)) return -1;
    fclose(f);
    peer_port = atoi(line);
    return peer_port > 0 ? 0 : -1;
}

static void peer_stop(void)
{
    close(peer_stdin);
    waitpid(peer_pid, NULL, 0);
}
