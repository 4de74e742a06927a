/* SPDX-License-Identifier: MIT */
/* A plugin that breaks one rule of loading: which one, FAULT_... says when it is compiled. */
#include <stdlib.h>
#include <string.h>

#include <patchbay/commands.h>
#include <patchbay/functions.h>
#include <patchbay/actions.h>
#include <patchbay/events.h>
#include <patchbay/routes.h>
#include <patchbay/secrets.h>

#ifdef FAULT_UNDEFINED
extern int nobody_has_this(void);
#endif

#if defined(FAULT_CRASH) || defined(FAULT_HANG) || defined(FAULT_EXIT)
__attribute__((constructor)) static void at_load(void)
{
#if defined(FAULT_CRASH)
    abort();
#elif defined(FAULT_HANG)
    for (volatile int i = 0; i < 1; i = 0) {
    }
#else
    _Exit(0);
#endif
}
#endif

static int32_t create(const pbay_host *host, const pbay_config *config, void **self, pbay_result *why)
{
    (void)host;
    (void)config;
    (void)why;
    *self = NULL;
    return PBAY_OK;
}

static void destroy(void *self)
{
    (void)self;
}

static int32_t submit(void *self, void *bound, pbay_call call, const pbay_batch *in, pbay_result *why)
{
    (void)self;
    (void)bound;
    (void)call;
    (void)in;
    (void)why;
#ifdef FAULT_UNDEFINED
    return nobody_has_this();
#else
    return PBAY_INTERNAL;
#endif
}

static const pbay_operation operations[] = {
    {"one", "The first.", PBAY_SHAPE_MAP, 0, {NULL, 0, 0}},
#ifdef FAULT_DUPLICATE
    {"one", "The second.", PBAY_SHAPE_MAP, 0, {NULL, 0, 0}},
#endif
#ifdef FAULT_SHAPE
    {"two", "The second.", 9, 0, {NULL, 0, 0}},
#endif
};

static const pbay_functions_1 functions = {
#ifdef FAULT_FUNCTIONS_SIZE
    .struct_size = 24,
#else
    .struct_size = sizeof(pbay_functions_1),
#endif
    .n_operations = sizeof operations / sizeof *operations,
    .operations = operations,
#ifdef FAULT_STRIDE
    .operation_stride = 8,
#else
    .operation_stride = sizeof(pbay_operation),
#endif
#ifndef FAULT_SUBMIT
    .submit = submit,
#endif
};

static const pbay_route routes[] = {{"POST", "hook", "No slash.", PBAY_AUTH_OWN, PBAY_BODY_RAW, 1000}};
static void handle(void *self, uint32_t route, pbay_request request, const pbay_request_info *info)
{
    (void)self;
    (void)route;
    (void)request;
    (void)info;
}
static const pbay_routes_1 route_table = {
    .struct_size = sizeof(pbay_routes_1),
    .n_routes = 1,
    .routes = routes,
    .route_stride = sizeof(pbay_route),
    .handle = handle,
};

#ifdef FAULT_LOOKUP
static const pbay_option action_arguments[] = {
    {"Fine", PBAY_OPT_STR, 0, NULL, NULL, "Capitals are allowed here."}};
#else
static const pbay_option action_arguments[] = {
    {"path", PBAY_OPT_FILE, 0, NULL, NULL, "A file of the host's."}};
#endif
static const pbay_action actions[] = {
    {"act", "Acts.", PBAY_REPEAT_CHECK, 0, {action_arguments, 1, sizeof(pbay_option)}}};
static int32_t act(void *self, uint32_t action, pbay_action_run run, const pbay_action_info *info,
                   pbay_result *why)
{
    (void)self;
    (void)action;
    (void)run;
    (void)info;
    (void)why;
    return PBAY_UNIMPLEMENTED;
}
static const pbay_actions_1 action_table = {.struct_size = sizeof action_table,
                                            .n_actions = 1,
                                            .actions = actions,
                                            .action_stride = sizeof *actions,
                                            .run = act};
static const pbay_source sources[] = {{"busy", "Too often.", 5, 0, 0}};
static void poll(void *self, uint32_t source, pbay_poll poll, pbay_str cursor)
{
    (void)self;
    (void)source;
    (void)poll;
    (void)cursor;
}
static const pbay_events_1 event_table = {.struct_size = sizeof event_table,
                                          .n_sources = 1,
                                          .sources = sources,
                                          .source_stride = sizeof *sources,
                                          .poll = poll};

#ifdef FAULT_ARGUMENT
static const pbay_option arguments[] = {{"connector", PBAY_OPT_STR, 0, NULL, NULL, "The host has this one."}};
#else
static const pbay_option arguments[] = {{"loud", PBAY_OPT_BOOL, 0, NULL, NULL, "In capitals."}};
#endif
static const pbay_command commands[] = {
#ifdef FAULT_VERB
    {"say  it", "Two blanks.", 0, 0, {NULL, 0, 0}},
#else
    {"say", "Say it.", 0, 0, {arguments, 1, sizeof(pbay_option)}},
#endif
};
static void run_command(void *self, uint32_t command, pbay_command_run run, const pbay_config *given)
{
    (void)self;
    (void)command;
    (void)run;
    (void)given;
}
static const pbay_commands_1 command_table = {
    .struct_size = sizeof(pbay_commands_1),
    .n_commands = 1,
    .commands = commands,
    .command_stride = sizeof(pbay_command),
    .run = run_command,
};

#ifdef FAULT_SCHEME
static const char *const schemes[] = {"vault", "https"};
static void resolve(void *self, uint32_t scheme, pbay_resolve question, pbay_str rest)
{
    (void)self;
    (void)scheme;
    (void)question;
    (void)rest;
}
static const pbay_secrets_1 secret_table = {sizeof secret_table, 2, schemes, resolve};
#endif

static const void *extension(const char *id)
{
#ifdef FAULT_EVERY_ID
    return id;
#endif
    if (!strcmp(id, PBAY_EXT_FUNCTIONS)) return &functions;
#ifdef FAULT_ROUTE
    if (!strcmp(id, PBAY_EXT_ROUTES)) return &route_table;
#endif
#if defined(FAULT_ARGUMENT) || defined(FAULT_VERB)
    if (!strcmp(id, PBAY_EXT_COMMANDS)) return &command_table;
#endif
#if defined(FAULT_ACTION) || defined(FAULT_LOOKUP)
    if (!strcmp(id, PBAY_EXT_ACTIONS)) return &action_table;
#endif
#ifdef FAULT_SCHEME
    if (!strcmp(id, PBAY_EXT_SECRETS)) return &secret_table;
#endif
#ifdef FAULT_SOURCE
    if (!strcmp(id, PBAY_EXT_EVENTS)) return &event_table;
#endif
    (void)action_table;
    (void)event_table;
    (void)route_table;
    (void)command_table;
    (void)arguments;
    (void)submit;
    return NULL;
}

static const pbay_option options[] = {
#ifdef FAULT_OPTION
    {"size", PBAY_OPT_INT, 0, "many", NULL, "How many."},
#elif defined(FAULT_HOST_OPTION)
    {"timeout", PBAY_OPT_DURATION, 0, "1s", NULL, "The host has this one."},
#else
    {"size", PBAY_OPT_INT, 0, "3", NULL, "How many."},
#endif
};

#ifndef FAULT_NO_ENTRY
PBAY_EXPORT const pbay_entry *pbay_plugin_entry(void)
{
    static const pbay_descriptor descriptor = {
#ifdef FAULT_DESCRIPTOR_SIZE
        16,         0,
#else
        sizeof descriptor, 0,
#endif
#ifdef FAULT_NAME
        "Bad Name",
#else
        "faulty",
#endif
        "1.0.0",    "Patchbay",
        "MIT",      "Breaks one rule.",
        NULL,       {options, sizeof options / sizeof *options, sizeof(pbay_option)},
    };
    static pbay_entry entry;
    entry.magic = PBAY_MAGIC;
    entry.struct_size = sizeof entry;
    entry.abi_major = PBAY_ABI_MAJOR;
    entry.descriptor = &descriptor;
    entry.create = create;
    entry.destroy = destroy;
    entry.extension = extension;
#ifdef FAULT_MAGIC
    entry.magic = 0x12345678;
#elif defined(FAULT_MAJOR)
    entry.abi_major = 7;
#elif defined(FAULT_TRUNCATED)
    entry.struct_size = 40;
#elif defined(FAULT_CREATE)
    entry.create = NULL;
#elif defined(FAULT_NULL)
    return NULL;
#endif
    return &entry;
}
#else
PBAY_EXPORT int pbay_other_entry(void);
int pbay_other_entry(void)
{
    void *self;
    if (extension(options[0].name)) destroy(NULL);
    return create(NULL, NULL, &self, NULL);
}
#endif
