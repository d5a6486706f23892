/* SPDX-License-Identifier: GPL-2.0-or-later */
/* test_journal: what was appended is read back in order, a line torn by a crash harms no other, and stints are judged by it. */
#include <errno.h>
#include "durable.h"
#include "example_part.h"
#include "run_journal.h"
#include "run_verdict.h"
#include "suite.h"

static const char *event(json_t *lines, size_t i)
{
        return json_string_value(json_object_get(json_array_get(lines, i), "event"));
}

static json_int_t number(json_t *lines, size_t i, const char *key)
{
        return json_integer_value(json_object_get(json_array_get(lines, i), key));
}

START_TEST(what_was_added_is_read_in_order)
{
        const char *dir = part_folder();
        struct journal j;
        json_t *lines;
        size_t torn = 9;

        lines = journal_read(dir, &torn, NULL);
        ck_assert_uint_eq(json_array_size(lines), 0);
        ck_assert_uint_eq(torn, 0);
        json_decref(lines);
        ck_assert_int_eq(journal_open(&j, dir, 3, NULL), 0);
        ck_assert_int_eq(journal_add(&j, "start", NULL, NULL), 0);
        ck_assert_int_eq(journal_add(&j, "save", json_pack("{s:i, s:s}", "step", 12, "event", "must not win"), NULL), 0);
        journal_close(&j);
        lines = journal_read(dir, &torn, NULL);
        ck_assert_uint_eq(json_array_size(lines), 2);
        ck_assert_str_eq(event(lines, 0), "start");
        ck_assert_str_eq(event(lines, 1), "save");
        ck_assert_int_eq(number(lines, 1, "stint"), 3);
        ck_assert_int_eq(number(lines, 1, "step"), 12);
        json_decref(lines);
        durable_remove_tree(dir, NULL);
}
END_TEST

START_TEST(a_torn_line_is_closed_and_passed_over)
{
        const char *dir = part_folder();
        struct journal j;
        json_t *lines;
        size_t torn;

        part_write(dir, RUNDIR_JOURNAL, "{\"event\":\"start\",\"stint\":1}\n{\"event\":\"sa", 40);
        ck_assert_int_eq(journal_open(&j, dir, 2, NULL), 0);
        ck_assert_int_eq(journal_add(&j, "start", NULL, NULL), 0);
        journal_close(&j);
        lines = journal_read(dir, &torn, NULL);
        ck_assert_uint_eq(torn, 1);
        ck_assert_uint_eq(json_array_size(lines), 2);
        ck_assert_int_eq(number(lines, 1, "stint"), 2);
        json_decref(lines);
        durable_remove_tree(dir, NULL);
}
END_TEST

START_TEST(what_came_since_is_read_on)
{
        const char *dir = part_folder();
        struct journal_reading g = { 0 };
        struct journal j;
        json_t *lines;

        lines = journal_read_on(&g, dir, NULL);
        ck_assert_uint_eq(json_array_size(lines), 0);
        part_write(dir, RUNDIR_JOURNAL, "{\"event\":\"start\",\"stint\":1}\n{\"event\":\"sa", 40);
        lines = journal_read_on(&g, dir, NULL);
        ck_assert_uint_eq(json_array_size(lines), 1);
        ck_assert_uint_eq(g.torn, 0);
        ck_assert_int_eq(journal_open(&j, dir, 2, NULL), 0);
        ck_assert_int_eq(journal_add(&j, "start", NULL, NULL), 0);
        ck_assert_ptr_eq(journal_read_on(&g, dir, NULL), lines);
        ck_assert_uint_eq(json_array_size(lines), 2);
        ck_assert_uint_eq(g.torn, 1);
        ck_assert_int_eq(journal_add(&j, "end", NULL, NULL), 0);
        ck_assert_ptr_eq(journal_read_on(&g, dir, NULL), lines);
        ck_assert_uint_eq(json_array_size(lines), 3);
        ck_assert_str_eq(event(lines, 2), "end");
        journal_close(&j);
        journal_forget(&g);
        ck_assert_uint_eq(json_array_size(journal_read_on(&g, dir, NULL)), 3);
        journal_forget(&g);
        durable_remove_tree(dir, NULL);
}
END_TEST

/* Whoever writes next ends the line, and nobody takes it twice. */
START_TEST(a_whole_last_line_without_its_end_counts_once)
{
        const char *dir = part_folder();
        struct journal_reading g = { 0 };
        struct journal j;

        part_write(dir, RUNDIR_JOURNAL, "{\"event\":\"start\",\"stint\":1}", 27);
        ck_assert_uint_eq(json_array_size(journal_read_on(&g, dir, NULL)), 1);
        ck_assert_uint_eq(json_array_size(journal_read_on(&g, dir, NULL)), 1);
        ck_assert_int_eq(journal_open(&j, dir, 2, NULL), 0);
        ck_assert_int_eq(journal_add(&j, "start", NULL, NULL), 0);
        ck_assert_uint_eq(json_array_size(journal_read_on(&g, dir, NULL)), 2);
        ck_assert_uint_eq(g.torn, 0);
        journal_close(&j);
        journal_forget(&g);
        durable_remove_tree(dir, NULL);
}
END_TEST

START_TEST(a_shorter_journal_is_read_anew)
{
        const char *dir = part_folder();
        struct journal_reading g = { 0 };

        part_write(dir, RUNDIR_JOURNAL, "{\"event\":\"start\"}\n{\"event\":\"end\"}\n", 34);
        ck_assert_uint_eq(json_array_size(journal_read_on(&g, dir, NULL)), 2);
        part_write(dir, RUNDIR_JOURNAL, "{\"event\":\"other\"}\n", 18);
        ck_assert_uint_eq(json_array_size(journal_read_on(&g, dir, NULL)), 1);
        ck_assert_str_eq(event(g.lines, 0), "other");
        journal_forget(&g);
        durable_remove_tree(dir, NULL);
}
END_TEST

START_TEST(the_past_is_the_last_landing_and_not_the_highest)
{
        json_t *lines = json_pack("[{s:i,s:s,s:b,s:i},{s:i,s:s,s:b,s:i},{s:i,s:s,s:b,s:i}]", "stint", 1, "event", "save", "landed", 1,
                                  "step", 900, "stint", 2, "event", "save", "landed", 1, "step", 500, "stint", 4, "event", "save",
                                  "landed", 0, "step", 950);
        struct past p;

        past_read(&p, lines);
        ck_assert_uint_eq(p.last_stint, 4);
        ck_assert_int_eq(p.landed_step, 500);
        ck_assert_int_eq(p.ever_landed, 1);
        json_decref(lines);
}
END_TEST

START_TEST(a_killed_stint_gets_its_verdict_once)
{
        const char *dir = part_folder();
        struct journal j;
        json_t *lines;
        int again;

        ck_assert_int_eq(journal_open(&j, dir, 1, NULL), 0);
        journal_add(&j, "start", NULL, NULL);
        journal_add(&j, "save", json_pack("{s:i, s:b}", "step", 100, "landed", 1), NULL);
        j.stint = 2;
        journal_add(&j, "start", NULL, NULL);
        part_write(dir, RUNDIR_PROGRESS, "{\"stint\": 1, \"step\": 130}\n", 26);
        for (again = 0; again < 2; again++) {
                lines = journal_read(dir, NULL, NULL);
                ck_assert_int_eq(verdict_on_earlier(&j, dir, lines, NULL), 0);
                json_decref(lines);
        }
        journal_close(&j);
        lines = journal_read(dir, NULL, NULL);
        ck_assert_uint_eq(json_array_size(lines), 4);
        ck_assert_str_eq(event(lines, 3), "end");
        ck_assert_int_eq(number(lines, 3, "stint"), 1);
        ck_assert_int_eq(number(lines, 3, "by"), 2);
        ck_assert_int_eq(number(lines, 3, "landed_step"), 100);
        ck_assert_int_eq(number(lines, 3, "last_step"), 130);
        ck_assert_int_eq(number(lines, 3, "lost_steps"), 30);
        json_decref(lines);
        durable_remove_tree(dir, NULL);
}
END_TEST

START_TEST(every_ending_has_its_word_and_code)
{
        static const struct {
                struct ending e;
                const char *why;
                int code, requeues;
        } endings[] = {
                { { .complete = 1 }, "complete", 0, 0 },
                { { .complete = 1, .stop = SAVE_LIMIT }, "complete", 0, 0 },
                { { .stop = SAVE_LIMIT }, "time limit", 75, 1 },
                { { .stop = SAVE_PREEMPTED, .child_code = 3 }, "preempted", 75, 1 },
                { { .limit = SAVE_LIMIT, .child_signal = 9 }, "time limit", 75, 1 },
                { { .stop = SAVE_STOP }, "stopped", 75, 0 },
                { { .stop = SAVE_LIMIT, .cancelled = 1 }, "cancelled", 75, 0 },
                { { .stop = SAVE_LIMIT, .lease_lost = 1 }, "stopped", 125, 0 },
                { { .child_code = 3 }, "exited", 3, 0 },
                { { .child_signal = 11 }, "crashed", 139, 0 },
                { { .child_code = 0 }, "ended, not complete", 0, 0 },
        };
        size_t i;

        for (i = 0; i < sizeof endings / sizeof *endings; i++) {
                int code;

                ck_assert_str_eq(ending_why(&endings[i].e, &code), endings[i].why);
                ck_assert_int_eq(code, endings[i].code);
                ck_assert_int_eq(ending_requeues(&endings[i].e), endings[i].requeues);
        }
        ck_assert_int_eq(lost_steps(130, 100), 30);
        ck_assert_int_eq(lost_steps(90, 100), 0);
        ck_assert_int_eq(lost_steps(130, -1), 130);
        ck_assert_int_eq(lost_steps(-1, 100), 0);
}
END_TEST

static void add_tests(Suite *suite)
{
        TCase *all = suite_case(suite, "journal");

        tcase_add_test(all, what_was_added_is_read_in_order);
        tcase_add_test(all, a_torn_line_is_closed_and_passed_over);
        tcase_add_test(all, what_came_since_is_read_on);
        tcase_add_test(all, a_whole_last_line_without_its_end_counts_once);
        tcase_add_test(all, a_shorter_journal_is_read_anew);
        tcase_add_test(all, the_past_is_the_last_landing_and_not_the_highest);
        tcase_add_test(all, a_killed_stint_gets_its_verdict_once);
        tcase_add_test(all, every_ending_has_its_word_and_code);
}

SUITE_MAIN("journal", add_tests)
