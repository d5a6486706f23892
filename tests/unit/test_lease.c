/* SPDX-License-Identifier: GPL-2.0-or-later */
/* test_lease: one holder at a time, a second is told who, and only who is provably over is replaced without being asked. */
#include <errno.h>
#include <sys/wait.h>
#include "durable.h"
#include "example_part.h"
#include "run_lease.h"
#include "suite.h"

static struct lease_holder me(void)
{
        struct lease_holder h = { .stint = 4, .scheduler = "none" };

        lease_self(&h);
        return h;
}

static void leave_lease_of(const char *dir, const struct lease_holder *h)
{
        struct lease l;

        ck_assert_int_eq(lease_take(&l, dir, h, 1, NULL, NULL), 0);
        close(l.lock_fd); /* as a crash does: the file stays */
}

START_TEST(a_second_is_refused_and_told_who_holds_it)
{
        const char *dir = part_folder();
        struct lease_holder self = me(), other = { 0 };
        struct lease first, second;
        struct stint_error err;

        ck_assert_int_eq(lease_take(&first, dir, &self, 0, NULL, NULL), 0);
        ck_assert_int_eq(lease_take(&second, dir, &self, 0, &other, &err), -1);
        ck_assert_int_eq(err.code, EBUSY);
        ck_assert_int_eq(other.pid, getpid());
        ck_assert_uint_eq(other.stint, 4);
        ck_assert_ptr_nonnull(strstr(err.text, "stint 4"));
        ck_assert_int_eq(lease_check(&first, NULL), 0);
        lease_release(&first);
        ck_assert_int_eq(lease_read(dir, &other, NULL, &err), -1);
        ck_assert_int_eq(err.code, ENOENT);
        durable_remove_tree(dir, NULL);
}
END_TEST

START_TEST(the_epoch_grows_over_a_release_too)
{
        const char *dir = part_folder();
        struct lease_holder self = me();
        struct lease l;
        uint64_t epoch;

        ck_assert_int_eq(lease_take(&l, dir, &self, 0, NULL, NULL), 0);
        epoch = l.holder.epoch;
        lease_release(&l);
        ck_assert_int_eq(lease_take(&l, dir, &self, 0, NULL, NULL), 0);
        ck_assert_uint_gt(l.holder.epoch, epoch);
        lease_release(&l);
        durable_remove_tree(dir, NULL);
}
END_TEST

START_TEST(a_holder_that_is_over_is_replaced)
{
        const char *dir = part_folder();
        struct lease_holder gone = me(), self = me();
        struct lease l;
        int way;

        for (way = 0; way < 3; way++) {
                gone = me();
                if (way == 0) /* the pid lives, but began at another time: it was used again */
                        gone.start_ticks++;
                else if (way == 1) /* the machine was started again */
                        gone.boot_id[0] = gone.boot_id[0] == 'a' ? 'b' : 'a';
                else { /* the process is gone */
                        gone.pid = fork();
                        if (gone.pid == 0)
                                _exit(0);
                        waitpid(gone.pid, NULL, 0);
                }
                leave_lease_of(dir, &gone);
                ck_assert_int_eq(lease_take(&l, dir, &self, 0, NULL, NULL), 0);
                lease_release(&l);
        }
        durable_remove_tree(dir, NULL);
}
END_TEST

START_TEST(a_zombie_holds_nothing)
{
        const char *dir = part_folder();
        struct lease_holder gone = me(), self = me();
        siginfo_t info;
        struct lease l;

        gone.pid = fork();
        if (gone.pid == 0)
                _exit(0);
        ck_assert_int_eq(waitid(P_PID, (id_t)gone.pid, &info, WEXITED | WNOWAIT), 0);
        leave_lease_of(dir, &gone);
        ck_assert_int_eq(lease_take(&l, dir, &self, 0, NULL, NULL), 0);
        lease_release(&l);
        waitpid(gone.pid, NULL, 0);
        durable_remove_tree(dir, NULL);
}
END_TEST

START_TEST(on_another_host_nobody_can_tell_and_only_a_word_helps)
{
        const char *dir = part_folder();
        struct lease_holder far = me(), self = me(), seen;
        struct stint_error err;
        struct lease l;
        int over;

        strcpy(far.host, "another-host");
        leave_lease_of(dir, &far);
        ck_assert_int_eq(lease_read(dir, &seen, &over, NULL), 0);
        ck_assert_int_eq(over, -1);
        ck_assert_int_eq(lease_take(&l, dir, &self, 0, NULL, &err), -1);
        ck_assert_int_eq(err.code, EBUSY);
        ck_assert_ptr_nonnull(strstr(err.text, "--stint-take-over"));
        ck_assert_int_eq(lease_take(&l, dir, &self, 1, NULL, NULL), 0);
        lease_release(&l);
        durable_remove_tree(dir, NULL);
}
END_TEST

START_TEST(a_holder_whose_job_is_over_is_replaced_unless_somebody_was_quicker)
{
        const char *dir = part_folder();
        struct lease_holder far = me(), third = me(), self = me(), seen;
        struct stint_error err;
        struct lease l;

        strcpy(far.host, "another-host");
        strcpy(third.host, "a-third-host");
        leave_lease_of(dir, &far);
        ck_assert_int_eq(lease_take(&l, dir, &self, LEASE_TAKE_FREE, &seen, &err), -1);
        leave_lease_of(dir, &third);
        ck_assert_int_eq(lease_take(&l, dir, &self, LEASE_TAKE_OTHER, &seen, &err), -1);
        ck_assert_int_eq(err.code, EBUSY);
        ck_assert_str_eq(seen.host, "a-third-host");
        ck_assert_int_eq(lease_take(&l, dir, &self, LEASE_TAKE_OTHER, &seen, NULL), 0);
        lease_release(&l);
        durable_remove_tree(dir, NULL);
}
END_TEST

START_TEST(who_lost_it_sees_that_and_leaves_it_alone)
{
        const char *dir = part_folder();
        struct lease_holder self = me();
        struct lease first, second;
        struct stint_error err;

        ck_assert_int_eq(lease_take(&first, dir, &self, 0, NULL, NULL), 0);
        ck_assert_int_eq(lease_take(&second, dir, &self, 1, NULL, NULL), 0);
        ck_assert_int_eq(lease_check(&first, &err), -1);
        ck_assert_int_eq(err.code, ESTALE);
        strcpy(first.holder.agent, "mine");
        ck_assert_int_eq(lease_update(&first, NULL), -1);
        lease_release(&first);
        ck_assert_int_eq(lease_check(&second, NULL), 0);
        strcpy(second.holder.agent, "socket");
        second.holder.stint = 5;
        ck_assert_int_eq(lease_update(&second, NULL), 0);
        ck_assert_int_eq(lease_read(dir, &self, NULL, NULL), 0);
        ck_assert_str_eq(self.agent, "socket");
        ck_assert_uint_eq(self.stint, 5);
        lease_release(&second);
        durable_remove_tree(dir, NULL);
}
END_TEST

/* All of them find the same dead holder at the same moment. */
START_TEST(of_many_starters_one_wins)
{
        enum { STARTERS = 8, ROUNDS = 10 };
        const char *dir = part_folder();
        int round, i, gate[2], end[2], won, status;

        for (round = 0; round < ROUNDS; round++) {
                struct lease_holder gone = me();
                char byte;

                gone.start_ticks++;
                leave_lease_of(dir, &gone);
                ck_assert_int_eq(pipe(gate), 0);
                ck_assert_int_eq(pipe(end), 0);
                for (i = 0; i < STARTERS; i++)
                        if (fork() == 0) {
                                struct lease_holder self = me();
                                struct lease l;
                                int rc;

                                close(gate[1]);
                                close(end[1]);
                                rc = read(gate[0], &byte, 1);
                                rc = lease_take(&l, dir, &self, 0, NULL, NULL);
                                /* The winner lives until all have tried, or it would be over for the others. */
                                if (rc == 0 && read(end[0], &byte, 1) != 0)
                                        _exit(2);
                                _exit(rc == 0 ? 0 : 1);
                        }
                close(gate[0]);
                close(gate[1]);
                for (won = 0, i = 0; i < STARTERS; i++) {
                        if (i == STARTERS - 1) {
                                close(end[0]);
                                close(end[1]);
                        }
                        ck_assert_int_gt(wait(&status), 0);
                        ck_assert(WIFEXITED(status) && WEXITSTATUS(status) <= 1);
                        won += WEXITSTATUS(status) == 0;
                }
                ck_assert_int_eq(won, 1);
        }
        durable_remove_tree(dir, NULL);
}
END_TEST

static void add_tests(Suite *suite)
{
        TCase *all = suite_case(suite, "lease");

        tcase_add_test(all, a_second_is_refused_and_told_who_holds_it);
        tcase_add_test(all, the_epoch_grows_over_a_release_too);
        tcase_add_test(all, a_holder_that_is_over_is_replaced);
        tcase_add_test(all, a_zombie_holds_nothing);
        tcase_add_test(all, on_another_host_nobody_can_tell_and_only_a_word_helps);
        tcase_add_test(all, a_holder_whose_job_is_over_is_replaced_unless_somebody_was_quicker);
        tcase_add_test(all, who_lost_it_sees_that_and_leaves_it_alone);
        tcase_add_test(all, of_many_starters_one_wins);
}

SUITE_MAIN("lease", add_tests)
