/* SPDX-License-Identifier: GPL-2.0-or-later */
/* test_channel: messages and descriptors arrive whole or not at all, no descriptor is ever left open, no signal is raised. */
#include <check.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include "channel.h"
#include "clock.h"
#include "suite.h"
#include "wire.h"

static void pair(int fds[2], int flags)
{
        ck_assert_int_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | flags, 0, fds), 0);
}

static const char *a_name(void)
{
        static char name[64];
        static int count;

        snprintf(name, sizeof name, "stint-test-channel.%d.%d", (int)getpid(), count++);
        return name;
}

static int open_descriptors(void)
{
        DIR *dir = opendir("/proc/self/fd");
        int n = 0;

        ck_assert_ptr_nonnull(dir);
        while (readdir(dir))
                n++;
        closedir(dir);
        return n;
}

static int is_close_on_exec(int fd)
{
        return (fcntl(fd, F_GETFD) & FD_CLOEXEC) != 0;
}

START_TEST(a_message_arrives_as_one_whole)
{
        unsigned char out[WIRE_MOST], in[WIRE_MOST];
        int s[2], fds[CHANNEL_FDS], n_fds = 9;

        pair(s, 0);
        memset(out, 0x5a, sizeof out);
        ck_assert_int_eq(channel_send(s[0], "one", 3, NULL, 0, NULL), 0);
        ck_assert_int_eq(channel_send(s[0], out, sizeof out, NULL, 0, NULL), 0);
        ck_assert_int_eq(channel_receive(s[1], in, sizeof in, fds, &n_fds, NULL), 3);
        ck_assert_int_eq(n_fds, 0);
        ck_assert_mem_eq(in, "one", 3);
        ck_assert_int_eq(channel_receive(s[1], in, sizeof in, fds, &n_fds, NULL), WIRE_MOST);
        ck_assert_mem_eq(in, out, sizeof out);
        close(s[0]);
        close(s[1]);
}
END_TEST

START_TEST(messages_that_cannot_be_are_not_sent)
{
        unsigned char out[WIRE_MOST + 1] = { 0 };
        struct stint_error err;
        int s[2], five[CHANNEL_FDS + 1] = { 0 };

        pair(s, SOCK_NONBLOCK);
        ck_assert_int_eq(channel_send(s[0], out, 0, NULL, 0, &err), -1);
        ck_assert_int_eq(err.code, EINVAL);
        ck_assert_int_eq(channel_send(s[0], out, sizeof out, NULL, 0, &err), -1);
        ck_assert_int_eq(err.code, EMSGSIZE);
        ck_assert_int_eq(channel_send(s[0], out, 1, five, CHANNEL_FDS + 1, &err), -1);
        ck_assert_int_eq(err.code, EINVAL);
        ck_assert_int_eq(channel_receive(s[1], out, sizeof out, NULL, NULL, &err), -1);
        ck_assert_int_eq(err.code, EAGAIN);
        ck_assert_int_eq(errno, EAGAIN);
        close(s[0]);
        close(s[1]);
}
END_TEST

START_TEST(descriptors_arrive_beside_their_message_and_close_on_exec)
{
        int s[2], pipes[CHANNEL_FDS], fds[CHANNEL_FDS], n_fds, i;
        char byte;

        pair(s, 0);
        ck_assert_int_eq(pipe2(pipes, O_CLOEXEC), 0);
        ck_assert_int_eq(pipe2(pipes + 2, O_CLOEXEC), 0);
        ck_assert_int_eq(channel_send(s[0], "m", 1, pipes, CHANNEL_FDS, NULL), 0);
        ck_assert_int_eq(channel_receive(s[1], &byte, 1, fds, &n_fds, NULL), 1);
        ck_assert_int_eq(n_fds, CHANNEL_FDS);
        ck_assert_int_eq(write(fds[1], "x", 1), 1);
        ck_assert_int_eq(read(pipes[0], &byte, 1), 1);
        ck_assert_int_eq(byte, 'x');
        ck_assert_int_eq(write(pipes[3], "y", 1), 1);
        ck_assert_int_eq(read(fds[2], &byte, 1), 1);
        ck_assert_int_eq(byte, 'y');
        for (i = 0; i < CHANNEL_FDS; i++) {
                ck_assert(is_close_on_exec(fds[i]));
                close(fds[i]);
                close(pipes[i]);
        }
        close(s[0]);
        close(s[1]);
}
END_TEST

/* As a hostile peer would: more descriptors than channel_send allows. */
static void send_raw(int fd, size_t bytes, int n_fds)
{
        union {
                struct cmsghdr header;
                char bytes[CMSG_SPACE(sizeof(int) * 16)];
        } control = { .bytes = { 0 } };
        static char body[8192];
        struct iovec part = { body, bytes };
        struct msghdr m = { .msg_iov = &part, .msg_iovlen = 1 };
        int i, zero = 0;

        if (n_fds > 0) {
                m.msg_control = control.bytes;
                m.msg_controllen = CMSG_SPACE(sizeof(int) * (size_t)n_fds);
                control.header.cmsg_level = SOL_SOCKET;
                control.header.cmsg_type = SCM_RIGHTS;
                control.header.cmsg_len = CMSG_LEN(sizeof(int) * (size_t)n_fds);
                for (i = 0; i < n_fds; i++)
                        memcpy(CMSG_DATA(&control.header) + (size_t)i * sizeof(int), &zero, sizeof zero);
        }
        ck_assert_int_eq(sendmsg(fd, &m, MSG_NOSIGNAL), (ssize_t)bytes);
}

START_TEST(too_many_descriptors_are_refused_and_all_closed)
{
        int s[2], fds[CHANNEL_FDS], n_fds, n, before;
        struct stint_error err;
        char byte;

        pair(s, SOCK_NONBLOCK);
        before = open_descriptors();
        for (n = CHANNEL_FDS + 1; n <= 16; n++) {
                send_raw(s[0], 1, n);
                n_fds = 9;
                ck_assert_int_eq(channel_receive(s[1], &byte, 1, fds, &n_fds, &err), -1);
                ck_assert_int_eq(err.code, EMSGSIZE);
                ck_assert_int_eq(errno, EMSGSIZE);
                ck_assert_int_eq(n_fds, 0);
                ck_assert_int_eq(open_descriptors(), before);
        }
        close(s[0]);
        close(s[1]);
}
END_TEST

START_TEST(who_takes_many_has_all_that_came_whatever_came_with_them)
{
        int s[2], fds[CHANNEL_MANY], n_fds, i, before;
        struct stint_error err;
        char byte;

        pair(s, SOCK_NONBLOCK);
        before = open_descriptors();
        send_raw(s[0], 1, 16);
        ck_assert_int_eq(channel_receive_many(s[1], &byte, 1, fds, &n_fds, &err), 1);
        ck_assert_int_eq(n_fds, 16);
        ck_assert_int_eq(open_descriptors(), before + 16);
        for (i = 0; i < n_fds; i++)
                close(fds[i]);
        send_raw(s[0], 2, 3); /* too long a message */
        ck_assert_int_eq(channel_receive_many(s[1], &byte, 1, fds, &n_fds, &err), -1);
        ck_assert_int_eq(err.code, EMSGSIZE);
        ck_assert_int_eq(n_fds, 3);
        for (i = 0; i < n_fds; i++)
                close(fds[i]);
        ck_assert_int_eq(channel_receive_many(s[1], &byte, 1, fds, &n_fds, &err), -1);
        ck_assert_int_eq(err.code, EAGAIN);
        ck_assert_int_eq(n_fds, 0);
        ck_assert_int_eq(open_descriptors(), before);
        close(s[0]);
        close(s[1]);
}
END_TEST

START_TEST(descriptors_where_none_belong_are_refused_and_closed)
{
        struct stint_error err;
        int s[2], before;
        char byte;

        pair(s, SOCK_NONBLOCK);
        before = open_descriptors();
        send_raw(s[0], 1, 2);
        ck_assert_int_eq(channel_receive(s[1], &byte, 1, NULL, NULL, &err), -1);
        ck_assert_int_eq(err.code, EMSGSIZE);
        ck_assert_int_eq(open_descriptors(), before);
        close(s[0]);
        close(s[1]);
}
END_TEST

START_TEST(a_message_too_long_for_the_buffer_is_refused_with_its_descriptors)
{
        int s[2], fds[CHANNEL_FDS], n_fds, before;
        struct stint_error err;
        char buffer[WIRE_MOST];

        pair(s, SOCK_NONBLOCK);
        before = open_descriptors();
        send_raw(s[0], WIRE_MOST + 1, 3);
        ck_assert_int_eq(channel_receive(s[1], buffer, sizeof buffer, fds, &n_fds, &err), -1);
        ck_assert_int_eq(err.code, EMSGSIZE);
        ck_assert_int_eq(open_descriptors(), before);
        /* The next message is not harmed. */
        ck_assert_int_eq(channel_send(s[0], "next", 4, NULL, 0, NULL), 0);
        ck_assert_int_eq(channel_receive(s[1], buffer, sizeof buffer, fds, &n_fds, &err), 4);
        close(s[0]);
        close(s[1]);
}
END_TEST

START_TEST(descriptors_that_this_process_cannot_open_are_not_lost_unseen)
{
        int s[2], fds[CHANNEL_FDS], n_fds, before;
        struct rlimit old, low;
        struct stint_error err;
        ssize_t n;
        char byte;

        pair(s, SOCK_NONBLOCK);
        before = open_descriptors();
        send_raw(s[0], 1, 4);
        ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &old), 0);
        low = old;
        low.rlim_cur = (rlim_t)s[1] + 2;
        ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &low), 0);
        n = channel_receive(s[1], &byte, 1, fds, &n_fds, &err);
        ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &old), 0);
        ck_assert_int_eq(n, -1);
        ck_assert_int_eq(err.code, EMSGSIZE);
        ck_assert_int_eq(open_descriptors(), before);
        close(s[0]);
        close(s[1]);
}
END_TEST

START_TEST(a_closed_peer_is_zero_to_the_reader_and_no_signal_to_the_writer)
{
        struct stint_error err;
        int s[2];
        char byte;

        pair(s, 0);
        close(s[0]);
        ck_assert_int_eq(channel_receive(s[1], &byte, 1, NULL, NULL, &err), 0);
        signal(SIGPIPE, SIG_DFL);
        ck_assert_int_eq(channel_send(s[1], "x", 1, NULL, 0, &err), -1);
        ck_assert_int_eq(err.code, EPIPE);
        close(s[1]);
}
END_TEST

START_TEST(the_last_words_of_a_peer_that_went_away_are_heard)
{
        struct stint_error err;
        int s[2];
        char buffer[16];

        pair(s, 0);
        ck_assert_int_eq(channel_send(s[1], "unread", 6, NULL, 0, NULL), 0);
        ck_assert_int_eq(channel_send(s[0], "bye", 3, NULL, 0, NULL), 0);
        close(s[0]);
        ck_assert_int_eq(channel_receive(s[1], buffer, sizeof buffer, NULL, NULL, &err), 3);
        ck_assert_mem_eq(buffer, "bye", 3);
        ck_assert_int_eq(channel_receive(s[1], buffer, sizeof buffer, NULL, NULL, &err), 0);
        close(s[1]);
}
END_TEST

START_TEST(a_full_socket_that_does_not_block_says_so)
{
        struct stint_error err = { 0 };
        char buffer[WIRE_MOST] = { 0 };
        int s[2], sent = 0;

        pair(s, SOCK_NONBLOCK);
        while (channel_send(s[0], buffer, sizeof buffer, NULL, 0, &err) == 0)
                ck_assert_int_lt(sent++, 100000);
        ck_assert_int_eq(err.code, EAGAIN);
        ck_assert_int_eq(errno, EAGAIN);
        ck_assert_int_gt(sent, 0);
        while (sent-- > 0)
                ck_assert_int_eq(channel_receive(s[1], buffer, sizeof buffer, NULL, NULL, &err), WIRE_MOST);
        ck_assert_int_eq(channel_send(s[0], buffer, 1, NULL, 0, &err), 0);
        close(s[0]);
        close(s[1]);
}
END_TEST

START_TEST(two_ends_meet_under_a_name_and_know_each_other)
{
        const char *name = a_name();
        struct stint_error err;
        int listener = channel_listen(name, &err), client, server;
        uid_t uid = 12345;
        pid_t pid = 0, peer = 0;
        char buffer[16];

        ck_assert_msg(listener >= 0, "%s", err.text);
        ck_assert_int_eq(channel_accept(listener, &uid, &pid, &err), -1);
        ck_assert_int_eq(err.code, EAGAIN);
        ck_assert_int_eq(channel_wait(listener, 0), 0);
        client = channel_connect(name, &peer, &err);
        ck_assert_msg(client >= 0, "%s", err.text);
        ck_assert_int_eq(peer, getpid());
        ck_assert_int_eq(channel_wait(listener, CLOCK_NEVER), 1);
        server = channel_accept(listener, &uid, &pid, &err);
        ck_assert_int_ge(server, 0);
        ck_assert_uint_eq(uid, geteuid());
        ck_assert_int_eq(pid, getpid());
        ck_assert(is_close_on_exec(listener) && is_close_on_exec(client) && is_close_on_exec(server));
        ck_assert(fcntl(server, F_GETFL) & O_NONBLOCK);
        ck_assert(fcntl(listener, F_GETFL) & O_NONBLOCK);
        ck_assert(!(fcntl(client, F_GETFL) & O_NONBLOCK));
        ck_assert_int_eq(channel_send(client, "hi", 2, NULL, 0, &err), 0);
        ck_assert_int_eq(channel_receive(server, buffer, sizeof buffer, NULL, NULL, &err), 2);
        close(client);
        close(server);
        close(listener);
}
END_TEST

START_TEST(a_name_has_one_listener_and_is_free_when_it_ended)
{
        const char *name = a_name();
        struct stint_error err;
        int listener = channel_listen(name, &err);

        ck_assert_int_ge(listener, 0);
        ck_assert_int_eq(channel_listen(name, &err), -1);
        ck_assert_int_eq(err.code, EADDRINUSE);
        ck_assert_ptr_nonnull(strstr(err.text, name));
        close(listener);
        ck_assert_int_eq(channel_connect(name, NULL, &err), -1);
        ck_assert_int_eq(err.code, ECONNREFUSED);
        ck_assert_int_eq(errno, ECONNREFUSED);
        listener = channel_listen(name, &err);
        ck_assert_int_ge(listener, 0);
        close(listener);
}
END_TEST

START_TEST(names_that_do_not_fit_are_refused)
{
        char name[CHANNEL_NAME + 1];
        struct stint_error err;
        int fd;

        memset(name, 'n', sizeof name);
        name[CHANNEL_NAME] = '\0';
        ck_assert_int_eq(channel_listen(name, &err), -1);
        ck_assert_int_eq(err.code, EINVAL);
        ck_assert_int_eq(channel_connect(name, NULL, &err), -1);
        ck_assert_int_eq(err.code, EINVAL);
        ck_assert_int_eq(channel_listen("", &err), -1);
        ck_assert_int_eq(err.code, EINVAL);
        name[CHANNEL_NAME - 1] = '\0';
        snprintf(name, 24, "stint-test.%d", (int)getpid());
        name[strlen(name)] = '.';
        fd = channel_listen(name, &err);
        ck_assert_msg(fd >= 0, "%s", err.text);
        close(fd);
}
END_TEST

/* Only root can be two users.  The listener is a child of uid 65534; it lives until its pipe is closed. */
START_TEST(the_socket_of_another_user_is_not_spoken_to)
{
        const char *name = a_name();
        struct stint_error err;
        int ready[2], end[2], status;
        char byte;
        pid_t child;

        ck_assert_int_eq(pipe2(ready, O_CLOEXEC), 0);
        ck_assert_int_eq(pipe2(end, O_CLOEXEC), 0);
        child = fork();
        ck_assert_int_ge(child, 0);
        if (child == 0) {
                int fd;

                close(end[1]);
                if (setresuid(65534, 65534, 65534) < 0)
                        _exit(2);
                fd = channel_listen(name, NULL);
                if (fd < 0 || write(ready[1], "r", 1) != 1)
                        _exit(3);
                _exit(read(end[0], &byte, 1) == 0 ? 0 : 4);
        }
        close(ready[1]);
        ck_assert_int_eq(read(ready[0], &byte, 1), 1);
        ck_assert_int_eq(channel_connect(name, NULL, &err), -1);
        ck_assert_int_eq(err.code, EPERM);
        ck_assert_ptr_nonnull(strstr(err.text, "uid 65534"));
        close(end[1]);
        ck_assert_int_eq(waitpid(child, &status, 0), child);
        ck_assert_int_eq(status, 0);
        close(ready[0]);
        close(end[0]);
}
END_TEST

static void on_alarm(int signal)
{
        (void)signal;
}

START_TEST(waiting_ends_with_a_message_a_close_or_the_time)
{
        int64_t begun;
        int s[2];

        pair(s, 0);
        begun = clock_now();
        ck_assert_int_eq(channel_wait(s[1], 30 * CLOCK_MS), 0);
        ck_assert_int_ge(clock_now() - begun, 30 * CLOCK_MS);
        ck_assert_int_eq(channel_wait(s[1], -5), 0);
        ck_assert_int_eq(channel_wait(s[1], INT64_MIN), 0);
        ck_assert_int_eq(channel_send(s[0], "x", 1, NULL, 0, NULL), 0);
        ck_assert_int_eq(channel_wait(s[1], 0), 1);
        ck_assert_int_eq(channel_wait(s[1], CLOCK_NEVER), 1);
        ck_assert_int_eq(channel_wait(s[1], CLOCK_NEVER - 1), 1);
        close(s[0]);
        ck_assert_int_eq(channel_wait(s[1], CLOCK_NEVER), 1);
        close(s[1]);
}
END_TEST

START_TEST(waiting_goes_on_after_a_signal)
{
        struct sigaction act = { .sa_handler = on_alarm };
        timer_t timer;
        struct itimerspec every = { .it_interval = { .tv_nsec = 5000000 }, .it_value = { .tv_nsec = 5000000 } };
        struct sigevent event = { .sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR1 };
        int64_t begun = clock_now();
        int s[2];

        pair(s, 0);
        ck_assert_int_eq(sigaction(SIGUSR1, &act, NULL), 0);
        ck_assert_int_eq(timer_create(CLOCK_MONOTONIC, &event, &timer), 0);
        ck_assert_int_eq(timer_settime(timer, 0, &every, NULL), 0);
        ck_assert_int_eq(channel_wait(s[1], 60 * CLOCK_MS), 0);
        ck_assert_int_ge(clock_now() - begun, 60 * CLOCK_MS);
        ck_assert_int_eq(timer_delete(timer), 0);
        close(s[0]);
        close(s[1]);
}
END_TEST

START_TEST(memory_has_its_size_zeros_and_keeps_both)
{
        struct stint_error err = { 0 };
        int fd = channel_memory("stint-test", 10000, &err), i;
        unsigned char *bytes;

        ck_assert_msg(fd >= 0, "%s", err.text);
        ck_assert(is_close_on_exec(fd));
        ck_assert_int_eq(ftruncate(fd, 9999), -1);
        ck_assert_int_eq(ftruncate(fd, 20000), -1);
        bytes = mmap(NULL, 10000, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        ck_assert_ptr_ne(bytes, MAP_FAILED);
        for (i = 0; i < 10000; i++)
                ck_assert_int_eq(bytes[i], 0);
        munmap(bytes, 10000);
        ck_assert_int_eq(channel_memory_check(fd, 10000, &err), 0);
        ck_assert_int_eq(channel_memory_check(fd, 1, &err), 0);
        ck_assert_int_eq(channel_memory_check(fd, 10001, &err), -1);
        ck_assert_int_eq(err.code, EMSGSIZE);
        ck_assert_int_eq(channel_memory_check(fd, UINT64_MAX, &err), -1);
        ck_assert_int_eq(err.code, EMSGSIZE);
        /* A layout is sealed against writing too, later. */
        ck_assert_int_eq(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE), 0);
        ck_assert_int_eq(channel_memory_check(fd, 10000, &err), 0);
        close(fd);
}
END_TEST

START_TEST(memory_of_no_fixed_size_is_refused)
{
        struct stint_error err;
        int s[2], fd;

        fd = memfd_create("stint-test", MFD_CLOEXEC | MFD_ALLOW_SEALING);
        ck_assert_int_ge(fd, 0);
        ck_assert_int_eq(ftruncate(fd, 4096), 0);
        ck_assert_int_eq(channel_memory_check(fd, 4096, &err), -1);
        ck_assert_int_eq(err.code, EPERM);
        ck_assert_int_eq(fcntl(fd, F_ADD_SEALS, F_SEAL_GROW), 0);
        ck_assert_int_eq(channel_memory_check(fd, 4096, &err), -1);
        ck_assert_int_eq(err.code, EPERM);
        ck_assert_int_eq(fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK), 0);
        ck_assert_int_eq(channel_memory_check(fd, 4096, &err), 0);
        close(fd);
        pair(s, 0);
        ck_assert_int_eq(channel_memory_check(s[0], 0, &err), -1);
        ck_assert_int_eq(err.code, EPERM);
        close(s[0]);
        close(s[1]);
        ck_assert_int_eq(channel_memory_check(-1, 0, &err), -1);
        ck_assert_int_eq(channel_memory("stint-test", SIZE_MAX, &err), -1);
        ck_assert_int_eq(err.code, EFBIG);
}
END_TEST

/* valgrind keeps RLIMIT_NOFILE to itself: the kernel does not hear of a limit set under it. */
static int under_valgrind(void)
{
        const char *preloaded = getenv("LD_PRELOAD");

        return preloaded && strstr(preloaded, "/vgpreload_");
}

static void add_tests(Suite *suite)
{
        TCase *all = suite_case(suite, "channel");

        tcase_add_test(all, a_message_arrives_as_one_whole);
        tcase_add_test(all, messages_that_cannot_be_are_not_sent);
        tcase_add_test(all, descriptors_arrive_beside_their_message_and_close_on_exec);
        tcase_add_test(all, too_many_descriptors_are_refused_and_all_closed);
        tcase_add_test(all, who_takes_many_has_all_that_came_whatever_came_with_them);
        tcase_add_test(all, descriptors_where_none_belong_are_refused_and_closed);
        tcase_add_test(all, a_message_too_long_for_the_buffer_is_refused_with_its_descriptors);
        if (!under_valgrind())
                tcase_add_test(all, descriptors_that_this_process_cannot_open_are_not_lost_unseen);
        tcase_add_test(all, a_closed_peer_is_zero_to_the_reader_and_no_signal_to_the_writer);
        tcase_add_test(all, the_last_words_of_a_peer_that_went_away_are_heard);
        tcase_add_test(all, a_full_socket_that_does_not_block_says_so);
        tcase_add_test(all, two_ends_meet_under_a_name_and_know_each_other);
        tcase_add_test(all, a_name_has_one_listener_and_is_free_when_it_ended);
        tcase_add_test(all, names_that_do_not_fit_are_refused);
        if (geteuid() == 0)
                tcase_add_test(all, the_socket_of_another_user_is_not_spoken_to);
        else
                printf("# the_socket_of_another_user_is_not_spoken_to did not run: only root can be two users\n");
        tcase_add_test(all, waiting_ends_with_a_message_a_close_or_the_time);
        tcase_add_test(all, waiting_goes_on_after_a_signal);
        tcase_add_test(all, memory_has_its_size_zeros_and_keeps_both);
        tcase_add_test(all, memory_of_no_fixed_size_is_refused);
}

SUITE_MAIN("channel", add_tests)
