/* SPDX-License-Identifier: MIT */
/* Tables, options, and the life of instances. */
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <patchbay/host_call.h>
#include <patchbay/host_event.h>

#include "base/buf.h"
#include "check.h"
#include "data/options.h"
#include "mockhost/alloc.h"

void check_tables(struct kit *k)
{
    kit_load(k);
    const pbay_descriptor *d = &k->plugin->descriptor;
    if (!d->version || !*d->version)
        kit_fault("descriptor.version is empty: operators cannot tell releases apart");
    if (!d->summary || !*d->summary)
        kit_fault("descriptor.summary is empty: `patchbay plugins` has nothing to show");
    if (!d->license || !*d->license) kit_fault("descriptor.license is empty: an SPDX expression is expected");
    if (!d->vendor || !*d->vendor) kit_fault("descriptor.vendor is empty");
    for (uint32_t i = 0; i < k->plugin->functions.n_operations; i++)
        if (!k->plugin->operations[i].doc || !*k->plugin->operations[i].doc)
            kit_fault("operation %s has no doc: `patchbay help` has nothing to show",
                      k->plugin->operations[i].name);
}

static void check_table(const char *of, const pbay_option_table *t)
{
    struct pb_option_value v;
    struct pb_err err;
    for (uint32_t i = 0; i < t->count; i++) {
        const pbay_option *o = pb_option_at(t, i);
        if (!o->doc || !*o->doc) kit_fault("%s: option %s has no doc", of, o->name);
        if (o->dflt && o->type != PBAY_OPT_FAMILY && pb_option_parse(o, pb_str_c(o->dflt), &v, &err))
            kit_fault("%s: the default of %s, \"%s\", is no value for it: %s", of, o->name, o->dflt, err.msg);
        if ((o->flags & PBAY_OPTF_REQUIRED) && o->dflt)
            kit_fault("%s: option %s is required and has a default: one of the two is never used", of,
                      o->name);
    }
}

void check_options(struct kit *k)
{
    kit_open(k);
    const struct pb_plugin *p = k->plugin;
    check_table("[connector]", &p->descriptor.options);
    for (uint32_t i = 0; i < p->functions.n_operations; i++)
        check_table(p->operations[i].name, &p->operations[i].options);
    for (uint32_t i = 0; i < p->actions.n_actions; i++)
        check_table(p->action_table[i].name, &p->action_table[i].arguments);
    for (uint32_t i = 0; i < p->commands.n_commands; i++)
        check_table(p->command_table[i].verb, &p->command_table[i].arguments);
}

void check_entry(struct kit *k)
{
    static const char *const ids[] = {"pbay.functions/1", "pbay.actions/1", "pbay.events/1", "pbay.routes/1",
                                      "pbay.commands/1",  "pbay.secrets/1", "pbay.health/1"};
    kit_open(k);
    const pbay_entry *(*get)(void);
    *(void **)&get = dlsym(k->plugin->dl, "pbay_plugin_entry");
    if (get() != get()) kit_fault("pbay_plugin_entry answers another pointer each time");
    const pbay_entry *e = get();
    for (size_t i = 0; i < PB_COUNTOF(ids); i++)
        if (e->extension && e->extension(ids[i]) != e->extension(ids[i]))
            kit_fault("extension(\"%s\") answers another pointer each time", ids[i]);
    static const char *const nobody[] = {"", "pbay.functions/2", "pbay.nothing/1"};
    for (size_t i = 0; e->extension && i < PB_COUNTOF(nobody); i++)
        if (e->extension(nobody[i]))
            kit_fault("extension(\"%s\") answers a table: compare the whole id, and answer NULL for others",
                      nobody[i]);
}

/* ------------------------------------------------------------------------------------------------ other
 * hosts */

static int32_t (*own_create)(const pbay_host *host, const pbay_config *config, void **self, pbay_result *why);
static struct {
    pbay_host host;
    unsigned char tail[256];
} other;

static int32_t create_longer(const pbay_host *host, const pbay_config *config, void **self, pbay_result *why)
{
    memset(&other, 0xa5, sizeof other);
    other.host = *host;
    other.host.struct_size = sizeof other;
    other.host.abi_minor = 99;
    return own_create(&other.host, config, self, why);
}

/* What a later host will look like. */
void check_longer_host(struct kit *k)
{
    struct pb_err err;
    kit_open(k);
    own_create = k->plugin->entry.create;
    struct pb_connector *c = kit_connector(k, true, &err);
    if (!c) kit_untried("no instance could be made: %s", err.msg);
    kit_close(k, c);
    k->plugin->entry.create = create_longer;
    c = kit_connector(k, true, &err);
    if (!c)
        kit_fault("it refuses a host with a longer table and a greater minor version (\"%s\"): what is more "
                  "is to be "
                  "ignored",
                  err.msg);
    kit_close(k, c);
}

static const void *no_service(const pbay_host *host, const char *id)
{
    (void)host, (void)id;
    return NULL;
}

/* What it offers is answered through a service: whoever takes a host without it can answer nothing. */
static void look_what_it_needs(const struct pb_plugin *p)
{
    const struct {
        bool offered;
        const char *what, *service;
    } all[] = {
        {p->has_functions, "functions", PBAY_SVC_CALL},  {p->has_actions, "actions", PBAY_SVC_ACTION},
        {p->has_events, "sources", PBAY_SVC_EVENT},      {p->has_routes, "routes", PBAY_SVC_REQUEST},
        {p->has_commands, "commands", PBAY_SVC_COMMAND}, {p->has_secrets, "secrets", PBAY_SVC_RESOLVE},
    };
    for (size_t i = 0; i < PB_COUNTOF(all); i++)
        if (all[i].offered)
            kit_fault(
                "it offers %s, and `create` takes a host that has no %s, which answers them: refuse with a "
                "message that names what is missing",
                all[i].what, all[i].service);
}

static int32_t create_bare(const pbay_host *host, const pbay_config *config, void **self, pbay_result *why)
{
    other.host = *host;
    other.host.service = no_service;
    int32_t code = own_create(&other.host, config, self, why);
    if (code != PBAY_OK && (!why->message.n || !why->message.p))
        kit_fault("on a host without services `create` refuses (code %d) without a message: say which "
                  "service is missing",
                  code);
    return code;
}

void check_bare_host(struct kit *k)
{
    struct pb_err err;
    kit_open(k);
    own_create = k->plugin->entry.create;
    k->plugin->entry.create = create_bare;
    struct pb_connector *c = kit_connector(k, true, &err);
    if (!c) return;
    look_what_it_needs(k->plugin);
    kit_close(k, c);
}

/* ------------------------------------------------------------------------------------------------ instances
 */

void check_create(struct kit *k)
{
    struct pb_err err = {0};
    kit_open(k);
    if (k->ini && !kit_has_section(k))
        kit_fault("the configuration has no [connector] section with plugin = %s", k->plugin->name);
    struct pb_connector *c = kit_connector(k, true, &err);
    if (!c && kit_is_mute(&err))
        kit_fault("`create` failed without a message: why->message says what is wrong, and what to do");
    if (!c && kit_has_section(k)) kit_fault("%s", err.msg);
    if (c) kit_close(k, c);
    c = kit_started(k);
    for (int i = 0; i < 50; i++) kit_turn(k);
    pbay_str sentence;
    pb_connector_state(c, &sentence);
    kit_no_faults(k, c);
    kit_close(k, c);
}

static uint32_t descriptors(void)
{
    uint32_t n = 0;
    DIR *d = opendir("/proc/self/fd");
    while (d && readdir(d)) n++;
    if (d) closedir(d);
    return n;
}

static uint64_t memory(void)
{
#ifdef __SANITIZE_ADDRESS__
    unsigned long long pages = 0;
    FILE *f = fopen("/proc/self/statm", "re");
    if (f && fscanf(f, "%*u %llu", &pages) != 1) pages = 0;
    if (f) fclose(f);
    return pages * (uint64_t)sysconf(_SC_PAGESIZE);
#else
    return mallinfo2().uordblks;
#endif
}

static void cycle(struct kit *k, uint32_t n)
{
    struct pb_err err;
    for (uint32_t i = 0; i < n; i++) {
        struct pb_connector *c = kit_connector(k, i % 2, &err);
        if (!c) kit_untried("no instance could be made: %s", err.msg);
        if (!(i % 2) && pb_connector_start(c, &err)) kit_untried("it did not start: %s", err.msg);
        kit_close(k, c);
    }
}

/* A leak of a few bytes an instance shows; what is kept once for all does not. */
void check_cycles(struct kit *k)
{
    kit_open(k);
    cycle(k, 20);
    uint64_t before = memory();
    uint32_t fds = descriptors();
    cycle(k, k->cycles);
    uint64_t after = memory();
    uint32_t now = descriptors();
    if (now > fds)
        kit_fault("%u descriptors more after %u instances: something is not closed in destroy", now - fds,
                  k->cycles);
#ifdef __SANITIZE_ADDRESS__
    const uint64_t slack = 64 << 20; /* freed memory is kept back for a while */
#else
    const uint64_t slack = 4096;
#endif
    if (after > before + slack && (after - before) / k->cycles > 0)
        kit_fault(
            "%llu bytes more for each of %u instances: destroy does not free what create and start made",
            (unsigned long long)((after - before) / k->cycles), k->cycles);
}

enum { MORE = 0, NO_MORE = 10, ALLOCATIONS = 1000 };

void kit_without_memory(struct kit *k, void (*run)(struct kit *k))
{
    for (uint32_t n = 1, status = MORE; n <= ALLOCATIONS && status != NO_MORE; n++) {
        int how = 0;
        pid_t pid = fork();
        if (pid == 0) {
            signal(SIGABRT, SIG_DFL);
            pb_alloc_fail(n);
            run(k);
            _exit(pb_alloc_fail(0) < n ? NO_MORE : MORE);
        }
        while (waitpid(pid, &how, 0) < 0 && errno == EINTR) {
        }
        if (WIFEXITED(how) && WEXITSTATUS(how) != MORE && WEXITSTATUS(how) != NO_MORE)
            _exit(WEXITSTATUS(how));
        status = WIFEXITED(how) ? (uint32_t)WEXITSTATUS(how) : MORE;
    }
}

static void make_one(struct kit *k)
{
    struct pb_err err = {0};
    struct pb_connector *c = kit_connector(k, false, &err);
    bool started = c && pb_connector_start(c, &err) == 0;
    if (c) kit_close(k, c);
    if (!started && kit_is_mute(&err)) kit_fault("an allocation failed, and so did it, without a message");
}

/* It may refuse, go on, or end the process on purpose (abort), as the host itself does; it may not stumble.
 */
void check_memory(struct kit *k)
{
    kit_open(k);
    kit_close(k, kit_started(k));
    kit_watch_memory(k);
    kit_without_memory(k, make_one);
}

void kit_watch_memory(struct kit *k)
{
    const void *code;
    memcpy(&code, &k->plugin->entry.create, sizeof code); /* as dlsym's: a function's address as data */
    if (!pb_alloc_watch(code)) kit_skip("it allocates nothing itself");
}
