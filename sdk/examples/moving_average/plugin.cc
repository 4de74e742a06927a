/* SPDX-License-Identifier: MIT */
/*
 * An aggregate and a table over rows that stream, in C++17: nothing is kept but what the next row needs.
 *
 * The ABI is C, and so no exception may leave a plugin. This one is compiled without them: memory that runs
 * out is a null pointer, and nothing of a C++ runtime has to be there where it is loaded.
 */
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <memory>

#include <patchbay/functions.h>
#include <patchbay/host_batch.h>
#include <patchbay/host_call.h>

namespace
{

struct Freed {
    void operator()(void *p) const noexcept
    {
        std::free(p);
    }
};
template <class T> using Owned = std::unique_ptr<T, Freed>;

/* Zeroed; null when there is no memory. */
template <class T> T *zeroed(std::size_t n = 1) noexcept
{
    return static_cast<T *>(std::calloc(n, sizeof(T)));
}

enum Operation : uint32_t { SPREAD, AVERAGE };

struct Instance {
    const pbay_host *host;
    const pbay_batch_1 *batch;
    const pbay_call_1 *call;
};

/* A function that was declared on one of our operations. */
struct Function {
    uint32_t operation, window;
};

/* -------------------------------------------------------------------------------------- a call under way */

struct Series {
    const Instance &x;
    const Function &fn;
    const pbay_call call;
    const Owned<double[]> last;  /* the numbers of the window, a ring */
    bool full = false;           /* emit said LATER: nothing more until writable */
    bool waits = false;          /* a push was refused meanwhile */
    bool ended = false;          /* no more rows come */
    uint64_t n = 0;              /* rows with a number */
    double mean = 0, square = 0; /* Welford: sums of squares lose their digits */
    double sum = 0;              /* of the window */

    int32_t push(const pbay_batch &in);
    void end();
    void writable();
    void cancel();
    void finish(int32_t code, pbay_builder *out);
    double next_average(double v) noexcept;
    void next_spread(double v) noexcept;

    /* A plain `new` would have to throw: there is room already, of `zeroed`. */
    static void *operator new(std::size_t, void *room) noexcept
    {
        return room;
    }
    static void operator delete(void *p) noexcept
    {
        std::free(p);
    }
};

/* The one end of a call, and of this. out is taken; null when all was emitted, or with a failure. */
void Series::finish(int32_t code, pbay_builder *out)
{
    const std::unique_ptr<Series> gone(this);
    pbay_result result = PBAY_RESULT_OK;
    result.code = code;
    x.call->complete(call, &result, out);
}

double Series::next_average(double v) noexcept
{
    double &slot = last[n % fn.window];
    sum += v - (n >= fn.window ? slot : 0);
    slot = v;
    n++;
    return sum / static_cast<double>(n < fn.window ? n : fn.window);
}

void Series::next_spread(double v) noexcept
{
    const double from = v - mean;
    n++;
    mean += from / static_cast<double>(n);
    square += from * (v - mean);
}

/* Rows, in order; they are read before this returns. */
int32_t Series::push(const pbay_batch &in)
{
    const pbay_column *col = pbay_batch_col(&in, 0);
    if (full) { /* the caller reads slowly: the same rows again when there is room */
        waits = true;
        return PBAY_LATER;
    }
    if (fn.operation == SPREAD) {
        for (uint32_t i = 0; i < in.n_rows; i++)
            if (!pbay_cell_null(col, i)) next_spread(col->num[i]);
        return PBAY_OK;
    }
    pbay_builder *out = x.batch->create(x.host);
    x.batch->add_column(out, pbay_str_c("x"), PBAY_NUM);
    x.batch->add_column(out, pbay_str_c("average"), PBAY_NUM);
    for (uint32_t i = 0; i < in.n_rows; i++) {
        if (pbay_cell_null(col, i)) {
            x.batch->null(out, 0);
            x.batch->null(out, 1);
        } else {
            x.batch->num(out, 0, col->num[i]);
            x.batch->num(out, 1, next_average(col->num[i]));
        }
    }
    const int32_t rc = x.call->emit(call, out);
    full = rc == PBAY_LATER;
    if (rc != PBAY_OK && rc != PBAY_LATER) finish(rc, nullptr); /* nobody takes it any more */
    return PBAY_OK;
}

void Series::end()
{
    ended = true;
    if (fn.operation == AVERAGE) {
        if (!full) finish(PBAY_OK, nullptr);
        return;
    }
    pbay_builder *out = x.batch->create(x.host);
    x.batch->add_column(out, pbay_str_c("spread"), PBAY_NUM);
    if (n > 1)
        x.batch->num(out, 0, std::sqrt(square / static_cast<double>(n - 1)));
    else
        x.batch->null(out, 0);
    finish(PBAY_OK, out);
}

void Series::writable()
{
    if (!full) return;
    full = false;
    if (ended) {
        finish(PBAY_OK, nullptr);
    } else if (waits) {
        waits = false;
        x.call->ready(call);
    }
}

void Series::cancel()
{
    finish(PBAY_CANCELLED, nullptr);
}

/* --------------------------------------------------------------------------------------------- the table */

int32_t bind(void *self, const pbay_function_info *info, void **bound, pbay_result *why)
{
    const auto *x = static_cast<const Instance *>(self);
    const bool average = info->operation == AVERAGE;
    if (info->n_sends != 1 || info->sends[0].kind != PBAY_NUM)
        return pbay_fail(why, PBAY_INVALID_ARGUMENT, "one column of numbers is expected: params = x:num");
    if (info->n_answers != (average ? 2u : 1u))
        return pbay_fail(why, PBAY_INVALID_ARGUMENT,
                         average ? "two columns are answered: returns = x:num, average:num"
                                 : "one number is answered: returns = num");
    auto *fn = zeroed<Function>();
    if (!fn) return pbay_fail(why, PBAY_RESOURCE_EXHAUSTED, "no memory");
    *fn = {info->operation, average ? static_cast<uint32_t>(x->host->get_int(info->config, "window")) : 1};
    *bound = fn;
    return PBAY_OK;
}

void unbind(void *, void *bound)
{
    std::free(bound);
}

int32_t open_call(void *self, void *bound, pbay_call call, pbay_result *why)
{
    static const pbay_field columns[] = {{{"x", 1}, PBAY_NUM, 0}, {{"average", 7}, PBAY_NUM, 0}};
    const auto &x = *static_cast<const Instance *>(self);
    const auto &fn = *static_cast<const Function *>(bound);
    void *room = zeroed<Series>();
    Owned<double[]> last(zeroed<double>(fn.window));
    if (!room || !last) {
        std::free(room);
        return pbay_fail(why, PBAY_RESOURCE_EXHAUSTED, "no memory");
    }
    x.call->set_user(call, new (room) Series{x, fn, call, std::move(last)});
    if (fn.operation == AVERAGE) x.call->describe(call, pbay_str_c("smoothed"), columns, 2);
    return PBAY_OK;
}

Series *series_of(void *self, pbay_call call)
{
    return static_cast<Series *>(static_cast<const Instance *>(self)->call->user(call));
}

int32_t push(void *self, void *, pbay_call call, const pbay_batch *in, pbay_result *)
{
    Series *s = series_of(self, call);
    return s ? s->push(*in) : PBAY_CANCELLED;
}

/* What the host says of a call, said to the object. */
template <void (Series::*method)()> void say(void *self, void *, pbay_call call)
{
    if (Series *s = series_of(self, call)) (s->*method)();
}

const pbay_option average_options[] = {
    {"window", PBAY_OPT_INT, 0, "7", "1..100000",
     "How many rows an average is made of; fewer at the beginning."},
};
const pbay_operation operations[] = {
    {"spread", "The standard deviation of all rows.", PBAY_SHAPE_AGGREGATE, 0, {nullptr, 0, 0}},
    {"average",
     "Each row, with the mean of the last ones.",
     PBAY_SHAPE_TABLE,
     0,
     {average_options, 1, sizeof(pbay_option)}},
};
const pbay_functions_1 functions = {
    sizeof(pbay_functions_1),
    2,
    operations,
    sizeof(pbay_operation),
    0,
    bind,
    unbind,
    nullptr, /* lane */
    nullptr, /* submit: there is no map */
    open_call,
    push,
    say<&Series::end>,
    say<&Series::writable>,
    say<&Series::cancel>,
};

int32_t create(const pbay_host *host, const pbay_config *, void **self, pbay_result *why)
{
    Owned<Instance> x(zeroed<Instance>());
    if (!x) return pbay_fail(why, PBAY_RESOURCE_EXHAUSTED, "no memory");
    x->host = host;
    x->batch = static_cast<const pbay_batch_1 *>(host->service(host, PBAY_SVC_BATCH));
    x->call = static_cast<const pbay_call_1 *>(host->service(host, PBAY_SVC_CALL));
    if (!x->batch || !x->call)
        return pbay_fail(why, PBAY_UNIMPLEMENTED, "this host has no pbay.host.batch/1 or pbay.host.call/1");
    *self = x.release();
    return PBAY_OK;
}

const void *extension(const char *id)
{
    return std::strcmp(id, PBAY_EXT_FUNCTIONS) == 0 ? &functions : nullptr;
}

const pbay_descriptor descriptor = {sizeof(pbay_descriptor),
                                    0,
                                    "moving_average",
                                    "1.0.0",
                                    "Patchbay",
                                    "MIT",
                                    "Standard deviations and moving averages of rows that stream",
                                    nullptr,
                                    {nullptr, 0, 0}};
const pbay_entry entry = {PBAY_MAGIC, sizeof(pbay_entry), PBAY_ABI_MAJOR, PBAY_ABI_MINOR,
                          0,          &descriptor,        create,         nullptr,
                          nullptr,    std::free,          extension};

} // namespace

PBAY_EXPORT const pbay_entry *pbay_plugin_entry(void)
{
    return &entry;
}
