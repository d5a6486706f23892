/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * test_visible: every form of CUDA_VISIBLE_DEVICES with the devices that a program sees then, one row each.  With
 * --table it prints the rows as docs/devices.md has them; tests/flow/devices.sh compares the two.
 */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "suite.h"
#include "visible.h"

#define COUNT(array) (sizeof(array) / sizeof(array)[0])
#define GIB (INT64_C(1) << 30)

/* ---- machines ---------------------------------------------------------------------------------------------------- */

#define UUID_A "GPU-8932f937-d72c-4106-c12f-20bd9faed9f6"
#define UUID_B "GPU-8932b0a4-1c1a-d9ed-fe37-18b8466a78ad"
#define UUID_C "GPU-e429a63e-c61c-4795-b757-5132caeb8e70"
#define UUID_D "GPU-1c20e77d-58d7-410d-cc82-f7fdece5bd28"
#define UUID_B1 "MIG-c6d4f1ef-42e4-5de3-91c7-45d71c87eb3f"
#define UUID_B2 "MIG-cba663e8-9bed-5b25-b243-5985ef7c9beb"
#define UUID_C1 "MIG-1e1c0f0a-3b67-5a52-8c5e-6f2a9d1b7c40"

#define GPU(uuid_, bus) .uuid = uuid_, .pci = "0000:" bus ":00.0", .gpu = -1, .instance = -1, .compute = -1
#define PART(uuid_, gpu_) .uuid = uuid_, .gpu = gpu_, .name = "MIG 1g.10gb"
#define LARGE .name = "NVIDIA A100-SXM4-80GB", .memory_bytes = 80 * GIB
#define SMALL .name = "NVIDIA T4", .memory_bytes = 16 * GIB

static const struct visible_device four[] = {
        {GPU(UUID_A, "07"), LARGE},
        {GPU(UUID_B, "0b"), LARGE},
        {GPU(UUID_C, "48"), LARGE},
        {GPU(UUID_D, "4c"), LARGE},
};
static const struct visible_device unequal[] = {
        {GPU(UUID_A, "07"), SMALL},
        {GPU(UUID_B, "0b"), LARGE},
};
static const struct visible_device ranked[] = {
        {GPU(UUID_A, "07"), SMALL, .speed = 1},
        {GPU(UUID_B, "0b"), LARGE, .speed = 2},
        {GPU(UUID_C, "48"), SMALL, .speed = 1},
};
static const struct visible_device divided[] = {
        {GPU(UUID_B, "0b"), LARGE, .mig = VISIBLE_DIVIDED},
        {PART(UUID_B1, 0), .instance = 7, .compute = 0},
        {PART(UUID_B2, 0), .instance = 8, .compute = 0},
};
static const struct visible_device partly[] = {
        {GPU(UUID_A, "07"), LARGE},
        {GPU(UUID_B, "0b"), LARGE, .mig = VISIBLE_DIVIDED},
        {PART(UUID_B1, 1), .instance = -1, .compute = -1},
        {PART(UUID_B2, 1), .instance = -1, .compute = -1},
        {GPU(UUID_D, "4c"), LARGE},
};
static const struct visible_device older[] = {
        {GPU(UUID_B, "0b"), LARGE, .mig = VISIBLE_DIVIDED},
        {PART("MIG-" UUID_B "/7/0", 0), .instance = 7, .compute = 0},
        {PART("MIG-" UUID_B "/8/0", 0), .instance = 8, .compute = 0},
};
static const struct visible_device undivided[] = {
        {GPU(UUID_A, "07"), LARGE},
        {GPU(UUID_B, "0b"), LARGE, .mig = VISIBLE_DIVIDED},
};
static const struct visible_device unseen[] = {
        {GPU(UUID_B, "0b"), LARGE, .mig = VISIBLE_UNSEEN},
};

#define MACHINE(name)                                                                                                  \
        {                                                                                                              \
#name, name, COUNT(name)                                                                               \
        }

static const struct machine {
        const char *name;
        const struct visible_device *device;
        unsigned n;
} machines[] = {
        MACHINE(four),  MACHINE(unequal),   MACHINE(ranked), MACHINE(divided),  MACHINE(partly),
        MACHINE(older), MACHINE(undivided), MACHINE(unseen), {"none", NULL, 0},
};

/* "A" for a GPU by its UUID, "B2" for its second instance, "?" for one that nobody knows. */
static void show_device(char *out, size_t size, const struct machine *m, int device)
{
        static const char *const uuids[] = {UUID_A, UUID_B, UUID_C, UUID_D};
        int gpu, part = 0;
        size_t k;

        snprintf(out, size, "?");
        if (device == VISIBLE_WHICH)
                return;
        gpu = m->device[device].gpu < 0 ? device : m->device[device].gpu;
        for (int i = 0; i <= device; i++)
                part += m->device[i].gpu == gpu;
        for (k = 0; k < COUNT(uuids); k++)
                if (strcmp(m->device[gpu].uuid, uuids[k]) == 0)
                        snprintf(out, size, part > 0 ? "%c%d" : "%c", 'A' + (int)k, part);
}

/* ---- the rows ---------------------------------------------------------------------------------------------------- */

/* Where a rule is from. */
#define GUIDE "CUDA guide"
#define MIG "MIG guide"
#define TORCH "PyTorch"
#define DATADOG "Datadog"
#define SLURM "Slurm"
#define NONE "-"

static char spaces[9000], many[9000];

static const struct row {
        const char *form, *machine, *order, *text;
        const char *sees;  /* devices in the program's numbers */
        const char *words; /* a letter for each: see verdict_letters */
        enum visible_certainty certainty;
        const char *source;
} rows[] = {
        {"not set", "four", NULL, NULL, "A B C D", "", VISIBLE_SURE, GUIDE},
        {"not set, unequal GPUs", "unequal", NULL, NULL, "? ?", "", VISIBLE_UNKNOWN, GUIDE},
        {"not set, unequal GPUs by address", "unequal", "PCI_BUS_ID", NULL, "A B", "", VISIBLE_SURE, GUIDE},
        {"not set, unequal GPUs of known speed", "ranked", NULL, NULL, "B A C", "", VISIBLE_LIKELY, GUIDE},
        {"not set, no GPU", "none", NULL, NULL, "", "", VISIBLE_SURE, GUIDE},
        {"empty", "four", NULL, "", "", "", VISIBLE_SURE, GUIDE},
        {"one number", "four", NULL, "2", "C", "c", VISIBLE_SURE, GUIDE},
        {"numbers", "four", NULL, "0,1", "A B", "cc", VISIBLE_SURE, GUIDE},
        {"numbers in another order", "four", NULL, "2,1", "C B", "cc", VISIBLE_SURE, GUIDE},
        {"number of unequal GPUs", "unequal", NULL, "0", "?", "c", VISIBLE_UNKNOWN, GUIDE},
        {"number of unequal GPUs by address", "unequal", "PCI_BUS_ID", "0", "A", "c", VISIBLE_SURE, GUIDE},
        {"number of unequal GPUs of known speed", "ranked", "FASTEST_FIRST", "0,2", "B C", "cc", VISIBLE_LIKELY, GUIDE},
        {"an order that is none", "four", "BY_NAME", "1", "B", "c", VISIBLE_LIKELY, NONE},
        {"-1", "four", NULL, "-1", "", "-", VISIBLE_SURE, GUIDE},
        {"-1 in the list", "four", NULL, "0,2,-1,1", "A C", "cc-.", VISIBLE_SURE, GUIDE},
        {"number out of range", "four", NULL, "1,4,0", "B", "cb.", VISIBLE_SURE, GUIDE},
        {"number out of any range", "four", NULL, "0,99999999999999999999", "A", "cb", VISIBLE_SURE, GUIDE},
        {"a number, no GPU", "none", NULL, "0", "", "b", VISIBLE_SURE, GUIDE},
        {"a number twice", "four", NULL, "0,1,2,1", "", "uuut", VISIBLE_LIKELY, TORCH},
        {"a number twice, behind the end", "four", NULL, "0,1,-1,1", "A B", "cc-.", VISIBLE_SURE, GUIDE},
        {"NoDevFiles", "four", NULL, "NoDevFiles", "", "n", VISIBLE_LIKELY, SLURM},
        {"words that are no device", "four", NULL, "3,2,two,one", "D C", "ccn.", VISIBLE_LIKELY, TORCH},
        {"a comma too many at the end", "four", NULL, "0,1,", "A B", "ccn", VISIBLE_LIKELY, TORCH},
        {"a comma too many between", "four", NULL, "0,,1", "A", "cn.", VISIBLE_LIKELY, TORCH},
        {"a comma too many before", "four", NULL, ",0", "", "n.", VISIBLE_LIKELY, TORCH},
        {"a space only", "four", NULL, " ", "", "n", VISIBLE_LIKELY, TORCH},
        {"spaces around numbers", "four", NULL, "0, 1 ,3", "A B D", "ccc", VISIBLE_LIKELY, TORCH},
        {"signs", "four", NULL, "2,+3,-0", "C D A", "ccc", VISIBLE_LIKELY, TORCH},
        {"letters behind numbers", "four", NULL, "1gpu2,2ampere", "B C", "cc", VISIBLE_LIKELY, TORCH},
        {"a range", "four", NULL, "0-2", "A", "c", VISIBLE_LIKELY, TORCH},
        {"UUID", "four", NULL, UUID_C, "C", "c", VISIBLE_SURE, GUIDE},
        {"UUID of unequal GPUs", "unequal", NULL, UUID_B "," UUID_A, "B A", "cc", VISIBLE_SURE, GUIDE},
        {"beginning of a UUID", "four", NULL, "GPU-1,GPU-8932f", "D A", "cc", VISIBLE_SURE, GUIDE},
        {"beginning of two UUIDs", "four", NULL, "GPU-e4,GPU-8932,GPU-1", "C", "ca.", VISIBLE_LIKELY, TORCH},
        {"UUID of no device", "four", NULL, "GPU-1,GPU-77,GPU-e", "D", "c0.", VISIBLE_LIKELY, TORCH},
        {"UUID with more behind it", "four", NULL, UUID_A "0", "", "0", VISIBLE_LIKELY, TORCH},
        {"UUID twice", "four", NULL, "GPU-1,GPU-e,GPU-1c", "", "uut", VISIBLE_LIKELY, TORCH},
        {"UUID in large letters", "four", NULL, "GPU-E429A63E", "", "k", VISIBLE_UNKNOWN, NONE},
        {"gpu- in small letters", "four", NULL, "gpu-e429a63e", "", "n", VISIBLE_LIKELY, TORCH},
        {"UUID without GPU-", "four", NULL, "e429a63e-c61c-4795-b757-5132caeb8e70", "", "n", VISIBLE_LIKELY, TORCH},
        {"space before a UUID", "four", NULL, "GPU-1, GPU-e", "D", "cm", VISIBLE_LIKELY, TORCH},
        {"UUID, then a number", "four", NULL, "GPU-1,0", "D", "cm", VISIBLE_LIKELY, TORCH},
        {"a number, then a UUID", "four", NULL, "0,GPU-1", "A", "cm", VISIBLE_LIKELY, TORCH},
        {"not set, divided GPU", "divided", NULL, NULL, "B1", "", VISIBLE_SURE, MIG},
        {"number, divided GPU", "divided", NULL, "0", "B1", "c", VISIBLE_LIKELY, TORCH},
        {"number of a second instance", "divided", NULL, "1", "", "b", VISIBLE_LIKELY, DATADOG},
        {"instance", "divided", NULL, UUID_B2, "B2", "c", VISIBLE_SURE, MIG},
        {"two instances", "divided", NULL, UUID_B2 "," UUID_B1, "B2", "ch", VISIBLE_SURE, MIG},
        {"beginning of an instance's UUID", "divided", NULL, "MIG-cb", "B2", "c", VISIBLE_LIKELY, DATADOG},
        {"beginning of two instances' UUIDs", "divided", NULL, "MIG-c", "", "a", VISIBLE_LIKELY, DATADOG},
        {"instance that is not there", "divided", NULL, UUID_C1, "", "0", VISIBLE_LIKELY, DATADOG},
        {"older form of an instance", "divided", NULL, "MIG-" UUID_B "/8/0", "B2", "c", VISIBLE_SURE, GUIDE},
        {"older form, cut short", "divided", NULL, "MIG-GPU-8932/8/0", "B2", "c", VISIBLE_LIKELY, NONE},
        {"older form of what is not there", "divided", NULL, "MIG-" UUID_B "/9/0", "", "0", VISIBLE_LIKELY, NONE},
        {"older form without numbers", "divided", NULL, "MIG-" UUID_B, "", "0", VISIBLE_LIKELY, NONE},
        {"older form, older driver", "older", NULL, "MIG-" UUID_B "/8/0", "B2", "c", VISIBLE_SURE, MIG},
        {"older form, numbers not known", "partly", NULL, "MIG-" UUID_B "/8/0", "?", "s", VISIBLE_UNKNOWN, GUIDE},
        {"UUID of a divided GPU", "divided", NULL, UUID_B, "B1", "c", VISIBLE_LIKELY, DATADOG},
        {"instance, then a number", "divided", NULL, UUID_B1 ",0", "B1", "cm", VISIBLE_LIKELY, TORCH},
        {"not set, some divided", "partly", NULL, NULL, "B1", "", VISIBLE_SURE, MIG},
        {"number of a whole GPU, some divided", "partly", NULL, "1", "D", "c", VISIBLE_LIKELY, DATADOG},
        {"number of a divided GPU, some divided", "partly", NULL, "2", "B1", "c", VISIBLE_LIKELY, DATADOG},
        {"both numbers, some divided", "partly", NULL, "0,2,1", "B1", "hch", VISIBLE_LIKELY, DATADOG},
        {"UUID of a whole GPU, some divided", "partly", NULL, UUID_D "," UUID_A, "D A", "cc", VISIBLE_SURE, GUIDE},
        {"not set, divided without instances", "undivided", NULL, NULL, "A", "", VISIBLE_SURE, MIG},
        {"UUID, divided without instances", "undivided", NULL, UUID_B "," UUID_A, "", "e.", VISIBLE_LIKELY, NONE},
        {"not set, instances not seen", "unseen", NULL, NULL, "?", "", VISIBLE_UNKNOWN, MIG},
        {"number, instances not seen", "unseen", NULL, "0", "?", "c", VISIBLE_UNKNOWN, DATADOG},
        {"instance, instances not seen", "unseen", NULL, UUID_B1, "?", "s", VISIBLE_UNKNOWN, MIG},
        {"more than 4096 bytes", "four", NULL, spaces, "A", "c", VISIBLE_LIKELY, NONE},
        {"more words than devices", "four", NULL, many, "", "uuuut", VISIBLE_LIKELY, TORCH},
};

static const char verdict_letters[] = {
        [VISIBLE_COUNTS] = 'c',    [VISIBLE_HIDDEN] = 'h',   [VISIBLE_UNDONE] = 'u',    [VISIBLE_TWICE] = 't',
        [VISIBLE_NO_NUMBER] = 'n', [VISIBLE_NEGATIVE] = '-', [VISIBLE_BEYOND] = 'b',    [VISIBLE_NOBODY] = '0',
        [VISIBLE_AMBIGUOUS] = 'a', [VISIBLE_CASE] = 'k',     [VISIBLE_EMPTY_GPU] = 'e', [VISIBLE_MIXED] = 'm',
        [VISIBLE_NOT_SEEN] = 's',  [VISIBLE_UNREAD] = '.',
};

static void make_texts(void)
{
        memset(spaces, ' ', sizeof spaces - 1);
        spaces[0] = '0';
        for (size_t i = 0; i < sizeof many - 2; i += 2)
                memcpy(many + i, i < 8 ? &"0,1,2,3,"[i] : "0,", 2);
        many[sizeof many - 2] = '\0';
}

static const struct machine *resolve(const struct row *row, struct visible_question *q, struct visible *v)
{
        const struct machine *m = machines;

        while (strcmp(m->name, row->machine) != 0)
                if (++m == machines + COUNT(machines))
                        abort();
        *q = (struct visible_question){.text = row->text, .order = row->order, .device = m->device, .n = m->n};
        visible_resolve(v, q);
        return m;
}

static void show_all(char *out, size_t size, const struct machine *m, const struct visible *v)
{
        size_t used = 0;

        out[0] = '\0';
        for (unsigned i = 0; i < v->n && used + 8 < size; i++) {
                if (i > 0)
                        out[used++] = ' ';
                show_device(out + used, size - used, m, v->device[i]);
                used += strlen(out + used);
        }
}

/* ---- tests ------------------------------------------------------------------------------------------------------- */

START_TEST(every_form_shows_the_devices_that_are_expected_in_that_order)
{
        const struct row *row = &rows[_i];
        struct visible_question q;
        struct visible v;
        const struct machine *m = resolve(row, &q, &v);
        char sees[200];

        show_all(sees, sizeof sees, m, &v);
        ck_assert_msg(strcmp(sees, row->sees) == 0, "%s: it sees '%s' and not '%s'", row->form, sees, row->sees);
        ck_assert_msg(v.certainty == row->certainty, "%s: it is %s and not %s", row->form,
                      visible_certainty_name(v.certainty), visible_certainty_name(row->certainty));
        ck_assert_msg((v.doubts == 0) == (v.certainty == VISIBLE_SURE), "%s: doubts %x", row->form, v.doubts);
}
END_TEST

START_TEST(every_word_says_why_it_counts_or_does_not)
{
        const struct row *row = &rows[_i];
        struct visible_question q;
        struct visible v;
        char text[1000];
        size_t i;

        resolve(row, &q, &v);
        ck_assert_uint_ge(v.words, strlen(row->words));
        for (i = 0; i < v.words && i < VISIBLE_WORDS; i++) {
                const char expected = i < strlen(row->words) ? row->words[i] : '.';

                ck_assert_msg(verdict_letters[v.word[i].verdict] == expected, "%s: word %zu is '%c' and not '%c'",
                              row->form, i, verdict_letters[v.word[i].verdict], expected);
                ck_assert_str_eq(visible_word_text(text, sizeof text, &v, &q, i), text);
                ck_assert_msg(text[0] == '\'' && strlen(text) > 10 && strlen(text) < 400, "%s", text);
        }
        ck_assert_str_ne(visible_whole_text(text, sizeof text, &v, &q), "");
}
END_TEST

START_TEST(a_word_that_ends_the_list_says_so_and_names_its_reason)
{
        static const struct row none = {.machine = "four", .text = "NoDevFiles,1"};
        static const struct row some = {.machine = "four", .text = "2,9"};
        struct visible_question q;
        struct visible v;
        char text[400];

        resolve(&none, &q, &v);
        ck_assert_str_eq(
                visible_word_text(text, sizeof text, &v, &q, 0),
                "'NoDevFiles' is what Slurm writes for a job that was given no GPU, which ends the list: what is "
                "behind it is not read");
        ck_assert_str_eq(visible_word_text(text, sizeof text, &v, &q, 1), "'1' is not read");
        ck_assert_str_eq(visible_whole_text(text, sizeof text, &v, &q), "a program sees no device");
        resolve(&some, &q, &v);
        ck_assert_str_eq(visible_word_text(text, sizeof text, &v, &q, 0),
                         "'2' is " UUID_C " (NVIDIA A100-SXM4-80GB), which the program sees as device 0");
        ck_assert_str_eq(visible_word_text(text, sizeof text, &v, &q, 1),
                         "'9' is beyond the last device, which ends the list");
        ck_assert_str_eq(visible_whole_text(text, sizeof text, &v, &q), "a program sees 1 device");
}
END_TEST

START_TEST(every_doubt_has_a_sentence_and_takes_away_certainty)
{
        for (unsigned i = 0; i < VISIBLE_DOUBTS; i++) {
                ck_assert_ptr_nonnull(visible_doubt_text(i));
                ck_assert_uint_ne(visible_doubt_certainty(i), VISIBLE_SURE);
        }
}
END_TEST

START_TEST(every_doubt_has_a_form_that_raises_it)
{
        unsigned raised = 0;

        for (size_t i = 0; i < COUNT(rows); i++) {
                struct visible_question q;
                struct visible v;

                resolve(&rows[i], &q, &v);
                raised |= v.doubts;
        }
        ck_assert_uint_eq(raised, (1u << VISIBLE_DOUBTS) - 1);
}
END_TEST

START_TEST(more_devices_than_there_is_room_for_are_left_out)
{
        static struct visible_device device[VISIBLE_MOST + 7];
        struct visible_question q = {.device = device, .n = COUNT(device)};
        struct visible v;

        for (size_t i = 0; i < COUNT(device); i++) {
                device[i].gpu = -1;
                snprintf(device[i].uuid, sizeof device[i].uuid, "GPU-%04zx", i);
        }
        q.order = "PCI_BUS_ID";
        visible_resolve(&v, &q);
        ck_assert_uint_eq(v.n, VISIBLE_MOST);
        ck_assert_int_eq(v.device[VISIBLE_MOST - 1], VISIBLE_MOST - 1);
        q.text = "256";
        visible_resolve(&v, &q);
        ck_assert_uint_eq(v.n, 0);
}
END_TEST

/* ---- ranks ------------------------------------------------------------------------------------------------------- */

static const struct own_row {
        const char *text, *localid;
        enum visible_share share;
        enum visible_own own;
        unsigned first, n;
} own_rows[] = {
        {NULL, "1", VISIBLE_EACH_ALL, VISIBLE_OWN_ALL, 0, 4},
        {"2,1", "1", VISIBLE_EACH_ALL, VISIBLE_OWN_ALL, 0, 2},
        {"2,1", "1", VISIBLE_EACH_ONE, VISIBLE_OWN_LOCAL, 1, 1},
        {NULL, "3", VISIBLE_EACH_ONE, VISIBLE_OWN_LOCAL, 3, 1},
        {"3", "3", VISIBLE_EACH_ONE, VISIBLE_OWN_ONLY, 0, 1},
        {"0,1", "2", VISIBLE_EACH_ONE, VISIBLE_OWN_TOO_FEW, 0, 0},
        {"0,1", NULL, VISIBLE_EACH_ONE, VISIBLE_OWN_FIRST, 0, 1},
        {"0,1", "", VISIBLE_EACH_ONE, VISIBLE_OWN_FIRST, 0, 1},
        {"0,1", "1x", VISIBLE_EACH_ONE, VISIBLE_OWN_FIRST, 0, 1},
        {"0,1", "-1", VISIBLE_EACH_ONE, VISIBLE_OWN_FIRST, 0, 1},
        {"0,1", "99999999999", VISIBLE_EACH_ONE, VISIBLE_OWN_TOO_FEW, 0, 0},
        {"-1", "0", VISIBLE_EACH_ONE, VISIBLE_OWN_NONE, 0, 0},
        {"", NULL, VISIBLE_EACH_ALL, VISIBLE_OWN_NONE, 0, 0},
};

START_TEST(a_rank_has_all_devices_or_the_one_of_its_number_on_the_node)
{
        const struct own_row *row = &own_rows[_i];
        struct visible_question q = {.text = row->text, .device = four, .n = COUNT(four)};
        unsigned first = 77, n = 77;
        struct visible v;

        visible_resolve(&v, &q);
        ck_assert_uint_eq(visible_own(&v, row->share, row->localid, &first, &n), row->own);
        ck_assert_uint_eq(first, row->first);
        ck_assert_uint_eq(n, row->n);
}
END_TEST

/* ---- the page ---------------------------------------------------------------------------------------------------- */

static const char *as_code(char *out, size_t size, const char *text)
{
        if (text == spaces)
                snprintf(out, size, "`0` and %zu spaces", strlen(text) - 1);
        else if (text == many)
                snprintf(out, size, "`0,1,2,3,0,0`, and so on");
        else
                snprintf(out, size, text == NULL ? "not set" : text[0] == '\0' ? "empty" : "`%s`", text);
        return out;
}

/* The first word that does something else than to count; else the first doubt. */
static const char *why(char *out, size_t size, const struct visible_question *q, const struct visible *v)
{
        size_t i;

        for (i = 0; i < v->words && i < VISIBLE_WORDS; i++)
                if (v->word[i].verdict != VISIBLE_COUNTS && v->word[i].verdict != VISIBLE_UNDONE)
                        return visible_word_text(out, size, v, q, i);
        for (i = 0; i < VISIBLE_DOUBTS; i++)
                if (v->doubts & (1u << i))
                        return visible_doubt_text((enum visible_doubt)i);
        return visible_whole_text(out, size, v, q);
}

static void print_row(const struct row *row)
{
        struct visible_question q;
        struct visible v;
        const struct machine *m = resolve(row, &q, &v);
        char sees[200], text[200], order[100] = "", reason[1000];

        show_all(sees, sizeof sees, m, &v);
        if (row->order != NULL)
                snprintf(order, sizeof order, ", `%s`", row->order);
        printf("| %s | %s%s | %s | %s | %s | %s | %s |\n", row->form, row->machine, order,
               as_code(text, sizeof text, row->text), sees[0] != '\0' ? sees : "nothing",
               visible_certainty_name(v.certainty), why(reason, sizeof reason, &q, &v), row->source);
}

static void print_table(void)
{
        printf("| form | machine | CUDA_VISIBLE_DEVICES | device 0, 1, ... | how sure | why | source |\n");
        printf("|---|---|---|---|---|---|---|\n");
        for (size_t i = 0; i < COUNT(rows); i++)
                print_row(&rows[i]);
}

static void print_doubts(void)
{
        for (unsigned i = 0; i < VISIBLE_DOUBTS; i++)
                printf("- %s: %s.\n", visible_certainty_name(visible_doubt_certainty(i)), visible_doubt_text(i));
}

static void add_tests(Suite *suite)
{
        TCase *tests = suite_case(suite, "visible");

        tcase_add_loop_test(tests, every_form_shows_the_devices_that_are_expected_in_that_order, 0, COUNT(rows));
        tcase_add_loop_test(tests, every_word_says_why_it_counts_or_does_not, 0, COUNT(rows));
        tcase_add_test(tests, a_word_that_ends_the_list_says_so_and_names_its_reason);
        tcase_add_test(tests, every_doubt_has_a_sentence_and_takes_away_certainty);
        tcase_add_test(tests, every_doubt_has_a_form_that_raises_it);
        tcase_add_test(tests, more_devices_than_there_is_room_for_are_left_out);
        tcase_add_loop_test(tests, a_rank_has_all_devices_or_the_one_of_its_number_on_the_node, 0, COUNT(own_rows));
}

int main(int argc, char **argv)
{
        make_texts();
        if (argc > 1 && strcmp(argv[1], "--table") == 0) {
                print_table();
                return 0;
        }
        if (argc > 1 && strcmp(argv[1], "--doubts") == 0) {
                print_doubts();
                return 0;
        }
        return suite_run("visible", add_tests);
}
