/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * main of stint-agent: one per node of a job, started by `stint run`, which it serves over stdin and stdout; as a child,
 * or as a task of a step that shares its stdin and stdout with those on other nodes.  Programs find it under an abstract
 * socket.  It ends when its stdin does, and no signal but SIGKILL ends it before: in a grace the checkpoint is still to be
 * written.
 */
#include <errno.h>
#include <getopt.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <uv.h>
#include "channel.h"
#include "clock.h"
#include "coordinator.h"
#include "daemon_line.h"
#include "duration.h"
#include "guard.h"
#include "listener.h"
#include "log.h"
#include "node.h"
#include "place.h"
#include "prefetch.h"
#include "ranks.h"
#include "recall.h"
#include "spare.h"
#include "restoring.h"
#include "saving.h"
#include "streamed.h"
#include "watch.h"

#define EXIT_OWN 125 /* stint's own failure, as in env(1) and timeout(1) */

#define LINGER (60 * CLOCK_SECOND) /* from a SIGTERM, for a last save without `stint run` */
#define LINGER_LOOK (20 * CLOCK_MS)
/* For a SIGTERM that is on its way: steps are told one by one, on a busy node a second after the batch script. */
#define TERM_WAIT (3 * CLOCK_SECOND)

struct options {
        const char *dir, *run_id, *socket;
        uint32_t stint;
        int64_t staging_bytes;      /* most that staging may take of the job's memory; 0: as there is */
        int armour;                 /* one of several that share a line */
        char name[CHANNEL_NAME];    /* socket, with this node's name in it */
        char node[NODE_NAME];
};

/* Everything there is, for the whole life of the process. */
struct agent {
        uv_loop_t loop;
        uv_signal_t term;
        uv_timer_t linger;
        int64_t term_ns, until_ns; /* the last SIGTERM, 0: none; and how long a last save, or one, is waited for */
        int is_task, awaits_term;  /* of a step of Slurm, which ends with its job */
        struct coordinator run;
        struct ranks ranks;
        struct watch watch;
        struct daemon_line daemon;
        struct prefetch prefetch;
        struct recall recall;
        struct spare spare;
        int failed;
};

/* ---- options ----------------------------------------------------------------------------------------------------- */

static void usage(FILE *out)
{
        fputs("usage: stint-agent --dir DIR --stint N --run-id HEX --socket NAME [--staging BYTES] [--armour]\n"
              "Saves and restores the programs of one node.  Started by `stint run`, which speaks to it over stdin and "
              "stdout.\n"
              "  --dir DIR      the run directory, an absolute path\n"
              "  --stint N      number of this stint, from 1\n"
              "  --run-id HEX   the run's identity, 32 hexadecimal digits\n"
              "  --socket NAME  abstract socket on which programs connect; %n in it stands for the node's name\n"
              "  --staging BYTES  memory of the job that the image of a rank may take, 8M or more; a larger one is streamed\n"
              "  --armour       it is one task of several in a step, SLURM_PROCID is which; messages are lines of text\n",
              out);
}

static int check_run_id(const char *id)
{
        return strlen(id) == SEAL_RUN_ID - 1 && strspn(id, "0123456789abcdef") == SEAL_RUN_ID - 1;
}

static int check_options(const struct options *o, struct stint_error *err)
{
        if (!o->dir || o->dir[0] != '/' || strlen(o->dir) >= RUNDIR_PATH)
                return error_set(err, EINVAL, "--dir must be an absolute path of less than %d bytes", RUNDIR_PATH);
        if (o->stint == 0)
                return error_set(err, EINVAL, "--stint must be a number from 1");
        if (!o->run_id || !check_run_id(o->run_id))
                return error_set(err, EINVAL, "--run-id must be 32 hexadecimal digits");
        if (!o->socket || !o->socket[0])
                return error_set(err, EINVAL, "--socket must be a name of less than %d bytes", CHANNEL_NAME);
        return 0;
}

static uint32_t number(const char *text)
{
        unsigned long value;
        char *end;

        errno = 0;
        value = strtoul(text, &end, 10);
        return errno || *end || text[0] < '0' || text[0] > '9' || value > UINT32_MAX ? 0 : (uint32_t)value;
}

static void read_staging(struct options *o, const char *text, struct stint_error *err)
{
        if (size_parse(text, &o->staging_bytes, err) < 0)
                error_wrap(err, "--staging");
        else if (o->staging_bytes < (int64_t)STREAMED_LEAST)
                error_set(err, EINVAL, "--staging %s is too little: 8M at least", text);
}

/* Does not return for --help, --version and what is wrong. */
static void read_options(struct options *o, int argc, char **argv)
{
        static const struct option words[] = {
                { "dir", required_argument, NULL, 'd' },     { "stint", required_argument, NULL, 'n' },
                { "run-id", required_argument, NULL, 'r' },  { "socket", required_argument, NULL, 's' },
                { "armour", no_argument, NULL, 'a' },        { "help", no_argument, NULL, 'h' },
                { "version", no_argument, NULL, 'v' },     { "staging", required_argument, NULL, 'm' },
                { NULL, 0, NULL, 0 },
        };
        struct stint_error err = { 0 };
        int c;

        memset(o, 0, sizeof *o);
        while ((c = getopt_long(argc, argv, "h", words, NULL)) != -1)
                switch (c) {
                case 'd':
                        o->dir = optarg;
                        break;
                case 'n':
                        o->stint = number(optarg);
                        break;
                case 'r':
                        o->run_id = optarg;
                        break;
                case 's':
                        o->socket = optarg;
                        break;
                case 'a':
                        o->armour = 1;
                        break;
                case 'm':
                        read_staging(o, optarg, &err);
                        break;
                case 'h':
                        usage(stdout);
                        exit(0);
                case 'v':
                        puts("stint-agent " PACKAGE_VERSION);
                        exit(0);
                default:
                        usage(stderr);
                        exit(EXIT_OWN);
                }
        if (optind < argc)
                error_set(&err, EINVAL, "'%s' is not expected", argv[optind]);
        if (err.code || check_options(o, &err) < 0 ||
            node_expand(o->name, sizeof o->name, o->socket, node_name(o->node), &err) < 0) {
                fprintf(stderr, "stint-agent: %s\n", err.text);
                usage(stderr);
                exit(EXIT_OWN);
        }
}

/* ---- what `stint run` says --------------------------------------------------------------------------------------- */

static void on_save(struct agent *a, const struct wire_run_save *m)
{
        saving_ask(&a->ranks, m);
        daemon_line_save(&a->daemon, m);
        watch_save(&a->watch, m);
}

static void on_measured(struct agent *a, const struct wire_run_measured *m)
{
        a->ranks.write_ns = m->saves ? m->write_ns : 0;
        watch_measured(&a->watch, m);
}

static int on_message(void *arg, const struct wire_header *m)
{
        struct agent *a = arg;

        switch (m->type) {
        case WIRE_RUN_DEADLINE:
                watch_deadline(&a->watch, (const struct wire_run_deadline *)m);
                break;
        case WIRE_RUN_MEASURED:
                on_measured(a, (const struct wire_run_measured *)m);
                break;
        case WIRE_RUN_BEST:
                memcpy(&a->ranks.best, m, sizeof a->ranks.best);
                break;
        case WIRE_RUN_SAVE:
                on_save(a, (const struct wire_run_save *)m);
                break;
        case WIRE_RUN_RESULT:
                saving_result(&a->ranks, (const struct wire_run_result *)m);
                watch_result(&a->watch, (const struct wire_run_result *)m);
                daemon_line_result(&a->daemon, (const struct wire_run_result *)m);
                break;
        case WIRE_RUN_PIECES:
                restoring_pieces(&a->ranks, (const struct wire_run_pieces *)m);
                break;
        case WIRE_RUN_RESTORE:
                restoring_read(&a->ranks, (const struct wire_run_restore *)m);
                break;
        case WIRE_RUN_PREFETCH:
                prefetch_want(&a->prefetch, (const struct wire_run_prefetch *)m);
                break;
        case WIRE_RUN_USE:
                restoring_use(&a->ranks, (const struct wire_run_use *)m);
                break;
        case WIRE_RUN_COMPLETED:
                ranks_completed(&a->ranks, (const struct wire_run_completed *)m);
                break;
        default:
                log_debug("`stint run` sent %s", wire_name(m->type));
                return -1; /* ends the line */
        }
        return 0;
}

/*
 * `stint run` is gone, so nobody commits any more: programs are let go at once.  A snapshot that is being written is
 * written to its end, for its seal lets the next stint finish what this one could not.
 */
static void finish(struct agent *a)
{
        coordinator_close(&a->run);
        daemon_line_close(&a->daemon);
        watch_close(&a->watch);
        prefetch_close(&a->prefetch);
        recall_close(&a->recall);
        spare_close(&a->spare);
        ranks_close(&a->ranks);
        uv_close((uv_handle_t *)&a->term, NULL);
        uv_close((uv_handle_t *)&a->linger, NULL);
}

static int is_worth_staying(struct agent *a);

static void on_linger(uv_timer_t *timer)
{
        struct agent *a = timer->data;

        if (a->awaits_term) {
                if (a->term_ns == 0 && clock_now() < a->until_ns && ranks_any(&a->ranks))
                        return;
                if (!is_worth_staying(a))
                        finish(a);
                return;
        }
        if ((saving_awaited(&a->ranks) || saving_streams(&a->ranks)) && clock_now() < a->until_ns)
                return;
        finish(a);
}

/*
 * The SIGTERM that ends a job ends the shell of the batch script too, and `stint run` with it, while this step lives until
 * KillWait is over.  In that time the state is still written and sealed, and the next stint makes it whole.  A state that is
 * on its way through a window comes to its end in any case: its program would be let go in the middle of it.
 *
 * The shell may end, and `stint run` with it, before this step has had its own SIGTERM.  So while programs are connected,
 * which they are not after an end in order, that is waited for.
 */
static int is_worth_staying(struct agent *a)
{
        const int64_t now_ns = clock_now();

        if (a->is_task && a->term_ns == 0 && !a->awaits_term && ranks_any(&a->ranks)) {
                a->awaits_term = 1;
                a->until_ns = now_ns + TERM_WAIT;
                return uv_timer_start(&a->linger, on_linger, LINGER_LOOK / CLOCK_MS, LINGER_LOOK / CLOCK_MS) == 0;
        }
        a->awaits_term = 0;
        if (!saving_streams(&a->ranks) &&
            (a->term_ns == 0 || now_ns - a->term_ns > LINGER || !saving_ask_alone(&a->ranks)))
                return 0;
        a->until_ns = now_ns + LINGER;
        return uv_timer_start(&a->linger, on_linger, LINGER_LOOK / CLOCK_MS, LINGER_LOOK / CLOCK_MS) == 0;
}

static void on_over(void *arg, const char *why)
{
        struct agent *a = arg;

        if (why) {
                log_error("the line to `stint run` broke: %s", why);
                a->failed = 1;
        }
        if (!is_worth_staying(a))
                finish(a);
}

static void on_change(void *arg)
{
        struct agent *a = arg;

        watch_plan(&a->watch);
}

/* ---- the life of the process ------------------------------------------------------------------------------------- */

static void on_term(uv_signal_t *signal, int number_of)
{
        struct agent *a = signal->data;
        struct wire_agent_term m;

        (void)number_of;
        a->term_ns = clock_now();
        memset(&m, 0, sizeof m);
        WIRE_INIT(&m, WIRE_AGENT_TERM);
        coordinator_send(&a->run, &m);
}

static void ready(struct agent *a, const struct options *o)
{
        struct wire_agent_ready m = { .pid = (uint32_t)getpid() };

        WIRE_INIT(&m, WIRE_AGENT_READY);
        wire_text(m.node, sizeof m.node, o->node);
        wire_text(m.socket, sizeof m.socket, o->name);
        coordinator_send(&a->run, &m);
}

/* Until there is a loop that hears it, a SIGTERM waits: the grace that it announces has only begun. */
static void hold_term(int how)
{
        sigset_t term;

        sigemptyset(&term);
        sigaddset(&term, SIGTERM);
        sigprocmask(how, &term, NULL);
}

/* Signals that end a process by default and must not end this one; SIGTERM is heard. */
static void prepare_signals(void)
{
        hold_term(SIG_BLOCK);
        signal(SIGPIPE, SIG_IGN);
        signal(SIGINT, SIG_IGN);
        signal(SIGQUIT, SIG_IGN);
        signal(SIGHUP, SIG_IGN);
        signal(SIGUSR1, SIG_IGN);
        signal(SIGUSR2, SIG_IGN);
}

/* Which task of its step this is. */
static uint32_t own_task(void)
{
        const char *task = getenv("SLURM_PROCID");

        return task ? (uint32_t)strtoul(task, NULL, 10) : 0;
}

/* For programs whose environment was lost on the way, with `--export=NONE`. */
static void listen_where_known(struct agent *a)
{
        struct stint_error err = { 0 };
        char name[CHANNEL_NAME];

        if (place_well_known(name, sizeof name, &err) == 0 && listener_open(&a->ranks, name, &err) == 0)
                return;
        log_warning("programs that do not inherit STINT_AGENT will not find this agent: %s", err.text);
}

static int set_up(struct agent *a, const struct options *o, struct stint_error *err)
{
        int rc = uv_loop_init(&a->loop);

        if (rc == 0)
                rc = uv_signal_init(&a->loop, &a->term);
        if (rc == 0)
                rc = uv_timer_init(&a->loop, &a->linger);
        a->term.data = a->linger.data = a;
        if (rc == 0)
                rc = uv_signal_start(&a->term, on_term, SIGTERM);
        if (rc < 0)
                return error_set(err, EIO, "cannot set up the event loop: %s", uv_strerror(rc));
        strcpy(a->ranks.dir, o->dir);       /* check_options measured both */
        strcpy(a->ranks.run_id, o->run_id);
        a->ranks.stint = o->stint;
        a->is_task = o->armour;
        a->ranks.on_change = on_change;
        a->ranks.arg = a;
        watch_open(&a->watch, &a->loop, &a->ranks);
        prefetch_open(&a->prefetch, &a->loop, &a->ranks);
        recall_open(&a->recall, &a->loop);
        a->ranks.prefetch = &a->prefetch;
        a->ranks.recall = &a->recall;
        spare_open(&a->spare, &a->loop);
        spare_make(&a->spare, a->ranks.dir);
        a->ranks.spare = &a->spare;
        daemon_line_open(&a->daemon, &a->loop, &a->watch, &a->run, o->stint, a->ranks.run_id);
        if (ranks_open(&a->ranks, &a->loop, o->name, &a->run, err) < 0)
                return -1;
        if (o->armour)
                listen_where_known(a);
        return coordinator_open(&a->run, &a->loop, STDIN_FILENO, STDOUT_FILENO, o->armour ? (int64_t)own_task() : -1,
                                on_message, on_over, a, err);
}

static void name_handle(uv_handle_t *handle, void *arg)
{
        (void)arg;
        log_error("left open: %s%s", uv_handle_type_name(uv_handle_get_type(handle)),
                  uv_is_closing(handle) ? " (closing)" : "");
}

static void tear_down(struct agent *a)
{
        if (uv_loop_close(&a->loop) == 0)
                return;
        uv_walk(&a->loop, name_handle, NULL);
        log_error("the event loop ended with handles left open: this is a defect of stint-agent");
        abort();
}

/*
 * A step's task may be bound to the one core that a program trains on.  Hashing and writing go wherever the job may; the
 * kernel takes what it may not away from this set.
 */
static void unbind(void)
{
        cpu_set_t all;

        memset(&all, 0xff, sizeof all);
        sched_setaffinity(0, sizeof all, &all);
}

/* As a task of a step: under a guard, and with the node's name before what it logs. */
static int be_a_task(const struct options *o, struct stint_error *err)
{
        static char name[NODE_NAME + 16];

        snprintf(name, sizeof name, "stint-agent %s", o->node);
        log_init(name, STINT_LOG_NOTICE);
        unbind();
        return guard_begin(own_task(), err);
}

int main(int argc, char **argv)
{
        static struct agent agent; /* it is large */
        struct stint_error err = { 0 };
        struct options options;

        prepare_signals();
        read_options(&options, argc, argv);
        log_init("stint-agent", STINT_LOG_NOTICE);
        if (options.armour && be_a_task(&options, &err) < 0) {
                log_error("%s", err.text);
                return EXIT_OWN;
        }
        work_prepare();
        staging_limit((uint64_t)options.staging_bytes);
        if (set_up(&agent, &options, &err) < 0) {
                log_error("%s", err.text);
                return EXIT_OWN;
        }
        ready(&agent, &options);
        hold_term(SIG_UNBLOCK);
        uv_run(&agent.loop, UV_RUN_DEFAULT);
        tear_down(&agent);
        return agent.failed ? EXIT_OWN : 0;
}
