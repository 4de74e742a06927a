/* SPDX-License-Identifier: MIT */
/*
 * What the supervisor and a worker say to each other, over a socket that keeps messages whole and in order
 * (SOCK_SEQPACKET). One socket for all of it, because order matters: what was handed over before DRAIN is
 * served. Threads: [loop] of each end.
 */
#pragma once

#include <stdbool.h>

#include "base/err.h"

enum pb_msg_type {
    /* a worker */
    PB_MSG_LISTEN =
        1,         /* name, text: wants the connections of that address; answered by one of the next two */
    PB_MSG_READY,  /* text: the same as another generation's when Qlik knows the functions as they are */
    PB_MSG_FAILED, /* text: why it cannot serve; it ends */
    PB_MSG_TAKEN,  /* the oldest PB_MSG_CONN that was not answered so is served from here on */
    PB_MSG_LEAVE,  /* was asked to end by somebody else: give it no more, then DRAIN */
    /* the supervisor */
    PB_MSG_LISTENING, /* text: where it really listens */
    PB_MSG_REFUSED,   /* text: why not */
    PB_MSG_CONN,      /* name; fd: a connection */
    PB_MSG_OUTS,      /* the page lists other connectors that are out */
    PB_MSG_DRAIN,     /* let calls end, then end */
    PB_MSG_STOP,      /* end */
};

enum { PB_MSG_NAME = 160, PB_MSG_TEXT = PB_ERR_TEXT };

struct pb_msg {
    uint32_t type;
    int fd; /* -1: none. Received: the receiver's */
    char name[PB_MSG_NAME];
    char text[PB_MSG_TEXT];
};

/*
 * Send; fd (-1: none) stays the caller's. name, text: NULL is "". wait: block while the socket is full. 0; 1:
 * it is full (only without wait); -1: the other end is gone.
 */
int pb_msg_send(int channel, enum pb_msg_type type, const char *name, const char *text, int fd, bool wait);
/* 1: a message; 0: none now (only without wait); -1: the other end is gone. */
int pb_msg_receive(int channel, struct pb_msg *m, bool wait);
