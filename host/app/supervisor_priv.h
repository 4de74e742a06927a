/* SPDX-License-Identifier: MIT */
/* The inside of the supervisor: supervisor.c decides, workers.c starts and buries, crashes.c remembers. */
#pragma once

#include <sys/types.h>

#include "app/channel.h"
#include "app/control.h"
#include "app/sockets.h"
#include "app/supervisor.h"
#include "base/page.h"
#include "loop/loop.h"
#include "loop/watch.h"

struct pb_supervisor;
struct pb_crew;

enum pb_worker_state { PB_WORKER_STARTING = 1, PB_WORKER_SERVING, PB_WORKER_LEAVING };

struct pb_seat {
    struct pb_crew *crew;
    struct pb_process *process; /* NULL: empty, or its process is leaving */
    struct pb_timer restart;
    unsigned failures; /* in a row, without a good while of service between */
};

/* A connection on its way to a worker, kept so that it is not lost with one that dies before it has it. */
struct pb_sent_conn {
    struct pb_sent_conn *next;
    int fd;
    char name[PB_MSG_NAME];
};

/* One worker process, from fork until it is reaped. */
struct pb_process {
    struct pb_process *next;
    struct pb_supervisor *s;
    struct pb_crew *crew;
    struct pb_seat *seat; /* NULL: it has left it */
    struct pb_page_row *row;
    uint32_t slot;
    pid_t pid;
    enum pb_worker_state state;
    int channel;
    struct pb_watch *watch;
    uint64_t handed; /* connections */
    struct pb_sent_conn *sent, **sent_end;
    int64_t started_ns, ready_ns;
    bool hung; /* killed because its loop did not turn */
    bool late; /* killed because it did not end in time */
    bool told; /* it said itself why it failed */
    char why[PB_ERR_TEXT];
    struct pb_timer kill;
};

struct pb_crew {
    struct pb_supervisor *s;
    uint32_t number;
    char *config;  /* absolute path, for messages and relative paths */
    int config_fd; /* the text as it was */
    int64_t drain_ms;
    uint64_t max_conns; /* of all workers together */
    char functions[32]; /* of PB_MSG_READY */
    unsigned n;         /* seats */
    unsigned n_processes;
    bool over; /* freed with its last process */
    struct pb_seat seats[PB_PAGE_WORKERS];
};

struct pb_crashes; /* crashes.c */

struct pb_supervisor {
    const struct pb_supervisor_options *o;
    struct pb_loop *loop;
    struct pb_turn_hook log_hook;
    struct pb_page *page;
    int page_fd;
    struct pb_sockets *sockets;
    struct pb_control *control;
    struct pb_crashes *crashes;
    struct pb_signal *signals[5];
    struct pb_process *processes;
    struct pb_crew *current, *next; /* next: being started */
    uint32_t last_number;
    struct pb_control_call *waits[16]; /* `patchbay reload` */
    size_t n_waits;
    bool reload_again; /* asked for while one was under way */
    pid_t checker;     /* of the program that this one is to become; 0: none */
    struct pb_control_call *renew_call;
    bool running, stopping, stopped, failed;
    uint32_t log_turn;
    int64_t full_ns; /* the last warning that there are too many connections */
    struct pb_timer start_limit, tick;
    int64_t watchdog_ms, watchdog_ns;
    struct pb_page_out outs_before[PB_PAGE_OUTS];
};

/* ------------------------------------------------------------------------------------------------ workers.c
 */

/* Start a process in the seat. -1 with err. */
int pb_process_start(struct pb_seat *seat, struct pb_err *err);
/* It leaves its seat: no more connections, its calls end, it ends. Killed when `kill_ms` have passed. */
void pb_process_leave(struct pb_process *p, bool at_once, const char *why, int64_t kill_ms);
/* Bury who has ended. */
void pb_process_reap(struct pb_supervisor *s);
/* Kill who does not turn any more. */
void pb_process_check(struct pb_supervisor *s);
/* Hand it a connection of the listener; takes fd when it returns true. */
bool pb_process_give(struct pb_process *p, const char *name, int fd);
/* Open connections of a process. */
uint64_t pb_process_conns(const struct pb_process *p);

/* ------------------------------------------------------------------------------------------------
 * supervisor.c, called by workers.c */

void pb_supervisor_ready(struct pb_process *p);
/* A connection for whoever has the fewest. True: fd was taken. */
bool pb_supervisor_give(struct pb_supervisor *s, const char *name, int fd);
/* Out of its seat (NULL: it had none any more), which is empty now. why: what it said, or how it ended. */
void pb_supervisor_ended(struct pb_process *p, struct pb_seat *seat, const char *why);

/* ------------------------------------------------------------------------------------------------ renew.c
 */

/*
 * Become the program that stands where this one came from, when its `check` finds nothing wrong with the
 * configuration. call (NULL is fine) is answered either way.
 */
void pb_renew(struct pb_supervisor *s, struct pb_control_call *call);
/* A child has ended: the one that checks, or a worker of the program before. True: it was one of those. */
bool pb_renew_reap(struct pb_supervisor *s);
/* This is the new program, and it hears signals. */
void pb_renewed(void);

/* ------------------------------------------------------------------------------------------------ crashes.c
 */

struct pb_crashes *pb_crashes_new(void);
void pb_crashes_free(struct pb_crashes *c);
void pb_crashes_clear(struct pb_crashes *c);
/* One more of this connector. True: that was one too many; reason is filled. */
bool pb_crashes_add(struct pb_crashes *c, const char *connector, const char *how, int64_t now_ns,
                    char reason[PB_PAGE_REASON]);
