/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * slurm_record: what a record of Slurm's means for a stint.  Pure functions: slurm_query.c and slurm_act.c bring the
 * records, tests/unit/test_slurm_record.c every kind of them.
 */
#ifndef STINT_SLURM_RECORD_H
#define STINT_SLURM_RECORD_H

#include "slurm_call.h"
#include "wire.h"

/* A job id as people write it, "4711"; 0 for anything else, such as "4711_3", which Slurm takes for several jobs. */
uint32_t record_job_id(const char *text);

/* The record of this very job among several: an array is answered whole. NULL: it is not among them. */
const slurm_job_info_t *record_find(const job_info_msg_t *jobs, uint32_t job);

/*
 * The controller's time in ns since 1970 at which it answered. Its own clock is what a job ends by, and it tells whole
 * seconds; the clock here is used where it agrees, because it is finer.
 */
int64_t record_now(time_t last_update, int64_t wall_ns);

/* Fills in everything about the job but header, question and failed. */
void record_answer(const slurm_job_info_t *job, int64_t now_ns, struct wire_scheduler_answer *answer);

/* As record_answer, for a job that Slurm knows nothing of (any more). */
void record_unknown(uint32_t job, struct wire_scheduler_answer *answer);

/* Whether the end of the job's reservation could come first: end_time does not have it. */
int record_reserved(const slurm_job_info_t *job, const struct wire_scheduler_answer *answer);

/* Brings the answer's end forward to that of the job's reservation. over_run_min: ResvOverRun, INFINITE16: for ever. */
void record_reservation(const slurm_job_info_t *job, const reserve_info_msg_t *reservations, uint16_t over_run_min,
                        int64_t now_ns, struct wire_scheduler_answer *answer);

/* The job whose requeue is this one's: of a heterogeneous job the leader. */
uint32_t record_leader(const slurm_job_info_t *job);

/* What follows this word in a list with commas, where it stands alone or with a value; NULL: it is not there. */
const char *record_word(const char *list, const char *word);

/* Seconds that a requeued job waits from its end on, one more or less. */
uint32_t record_requeue_wait(const slurm_conf_t *conf);

#endif
