/* SPDX-License-Identifier: MIT */
/*
 * The listening sockets of a supervisor. Workers say what they would listen on, as their configuration has
 * it; the same name and address is the same socket through restarts and reloads, so nobody who connects is
 * turned away.
 *
 * A socket may also come from whoever started the program: sd_listen_fds(3), matched by its name
 * (FileDescriptorName=sse) or by where it listens. Threads: [loop].
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "net/bound.h"

struct pb_loop;
struct pb_sockets;

/*
 * fn is offered each accepted descriptor and owns it when it returns true; false when nobody can take one
 * now: it is offered again a little later, and who else connects waits in the kernel's queue.
 */
struct pb_sockets *pb_sockets_new(struct pb_loop *loop, bool (*fn)(void *user, const char *name, int fd),
                                  void *user);
/* A worker of that generation wants it. out: where it listens. -1 with err. */
int pb_sockets_want(struct pb_sockets *s, uint32_t generation, const char *name, const char *address,
                    char out[PB_BOUND_NAME], struct pb_err *err);
/* Accept for what this generation wanted, and close what it did not. */
void pb_sockets_switch(struct pb_sockets *s, uint32_t generation);
/* This generation has failed: close what only it wanted. */
void pb_sockets_forget(struct pb_sockets *s, uint32_t generation);
/* Accept no more. */
void pb_sockets_close(struct pb_sockets *s);
/* Those that are accepted from: "sse", "127.0.0.1:50058". */
void pb_sockets_each(const struct pb_sockets *s, void (*fn)(void *user, const char *name, const char *where),
                     void *user);
/* The same with their descriptors, borrowed. */
void pb_sockets_fds(const struct pb_sockets *s, void (*fn)(void *user, const char *name, int fd), void *user);
void pb_sockets_free(struct pb_sockets *s); /* NULL is fine */
