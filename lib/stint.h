/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * stint.h: the whole public interface of libstint.
 *
 * A training program says where its state lives (stint_attach), takes it back at the start (stint_restore), and
 * offers a safe point after every step (stint_step).  When to save, where to write, whether the checkpoint landed
 * and what runs next is not the program's business.  examples/minimal.c is the smallest whole program.
 *
 * Rules that hold for every function here:
 *   - A handle is used by one thread at a time.
 *   - NULL as the handle is allowed everywhere and means "no stint": stint_restore answers STINT_FRESH, stint_step
 *     STINT_CONTINUE, stint_time_left infinity.  A program need not ask whether stint_open succeeded.
 *   - A failed call changes nothing.  The reason is in stint_why(), as a sentence for the person who must act.
 *   - The library never exits, prints or raises a signal.  It speaks through the log callback of the options.
 *   - Training is never worse off with stint than without: if an agent goes away, training goes on, and the log
 *     says so.
 */
#ifndef STINT_H
#define STINT_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define STINT_API __attribute__((visibility("default")))
#else
#define STINT_API
#endif

/* The version of this interface; stint_version() tells that of the library in use. */
#define STINT_VERSION_MAJOR 0
#define STINT_VERSION_MINOR 1

/* Most dimensions of a tensor, and the longest name of one in bytes, its NUL not counted. */
#define STINT_MAX_DIMS 8
#define STINT_MAX_NAME 255

struct stint; /* one training process in a run; made by stint_open, ended by stint_close */

/* Why a call failed.  code is an errno value, 0 when nothing failed; text says what failed, on what, what to do. */
struct stint_error {
        int code;
        char text[500];
};

/* ---- answers -------------------------------------------------------------------------------------------------- */

/* stint_restore: there is nothing to restore, or the state was put back. */
enum stint_restored { STINT_FRESH = 0, STINT_RESTORED = 1 };

/* stint_step and stint_save. */
enum stint_go {
        STINT_CONTINUE = 0, /* go on training */
        STINT_SAVED = 1,    /* a snapshot was taken at this step; go on training */
        STINT_STOP = 2      /* the checkpoint landed and this stint is over: leave the loop, close, and exit 0 */
};

/* ---- opening -------------------------------------------------------------------------------------------------- */

enum stint_log_level { STINT_LOG_ERROR = 3, STINT_LOG_WARNING = 4, STINT_LOG_NOTICE = 5, STINT_LOG_DEBUG = 7 };

typedef void stint_log_fn(void *arg, enum stint_log_level level, const char *line);

/* Writes "stint: LINE" to stderr, warnings and worse, and notices: the default of STINT_OPTIONS. */
STINT_API void stint_log_stderr(void *arg, enum stint_log_level level, const char *line);

/*
 * How the ranks of one training agree.  Both functions return 0, or -1 when the communicator failed.
 *   begin   starts an element-wise maximum of values[0..n-1] over all ranks; values stays valid until wait returns.
 *   wait    returns when the reduction begun last is done, and values holds the maxima on every rank.
 * Never more than one reduction is open.  stint_mpi.h has this ready-made for MPI.
 */
struct stint_agree {
        int (*begin)(void *arg, int64_t *values, int n);
        int (*wait)(void *arg);
        void *arg;
};

struct stint_options {
        size_t size;                     /* sizeof(struct stint_options), so that programs outlive library versions */
        const char *dir;                 /* run directory; NULL: that of `stint run`, else $STINT_DIR or ./run.stint */
        int rank, ranks;                 /* this process and how many there are; 0, 0 means one */
        const struct stint_agree *agree; /* needed when ranks > 1; copied */
        int agree_every;                 /* agree at every so many safe points; 0: every one.  The highest counts */
        int allow_missing;               /* 1: a tensor the checkpoint does not have keeps its value at stint_restore */
        stint_log_fn *log;               /* NULL: silence */
        void *log_arg;
        const char *model_device;        /* see "where it goes"; NULL: $STINT_MODEL_DEVICE, else "auto".  Not kept */
        const char *map_location;        /* likewise; NULL: what the table there says.  Not kept */
        int allow_host;                  /* 1: what was on a device may go on in host memory */
};

/* Options with every default: one rank, and a log on stderr.  struct stint_options o = STINT_OPTIONS; */
#define STINT_OPTIONS \
        { sizeof(struct stint_options), NULL, 0, 0, NULL, 0, 0, stint_log_stderr, NULL, NULL, NULL, 0 }

/*
 * Opens the run this process belongs to.  options may be NULL (all defaults), err may be NULL.
 *
 * Finds the agent that `stint run` named in STINT_AGENT, else starts one.  When neither works, says so in one log line
 * and answers a handle all the same, with which training goes on without checkpoints.  STINT_DIR=off in the environment
 * asks for just that.  Collective when ranks > 1.
 *
 * NULL, with err filled, only for options that cannot be right: several ranks without agree, a rank outside its range,
 * a device that is no word, model_device and map_location together.
 */
STINT_API struct stint *stint_open(const struct stint_options *options, struct stint_error *err);

/* ---- what the state is ---------------------------------------------------------------------------------------- */

enum stint_dtype {
        STINT_U8 = 1, STINT_I8, STINT_U16, STINT_I16, STINT_U32, STINT_I32, STINT_U64, STINT_I64,
        STINT_F16, STINT_BF16, STINT_F32, STINT_F64,
        STINT_C64, STINT_C128, /* complex of two F32, of two F64 */
        STINT_BOOL             /* one byte, 0 or 1 */
};

/* Bytes of one element; 0 for a value that is no dtype. */
STINT_API size_t stint_dtype_size(enum stint_dtype dtype);

/*
 * What a tensor is for, which decides where it goes when the next stint has other devices.  STINT_ROLE_AUTO takes it
 * from the first component of the name: model, loss, optimizer, rng, data, metrics; anything else stays on the host.
 */
enum stint_role {
        STINT_ROLE_AUTO = 0, STINT_ROLE_MODEL, STINT_ROLE_LOSS, STINT_ROLE_OPTIMIZER, STINT_ROLE_RNG,
        STINT_ROLE_RNG_DEVICE, STINT_ROLE_DATA, STINT_ROLE_METRICS, STINT_ROLE_OTHER,
        /*
         * Added to a role, .role = STINT_ROLE_MODEL | STINT_REPLICATED: every rank attaches this tensor, whole and with
         * the same value, so that rank 0's file alone has its bytes; at a restore all ranks get those.  A tensor without
         * dimensions is written by every rank all the same.
         */
        STINT_REPLICATED = 0x100
};

/* Whose address space `data` points into.  AUTO asks every loaded backend and ends at the host. */
enum stint_device { STINT_DEVICE_AUTO = 0, STINT_DEVICE_HOST, STINT_DEVICE_SIM, STINT_DEVICE_CUDA };

/* A piece of state: contiguous, in row-major order.  ndim 0 is a scalar.  The struct is copied, the data is not. */
struct stint_tensor {
        /* Stays valid until replaced, detached or stint_close; NULL only with no elements. */
        void *data;
        enum stint_dtype dtype;
        enum stint_role role;
        enum stint_device device;
        int ndim;
        int64_t shape[STINT_MAX_DIMS];          /* elements in each dimension */
        /*
         * Of a piece of a larger array, which the ranks have among them: the shape of that, and where in it the piece
         * begins, in elements.  All zero: it is no piece.  What is said here lets the run go on with another number of
         * ranks, or with other pieces; the pieces of all ranks cover the array exactly.
         */
        int64_t global_shape[STINT_MAX_DIMS];
        int64_t global_offset[STINT_MAX_DIMS];
};

/*
 * Attaches a tensor under a name such as "model/layer0/weight" or "rng": UTF-8 without control characters, components
 * separated by single slashes, none of them "." or "..", at most STINT_MAX_NAME bytes.  The same name again replaces
 * what it stood for (new address, new shape).
 *
 * State may be attached late, after stint_restore: when the restored checkpoint has a tensor of this name that nobody
 * has taken yet, its bytes are copied into `data` at once and the answer is STINT_RESTORED; so initialise first, attach
 * then.  Otherwise 0.  -1 with EINVAL for a name or tensor that cannot be, EEXIST where a name is also the parent of
 * another, EPROTO when shape or dtype differ from what the checkpoint holds under this name.
 *
 * A program need not look at the answer: an attach that was refused is logged, and stands until the same name is
 * attached or detached.  While one stands, stint_restore and stint_complete answer -1 with its reason, and nothing is
 * saved, so that no run goes on without a part of its state.  (Where there is no agent, there is only the log.)
 *
 * Late attaches belong before the next safe point: until then the checkpoints carry the old bytes along.  An array that
 * grows comes back in two steps: attach its length before stint_restore; after it, allocate that many elements and
 * attach the array, which fills it.
 */
STINT_API int stint_attach(struct stint *, const char *name, const struct stint_tensor *);

/* Forgets a tensor: later checkpoints do not have it.  0, also for one whose attach was refused, or -1 with ENOENT. */
STINT_API int stint_detach(struct stint *, const char *name);

/* Tensors without writing the struct out, in C and C++:
 *      stint_attach(s, "model/w", STINT_ARRAY(w, STINT_F32, n));
 *      stint_attach(s, "rng", STINT_OBJECT(&rng_state));  */
#ifndef __cplusplus
#define STINT_ARRAY(pointer, type, n) \
        (&(const struct stint_tensor){ .data = (pointer), .dtype = (type), .ndim = 1, .shape = { (int64_t)(n) } })
#define STINT_MATRIX(pointer, type, rows, columns) \
        (&(const struct stint_tensor){ .data = (pointer), .dtype = (type), .ndim = 2, \
                                       .shape = { (int64_t)(rows), (int64_t)(columns) } })
#define STINT_SCALAR(pointer, type) (&(const struct stint_tensor){ .data = (pointer), .dtype = (type) })
#else /* C++ takes no address of such an object: there it is a tensor, for the overload at the end of this file */
#define STINT_ARRAY(pointer, type, n) stint_tensor_of((pointer), (type), 1, (int64_t)(n), 0)
#define STINT_MATRIX(pointer, type, rows, columns) \
        stint_tensor_of((pointer), (type), 2, (int64_t)(rows), (int64_t)(columns))
#define STINT_SCALAR(pointer, type) stint_tensor_of((pointer), (type), 0, 0, 0)
static inline struct stint_tensor stint_tensor_of(void *data, enum stint_dtype dtype, int ndim, int64_t n, int64_t m)
{
        struct stint_tensor t = {};

        t.data = data;
        t.dtype = dtype;
        t.ndim = ndim;
        t.shape[0] = n;
        t.shape[1] = m;
        return t;
}
#endif
/* Any object of C as its bytes: a struct, an integer, an array.  Not for what holds pointers. */
#define STINT_OBJECT(pointer) STINT_ARRAY(pointer, STINT_U8, sizeof *(pointer))

/* ---- where it goes -------------------------------------------------------------------------------------------- */

/*
 * The program owns its memory, so stint moves nothing: it answers where a tensor is to be, before the program
 * allocates it, and refuses what contradicts that.  The role decides:
 *
 *   model, loss              the model device
 *   optimizer                where its parameter is; without dimensions (a step counter, a scalar): host memory
 *   rng                      host memory, whatever anybody says; the bytes of a generator of the CPU
 *   rng of a device          the model device: the generator of the device that this rank has now
 *   data, metrics, others    host memory
 *
 * The model device is options.model_device, else STINT_MODEL_DEVICE in the environment:
 *   "auto"                   the device that the process uses now, of those that are visible to it; else the host
 *   "cuda", "cuda:N"         the one in use now, or the N-th of those that are visible, from 0; so "sim", "sim:N"
 *   "cuda:0,cuda:1"          the first of them, and the others must be there: for a program that copies its model to
 *                            each in every step, or lays it over them and attaches each tensor where it is
 *   "cpu"                    the host
 *
 * options.map_location says it by role instead, "model=cuda:1,optimizer=cpu", or for all roles but rng with one word.
 * Roles that it does not name follow the table with "auto".  Its words are those above, and "saved": the device that
 * the tensor was on when it was saved, for which that must be there.  Device numbers are history: prefer the others.
 *
 * What was said in so many words is enforced.  stint_attach refuses, with EINVAL, a tensor of the model, the loss, or
 * the optimizer (with dimensions) that lies elsewhere than model_device says, one of any role that lies elsewhere than
 * map_location says, and always an rng that is in a device's memory.  "auto" is advice, and so is the table for data,
 * metrics and others.  But stint_restore refuses, with ENODEV, when state that was on a device is in host memory now
 * and nothing attached is on any, unless options.allow_host is set or the host was asked for.
 */
struct stint_place {
        enum stint_device device; /* HOST, SIM or CUDA, never AUTO */
        int index;                /* which one, as this process counts them from 0; -1 for the host */
};

/*
 * Where a tensor of that name, dtype, shape and role is to be; its data is not looked at.  Ask before allocating, and
 * attach what was allocated before asking for what is large next.  tensor NULL: as the checkpoint has it that
 * stint_restore will most likely put back.  parameter: for a tensor of the optimizer, the name of the tensor it
 * belongs to, attached already; it goes there, also without dimensions when its parameter has none either, so name
 * none for a step counter.  NULL: beside the model.
 *
 * 0, and *place.  -1, and *place untouched: EINVAL for a name or tensor that cannot be, ENOENT when the parameter is
 * not attached or tensor is NULL and no checkpoint has that name; ENODEV when the device is not there, or "auto" finds
 * none although the state comes from one (allow_host allows it); ENOMEM when the tensor is larger than what is free
 * there or, at the first answer that is this device, when all is that the checkpoint will put there; of a device of
 * CUDA that the program does not use yet, than what it has.  stint_why has the numbers.  Local: no other rank need ask.
 * A handle that is NULL or has no checkpoints answers from the table alone.
 */
STINT_API int stint_place(struct stint *, const char *name, const struct stint_tensor *tensor, const char *parameter,
                          struct stint_place *place);

/* Which checkpoint: the newest, or the one whose metric is best. */
enum stint_which { STINT_NEWEST = 0, STINT_BEST };

/*
 * The model alone: puts the tensors of role model that are attached back from a whole checkpoint of the run directory
 * dir (NULL: stint_dir), and *step to its step; step may be NULL.  Generators, optimizer, data and whatever else is
 * attached are left alone, and so is the run: this neither continues it nor stands for stint_restore, and needs no
 * agent, so STINT_DIR=off will do.  For evaluation, and for a run that begins with the weights of another.
 *
 * Every byte of the rank's file is checked before the first is copied, in memory that all these tensors need once
 * more.  Where the newest does not hold, the log says so and the next older is taken; the best one has no substitute.
 * A rank reads its own file of a checkpoint of as many ranks, else that of rank 0.  Local, not collective.
 *
 * STINT_RESTORED; STINT_FRESH when there is no such checkpoint; -1: none can be read, a tensor does not fit (EPROTO),
 * no tensor of the model is attached, or memory is short (ENOMEM).  Nothing has changed then, unless stint_why says
 * that the model is restored in part only, which is a device's doing.
 */
STINT_API int stint_restore_model(struct stint *, const char *dir, enum stint_which which, int64_t *step);

/* ---- the life of a stint -------------------------------------------------------------------------------------- */

/*
 * Puts the newest whole checkpoint back into everything attached, every byte checked before it answers, and sets *step
 * to the step it was taken at (left alone when the answer is STINT_FRESH).  Call it once, after attaching and before
 * training.  Collective when ranks > 1: all ranks take the newest checkpoint that every rank can read.
 *
 * -1: the run has checkpoints but none can be used, or the program's tensors do not fit (EPROTO; stint_why names the
 * tensor).  What is attached is as it was before then, unless stint_why says that the state is restored in part only: a
 * checkpoint is copied while it is read from the disk, and what of it is damaged may be found last.  Such a state is no
 * state of any step; the program should end.  Nothing is saved in either case.
 *
 * A tensor that the checkpoint has and the program has not attached is carried along in later checkpoints until it is
 * attached.
 *
 * The checkpoint may be of another number of ranks than there are now.  Pieces of larger arrays come back in whatever
 * pieces are attached; what is no piece must have been the same on all ranks, unless its role is rng, rng of a device or
 * data: those are a rank's own, and a rank that there was not keeps what it has.  stint_saved_ranks tells.
 *
 * In a run that is complete already *step is its last step, so the loop makes no step: state that is allocated in the
 * first step does not exist then.
 */
STINT_API int stint_restore(struct stint *, int64_t *step);

/*
 * How many ranks had saved what stint_restore put back: options.ranks as a rule, and another number where the program
 * was started with more ranks, or fewer.  What is a rank's own is to be divided anew then: its position in the data
 * first of all.  0 when nothing was restored.  docs/ranks.md has the rules.  Local.
 */
STINT_API int stint_saved_ranks(const struct stint *);

/*
 * The safe point: everything attached is consistent and belongs to `step` steps done.  Steps are counted over the whole
 * training, all epochs included, and only grow: a lower one than before is refused with EINVAL, and the state is not
 * saved.  While the last step was refused, stint_complete answers -1.
 *
 * Costs a load, a store and a clock read when there is nothing to do.  When a save is wanted, copies the state, and
 * goes on while the agent writes; when this stint is about to end, waits until the checkpoint landed and answers
 * STINT_STOP.  If that save cannot land the answer is STINT_CONTINUE: a run does not end on a save that failed.
 * -1: the step was refused, the state could not be copied, or ranks gave different steps; training may go on.
 * Collective when ranks > 1.
 */
STINT_API int stint_step(struct stint *, int64_t step);

/*
 * Says that the program is alive where there is no safe point (evaluation, warm-up).  Local, never waits.  1 when a
 * save is wanted, so that a program able to reach a safe point soon may hurry; else 0.
 */
STINT_API int stint_poll(struct stint *);

/*
 * Saves now, for the program's own reasons, and waits until it landed: STINT_SAVED or STINT_STOP; -1 when it did not
 * land.  Stands for stint_step at this step.  Collective when ranks > 1.
 */
STINT_API int stint_save(struct stint *, int64_t step);

/* Which way a metric gets better. */
enum stint_goal { STINT_GOAL_NONE = 0, STINT_GOAL_MIN, STINT_GOAL_MAX };

/*
 * Reports a metric of the state as it is now; it belongs to the next stint_step, so report before any update.  The
 * first metric reported with a goal decides which checkpoint is `best`: when it improves, that stint_step saves.  NaN
 * and infinities are recorded and never improve anything.  When ranks > 1 every rank reports it; rank 0's value counts.
 * Names are at most 39 bytes.  0, or -1 with EINVAL.
 */
STINT_API int stint_metric(struct stint *, const char *name, double value, enum stint_goal goal);

/* Seconds until this stint must have saved; infinity when no limit is known.  Local. */
STINT_API double stint_time_left(struct stint *);

/* 1 when something that takes `seconds` can be done before this stint must save, else 0.  Local. */
STINT_API int stint_fits(struct stint *, double seconds);

/*
 * Training is complete: the state of the last safe point is saved unless it has landed already, and the run is marked
 * DONE, which ends the chain.  0, or -1 when that state did not land; the run then is not DONE and will be continued.
 * Collective: ranks may arrive after different numbers of steps, and wait here for each other.
 */
STINT_API int stint_complete(struct stint *);

/*
 * Ends this process's part in the run and frees the handle.  Collective when ranks > 1 and stint_complete was not
 * called.
 */
STINT_API void stint_close(struct stint *);

/* ---- asking --------------------------------------------------------------------------------------------------- */

/* Why the last call on this handle that answered -1 did so; "" before any.  Valid until the next call. */
STINT_API const char *stint_why(const struct stint *);

/* The run directory, or "" when training goes on without checkpoints.  Valid until stint_close. */
STINT_API const char *stint_dir(const struct stint *);

/* "0.1.0", of the library in use. */
STINT_API const char *stint_version(void);

/* ---- the simulated device ------------------------------------------------------------------------------------- */

/*
 * A device that is not there, for trying device code on any machine: its pointers cannot be dereferenced, its memory is
 * reached by copies alone.  The environment sets its faults:
 * STINT_DEVICE=sim:devices=2,current=1,memory=64M,delay=50ms,fail_copy=3.
 */
STINT_API void *stint_sim_alloc(int device, size_t bytes); /* NULL with errno ENOMEM or ENODEV */
STINT_API void stint_sim_free(void *pointer);
STINT_API int stint_sim_write(void *to_device, const void *from_host, size_t bytes);  /* 0, or -1 with errno */
STINT_API int stint_sim_read(void *to_host, const void *from_device, size_t bytes);   /* 0, or -1 with errno */

#ifdef __cplusplus
}

/* As the function of C, for STINT_ARRAY and its like. */
inline int stint_attach(struct stint *s, const char *name, const struct stint_tensor &tensor)
{
        return stint_attach(s, name, &tensor);
}
#endif
#endif
