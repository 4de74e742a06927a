/* SPDX-License-Identifier: MIT */
#include "train.h"

#include <dirent.h>
#include <errno.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/mem.h"
#include "hyper.h"
#include "topn.h"
#include "warehouse.h"

char *rec_model_path(const char *root)
{
    return pb_sprintf("%s/model/recommender.model", root);
}

/* A folder below root, with those above it. */
static int make_folder(const char *root, const char *below, struct pb_err *err)
{
    char *path = pb_sprintf("%s/%s", root, below);
    int rc = 0;
    for (char *p = strchr(path + strlen(root) + 1, '/'); !rc && p; p = strchr(p + 1, '/')) {
        *p = 0;
        if (mkdir(path, 0755) && errno != EEXIST)
            rc = pb_fail(err, PBAY_UNAVAILABLE, "the folder %s cannot be made: %s", path, strerror(errno));
        *p = '/';
    }
    if (!rc && mkdir(path, 0755) && errno != EEXIST)
        rc = pb_fail(err, PBAY_UNAVAILABLE, "the folder %s cannot be made: %s", path, strerror(errno));
    pb_free(path);
    return rc;
}

void rec_write_failure(const char *root, const char *message)
{
    struct pb_err ignored;
    if (make_folder(root, "output", &ignored)) return;
    char *path = pb_sprintf("%s/output/failure", root);
    FILE *f = fopen(path, "we");
    if (f) {
        fprintf(f, "%.1024s\n", message);
        fclose(f);
    }
    pb_free(path);
}

static int read_file(const char *path, struct pb_buf *out, struct pb_err *err)
{
    FILE *f = fopen(path, "re");
    if (!f)
        return errno == ENOENT ? 0
                               : pb_fail(err, PBAY_NOT_FOUND, "%s cannot be read: %s", path, strerror(errno));
    size_t n;
    while ((n = fread(pb_buf_room(out, 65536), 1, 65536, f)) > 0 && out->n < 1 << 20) out->n += n;
    fclose(f);
    return 0;
}

static int read_hyper(const char *root, struct rec_hyper *h, struct pb_err *err)
{
    char *path = pb_sprintf("%s/input/config/hyperparameters.json", root);
    struct pb_buf text = {0};
    int rc = read_file(path, &text, err);
    if (!rc) rc = rec_hyper_parse(h, pb_buf_view(&text), err);
    pb_buf_free(&text);
    pb_free(path);
    return rc;
}

/* ------------------------------------------------------------------------------------------------ input */

static int is_visible(const struct dirent *e)
{
    return e->d_name[0] != '.';
}

/* Every CSV file of every channel, in the order of their names. */
static int read_channels(const char *root, struct rec_ratings *r, struct pb_err *err)
{
    char *data = pb_sprintf("%s/input/data", root), *other = NULL;
    struct dirent **channels, **files;
    int rc = 0, n_channels = scandir(data, &channels, is_visible, alphasort), found = 0;
    for (int i = 0; i < n_channels; i++) {
        char *channel = pb_sprintf("%s/%s", data, channels[i]->d_name);
        int n = scandir(channel, &files, is_visible, alphasort);
        for (int k = 0; k < n; k++) {
            char *path = pb_sprintf("%s/%s", channel, files[k]->d_name);
            if (pb_str_ends(pb_str_c(path), PB_STR(".csv"))) {
                if (!rc) rc = rec_ratings_read_csv(r, path, err);
                found++;
            } else {
                printf("Not read: %s, whose name does not end in .csv.\n", path);
                if (!other) other = pb_strdup(path);
            }
            pb_free(path);
            free(files[k]);
        }
        if (n >= 0)
            free(files);
        else if (!other)
            other = pb_strdup(channel);
        pb_free(channel);
        free(channels[i]);
    }
    if (n_channels >= 0) free(channels);
    if (!rc && !found)
        rc = pb_fail(err, PBAY_INVALID_ARGUMENT,
                     "no ratings: neither the hyperparameter input_table_name nor a .csv file in %s/CHANNEL/"
                     "%s%s%s",
                     data, other ? "; there is " : "", other ? other : "",
                     other ? ", but only files directly in a channel are read, and only unpacked ones" : "");
    pb_free(other);
    pb_free(data);
    return rc;
}

/* ------------------------------------------------------------------------------------------------ telling */

static void print_row(const char *name, int decimals, const struct rec_score *scores, uint32_t n, size_t at)
{
    double sum = 0, squares = 0;
    printf("%-18s", name);
    for (uint32_t i = 0; i < n; i++) {
        double v = *(const double *)(const void *)((const char *)&scores[i] + at);
        char text[32];
        snprintf(text, sizeof text, "%.*f", decimals, v);
        printf("%-8s", text);
        sum += v;
        squares += v * v;
    }
    double mean = sum / n, variance = squares / n - mean * mean;
    double last[2] = {mean, sqrt(variance > 0 ? variance : 0)};
    for (int i = 0; i < 2; i++) {
        char text[32];
        snprintf(text, sizeof text, "%.*f", decimals, last[i]);
        printf("%-8s", text);
    }
    printf("\n");
}

static void print_scores(const struct rec_score *scores, uint32_t n)
{
    double rmse = 0, mae = 0;
    printf("Evaluating RMSE, MAE of algorithm SVD on %u split(s).\n\n%-18s", n, "");
    for (uint32_t i = 0; i < n; i++) {
        char text[16];
        snprintf(text, sizeof text, "Fold %u", i + 1);
        printf("%-8s", text);
        rmse += scores[i].rmse / n;
        mae += scores[i].mae / n;
    }
    printf("%-8s%-8s\n", "Mean", "Std");
    print_row("RMSE (testset)", 4, scores, n, offsetof(struct rec_score, rmse));
    print_row("MAE (testset)", 4, scores, n, offsetof(struct rec_score, mae));
    print_row("Fit time", 2, scores, n, offsetof(struct rec_score, fit_s));
    print_row("Test time", 2, scores, n, offsetof(struct rec_score, test_s));
    printf("rmse=%.6f\nmae=%.6f\n", rmse, mae);
}

/* ------------------------------------------------------------------------------------------------ output */

struct sheet {
    FILE *f;
    const struct rec_model *m;
};

static void put_line(void *user, uint32_t who, const uint32_t *items, uint32_t n)
{
    struct sheet *s = user;
    fprintf(s->f, "%lld,\"[", (long long)s->m->users.of[who]);
    for (uint32_t i = 0; i < n; i++)
        fprintf(s->f, "%s%lld", i ? ", " : "", (long long)s->m->items.of[items[i]]);
    fprintf(s->f, "]\"\n");
}

/* recommendations.csv, which SageMaker takes to S3 with the job's output. */
static int write_sheet(const char *root, const struct rec_hyper *h, const struct rec_model *m,
                       const struct rec_ratings *r, struct pb_err *err)
{
    if (make_folder(root, "output/data", err)) return -1;
    char *path = pb_sprintf("%s/output/data/recommendations.csv", root), *beside = pb_sprintf("%s.new", path);
    struct sheet s = {fopen(beside, "we"), m};
    int rc = s.f ? 0 : -1, e = errno;
    if (s.f) {
        fprintf(s.f, "USERID,RECOMMENDATIONS\n");
        rec_top(m, r, h->params.top_n, put_line, &s);
        rc = ferror(s.f) ? -1 : 0;
        if (fclose(s.f)) rc = -1;
        if (!rc) rc = rename(beside, path);
        e = errno;
    }
    if (rc) {
        unlink(beside);
        pb_fail(err, PBAY_UNAVAILABLE, "%s cannot be written: %s", path, strerror(e));
    } else
        printf("Top %u predictions for all users saved to %s\n", h->params.top_n, path);
    pb_free(path);
    pb_free(beside);
    return rc;
}

static int write_output(const char *root, struct rec_warehouse *w, const struct rec_hyper *h,
                        const struct rec_model *m, const struct rec_ratings *r, struct pb_err *err)
{
    if (!h->output_table) return write_sheet(root, h, m, r, err);
    if (rec_warehouse_write(w, h, m, r, err)) return -1;
    printf("Top %u predictions for all users saved to Snowflake table named:  %s\n", h->params.top_n,
           h->output_table);
    return 0;
}

/* ------------------------------------------------------------------------------------------------ the job */

static int fit(struct rec_model *m, struct rec_ratings *r, const struct rec_params *params,
               struct pb_err *err)
{
    struct rec_score scores[REC_FOLDS_MAX];
    if (r->n < params->folds)
        return pb_fail(err, PBAY_INVALID_ARGUMENT, "%llu ratings cannot be cut into %u folds",
                       (unsigned long long)r->n, params->folds);
    printf("ratings=%llu\nusers=%u\nitems=%u\n", (unsigned long long)r->n, r->users.n, r->items.n);
    if (params->folds) {
        rec_cross_validate(m, r, params, scores);
        print_scores(scores, params->folds);
    } else
        rec_fit(m, r, params, NULL, NULL, 0);
    /* Rates that are too large let parameters grow without end. */
    for (uint32_t i = 0; i < r->items.n; i++)
        if (!isfinite(m->bi[i]) || !isfinite(m->q[(size_t)i * m->stride]) || !isfinite(m->bu[0]) ||
            !isfinite(m->p[0]))
            return pb_fail(
                err, PBAY_OUT_OF_RANGE,
                "the parameters grew beyond all numbers: learning rates are too high for these ratings "
                "(lr_all is %g); try a tenth",
                (double)params->rates.lr_pu);
    m->users = r->users;
    m->items = r->items;
    return 0;
}

static int train(const char *root, const struct rec_hyper *h, struct pb_err *err)
{
    struct rec_ratings r = {.min = h->params.rating_min, .max = h->params.rating_max};
    struct rec_model m = {0};
    struct rec_warehouse *w = NULL;
    int rc = 0;
    if (h->input_table || h->output_table) rc = (w = rec_warehouse_open(h, err)) ? 0 : -1;
    if (!rc) rc = h->input_table ? rec_warehouse_read(w, h, &r, err) : read_channels(root, &r, err);
    if (!rc) rc = rec_ratings_group(&r, err);
    if (!rc) rc = fit(&m, &r, &h->params, err);
    /* The model takes its place last: a job that failed leaves everything as it was. */
    char *path = rec_model_path(root), *trained = pb_sprintf("%s.trained", path);
    if (!rc) rc = make_folder(root, "model", err);
    if (!rc) rc = rec_model_save(&m, trained, err);
    if (!rc) rc = write_output(root, w, h, &m, &r, err);
    if (!rc && rename(trained, path))
        rc = pb_fail(err, PBAY_UNAVAILABLE, "the model cannot be moved to %s: %s", path, strerror(errno));
    if (rc) unlink(trained);
    pb_free(trained);
    pb_free(path);
    rec_warehouse_close(w);
    m.users = m.items = (struct rec_ids){0}; /* those of the ratings */
    rec_model_free(&m);
    rec_ratings_free(&r);
    return rc;
}

/* In a container this is process 1, for which a signal without a handler does nothing: StopTrainingJob would
 * wait for its two minutes. What was not finished stays beside what is there. */
static void on_signal(int signum)
{
    static const char said[] = "recommender: stopped by a signal\n";
    (void)!write(STDERR_FILENO, said, sizeof said - 1);
    _exit(128 + signum);
}

int rec_train(const char *root, struct pb_err *err)
{
    signal(SIGTERM, on_signal);
    signal(SIGINT, on_signal);
    struct rec_hyper h;
    char *failure = pb_sprintf("%s/output/failure", root);
    unlink(failure); /* of a job before this one */
    pb_free(failure);
    printf("Starting the training.\n");
    fflush(stdout);
    int rc = read_hyper(root, &h, err);
    if (!rc) {
        rc = train(root, &h, err);
        rec_hyper_free(&h);
    }
    if (rc)
        rec_write_failure(root, err->msg);
    else
        printf("Training complete.\n");
    fflush(stdout);
    return rc;
}
