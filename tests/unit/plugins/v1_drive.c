/* SPDX-License-Identifier: MIT */
/*
 * plugins/modeldb/v1_sync without the gateway: v1_drive PORT sync|seed|verify|seed-verify MARK [CALLS
 * sent|answered] reads a job from its input (lines of "KIND NAME VALUE" with tabs), makes the calls over a
 * blocking socket, and dies after so many of them, before or after the answer. The file MARK is the store.
 * Prints what was needed and how it ended.
 */
#include <arpa/inet.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../../../plugins/modeldb/v1_sync.h"

#define MAX 64

static char lines[MAX][4][512];
static v1_pair parameters[MAX], fields[MAX], facts[MAX];
static v1_number metrics[MAX];
static v1_channel channels[MAX];

static pbay_str text(const char *s)
{
    return (pbay_str){s, strlen(s)};
}

static void read_job(v1_wanted *w)
{
    static char line[2048];
    size_t n_facts = 0;
    for (size_t i = 0; i < MAX && fgets(line, sizeof line, stdin); i++) {
        char *at = line;
        line[strcspn(line, "\n")] = 0;
        for (int k = 0; k < 3; k++) {
            const char *part = strsep(&at, "\t");
            snprintf(lines[i][k], sizeof lines[i][k], "%s", part ? part : "");
        }
        const char *kind = lines[i][0];
        const pbay_str name = text(lines[i][1]), value = text(lines[i][2]);
        if (!strcmp(kind, "parameter"))
            parameters[w->n_parameters++] = (v1_pair){name, value};
        else if (!strcmp(kind, "field"))
            fields[w->n_fields++] = (v1_pair){name, value};
        else if (!strcmp(kind, "metric"))
            metrics[w->n_metrics++] = (v1_number){name, strtod(lines[i][2], NULL)};
        else if (!strcmp(kind, "channel"))
            channels[w->n_channels++] = (v1_channel){name, value, &facts[n_facts], 0};
        else if (!strcmp(kind, "fact"))
            facts[n_facts++] = (v1_pair){name, value}, channels[w->n_channels - 1].n_facts++;
        else if (!strcmp(kind, "job"))
            w->run = name, w->arn = value;
        else if (!strcmp(kind, "project"))
            w->project = name, w->author = value;
        else if (!strcmp(kind, "description"))
            w->description = name;
        else if (!strcmp(kind, "model"))
            w->name = name, w->type = value;
        else if (!strcmp(kind, "artifact"))
            w->artifact = name;
    }
    w->parameters = parameters;
    w->fields = fields;
    w->metrics = metrics;
    w->channels = channels;
}

static void differs(void *user, const v1_difference *d)
{
    (void)user;
    printf("differs %s %.*s: \"%.*s\" is \"%.*s\"\n", d->what, (int)d->name.n, d->name.p, (int)d->wanted.n,
           d->wanted.p, (int)d->stored.n, d->stored.p);
}

static int connected(int port)
{
    const int fd = socket(AF_INET, SOCK_STREAM, 0);
    const struct sockaddr_in to = {
        .sin_family = AF_INET, .sin_port = htons((unsigned short)port), .sin_addr = {htonl(INADDR_LOOPBACK)}};
    if (connect(fd, (const struct sockaddr *)&to, sizeof to)) {
        perror("connect");
        exit(4);
    }
    return fd;
}

/* 0: *in holds a whole frame, *frame is its inside. */
static int receive(int fd, pbay_text *in, pbay_str *frame)
{
    char piece[4096], why[THRIFT_WHY];
    size_t more;
    enum thrift_fault fault;
    pbay_text_clear(in);
    for (;;) {
        const int rc = thrift_frame(pbay_text_view(in), frame, &more, &fault, why);
        if (rc > 0) return 0;
        if (rc < 0) {
            printf("failed %s\n", why);
            return -1;
        }
        const ssize_t n = read(fd, piece, sizeof piece);
        if (n <= 0) {
            printf("failed closed\n");
            return -1;
        }
        pbay_text_add(in, (pbay_str){piece, (size_t)n});
    }
}

static int mark(v1_sync *s, const char *file, bool set)
{
    const int fd = open(file, set ? O_CREAT | O_WRONLY : O_RDONLY, 0600);
    if (fd >= 0) close(fd);
    if (set)
        v1_sync_go_on(s);
    else
        v1_sync_mark(s, fd >= 0);
    return 0;
}

static int call(v1_sync *s, int fd, const pbay_text *out, int32_t seqid)
{
    pbay_text in = {NULL, 0, 0};
    pbay_str frame;
    v1_answer a;
    int rc = 0;
    if (receive(fd, &in, &frame)) {
        pbay_text_free(&in);
        return 3;
    }
    v1_read(frame, v1_sync_method(s), seqid, &a);
    if (a.end == V1_DONE || (a.end == V1_REFUSED && !strcmp(a.exception.p, "ResourceNotFoundException"))) {
        v1_sync_answer(s, &a);
    } else {
        printf("failed %.*s %.*s %s\n", (int)a.exception.n, a.exception.p, (int)a.message.n, a.message.p,
               a.why);
        rc = 3;
    }
    v1_answer_free(&a);
    pbay_text_free(&in);
    (void)out;
    return rc;
}

int main(int argc, char **argv)
{
    if (argc < 4) return 2;
    v1_wanted w = {.seed = strstr(argv[2], "seed") != NULL};
    const bool dies_sent = argc > 5 && !strcmp(argv[5], "sent");
    int left = argc > 4 ? atoi(argv[4]) : -1, rc = 0;
    read_job(&w);
    v1_sync *s = !strstr(argv[2], "verify") ? v1_sync_new(&w) : v1_verify_new(&w, differs, NULL);
    pbay_text out = {NULL, 0, 0};
    const int fd = connected(atoi(argv[1]));
    enum v1_need need;
    for (int32_t seqid = w.seed ? 0 : 1; !rc && (need = v1_sync_next(s, &out, seqid)) != V1_NEED_NOTHING;
         seqid += !w.seed) {
        switch (need) {
        case V1_NEED_MARK: mark(s, argv[3], false); break;
        case V1_NEED_SET_MARK: mark(s, argv[3], true); break;
        case V1_NEED_LOCK:
        case V1_NEED_UNLOCK:
            puts(need == V1_NEED_LOCK ? "lock" : "unlock");
            v1_sync_go_on(s);
            break;
        default:
            if (left == 0 && !dies_sent) rc = 9;
            if (rc) break;
            if (write(fd, out.p, out.n) != (ssize_t)out.n) rc = 3;
            if (left == 0) {
                pbay_text in = {NULL, 0, 0};
                pbay_str frame;
                receive(fd, &in, &frame); /* so that it was done; what it says is lost */
                pbay_text_free(&in);
                rc = 9;
                break;
            }
            if (left > 0) left--;
            if (!rc) rc = call(s, fd, &out, seqid);
        }
    }
    const v1_outcome *o = v1_sync_outcome(s);
    if (!rc && v1_sync_fault(s)) {
        printf("fault %s\n", v1_sync_fault(s));
        rc = 5;
    }
    printf("outcome project %d run %d model %d found %d repaired %d fields %u metrics %u frames %u kept %u\n",
           (int)o->project, (int)o->run, (int)o->model, o->found, o->repaired, o->n_fields, o->n_metrics,
           o->n_frames, o->n_kept);
    close(fd);
    pbay_text_free(&out);
    v1_sync_free(s);
    return rc;
}
