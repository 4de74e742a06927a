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

/* For the files of the suite: the URL of this test's store, and around each test. */
struct pb_store;
extern char *suite_url;
int suite_setup(void **state);
int suite_teardown(void **state);
struct pb_store *suite_open(void);
#define SUITE_TEST(name) cmocka_unit_test_setup_teardown(name, suite_setup, suite_teardown)

/* Its parts; each returns the number of tests that failed. */
int suite_events(void);
int suite_jobs(void);
int suite_queues(void);
int suite_control(void);
int suite_async(void);
int suite_runner(void);
int suite_crash(void);
int suite_durable(void);
int suite_runs(void);
