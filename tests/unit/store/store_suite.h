/* SPDX-License-Identifier: MIT */
/*
 * What every engine of the store must do. A test program per engine says how to make and remove an empty
 * store.
 */
#pragma once

struct store_factory {
    const char *name;
    /* A URL of a store that does not exist yet. Returned owned (pb_free). */
    char *(*make)(void);
    /* Everything that URL left behind. */
    void (*remove)(const char *url);
};

/* Runs all behaviour tests; returns the number that failed. */
int store_suite_run(const struct store_factory *factory);
