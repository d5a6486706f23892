/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * wire: the messages of stint, as fixed little-endian structs; no sockets here.  Every message begins with its size,
 * version and type, and a type has exactly one size, so nothing is parsed: it is checked, then used.  Texts are
 * terminated and zero behind.  docs/protocol.md tells the conversations.
 */
#ifndef STINT_WIRE_H
#define STINT_WIRE_H

#include <stddef.h>
#include <stdint.h>
#include "cluster.h"
#include "error.h"
#include "seal.h"

#define WIRE_VERSION 1
#define WIRE_MOST 4096 /* largest message */
#define WIRE_TEXT 400  /* a sentence */

struct wire_header {
        uint32_t size;    /* of the whole message, this header counted */
        uint16_t version;
        uint16_t type;    /* enum wire_type */
};

enum wire_type {
        /* program -> agent, on the channel */
        WIRE_HELLO = 1, WIRE_LAYOUT, WIRE_RESTORE, WIRE_RESTORE_DONE, WIRE_SNAPSHOT, WIRE_SNAPSHOT_FAILED,
        WIRE_ASK_SAVE, WIRE_COMPLETE, WIRE_BYE, WIRE_STREAMED, WIRE_DEVICES, WIRE_WANTED,
        /* agent -> program */
        WIRE_WELCOME = 32, WIRE_REFUSED, WIRE_STAGING, WIRE_LAYOUT_REFUSED, WIRE_RESTORE_IMAGE, WIRE_WAKE, WIRE_RESULT,
        WIRE_COMPLETED, WIRE_IMAGE_AHEAD, WIRE_RESTORE_TABLE, WIRE_RESTORE_STREAM, WIRE_PLACES, WIRE_WINDOW,
        WIRE_RESTORE_RANKS,
        /* `stint run` -> agent, on its stdin */
        WIRE_RUN_DEADLINE = 64, WIRE_RUN_MEASURED, WIRE_RUN_BEST, WIRE_RUN_SAVE, WIRE_RUN_RESULT, WIRE_RUN_RESTORE,
        WIRE_RUN_USE, WIRE_RUN_COMPLETED, WIRE_RUN_PREFETCH, WIRE_RUN_PIECES,
        /* agent -> `stint run`, on its stdout */
        WIRE_AGENT_READY = 96, WIRE_AGENT_RANK, WIRE_AGENT_LAYOUT, WIRE_AGENT_TRIGGER, WIRE_AGENT_TERM,
        WIRE_AGENT_ASK_SAVE, WIRE_AGENT_PROGRESS, WIRE_AGENT_SEALED, WIRE_AGENT_SAVE_FAILED, WIRE_AGENT_RESTORE_ASK,
        WIRE_AGENT_RESTORE_READ, WIRE_AGENT_RESTORE_DONE, WIRE_AGENT_COMPLETE, WIRE_AGENT_GONE, WIRE_AGENT_DIED,
        WIRE_AGENT_ASK_DEADLINE = 120, WIRE_AGENT_PREFETCHED, WIRE_AGENT_TAKEN, WIRE_AGENT_DEVICES,
        /* `stint run` <-> scheduler */
        WIRE_SCHEDULER_ASK = 128, WIRE_SCHEDULER_ANSWER, WIRE_SCHEDULER_CLUSTER,
        /* a verb -> `stint run`, and its answer */
        WIRE_VERB = 160, WIRE_VERB_ANSWER,
        /* an agent or a verb -> stintd */
        WIRE_DAEMON_HELLO = 192, WIRE_DAEMON_PLAN, WIRE_DAEMON_SAVING, WIRE_DAEMON_MEMORY, WIRE_DAEMON_REQUEST,
        WIRE_DAEMON_HANDOVER, WIRE_DAEMON_WRITTEN, WIRE_DAEMON_SEALED, WIRE_DAEMON_FIND,
        /* stintd -> an agent or a verb */
        WIRE_DAEMON_WELCOME = 208, WIRE_DAEMON_REFUSED, WIRE_DAEMON_TRIGGER, WIRE_DAEMON_ASK, WIRE_DAEMON_GRANT,
        WIRE_DAEMON_JOB, WIRE_DAEMON_DONE
};

/* ---- program -> agent ---- */

#define HELLO_TAKES_AHEAD 1u  /* IMAGE_AHEAD */
#define HELLO_TAKES_WINDOW 2u /* PLACES and WINDOW */
#define HELLO_TAKES_STREAM 4u /* RESTORE_TABLE and RESTORE_STREAM */
#define HELLO_TELLS_DEVICES 8u /* DEVICES follows, where WELCOME says that it is taken */
#define HELLO_TAKES_RANKS 16u  /* RESTORE_RANKS; and WANTED comes before RESTORE, where WELCOME says that it is taken */

struct wire_hello {
        struct wire_header header;
        int32_t rank, ranks;
        uint32_t oldest, newest; /* versions of this protocol that the library speaks */
        int32_t agree_every;
        uint32_t takes;          /* messages that it knows beyond those that all do: HELLO_TAKES_... */
        char library[16];        /* stint_version() */
        char program[64];        /* name of the executable */
        char devices[128];       /* its CUDA_VISIBLE_DEVICES, cut where needed; "unset" */
};

#define WIRE_DEVICES_RANKS 64 /* so many ranks are told of to `stint run` */

struct wire_devices { /* what the program sees of GPUs, as far as that can be known without CUDA; history, for people */
        struct wire_header header;
        int32_t rank, ranks;     /* in AGENT_DEVICES, which comes before AGENT_RANK; else 0 */
        uint32_t count;          /* devices visible */
        uint32_t certainty;      /* enum visible_certainty */
        char driver[32];         /* its version; "": there is none, or all devices are hidden */
        char uuids[1024];        /* in the program's numbers, a comma between; "?": not known; as many as there is room for */
        char models[512];        /* likewise */
};

struct wire_layout { /* with one descriptor: the table, in memory sealed against writing and change of size */
        struct wire_header header;
        uint32_t layout;         /* counts the layouts of this process, from 1 */
        uint32_t record_bytes;
        uint64_t count;
};

struct wire_wanted { /* with one descriptor, as LAYOUT: what is attached now, for the RESTORE that follows */
        struct wire_header header;
        uint32_t record_bytes, reserved;
        uint64_t count;          /* 0: nothing is, and there is no descriptor */
};

enum restore_which { RESTORE_NEWEST = 0 };

struct wire_restore {
        struct wire_header header;
        uint32_t which;          /* enum restore_which */
        uint32_t reserved;
};

struct wire_restore_done { /* what the program made of the image it was given */
        struct wire_header header;
        int32_t code;            /* 0, or an errno value: it was refused, or could not be copied */
        uint32_t carries;        /* 1: it stays mapped, for tensors that are not attached yet are carried along */
        int64_t step;
        int64_t copy_ns;
        char text[WIRE_TEXT];
};

#define SNAPSHOT_UNCHANGED 1u /* nothing was copied: the state is that of the checkpoint of this step, landed already */
#define SNAPSHOT_STREAMED 2u  /* it is only beginning: the state comes through the WINDOW, and then STREAMED */

struct wire_snapshot { /* that image of `layout` holds the state now, and stays as it is until RESULT */
        struct wire_header header;
        uint32_t save_id, layout;
        uint32_t image;          /* as STAGING counts them */
        uint32_t reserved;
        int64_t step;            /* of this rank */
        int64_t checkpoint_step; /* highest of all ranks */
        int64_t delay_ns;        /* from the request to the safe point, without wait_ns */
        int64_t wait_ns;         /* at the safe point, until an image was free */
        int64_t copy_ns;
        int64_t wall_ns;
        uint32_t flags;
        uint32_t metric_count;
        struct seal_metric metrics[SEAL_METRICS];
};

struct wire_streamed { /* all of the state has gone into the window */
        struct wire_header header;
        uint32_t save_id;
        uint32_t reserved;
        int64_t copy_ns;         /* from SNAPSHOT to now */
        int64_t blocked_ns;      /* of these, waiting for room in the window */
};

struct wire_snapshot_failed {
        struct wire_header header;
        uint32_t save_id;
        int32_t code;
        int64_t step;
        char text[WIRE_TEXT];
};

struct wire_ask_save { /* answered by WAKE and a new id in the control word, or by RESULT with save_id 0 */
        struct wire_header header;
        uint32_t reason;         /* enum save_reason: SAVE_PROGRAM, SAVE_BEST, SAVE_COMPLETE */
        uint32_t reserved;
        int64_t step;
};

struct wire_complete {
        struct wire_header header;
        int64_t step;
};

struct wire_bye {
        struct wire_header header;
        int64_t step;
        uint32_t stopped;        /* 1: after STINT_STOP */
        uint32_t reserved;
};

/* ---- agent -> program ---- */

#define WELCOME_TAKES_DEVICES 1u
#define WELCOME_TAKES_WANTED 2u

struct wire_welcome { /* with one descriptor: the control page */
        struct wire_header header;
        uint32_t stint;
        uint32_t agent_pid;
        char run_id[40];
        char dir[1024];          /* the run directory */
        uint32_t over_id;        /* saves up to this one are over: they are not asked of this program */
        uint32_t takes;          /* messages that it knows beyond those that all do: WELCOME_TAKES_... */
};

struct wire_refused {
        struct wire_header header;
        int32_t code;
        uint32_t reserved;
        char text[WIRE_TEXT];
};

#define STAGING_IMAGES 2 /* that a program has at most: one is filled while the other is written */

struct wire_staging { /* with one descriptor: the image, its table within it has the offsets */
        struct wire_header header;
        uint32_t layout;
        uint32_t image;          /* 0; or 1, a further one for the same layout, when there is memory for it */
        uint32_t record_bytes;
        uint32_t reserved;
        uint64_t count;
        uint64_t image_bytes;
        uint64_t table_offset;
};

struct wire_places { /* with one descriptor, sealed: the table with its offsets.  There is no memory for an image of `layout` */
        struct wire_header header;
        uint32_t layout;
        uint32_t record_bytes;
        uint64_t count;
        uint64_t image_bytes;
};

struct wire_window { /* with one descriptor (window.h): what the next save of that layout goes through.  Serves once */
        struct wire_header header;
        uint32_t layout;
        uint32_t reserved;
        uint64_t image_bytes, ring_bytes;
};

struct wire_layout_refused {
        struct wire_header header;
        uint32_t layout;
        int32_t code;
        char text[WIRE_TEXT];
};

enum restore_status { RESTORE_FRESH = 0, RESTORE_IMAGE = 1, RESTORE_FAILED = 2 };

struct wire_restore_image { /* with one descriptor when status is RESTORE_IMAGE and it was not streamed: the image, checked */
        struct wire_header header;
        uint32_t status;
        int32_t code;
        int64_t step;            /* of this rank */
        int64_t checkpoint_step;
        uint64_t image_bytes, table_offset, count;
        uint32_t record_bytes;
        uint32_t has_best;       /* best_* below are set: the best metric of the checkpoints there are */
        double best_value;
        uint32_t best_goal;
        uint32_t streamed;       /* 1: what the last RESTORE_STREAM brought holds, to the last byte */
        char best_name[SEAL_METRIC_NAME];
        char checkpoint[128];    /* its name */
        char text[WIRE_TEXT];    /* why it failed; or which newer ones were passed over and why */
};

struct wire_restore_ranks { /* before RESTORE_IMAGE, where other ranks than those of this program have saved it */
        struct wire_header header;
        uint32_t saved;          /* how many those were */
        uint32_t reserved;
};

struct wire_image_ahead { /* with one descriptor: an image that RESTORE_IMAGE may hand over later; nothing is said of it now */
        struct wire_header header;
        uint64_t image_bytes;
};

/* An image that the program copies while it is read and checked.  Nothing is said of it before RESTORE_IMAGE. */

struct wire_restore_table { /* with one descriptor: the table of tensors, ahead of the stream */
        struct wire_header header;
        uint64_t image_bytes, count;
        uint32_t record_bytes, reserved;
        char checkpoint[128];    /* its name */
};

struct wire_restore_stream { /* with one descriptor: the window (window.h) through which the image of that table comes */
        struct wire_header header;
        uint64_t ring_bytes, image_bytes;
};

struct wire_wake { /* the control word has a new save in it */
        struct wire_header header;
        uint32_t save_id;
        uint32_t flags;          /* 1: final */
};

struct wire_result {
        struct wire_header header;
        uint32_t save_id;        /* 0: the save that the program asked for is not made */
        uint32_t landed;
        int64_t step;
        uint64_t bytes;
        int64_t took_ns;
        char text[WIRE_TEXT];    /* why it did not land */
};

struct wire_completed {
        struct wire_header header;
        uint32_t done;
        int32_t code;
        char text[WIRE_TEXT];
};

/* ---- `stint run` -> agent ---- */

struct wire_run_deadline {
        struct wire_header header;
        int64_t left_ns;         /* CLOCK_NEVER: not known */
        uint32_t cause;          /* enum deadline_cause */
        uint32_t reserved;
};

struct wire_run_measured {
        struct wire_header header;
        int64_t delay_ns, snapshot_ns, write_ns, commit_ns, cost_ns;
        uint32_t saves;
        uint32_t outlives;       /* 1: the final save may be finished by stintd after the end */
        int64_t margin_ns, interval_ns, mtbf_ns; /* see deadline.h */
};

struct wire_run_best {
        struct wire_header header;
        uint32_t goal;           /* 0: there is none */
        uint32_t reserved;
        double value;
        char name[SEAL_METRIC_NAME];
};

struct wire_run_save {
        struct wire_header header;
        uint32_t save_id;
        uint32_t attempt;        /* from 1; from 2 on the agent writes what is in staging again, if it has it */
        uint32_t reason;         /* enum save_reason */
        uint32_t lineage;
};

struct wire_run_result {
        struct wire_header header;
        uint32_t save_id;        /* 0: what rank asked for is not made */
        uint32_t landed;
        int64_t step;
        uint64_t bytes;
        int64_t took_ns;
        int32_t rank;            /* with save_id 0: who asked; -1: all */
        uint32_t reserved;
        char text[WIRE_TEXT];
};

struct wire_run_restore { /* to the agent that has this rank */
        struct wire_header header;
        int32_t rank;
        uint32_t status;         /* enum restore_status: IMAGE reads `checkpoint`; FRESH and FAILED go to the program */
        int32_t code;
        uint32_t ranks;
        int64_t checkpoint_step;
        uint64_t file_bytes, root; /* what the manifest says of this rank's file */
        char checkpoint[128];    /* name within checkpoints/ */
        char text[WIRE_TEXT];
};

/*
 * Before RUN_RESTORE: what the manifest says of the whole checkpoint that this will name, for a rank that needs more
 * than its own file, or other ones.  Where `saved` are not as many as the program has, RUN_RESTORE has no size and root.
 */
struct wire_run_pieces {
        struct wire_header header;
        int32_t rank;
        uint32_t saved;          /* ranks of the checkpoint */
        uint64_t bytes;          /* of all their files */
        uint64_t sums;           /* seal_sums of them */
        char checkpoint[128];    /* name within checkpoints/ */
};

struct wire_run_use { /* every rank has read it: hand it to the program */
        struct wire_header header;
        int32_t rank;
        uint32_t has_best;
        double best_value;
        uint32_t best_goal, reserved;
        char best_name[SEAL_METRIC_NAME];
        char text[WIRE_TEXT];
};

struct wire_run_completed {
        struct wire_header header;
        uint32_t done;
        int32_t code;
        char text[WIRE_TEXT];
};

struct wire_run_prefetch { /* to the agent that may get this rank: its program will ask for this */
        struct wire_header header;
        int32_t rank;            /* without a checkpoint: let go of its image; -1: of all */
        uint32_t ranks;
        int64_t checkpoint_step;
        uint64_t file_bytes, root; /* as in RUN_RESTORE */
        char checkpoint[128];    /* name within checkpoints/; "": it is not wanted any more */
};

/* ---- agent -> `stint run` ---- */

struct wire_agent_ready {
        struct wire_header header;
        uint32_t pid;
        uint32_t reserved;
        char node[64];
        char socket[104];        /* what programs find in STINT_AGENT */
};

struct wire_agent_rank {
        struct wire_header header;
        int32_t rank, ranks;
        uint32_t pid;
        int32_t agree_every;
        char program[64];
        char devices[128];       /* as in HELLO */
};

struct wire_agent_layout {
        struct wire_header header;
        int32_t rank;
        uint32_t reserved;
        uint64_t tensors, state_bytes, image_bytes;
        int64_t took_ns;         /* to build the template */
};

struct wire_agent_trigger {
        struct wire_header header;
        uint32_t reason;         /* enum save_reason: CALIBRATE, INTERVAL, LIMIT, PREEMPTED */
        uint32_t reserved;
        int64_t left_ns, lead_ns;
};

struct wire_agent_term { /* the agent had SIGTERM: a grace began, or the step was asked to end */
        struct wire_header header;
};

struct wire_agent_ask_save {
        struct wire_header header;
        int32_t rank;
        uint32_t reason;
        int64_t step;
};

struct wire_agent_progress {
        struct wire_header header;
        int32_t rank;
        uint32_t steps;          /* measured so far */
        int64_t step;
        int64_t step_p50_ns, step_p99_ns;
        int64_t quiet_ns;        /* since the last safe point or poll */
        int64_t lead_ns, left_ns;
};

struct wire_agent_taken { /* a rank's snapshot is in staging; told again when another image has been made meanwhile */
        struct wire_header header;
        uint32_t save_id, attempt;
        int32_t rank;
        uint32_t free_images;    /* that the program could take another snapshot into */
        int64_t checkpoint_step;
        int64_t wait_ns;         /* as in SNAPSHOT */
};

struct wire_agent_sealed {
        struct wire_header header;
        uint32_t save_id, attempt;
        int32_t rank;
        uint32_t ranks;
        int64_t step, checkpoint_step;
        uint32_t flags;          /* SNAPSHOT_UNCHANGED: nothing was written */
        uint32_t reserved;
        uint64_t file_bytes, state_bytes;
        int64_t delay_ns, copy_ns, hash_ns, write_ns;
        int64_t drag_ns;         /* what the write took from the steps made beside it; -1: none were to be made */
        uint64_t window_bytes;   /* not 0: streamed through so many; then copy_ns has most of the write in it */
        int64_t blocked_ns;      /* of copy_ns, waiting for the disk */
};

struct wire_agent_save_failed {
        struct wire_header header;
        uint32_t save_id, attempt;
        int32_t rank;
        int32_t code;
        int64_t checkpoint_step; /* -1: the program did not get as far as a snapshot */
        char text[WIRE_TEXT];
};

struct wire_agent_restore_ask {
        struct wire_header header;
        int32_t rank;
        uint32_t ranks;
        uint32_t which;
        uint32_t reserved;
};

enum restore_from { RESTORE_FROM_DISK = 0, RESTORE_FROM_STAGING, RESTORE_FROM_STREAM /* the disk, and copied meanwhile */,
                    RESTORE_FROM_PIECES /* put together of several files; also when that failed */ };

struct wire_agent_restore_read {
        struct wire_header header;
        int32_t rank;
        int32_t code;            /* 0; EBADMSG: damaged; anything else: could not be read */
        uint32_t from;           /* enum restore_from */
        uint32_t ahead;          /* 1: the reading had begun before the program asked */
        int64_t took_ns;         /* reading and checking, whether before the program asked or after */
        uint64_t bytes;
        char text[WIRE_TEXT];    /* why it failed; or what this rank does not get, of a checkpoint of other ranks */
};

struct wire_agent_prefetched { /* how reading ahead went; also when nobody has asked for it yet */
        struct wire_header header;
        int32_t rank;
        int32_t code;            /* as in RESTORE_READ */
        int64_t took_ns;
        uint64_t bytes;
        char checkpoint[128];
        char text[WIRE_TEXT];
};

struct wire_agent_restore_done {
        struct wire_header header;
        int32_t rank;
        int32_t code;
        int64_t step, copy_ns;
        char text[WIRE_TEXT];
};

struct wire_agent_complete {
        struct wire_header header;
        int32_t rank;
        uint32_t reserved;
        int64_t step;
};

struct wire_agent_ask_deadline { /* stintd thinks it is time to ask the scheduler; `stint run` knows when it last did */
        struct wire_header header;
};

struct wire_agent_gone {
        struct wire_header header;
        int32_t rank;
        uint32_t clean;          /* 1: it said BYE; 0: the connection broke */
        uint32_t stopped;        /* 1: after STINT_STOP */
        uint32_t reserved;
        int64_t step;
};

struct wire_agent_died { /* from who watches over the agent of a node, which is gone; a new one says READY */
        struct wire_header header;
        uint32_t restarting;     /* 0: it died too often; no other comes */
        uint32_t reserved;
        char how[80];            /* "signal 9 (Killed)" */
};

/* ---- scheduler ---- */

struct wire_scheduler_ask {
        struct wire_header header;
        uint32_t question;       /* enum scheduler_question */
        uint32_t limit_s;        /* of each request that answering takes; 0: SCHEDULER_LIMIT_S */
        uint32_t pid;            /* WHOSE: of this machine */
        uint32_t reserved;
        char job[64];            /* decimal; "" where no job is meant */
        char text[WIRE_TEXT];    /* COMMENT: the comment; CLUSTER: a partition */
};

struct wire_scheduler_answer {
        struct wire_header header;
        uint32_t question;
        int32_t failed;
        uint32_t state;          /* enum scheduler_state */
        uint32_t cause;          /* enum deadline_cause */
        int64_t left_ns;
        int64_t submit_s, start_s; /* seconds since 1970, by the scheduler's clock; 0: not known */
        int64_t wait_ns;         /* REQUEUE: until it may start again */
        uint32_t can_requeue;
        uint32_t restarts;
        uint32_t uid;            /* of the job's owner; UINT32_MAX: not known */
        uint32_t nodes;          /* that the job has, or wants */
        uint32_t gone;           /* 1: none of its processes is there any more */
        uint32_t reserved;
        char job[64];            /* which one this is about */
        char text[WIRE_TEXT];
};

struct wire_scheduler_cluster { /* answers CLUSTER */
        struct wire_header header;
        int32_t failed;
        uint32_t reserved;
        struct cluster cluster;
        char text[WIRE_TEXT];
};

/* ---- verbs ---- */

enum wire_verb_what { VERB_SAVE = 1, VERB_STOP };

struct wire_verb {
        struct wire_header header;
        uint32_t what;           /* enum wire_verb_what */
        uint32_t reserved;
};

struct wire_verb_answer { /* when it is done, landed or not */
        struct wire_header header;
        int32_t code;
        uint32_t reserved;
        int64_t step;
        uint64_t bytes;
        int64_t took_ns;
        char text[WIRE_TEXT];
};

/* ---- stintd; every time in these is a length, for an agent may live in a time namespace of its own ---- */

#define DAEMON_SOCKET "/run/stint/stintd.sock" /* where stintd listens unless told otherwise */

struct wire_daemon_hello { /* an agent's first message */
        struct wire_header header;
        uint32_t oldest, newest; /* versions of this protocol that the agent speaks */
        uint32_t stint;
        uint32_t reserved;
        char run_id[40];
};

struct wire_daemon_plan { /* struct deadline_inputs, as the agent sees it now */
        struct wire_header header;
        int64_t begun_ns;        /* since this stint began */
        int64_t left_ns;         /* until its deadline; CLOCK_NEVER: not known */
        int64_t told_ns;         /* since `stint run` told that deadline; CLOCK_NEVER: it never did */
        int64_t since_save_ns;   /* since the last save was asked for, or training began; -1: nothing to save yet */
        int64_t step_ns;
        int64_t delay_ns, snapshot_ns, write_ns, commit_ns, cost_ns;
        int64_t flying_ns;       /* how long a snapshot has been in the writing; -1: none is */
        int64_t coming_ns;       /* with flying_ns 0, of a streamed one: until all of it should have come */
        int64_t margin_ns, interval_ns, mtbf_ns, outlive_ns;
        uint64_t state_bytes;
        int64_t step;            /* the furthest rank's; -1: none was made */
        uint32_t cause;          /* enum deadline_cause */
        uint32_t steps, saves;   /* how many were measured */
        int32_t agree_every;
        uint32_t ranks;          /* programs that train on this node; 0: nothing to save */
        uint32_t several_ranks;
        uint32_t final_asked, calibrate_asked;
};

enum daemon_saving { DAEMON_SAVING_BEGUN = 1, DAEMON_SAVING_LANDED, DAEMON_SAVING_FAILED };

struct wire_daemon_saving {
        struct wire_header header;
        uint32_t state;          /* enum daemon_saving */
        uint32_t reason;         /* enum save_reason; with BEGUN */
        uint32_t save_id, reserved;
        int64_t step;            /* with LANDED */
        int64_t took_ns;
};

struct wire_daemon_memory { /* on a connection of its own: staging of so many bytes, for as long as that is open */
        struct wire_header header;
        uint64_t bytes;
};

/*
 * On the line of a memory, with two descriptors, both open for reading and writing: the file that the image in it is
 * written to, and that file's seal.  Answered by DONE.  When the line ends before SEALED, stintd writes the rest.
 */
struct wire_daemon_handover {
        struct wire_header header;
        int64_t within_ns;       /* from now; what is not sealed by then is given up */
        unsigned char seal[SEAL_BYTES]; /* encoded; its hashes are still to be found */
};

struct wire_daemon_written { /* so many bytes are written, but for the pages with the hashes and a last one not full */
        struct wire_header header;
        uint64_t bytes;
};

struct wire_daemon_sealed { /* what was handed over is done, and the descriptors can go */
        struct wire_header header;
        uint32_t sealed;         /* 1: the image is on disk, with this root; 0: it was given up */
        uint32_t reserved;
        uint64_t root;
};

struct wire_daemon_find { /* on a connection of its own, answered by GRANT or REFUSED: a snapshot that is still here */
        struct wire_header header;
        uint64_t bytes, root;    /* of the image, as its seal says */
        uint32_t rank, ranks;
        char run_id[40];
};

enum daemon_request { DAEMON_LIST = 1, DAEMON_SAVE, DAEMON_DRAIN };

struct wire_daemon_request {
        struct wire_header header;
        uint32_t what;           /* enum daemon_request */
        uint32_t reserved;
        char job[64];            /* "": every job of this node that the asker may see */
};

struct wire_daemon_welcome {
        struct wire_header header;
        uint32_t version;        /* the newest that both sides speak */
        uint32_t pid;            /* of stintd */
        char job[64];            /* whose process the agent is, as the node's scheduler says; "": nobody's */
};

struct wire_daemon_refused { /* and the connection ends */
        struct wire_header header;
        int32_t code;
        uint32_t reserved;
        char text[WIRE_TEXT];
};

struct wire_daemon_trigger {
        struct wire_header header;
        uint32_t reason;         /* enum save_reason */
        uint32_t reserved;
        int64_t left_ns, lead_ns;
};

struct wire_daemon_ask { /* the scheduler should be asked how long this job has */
        struct wire_header header;
};

struct wire_daemon_grant { /* ready 0: it is being made; 1, with one descriptor: here it is, every page present */
        struct wire_header header;
        uint32_t ready;
        uint32_t outlive_s;      /* so long stintd goes on with what is handed over to it; 0: it takes nothing */
        uint64_t bytes;
};

struct wire_daemon_job { /* one per job, in answer to LIST */
        struct wire_header header;
        uint32_t uid, pid;       /* of its agent */
        uint32_t stint;
        uint32_t drain;          /* 1: it is to save, stop and be requeued */
        int64_t left_ns, lead_ns, step, landed_step; /* CLOCK_NEVER, -1: not known */
        char job[64];            /* "": a process that belongs to no job */
        char run_id[40];
        char state[16];          /* "training", "saving", ...: the words of stintd's log */
};

struct wire_daemon_done { /* ends the answer to any REQUEST */
        struct wire_header header;
        int32_t code;            /* 0, or an errno value and text */
        uint32_t count;          /* jobs listed, or asked */
        char text[WIRE_TEXT];
};

/* Fills a header: WIRE_INIT(&message, WIRE_HELLO) after `struct wire_hello message = { 0 }`. */
#define WIRE_INIT(message, kind) \
        ((message)->header = (struct wire_header){ .size = sizeof *(message), .version = WIRE_VERSION, .type = (kind) })

/* The size a message of this type has; 0 for a type there is not. */
size_t wire_size(unsigned type);

/*
 * 0 when a header can begin a message of this version: its type is known and its size is that type's.  -1 with EBADMSG,
 * or EPROTONOSUPPORT for another version.
 */
int wire_check_header(const struct wire_header *header, struct stint_error *err);

/*
 * 0 when these n bytes are one message of this version: its header holds, its size is n, its texts are terminated and
 * zero behind, and a SNAPSHOT counts no more metrics than it has.  -1 with EBADMSG, or EPROTONOSUPPORT for another
 * version.
 */
int wire_check(const void *bytes, size_t n, struct stint_error *err);

/* "HELLO", for log lines. */
const char *wire_name(unsigned type);

/* Copies text into a field of a message, cut where needed, zeros behind. */
void wire_text(char *field, size_t size, const char *text);

#endif
