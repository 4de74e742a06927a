/* SPDX-License-Identifier: MIT */
/* Attributes the host uses, by names that say why. */
#pragma once

#define PB_PRINTF(fmt, args) __attribute__((format(printf, fmt, args)))
#define PB_NODISCARD         __attribute__((warn_unused_result))
#define PB_NONNULL           __attribute__((nonnull))
#define PB_NORETURN          __attribute__((noreturn))
#define PB_LIKELY(x)         __builtin_expect(!!(x), 1)
#define PB_UNLIKELY(x)       __builtin_expect(!!(x), 0)

/* Scratch that frees itself at the end of its scope: strings and plain malloc'ed memory only. */
#define PB_AUTO_FREE __attribute__((cleanup(pb_auto_free_)))

#define PB_COUNTOF(a) (sizeof(a) / sizeof((a)[0]))

/* The object that holds this member. */
#define PB_CONTAINER(ptr, type, member) ((type *)(void *)((char *)(ptr)-offsetof(type, member)))
