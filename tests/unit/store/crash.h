/* SPDX-License-Identifier: MIT */
/* A process that puts events and tells what was acknowledged, until it is killed. */
#pragma once

#include <stdint.h>
#include <sys/types.h>

#include "base/id.h"

/* One acknowledged event. Small enough that a pipe takes it whole. */
struct crash_told {
    uint32_t number; /* its key is "k<number>" */
    char id[PB_ID_SIZE];
};

/* Starts it: events from number `first` on, 16 always waiting, through a store thread. *answers: what it
 * tells. */
pid_t crash_writer(const char *url, uint32_t first, int *answers);
/* Fails the test unless each told event is there, once, with its job. */
void crash_check(const char *url, const struct crash_told *told, size_t n);
/* How often: SOAK=1 in the environment asks for the full count. */
int crash_rounds(int few, int many);
