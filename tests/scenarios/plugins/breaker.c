/* SPDX-License-Identifier: MIT */
/*
 * A plugin that breaks as a row tells it to: crash, fork (a child, and crash), exit, hang, close (its
 * descriptors), unplug (that of the worker's socket), late (a crash from a timer), memory, files, spin (CPU
 * time), hold (half a second), leak (a descriptor of /dev/zero, to whoever this process starts). Other rows
 * come back as they are, and so does every row of `tenth` but that the whole goes down with every tenth call.
 * `create`, `bind` and `start` break, too, while the file `mended` is not there: crash, exit, hang, refuse.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <patchbay/functions.h>
#include <patchbay/health.h>
#include <patchbay/host_batch.h>
#include <patchbay/host_call.h>
#include <patchbay/host_metric.h>
#include <patchbay/host_timer.h>

#define STR(lit) ((pbay_str){(lit), sizeof(lit) - 1})

struct breaker {
    const pbay_host *host;
    const pbay_config *config;
    const pbay_batch_1 *batch;
    const pbay_call_1 *call;
    const pbay_timer_1 *timer;
    const pbay_metric_1 *metric;
    pbay_metric rows;
    uint32_t n_calls;
    int unwell;
};

struct held {
    struct breaker *b;
    pbay_call call;
    const pbay_batch *in;
};

static void crash(void)
{
    raise(SIGSEGV);
}

/* The child has all descriptors, and lives on for a while. */
static void leave_a_child(void)
{
    if (fork() == 0) {
        sleep(5);
        _exit(0);
    }
    crash();
}

static void hang(void)
{
    for (;;) pause();
}

static void answer(struct breaker *b, pbay_call call, const pbay_batch *in)
{
    const pbay_result ok = PBAY_RESULT_OK;
    pbay_builder *out = b->batch->create(b->host);
    const pbay_column *col = pbay_batch_col(in, 0);
    b->batch->add_column(out, col->name, col->kind);
    b->batch->copy(out, 0, col, 0, in->n_rows);
    b->metric->add(b->host, b->rows, in->n_rows);
    b->call->complete(call, &ok, out);
}

static void release(void *user)
{
    struct held *h = user;
    answer(h->b, h->call, h->in);
    free(h);
}

static void fall(void *user)
{
    (void)user;
    crash();
}

static int says(const pbay_column *col, uint32_t row, const char *word)
{
    pbay_str cell = pbay_cell_text(col, row);
    return cell.n == strlen(word) && !memcmp(cell.p, word, cell.n);
}

static void eat(void)
{
    for (;;) {
        char *p = malloc(1 << 20);
        if (!p) crash();
        memset(p, 1, 1 << 20);
    }
}

/* One row with a number: how many descriptors there were. */
static void count_files(struct breaker *b, pbay_call call)
{
    const pbay_result ok = PBAY_RESULT_OK;
    char text[32];
    int n = 0, first = -1, last = -1;
    while ((n < 100000) && (last = open("/dev/null", O_RDONLY | O_CLOEXEC)) >= 0) {
        if (first < 0) first = last;
        n++;
    }
    for (int fd = first; n && fd < first + n; fd++) close(fd);
    pbay_builder *out = b->batch->create(b->host);
    b->batch->add_column(out, STR("files"), PBAY_STR);
    b->batch->text(out, 0, (pbay_str){text, (size_t)snprintf(text, sizeof text, "%d", n)});
    b->call->complete(call, &ok, out);
}

static int32_t submit(void *self, void *bound, pbay_call call, const pbay_batch *in, pbay_result *why)
{
    struct breaker *b = self;
    const pbay_column *col = pbay_batch_col(in, 0);
    (void)why;
    if (bound && ++b->n_calls % 10 == 0) crash();
    for (uint32_t i = 0; i < in->n_rows; i++) {
        if (says(col, i, "crash")) crash();
        if (says(col, i, "fork")) leave_a_child();
        if (says(col, i, "leak") && open("/dev/zero", O_RDONLY) < 0) crash();
        if (says(col, i, "exit")) exit(3);
        if (says(col, i, "hang")) hang();
        if (says(col, i, "close"))
            for (int fd = 3; fd < 64; fd++) close(fd);
        if (says(col, i, "unplug")) close(3);
        if (says(col, i, "memory")) eat();
        if (says(col, i, "slow")) usleep(200000);
        if (says(col, i, "unwell")) b->unwell = 1;
        if (says(col, i, "well")) b->unwell = 0;
        if (says(col, i, "spin"))
            for (volatile unsigned n = 0;; n++) {
            }
        if (says(col, i, "late")) {
            b->timer->start(b->host, 20, 0, fall, b);
            return PBAY_OK;
        }
        if (says(col, i, "files")) {
            count_files(b, call);
            return PBAY_OK;
        }
        if (!says(col, i, "hold")) continue;
        struct held *h = calloc(1, sizeof *h);
        if (!h) abort();
        *h = (struct held){b, call, in};
        b->timer->start(b->host, 500, 0, release, h);
        return PBAY_OK;
    }
    answer(b, call, in);
    return PBAY_OK;
}

static int32_t obey(const struct breaker *b, const char *option, pbay_result *why)
{
    char mended[4096];
    pbay_str path = b->host->get_str(b->config, "mended");
    snprintf(mended, sizeof mended, "%.*s", (int)path.n, path.n ? path.p : "");
    if (path.n && access(mended, F_OK) == 0) return PBAY_OK;
    switch (b->host->get_int(b->config, option)) {
    case 1: crash(); break;
    case 2: exit(3);
    case 3: hang(); break;
    case 4: why->message = STR("it would rather not"); return PBAY_FAILED_PRECONDITION;
    default: break;
    }
    return PBAY_OK;
}

static int32_t bind(void *self, const pbay_function_info *info, void **bound, pbay_result *why)
{
    *bound = info->operation == 1 ? self : NULL;
    return obey(self, "bind", why);
}

static const pbay_operation operations[] = {
    {"echo", "Rows as they are.", PBAY_SHAPE_MAP, 0, {NULL, 0, 0}},
    {"tenth", "Rows as they are, and a crash with every tenth call.", PBAY_SHAPE_MAP, 0, {NULL, 0, 0}},
};

static const pbay_functions_1 functions = {
    .struct_size = sizeof functions,
    .n_operations = 2,
    .operations = operations,
    .operation_stride = sizeof(pbay_operation),
    .bind = bind,
    .submit = submit,
};

static uint32_t state(void *self, pbay_str *sentence)
{
    const struct breaker *b = self;
    if (!b->unwell) return PBAY_UP;
    *sentence = STR("it feels unwell");
    return PBAY_DEGRADED;
}

static const pbay_health_1 health = {sizeof health, 0, state};

static const void *extension(const char *id)
{
    if (!strcmp(id, PBAY_EXT_FUNCTIONS)) return &functions;
    return strcmp(id, PBAY_EXT_HEALTH) ? NULL : &health;
}

static int32_t create(const pbay_host *host, const pbay_config *config, void **self, pbay_result *why)
{
    struct breaker *b = calloc(1, sizeof *b);
    if (!b) return PBAY_RESOURCE_EXHAUSTED;
    *b = (struct breaker){.host = host, .config = config};
    b->batch = host->service(host, PBAY_SVC_BATCH);
    b->call = host->service(host, PBAY_SVC_CALL);
    b->timer = host->service(host, PBAY_SVC_TIMER);
    b->metric = host->service(host, PBAY_SVC_METRIC);
    if (b->metric) b->rows = b->metric->slot(host, PBAY_METRIC_COUNTER, "rows_total", "", "Rows given back.");
    int32_t code = obey(b, "create", why);
    *self = b;
    if (code != PBAY_OK) free(b);
    return code;
}

static int32_t start(void *self, pbay_result *why)
{
    return obey(self, "start", why);
}

static void destroy(void *self)
{
    free(self);
}

PBAY_EXPORT const pbay_entry *pbay_plugin_entry(void)
{
    static const pbay_option options[] = {
        {"create", PBAY_OPT_ENUM, 0, "well", "well|crash|exit|hang|refuse", "What it does when it is made."},
        {"bind", PBAY_OPT_ENUM, 0, "well", "well|crash|exit|hang|refuse", "What it does when it is bound."},
        {"start", PBAY_OPT_ENUM, 0, "well", "well|crash|exit|hang|refuse",
         "What it does when it is started."},
        {"mended", PBAY_OPT_FILE, 0, NULL, NULL, "A file; when it is there, it does all that well."},
    };
    static const pbay_descriptor descriptor = {
        .struct_size = sizeof descriptor,
        .name = "breaker",
        .version = "1.0.0",
        .vendor = "Patchbay",
        .license = "MIT",
        .summary = "Breaks as it is told to.",
        .options = {options, sizeof options / sizeof *options, sizeof *options},
    };
    static const pbay_entry entry = {
        PBAY_MAGIC, sizeof entry, PBAY_ABI_MAJOR, PBAY_ABI_MINOR, 0,         &descriptor,
        create,     start,        NULL,           destroy,        extension,
    };
    return &entry;
}
