/* SPDX-License-Identifier: MIT */
/* The parts of the supervisor that need no process: who is put out and when, the page, the channel. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "app/channel.h"
#include "app/supervisor_priv.h"

static void three_crashes_in_ten_minutes(void **state)
{
    (void)state;
    const int64_t minute = 60 * PB_SEC;
    char reason[PB_PAGE_REASON] = "";
    struct pb_crashes *c = pb_crashes_new();
    int64_t t = minute;
    assert_false(pb_crashes_add(c, "a", "signal 11", t, reason));
    assert_false(pb_crashes_add(c, "a", "signal 11", t + 9 * minute, reason));
    assert_false(pb_crashes_add(c, "b", "signal 6", t + 9 * minute, reason)); /* another's do not count */
    assert_false(
        pb_crashes_add(c, "a", "signal 11", t + 11 * minute, reason)); /* the first is too long ago */
    assert_string_equal(reason, "");
    assert_true(pb_crashes_add(c, "a", "signal 4", t + 12 * minute, reason));
    assert_non_null(strstr(reason, "3 times"));
    assert_non_null(strstr(reason, "signal 4"));
    assert_false(pb_crashes_add(c, "a", "signal 4", t + 13 * minute, reason)); /* put out, it starts anew */
    assert_false(pb_crashes_add(c, "b", "signal 6", t + 13 * minute, reason));
    pb_crashes_clear(c);
    assert_false(pb_crashes_add(c, "b", "signal 6", t + 13 * minute, reason));
    /* As many connectors as there is room for: nobody is forgotten. */
    for (int i = 0; i < 63; i++) {
        char name[16];
        snprintf(name, sizeof name, "c%d", i);
        assert_false(pb_crashes_add(c, name, "x", t + 14 * minute, reason));
    }
    assert_false(pb_crashes_add(c, "b", "x", t + 14 * minute, reason));
    assert_true(pb_crashes_add(c, "b", "x", t + 14 * minute, reason));
    pb_crashes_free(c);
}

static void page_is_shared(void **state)
{
    (void)state;
    int fd;
    struct pb_err err;
    struct pb_page *one = pb_page_make(&fd, &err);
    assert_non_null(one);
    struct pb_page *other = pb_page_map(fd, &err);
    assert_non_null(other);
    assert_ptr_not_equal(one, other);
    assert_null(pb_page_out_reason(other, PB_STR("aws")));
    assert_true(pb_page_put_out(one, "aws", "why"));
    assert_true(pb_page_put_out(one, "aws", "again"));
    assert_string_equal(pb_page_out_reason(other, PB_STR("aws")), "why");
    assert_null(pb_page_out_reason(other, PB_STR("aw")));
    assert_null(pb_page_out_reason(other, PB_STR("aws2")));
    /* A name that is too long is cut alike where it is put and where it is asked for. */
    char name[PB_PAGE_NAME + 20];
    memset(name, 'n', sizeof name);
    name[sizeof name - 1] = 0;
    assert_true(pb_page_put_out(one, name, "long"));
    assert_string_equal(pb_page_out_reason(other, pb_str_c(name)), "long");
    for (int i = 2; i < PB_PAGE_OUTS; i++) {
        snprintf(name, sizeof name, "c%d", i);
        assert_true(pb_page_put_out(one, name, "x"));
    }
    assert_false(pb_page_put_out(one, "one too many", "x"));
    pb_page_clear_outs(one);
    assert_null(pb_page_out_reason(other, PB_STR("aws")));
    pb_page_unmap(other);
    pb_page_unmap(one);
    int null = open("/dev/zero", O_RDONLY | O_CLOEXEC);
    assert_null(pb_page_map(null, &err));
    close(null);
    close(fd);
}

static void messages_stay_whole(void **state)
{
    (void)state;
    int ends[2], pipe_ends[2];
    struct pb_msg m;
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends), 0);
    assert_int_equal(pipe2(pipe_ends, O_CLOEXEC), 0);
    assert_int_equal(pb_msg_receive(ends[1], &m, false), 0);
    assert_int_equal(pb_msg_send(ends[0], PB_MSG_LISTEN, "qrag.x", "[::]:1", -1, false), 0);
    assert_int_equal(pb_msg_send(ends[0], PB_MSG_DRAIN, NULL, NULL, -1, false), 0);
    assert_int_equal(pb_msg_send(ends[0], PB_MSG_CONN, "sse", NULL, pipe_ends[1], false), 0);
    char name[PB_MSG_NAME * 2], text[PB_MSG_TEXT * 2];
    memset(name, 'n', sizeof name);
    memset(text, 't', sizeof text);
    name[sizeof name - 1] = text[sizeof text - 1] = 0;
    assert_int_equal(pb_msg_send(ends[0], PB_MSG_FAILED, name, text, -1, false), 0);
    close(pipe_ends[1]);

    assert_int_equal(pb_msg_receive(ends[1], &m, false), 1);
    assert_int_equal(m.type, PB_MSG_LISTEN);
    assert_string_equal(m.name, "qrag.x");
    assert_string_equal(m.text, "[::]:1");
    assert_int_equal(m.fd, -1);
    assert_int_equal(pb_msg_receive(ends[1], &m, false), 1);
    assert_int_equal(m.type, PB_MSG_DRAIN);
    assert_string_equal(m.name, "");
    assert_string_equal(m.text, "");
    assert_int_equal(pb_msg_receive(ends[1], &m, false), 1);
    assert_string_equal(m.name, "sse");
    assert_true(m.fd >= 0);
    assert_int_equal(write(m.fd, "x", 1), 1);
    close(m.fd);
    char got[2];
    assert_int_equal(read(pipe_ends[0], got, 2), 1);
    assert_int_equal(read(pipe_ends[0], got, 2), 0); /* no copy of it is left open */
    assert_int_equal(pb_msg_receive(ends[1], &m, false), 1);
    assert_int_equal(strlen(m.name), PB_MSG_NAME - 1);
    assert_int_equal(strlen(m.text), PB_MSG_TEXT - 1);

    /* Full, and gone. */
    int rc, sent = 0;
    while ((rc = pb_msg_send(ends[0], PB_MSG_CONN, "sse", NULL, -1, false)) == 0) sent++;
    assert_int_equal(rc, 1);
    assert_true(sent > 16);
    close(ends[1]);
    assert_int_equal(pb_msg_send(ends[0], PB_MSG_CONN, "sse", NULL, -1, true), -1);
    assert_int_equal(pb_msg_receive(ends[0], &m, true), -1);
    close(ends[0]);
    close(pipe_ends[0]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(three_crashes_in_ten_minutes),
        cmocka_unit_test(page_is_shared),
        cmocka_unit_test(messages_stay_whole),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
