/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * test_agent_images: the real stint-agent and a program with two images: one is filled while the other is written,
 * writes of a rank queue, and an image is the program's again only when nobody reads it any more.
 */
#include "agent_talk.h"
#include "suite.h"

static unsigned char *second; /* the program's other image */

/* The agent stops there, once, until `released`. */
static void start_agent_that_pauses_at(const char *point)
{
        char fault[128];

        setenv("STINT_FAULT_DIR", dir, 1);
        snprintf(fault, sizeof fault, "%s:pause", point);
        start_agent_with(fault);
}

static void pause_file(char *path, size_t size, const char *point)
{
        snprintf(path, size, "%s/%s.%d", dir, point, (int)agent);
}

static void reached(const char *point)
{
        char path[256];
        int waited_ms;

        pause_file(path, sizeof path, point);
        for (waited_ms = 0; access(path, F_OK) != 0; waited_ms += 5) {
                ck_assert_msg(waited_ms < PATIENCE_MS, "%s is not reached", point);
                usleep(5000);
        }
}

static void released(const char *point)
{
        char path[256];

        pause_file(path, sizeof path, point);
        ck_assert_int_eq(unlink(path), 0);
}

static void begin(struct program *p)
{
        connect_program(p, 0, 1);
        lay_out(p, 1);
}

/* Asks for a save and gives the first image for it; the agent answers with another one. */
static void save_and_get_second(struct program *p, uint32_t save_id, int64_t step)
{
        const struct wire_staging *staging = (const struct wire_staging *)p->bytes;

        ask_save(save_id, 1, SAVE_INTERVAL);
        wake_up(p, save_id, 0);
        snapshot(p, save_id, step, 0);
        next_heard(p, WIRE_STAGING);
        ck_assert_uint_eq(staging->header.type, WIRE_STAGING);
        ck_assert_uint_eq(staging->image, 1);
        ck_assert_uint_eq(staging->layout, p->staging.layout);
        ck_assert_uint_eq(staging->image_bytes, p->staging.image_bytes);
        ck_assert_int_eq(channel_memory_check(p->received, staging->image_bytes, NULL), 0);
        second = mmap(NULL, staging->image_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, p->received, 0);
        ck_assert(second != MAP_FAILED);
        close(p->received);
}

static void snapshot_in(struct program *p, uint32_t image, uint32_t save_id, int64_t step)
{
        struct wire_snapshot m = { .save_id = save_id, .layout = p->staging.layout, .image = image, .step = step };

        WIRE_INIT(&m, WIRE_SNAPSHOT);
        m.checkpoint_step = step;
        m.wait_ns = 33;
        example_fill(image ? second : p->image, p->staging.table_offset, p->staging.count, p->staging.record_bytes);
        program_says(p, &m, -1);
}

static void end(struct program *p)
{
        munmap(second, p->staging.image_bytes);
        close_program(p);
}

static void must_be_whole(int64_t step)
{
        char part[RUNDIR_NAME], name[RUNDIR_NAME], path[512];
        struct stint_error err;
        struct seal seal;

        read_seal(&seal, step, 0, 1);
        ck_assert_int_eq(seal.step, step);
        snprintf(path, sizeof path, "%s/%s/%s", checkpoints, rundir_part(part, step, 3), rundir_rank_file(name, 0, 1));
        ck_assert_msg(image_check_file(path, &seal, NULL, NULL, &err) == 0, "%s", err.text);
}

START_TEST(a_snapshot_in_the_second_image_is_a_whole_file_too)
{
        const struct wire_agent_taken *taken;
        struct program p;

        start_agent();
        begin(&p);
        save_and_get_second(&p, 1, 10);
        heard(WIRE_AGENT_SEALED);
        result(1, 1);
        program_heard(&p, WIRE_RESULT);
        ask_save(2, 1, SAVE_INTERVAL);
        wake_up(&p, 2, 0);
        snapshot_in(&p, 1, 2, 20);
        do
                taken = heard(WIRE_AGENT_TAKEN);
        while (taken->save_id != 2);
        ck_assert_int_eq(taken->wait_ns, 33);
        ck_assert_int_eq(taken->checkpoint_step, 20);
        ck_assert_uint_eq(taken->free_images, 1);
        heard(WIRE_AGENT_SEALED);
        must_be_whole(20);
        end(&p);
        heard(WIRE_AGENT_GONE);
        ck_assert_int_eq(end_agent(), 0);
}
END_TEST

/* So that `stint run` knows when it may ask for another save. */
START_TEST(it_is_told_when_the_program_has_another_image_free)
{
        struct program p;

        start_agent_that_pauses_at("save.mid_write");
        begin(&p);
        save_and_get_second(&p, 1, 10);
        ck_assert_uint_eq(((const struct wire_agent_taken *)heard(WIRE_AGENT_TAKEN))->free_images, 0);
        ck_assert_uint_eq(((const struct wire_agent_taken *)heard(WIRE_AGENT_TAKEN))->free_images, 1);
        ask_save(2, 1, SAVE_USER);
        wake_up(&p, 2, 0);
        snapshot_in(&p, 1, 2, 20);
        ck_assert_uint_eq(((const struct wire_agent_taken *)heard(WIRE_AGENT_TAKEN))->free_images, 0);
        reached("save.mid_write");
        released("save.mid_write");
        heard(WIRE_AGENT_SEALED);
        heard(WIRE_AGENT_SEALED);
        end(&p);
        heard(WIRE_AGENT_GONE);
        ck_assert_int_eq(end_agent(), 0);
}
END_TEST

START_TEST(two_snapshots_are_written_one_after_the_other)
{
        const struct wire_agent_sealed *sealed;
        char part[RUNDIR_NAME], path[512];
        struct program p;

        start_agent_that_pauses_at("save.mid_write");
        begin(&p);
        save_and_get_second(&p, 1, 10);
        reached("save.mid_write");
        ask_save(2, 1, SAVE_LIMIT);
        wake_up(&p, 2, 1);
        snapshot_in(&p, 1, 2, 20);
        while (((const struct wire_agent_taken *)heard(WIRE_AGENT_TAKEN))->save_id != 2)
                ;
        snprintf(path, sizeof path, "%s/%s", checkpoints, rundir_part(part, 20, 3));
        ck_assert_int_eq(access(path, F_OK), -1);
        released("save.mid_write");
        sealed = heard(WIRE_AGENT_SEALED);
        ck_assert_uint_eq(sealed->save_id, 1);
        sealed = heard(WIRE_AGENT_SEALED);
        ck_assert_uint_eq(sealed->save_id, 2);
        must_be_whole(10);
        must_be_whole(20);
        end(&p);
        heard(WIRE_AGENT_GONE);
        ck_assert_int_eq(end_agent(), 0);
}
END_TEST

START_TEST(an_image_that_is_being_written_takes_no_other_snapshot)
{
        const struct wire_agent_save_failed *failed;
        struct program p;

        start_agent_that_pauses_at("save.mid_write");
        begin(&p);
        save_and_get_second(&p, 1, 10);
        reached("save.mid_write");
        ask_save(2, 1, SAVE_USER);
        wake_up(&p, 2, 0);
        snapshot_in(&p, 0, 2, 20);
        failed = heard(WIRE_AGENT_SAVE_FAILED);
        ck_assert_uint_eq(failed->save_id, 2);
        ck_assert_int_eq(failed->code, EBUSY);
        ask_save(3, 1, SAVE_USER);
        wake_up(&p, 3, 0);
        snapshot_in(&p, 2, 3, 20); /* an image that there never was */
        ck_assert_int_eq(((const struct wire_agent_save_failed *)heard(WIRE_AGENT_SAVE_FAILED))->code, EPROTO);
        released("save.mid_write");
        heard(WIRE_AGENT_SEALED);
        end(&p);
        heard(WIRE_AGENT_GONE);
        ck_assert_int_eq(end_agent(), 0);
}
END_TEST

/* The wake for the next save comes through at once: what the program is not told yet is that the image is its own. */
START_TEST(a_save_that_was_given_up_is_told_when_its_writer_has_let_go)
{
        const struct wire_result *r;
        struct stint_error err;
        struct program p;
        struct seal seal;
        char part[RUNDIR_NAME], name[RUNDIR_NAME], path[512];

        start_agent_that_pauses_at("save.mid_write");
        begin(&p);
        save_and_get_second(&p, 1, 10);
        reached("save.mid_write");
        result(1, 0);
        ask_save(2, 1, SAVE_LIMIT);
        wake_up(&p, 2, 1);
        snapshot_in(&p, 1, 2, 20);
        released("save.mid_write");
        r = program_heard(&p, WIRE_RESULT);
        ck_assert_uint_eq(r->save_id, 1);
        ck_assert_uint_eq(r->landed, 0);
        ck_assert_uint_eq(((const struct wire_agent_sealed *)heard(WIRE_AGENT_SEALED))->save_id, 2);
        must_be_whole(20);
        snprintf(path, sizeof path, "%s/%s/%s", checkpoints, rundir_part(part, 10, 3), rundir_rank_seal(name, 0, 1));
        ck_assert_int_lt(seal_read(&seal, path, &err), 0);
        end(&p);
        heard(WIRE_AGENT_GONE);
        ck_assert_int_eq(end_agent(), 0);
}
END_TEST

/* Nobody commits any more, but the next stint finishes every part that is sealed. */
START_TEST(a_snapshot_that_waits_is_sealed_too_when_stdin_has_ended)
{
        struct program p;
        int status;

        start_agent_that_pauses_at("save.mid_write");
        begin(&p);
        save_and_get_second(&p, 1, 10);
        reached("save.mid_write");
        ask_save(2, 1, SAVE_LIMIT);
        wake_up(&p, 2, 1);
        snapshot_in(&p, 1, 2, 20);
        while (((const struct wire_agent_taken *)heard(WIRE_AGENT_TAKEN))->save_id != 2)
                ;
        close(to_agent);
        to_agent = -1;
        released("save.mid_write");
        ck_assert_int_eq(waitpid(agent, &status, 0), agent);
        agent = 0;
        ck_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0);
        must_be_whole(10);
        must_be_whole(20);
        end(&p);
        close(from_agent);
}
END_TEST

static void add_tests(Suite *suite)
{
        TCase *all = suite_case(suite, "agent_images");

        tcase_add_checked_fixture(all, set_up, clean_up);
        tcase_add_test(all, a_snapshot_in_the_second_image_is_a_whole_file_too);
        tcase_add_test(all, it_is_told_when_the_program_has_another_image_free);
        tcase_add_test(all, two_snapshots_are_written_one_after_the_other);
        tcase_add_test(all, an_image_that_is_being_written_takes_no_other_snapshot);
        tcase_add_test(all, a_save_that_was_given_up_is_told_when_its_writer_has_let_go);
        tcase_add_test(all, a_snapshot_that_waits_is_sealed_too_when_stdin_has_ended);
}

int main(void)
{
        signal(SIGPIPE, SIG_IGN);
        return suite_run("agent_images", add_tests);
}
