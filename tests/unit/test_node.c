/* SPDX-License-Identifier: GPL-2.0-or-later */
/* test_node: names and paths with the node in them, and sockets that lie under such a path. */
#include <check.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "channel.h"
#include "clock.h"
#include "node.h"
#include "suite.h"

START_TEST(a_pattern_has_the_node_in_it)
{
        char out[40];

        ck_assert_int_eq(node_expand(out, sizeof out, "/run/%n.sock", "n1", NULL), 0);
        ck_assert_str_eq(out, "/run/n1.sock");
        ck_assert_int_eq(node_expand(out, sizeof out, "%n%n", "ab", NULL), 0);
        ck_assert_str_eq(out, "abab");
        ck_assert_int_eq(node_expand(out, sizeof out, "100%%", "n1", NULL), 0);
        ck_assert_str_eq(out, "100%");
        ck_assert_int_eq(node_expand(out, sizeof out, "", "n1", NULL), 0);
        ck_assert_str_eq(out, "");
}
END_TEST

START_TEST(a_pattern_that_does_not_hold_is_refused)
{
        struct stint_error err = { 0 };
        char out[8];

        ck_assert_int_eq(node_expand(out, sizeof out, "/%h", "n1", &err), -1);
        ck_assert_int_eq(err.code, EINVAL);
        ck_assert_int_eq(node_expand(out, sizeof out, "/%", "n1", &err), -1);
        ck_assert_int_eq(err.code, EINVAL);
        ck_assert_int_eq(node_expand(out, sizeof out, "123456%n", "n", &err), 0);
        ck_assert_int_eq(node_expand(out, sizeof out, "123456%n", "n1", &err), -1);
        ck_assert_int_eq(err.code, ENAMETOOLONG);
        ck_assert_int_eq(node_expand(out, 0, "", "n1", &err), -1);
}
END_TEST

START_TEST(slurmd_names_the_node_and_else_the_host_does)
{
        char name[NODE_NAME], host[256] = "", out[NODE_NAME + 2];

        setenv("SLURMD_NODENAME", "n7", 1);
        ck_assert_str_eq(node_name(name), "n7");
        ck_assert_int_eq(node_expand(out, sizeof out, "<%n>", NULL, NULL), 0);
        ck_assert_str_eq(out, "<n7>");
        setenv("SLURMD_NODENAME", "", 1);
        gethostname(host, sizeof host - 1);
        host[strcspn(host, ".")] = '\0';
        ck_assert_int_eq(strncmp(node_name(name), host, NODE_NAME - 1), 0);
        unsetenv("SLURMD_NODENAME");
        ck_assert_uint_gt(strlen(node_name(name)), 0);
}
END_TEST

START_TEST(a_socket_under_a_path_brings_messages_and_who_sent_them)
{
        char dir[] = "/tmp/stint-test-node.XXXXXX", path[64], text[16];
        struct stint_error err = { 0 };
        int listener, client, server;
        struct stat st;
        uid_t uid;
        pid_t pid;

        ck_assert_ptr_nonnull(mkdtemp(dir));
        snprintf(path, sizeof path, "%s/sock", dir);
        ck_assert_int_eq(channel_connect_path(path, NULL, &err), -1);
        ck_assert_int_eq(err.code, ENOENT);
        listener = channel_listen_path(path, &err);
        ck_assert_msg(listener >= 0, "%s", err.text);
        ck_assert_int_eq(stat(path, &st), 0);
        ck_assert_int_eq(st.st_mode & 0777, 0666);
        client = channel_connect_path(path, &pid, &err);
        ck_assert_msg(client >= 0, "%s", err.text);
        ck_assert_int_eq(pid, getpid());
        server = channel_accept(listener, &uid, &pid, &err);
        ck_assert_int_ge(server, 0);
        ck_assert_uint_eq(uid, getuid());
        ck_assert_int_eq(channel_send(client, "hello", 5, NULL, 0, &err), 0);
        ck_assert(channel_wait(server, 10 * CLOCK_SECOND));
        ck_assert_int_eq(channel_receive(server, text, sizeof text, NULL, NULL, &err), 5);
        close(client);
        close(server);
        ck_assert_int_eq(channel_listen_path(path, &err), -1);
        ck_assert_int_eq(err.code, EADDRINUSE);
        close(listener);
        ck_assert_int_eq(channel_connect_path(path, NULL, &err), -1);
        ck_assert_int_eq(err.code, ECONNREFUSED);
        unlink(path);
        rmdir(dir);
}
END_TEST

START_TEST(a_path_that_no_socket_can_have_is_refused)
{
        struct stint_error err = { 0 };
        char path[200];

        memset(path, 'a', sizeof path);
        path[0] = '/';
        path[sizeof path - 1] = '\0';
        ck_assert_int_eq(channel_listen_path(path, &err), -1);
        ck_assert_int_eq(err.code, ENAMETOOLONG);
        ck_assert_int_eq(channel_connect_path(path, NULL, &err), -1);
        ck_assert_int_eq(err.code, ENAMETOOLONG);
        ck_assert_int_eq(channel_connect_path("", NULL, &err), -1);
}
END_TEST

static void add_tests(Suite *suite)
{
        TCase *all = suite_case(suite, "node");

        tcase_add_test(all, a_pattern_has_the_node_in_it);
        tcase_add_test(all, a_pattern_that_does_not_hold_is_refused);
        tcase_add_test(all, slurmd_names_the_node_and_else_the_host_does);
        tcase_add_test(all, a_socket_under_a_path_brings_messages_and_who_sent_them);
        tcase_add_test(all, a_path_that_no_socket_can_have_is_refused);
}

SUITE_MAIN("node", add_tests)
