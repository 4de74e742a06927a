/* SPDX-License-Identifier: MIT */
#include "loop/bell.h"

#include <limits.h>
#include <linux/futex.h>
#include <pthread.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/mem.h"

struct pb_bell {
    _Atomic uint32_t *word; /* NULL: this process alone */
    struct pb_wake *wake;
    pthread_t thread;
    _Atomic bool closing;
};

static void futex(_Atomic uint32_t *word, int what, uint32_t value)
{
    syscall(SYS_futex, word, what, value, NULL, NULL, 0);
}

void pb_bell_ring_word(_Atomic uint32_t *word)
{
    atomic_fetch_add(word, 1);
    futex(word, FUTEX_WAKE, INT_MAX);
}

void pb_bell_ring(struct pb_bell *b)
{
    if (b->word)
        pb_bell_ring_word(b->word);
    else
        pb_wake_send(b->wake);
}

static void *listen_to(void *user)
{
    struct pb_bell *b = user;
    pthread_setname_np(pthread_self(), "bell");
    uint32_t heard = atomic_load(b->word);
    while (!atomic_load(&b->closing)) {
        uint32_t now = atomic_load(b->word);
        if (now != heard) {
            heard = now;
            pb_wake_send(b->wake);
        } else
            futex(b->word, FUTEX_WAIT, heard);
    }
    return NULL;
}

struct pb_bell *pb_bell_open(struct pb_loop *loop, _Atomic uint32_t *word, void (*fn)(void *user), void *user,
                             struct pb_err *err)
{
    struct pb_bell *b = pb_zalloc(sizeof *b);
    b->word = word;
    b->wake = pb_wake_open(loop, fn, user, err);
    if (!b->wake) {
        pb_free(b);
        return NULL;
    }
    int rc = word ? pthread_create(&b->thread, NULL, listen_to, b) : 0;
    if (!rc) return b;
    pb_fail(err, PBAY_INTERNAL, "cannot start a thread: %s", strerror(rc));
    pb_wake_close(b->wake);
    pb_free(b);
    return NULL;
}

void pb_bell_close(struct pb_bell *b)
{
    if (!b) return;
    if (b->word) {
        atomic_store(&b->closing, true);
        pb_bell_ring_word(b->word);
        pthread_join(b->thread, NULL);
    }
    pb_wake_close(b->wake);
    pb_free(b);
}
