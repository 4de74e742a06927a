/* SPDX-License-Identifier: MIT */
/* Ids that are given after the start: to whom they are told, and an end while the store is being asked. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>

#include "app/function_ids.h"
#include "base/mem.h"
#include "store/durable.h"

static char dir[64];
static struct pb_loop *loop;
static struct pb_durable *durable;
static struct pb_generation *generation;
static int n_changed;

static void changed(void *user)
{
    (void)user;
    n_changed++;
}

static void set(void *user)
{
    *(bool *)user = true;
}

static void declare(const char *name)
{
    struct pb_declared *d = pb_zalloc(sizeof *d);
    d->scope = PB_STR("patchbay");
    d->explicit_id = -1;
    d->fn.name = pb_str_c(name);
    d->fn.id = -1;
    *generation->declared_end = d;
    generation->declared_end = &d->next;
}

static void forget_generation(void)
{
    for (struct pb_declared *d = generation->declared, *next; d; d = next) {
        next = d->next;
        pb_free(d);
    }
    pb_free(generation);
}

static int set_up(void **state)
{
    (void)state;
    struct pb_err err;
    char url[96];
    struct pb_store *store;
    snprintf(dir, sizeof dir, "/tmp/pb-ids-XXXXXX");
    if (!mkdtemp(dir) || !(loop = pb_loop_new(&err))) return -1;
    snprintf(url, sizeof url, "sqlite:%s/s.db", dir);
    if (pb_store_open(url, &store, &err)) return -1;
    const struct pb_durable_config c = {.loop = loop,
                                        .store = store,
                                        .owner = PB_STR("test"),
                                        .concurrency = 1,
                                        .lease_ms = 1000,
                                        .keep = PB_RETENTION};
    durable = pb_durable_open(&c, &err);
    pb_durable_start(durable);
    n_changed = 0;
    generation = pb_zalloc(sizeof *generation);
    generation->declared_end = &generation->declared;
    declare("Score");
    declare("Churn");
    return durable ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    bool done = false;
    char command[96];
    pb_durable_close(durable, set, &done);
    while (!done) pb_loop_turn(loop, true);
    pb_loop_free(loop);
    snprintf(command, sizeof command, "rm -r %s", dir);
    return system(command);
}

static void given_once_and_told(void **state)
{
    (void)state;
    struct pb_function_ids *f = pb_function_ids_new(generation, durable, dir, changed, NULL);
    pb_function_ids_again(f);
    while (!n_changed) pb_loop_turn(loop, true);
    int32_t first = generation->declared->fn.id, second = generation->declared->next->fn.id;
    assert_true(first >= 0 && second >= 0 && first != second);
    pb_function_ids_again(f);
    pb_function_ids_free(f, loop);
    assert_int_equal(generation->declared->fn.id, first);
    assert_int_equal(n_changed, 1);
    forget_generation();
}

/* The store's thread reads the generation, and its answer comes when a worker may be half gone. */
static void an_end_while_the_store_is_asked(void **state)
{
    (void)state;
    struct pb_function_ids *f = pb_function_ids_new(generation, durable, dir, changed, NULL);
    pb_function_ids_again(f);
    pb_function_ids_free(f, loop);
    forget_generation();
    assert_int_equal(n_changed, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(given_once_and_told, set_up, tear_down),
        cmocka_unit_test_setup_teardown(an_end_while_the_store_is_asked, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
