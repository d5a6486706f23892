/* SPDX-License-Identifier: GPL-2.0-or-later */
/* test_manifest: a manifest comes back as it was written, no byte of it can change unnoticed, and it finds what is damaged. */
#include <errno.h>
#include <math.h>
#include "durable.h"
#include "example_part.h"
#include "manifest.h"
#include "suite.h"

static const struct example_part three = { .step = 1200, .stint = 7, .lineage = 2, .ranks = 3, .loss = 0.1 };

static struct manifest of_three(void)
{
        struct seal seals[3] = { part_seal(&three, 0), part_seal(&three, 1), part_seal(&three, 2) };
        struct manifest m;

        seals[1].step = 1300;
        seals[1].root = UINT64_C(0xffffffffffffffff);
        ck_assert_int_eq(manifest_from_seals(&m, seals, 3, NULL), 0);
        return m;
}

START_TEST(comes_back_as_it_was_written)
{
        struct manifest m = of_three(), back;
        char *text;
        size_t n;

        ck_assert_int_eq(manifest_encode(&m, &text, &n, NULL), 0);
        ck_assert_int_eq(manifest_decode(&back, text, n, NULL), 0);
        ck_assert_str_eq(back.run_id, PART_RUN_ID);
        ck_assert_int_eq(back.step, 1300);
        ck_assert_uint_eq(back.stint, 7);
        ck_assert_uint_eq(back.lineage, 2);
        ck_assert_uint_eq(back.ranks, 3);
        ck_assert_int_eq(back.wall_ns, m.wall_ns);
        ck_assert_mem_eq(back.rank, m.rank, 3 * sizeof *m.rank);
        ck_assert_uint_eq(back.metric_count, 1);
        ck_assert_double_eq(back.metrics[0].value, 0.1);
        ck_assert_uint_eq(manifest_bytes(&back), 3 * part_seal(&three, 0).file_bytes);
        manifest_fini(&m);
        manifest_fini(&back);
        free(text);
}
END_TEST

START_TEST(every_changed_byte_is_found)
{
        struct manifest m = of_three(), back;
        struct stint_error err;
        char *text;
        size_t n, i;

        ck_assert_int_eq(manifest_encode(&m, &text, &n, NULL), 0);
        for (i = 0; i < n; i++) {
                text[i] ^= 1;
                ck_assert_int_eq(manifest_decode(&back, text, n, &err), -1);
                ck_assert_int_eq(err.code, EBADMSG);
                text[i] ^= 1;
        }
        for (i = 0; i < n; i++)
                ck_assert_int_eq(manifest_decode(&back, text, i, NULL), -1);
        manifest_fini(&m);
        free(text);
}
END_TEST

START_TEST(the_same_seals_give_the_same_bytes)
{
        struct manifest a = of_three(), b = of_three();
        char *one, *two;
        size_t n, n2;

        manifest_encode(&a, &one, &n, NULL);
        manifest_encode(&b, &two, &n2, NULL);
        ck_assert_uint_eq(n, n2);
        ck_assert_mem_eq(one, two, n);
        manifest_fini(&a);
        manifest_fini(&b);
        free(one);
        free(two);
}
END_TEST

START_TEST(metrics_that_are_no_numbers_come_back)
{
        const double values[] = { (double)NAN, (double)INFINITY, -(double)INFINITY, 5e-324, 1.7976931348623157e308 };
        struct example_part p = three;
        size_t i, n;

        for (i = 0; i < sizeof values / sizeof *values; i++) {
                struct seal seals[3];
                struct manifest m, back;
                char *text;

                p.loss = values[i];
                seals[0] = part_seal(&p, 0), seals[1] = part_seal(&p, 1), seals[2] = part_seal(&p, 2);
                ck_assert_int_eq(manifest_from_seals(&m, seals, 3, NULL), 0);
                ck_assert_int_eq(manifest_encode(&m, &text, &n, NULL), 0);
                ck_assert_int_eq(manifest_decode(&back, text, n, NULL), 0);
                ck_assert(isnan(values[i]) ? isnan(back.metrics[0].value) : back.metrics[0].value == values[i]);
                manifest_fini(&m);
                manifest_fini(&back);
                free(text);
        }
}
END_TEST

START_TEST(seals_that_do_not_belong_together_make_none)
{
        struct seal good[3] = { part_seal(&three, 0), part_seal(&three, 1), part_seal(&three, 2) }, seals[3];
        struct manifest m;
        int change;

        for (change = 0; change < 5; change++) {
                struct stint_error err;

                memcpy(seals, good, sizeof seals);
                if (change == 0)
                        seals[1].run_id[0] = 'f';
                else if (change == 1)
                        seals[2].stint++;
                else if (change == 2)
                        seals[2].lineage++;
                else if (change == 3)
                        seals[1].ranks = 4;
                else
                        seals[1].rank = 2;
                ck_assert_int_eq(manifest_from_seals(&m, seals, 3, &err), -1);
                ck_assert_int_eq(err.code, EBADMSG);
        }
        ck_assert_int_eq(manifest_from_seals(&m, good, 0, NULL), -1);
}
END_TEST

/* Writes a checkpoint of three ranks and its manifest; answers its folder. */
static const char *on_disk(struct manifest *m)
{
        static char dir[1024];
        struct seal seals[3];
        char *text;
        size_t n;
        uint32_t i;

        snprintf(dir, sizeof dir, "%s", part_folder());
        for (i = 0; i < 3; i++)
                seals[i] = part_rank(dir, &three, i, 1);
        ck_assert_int_eq(manifest_from_seals(m, seals, 3, NULL), 0);
        ck_assert_int_eq(manifest_encode(m, &text, &n, NULL), 0);
        part_write(dir, RUNDIR_MANIFEST, text, n);
        free(text);
        return dir;
}

START_TEST(an_intact_checkpoint_verifies)
{
        struct manifest m, read;
        const char *dir = on_disk(&m);

        ck_assert_int_eq(manifest_read(&read, dir, NULL), 0);
        ck_assert_int_eq(manifest_verify(&read, dir, 0, NULL), 0);
        ck_assert_int_eq(manifest_verify(&read, dir, 1, NULL), 0);
        manifest_fini(&m);
        manifest_fini(&read);
        durable_remove_tree(dir, NULL);
}
END_TEST

START_TEST(damage_anywhere_is_found)
{
        struct manifest m;
        struct stint_error err = { 0 };
        const char *dir = on_disk(&m);
        char path[1200], file[RUNDIR_NAME], seal[RUNDIR_NAME];

        rundir_rank_file(file, 1, 3);
        rundir_rank_seal(seal, 1, 3);
        part_flip(dir, file, 1000); /* a tensor */
        ck_assert_int_eq(manifest_verify(&m, dir, 0, NULL), 0);
        ck_assert_int_eq(manifest_verify(&m, dir, 1, &err), -1);
        ck_assert_int_eq(err.code, EBADMSG);
        part_flip(dir, file, 1000);
        part_flip(dir, file, 40); /* the table */
        ck_assert_int_eq(manifest_verify(&m, dir, 1, &err), -1);
        part_flip(dir, file, 40);
        part_flip(dir, seal, 100);
        ck_assert_int_eq(manifest_verify(&m, dir, 0, &err), -1);
        ck_assert_int_eq(err.code, EBADMSG);
        part_flip(dir, seal, 100);
        ck_assert_int_eq(manifest_verify(&m, dir, 1, NULL), 0);
        snprintf(path, sizeof path, "%s/%s", dir, file);
        ck_assert_int_eq(truncate(path, 100), 0);
        ck_assert_int_eq(manifest_verify(&m, dir, 0, &err), -1);
        ck_assert_int_eq(err.code, EBADMSG);
        ck_assert_int_eq(unlink(path), 0);
        ck_assert_int_eq(manifest_verify(&m, dir, 0, &err), -1);
        ck_assert_int_eq(err.code, EBADMSG);
        manifest_fini(&m);
        durable_remove_tree(dir, NULL);
}
END_TEST

START_TEST(no_manifest_is_told_from_a_damaged_one)
{
        struct manifest m;
        struct stint_error err;
        char dir[1024];

        snprintf(dir, sizeof dir, "%s", part_folder());
        ck_assert_int_eq(manifest_read(&m, dir, &err), -1);
        ck_assert_int_eq(err.code, ENOENT);
        part_write(dir, RUNDIR_MANIFEST, "", 0);
        ck_assert_int_eq(manifest_read(&m, dir, &err), -1);
        ck_assert_int_eq(err.code, EBADMSG);
        durable_remove_tree(dir, NULL);
}
END_TEST

static void add_tests(Suite *suite)
{
        TCase *all = suite_case(suite, "manifest");

        tcase_add_test(all, comes_back_as_it_was_written);
        tcase_add_test(all, every_changed_byte_is_found);
        tcase_add_test(all, the_same_seals_give_the_same_bytes);
        tcase_add_test(all, metrics_that_are_no_numbers_come_back);
        tcase_add_test(all, seals_that_do_not_belong_together_make_none);
        tcase_add_test(all, an_intact_checkpoint_verifies);
        tcase_add_test(all, damage_anywhere_is_found);
        tcase_add_test(all, no_manifest_is_told_from_a_damaged_one);
}

SUITE_MAIN("manifest", add_tests)
