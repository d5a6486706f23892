/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * reach: how a session comes to its agent: the socket that the environment names, the one that every program of a job
 * knows, or the coordinator that is started for a program by itself; HELLO, WELCOME and the control page; and trying again, further and further apart.  session.c
 * calls in, and whoever must wait until the agent is back.
 */
#include "reach.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "node.h"
#include "place.h"
#include "spawn.h"

#define FIRST_CONNECT_NS (2 * CLOCK_SECOND) /* an agent that was named listens already; it may be restarting */
#define FIRST_SPAWN_NS (600 * CLOCK_SECOND) /* before its agent is ready, a coordinator may verify a whole checkpoint */
#define AGAIN_SPAWN_NS (10 * CLOCK_SECOND)  /* within a safe point, once */
#define WELCOME_NS (30 * CLOCK_SECOND)
#define AGAIN_WELCOME_NS CLOCK_SECOND       /* within a safe point */
#define BACKOFF_MOST_NS (5 * CLOCK_SECOND)
#define RESPAWN_BACKOFF_NS (400 * CLOCK_MS) /* the coordinator is started again when waiting has grown to this */

/* ---- one connection ------------------------------------------------------------------------------------------- */

static int map_page(struct session *s, int fd, struct stint_error *err)
{
        struct control_page *page;

        if (fd < 0)
                return error_set(err, EPROTO, "its WELCOME came without a control page");
        if (channel_memory_check(fd, sizeof *page, err) < 0)
                return error_wrap(err, "its control page cannot be used");
        page = mmap(NULL, sizeof *page, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        if (page == MAP_FAILED)
                return error_system(err, errno, "its control page cannot be mapped");
        if (page->magic != CONTROL_MAGIC || page->version != CONTROL_VERSION || page->bytes < sizeof *page) {
                munmap(page, sizeof *page);
                return error_set(
                        err, EPROTO,
                        "its control page is of another version; install agent and libstint of the same release");
        }
        s->page = page;
        return 0;
}

static int say_hello(struct session *s, struct stint_error *err)
{
        const char *devices = getenv("CUDA_VISIBLE_DEVICES");
        struct wire_hello hello = { 0 };

        WIRE_INIT(&hello, WIRE_HELLO);
        hello.rank = s->rank;
        hello.ranks = s->ranks;
        hello.oldest = hello.newest = WIRE_VERSION;
        hello.agree_every = s->agree_every;
        hello.takes = HELLO_TAKES_AHEAD | HELLO_TAKES_WINDOW | HELLO_TAKES_STREAM | HELLO_TELLS_DEVICES |
                      HELLO_TAKES_RANKS;
        wire_text(hello.library, sizeof hello.library, stint_version());
        wire_text(hello.program, sizeof hello.program, program_invocation_short_name);
        wire_text(hello.devices, sizeof hello.devices, devices ? devices : "unset");
        return session_post(s, &hello, sizeof hello, -1, err);
}

/* An agent that takes it waits for this before it tells `stint run` that the rank is here. */
static int tell_devices(struct session *s, struct stint_error *err)
{
        return session_post(s, &s->seen, sizeof s->seen, -1, err);
}

/* What the agent answers to HELLO: 0, or -1 with EACCES where it refused for good. */
static int take_welcome(struct session *s, const void *message, int fd, struct stint_error *err)
{
        const struct wire_header *header = message;
        const struct wire_welcome *welcome = message;
        const struct wire_refused *refused = message;

        if (header->type == WIRE_REFUSED)
                return error_set(err, EACCES, "the agent refused this process: %s", refused->text);
        if (header->type != WIRE_WELCOME)
                return error_set(err, EPROTO, "the agent answered HELLO with %s", wire_name(header->type));
        if (map_page(s, fd, err) < 0)
                return -1;
        s->stint = welcome->stint;
        s->over_id = welcome->over_id;
        s->takes = welcome->takes;
        memcpy(s->dir, welcome->dir, sizeof s->dir);
        return welcome->takes & WELCOME_TAKES_DEVICES ? tell_devices(s, err) : 0;
}

static int await_welcome(struct session *s, int64_t until_ns, struct stint_error *err)
{
        _Alignas(8) unsigned char message[WIRE_MOST];
        int64_t left;
        int fd = -1, rc;

        while ((rc = session_receive(s, message, sizeof message, &fd, err)) == 0) {
                left = until_ns - clock_now();
                if (left <= 0)
                        return error_set(err, ETIMEDOUT, "the agent listens, but did not answer in time");
                channel_wait(s->fd, left);
        }
        if (rc < 0)
                return -1;
        rc = take_welcome(s, message, fd, err);
        if (fd >= 0)
                close(fd);
        return rc;
}

static int connect_once(struct session *s, int64_t welcome_ns, struct stint_error *err)
{
        pid_t pid;
        int fd = channel_connect(s->agent, &pid, err);

        if (fd < 0)
                return -1;
        fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
        s->fd = fd;
        if (say_hello(s, err) < 0 || await_welcome(s, clock_now() + welcome_ns, err) < 0) {
                session_hang_up(s);
                return -1;
        }
        s->mail = 0;
        s->look_ns = 0;
        s->connects++;
        return 0;
}

static void nap(int64_t ns)
{
        struct timespec t = { .tv_sec = ns / CLOCK_SECOND, .tv_nsec = ns % CLOCK_SECOND };

        nanosleep(&t, NULL);
}

/* ---- the first time ------------------------------------------------------------------------------------------- */

/* The run directory that the program or its environment names, as an absolute path. */
static int name_dir(struct session *s, const char *dir, struct stint_error *err)
{
        char here[sizeof s->wanted_dir] = "";
        int n;

        dir = dir ? dir : getenv("STINT_DIR");
        dir = dir && *dir ? dir : "run.stint";
        if (*dir != '/' && !getcwd(here, sizeof here))
                return error_system(err, errno, "the current directory has no name");
        n = snprintf(s->wanted_dir, sizeof s->wanted_dir, "%s%s%s", here, *dir != '/' ? "/" : "", dir);
        return n < (int)sizeof s->wanted_dir
                       ? 0
                       : error_set(err, ENAMETOOLONG, "the name of the run directory is too long");
}

/* Whether the agent serves the run that the program wants: any, when it names none. */
static int serves(const struct session *s, const char *dir)
{
        const char *named = dir ? dir : getenv("STINT_DIR");
        struct stat wanted, served;

        if (!named || !*named)
                return 1;
        return stat(s->wanted_dir, &wanted) == 0 && stat(s->dir, &served) == 0 && wanted.st_dev == served.st_dev &&
               wanted.st_ino == served.st_ino;
}

/*
 * A job whose programs do not inherit the environment (`sbatch --export=NONE`) has its agent under a name that both ends
 * can make.  It may be that of another `stint run` in the same job, which is not for us.  1: connected.
 */
static int reach_known(struct session *s, const char *dir)
{
        if (place_well_known(s->agent, sizeof s->agent, NULL) < 0 || connect_once(s, WELCOME_NS, NULL) < 0)
                return 0;
        if (serves(s, dir))
                return 1;
        session_hang_up(s);
        s->connects = 0;
        return 0;
}

static int find_agent(struct session *s, struct stint_error *err)
{
        const char *named = getenv("STINT_AGENT");

        s->solo = !named || !*named;
        if (s->solo)
                return spawn_coordinator(s->wanted_dir, s->agent, sizeof s->agent, clock_now() + FIRST_SPAWN_NS, err);
        if (node_expand(s->agent, sizeof s->agent, named, NULL, err) < 0)
                return error_wrap(err, "STINT_AGENT in the environment is no agent's name");
        return 0;
}

static int connect_until(struct session *s, int64_t until_ns, struct stint_error *err)
{
        while (connect_once(s, WELCOME_NS, err) < 0) {
                if ((err->code != ECONNREFUSED && err->code != ENOENT) || clock_now() >= until_ns)
                        return -1;
                nap(REACH_FIRST_NS);
        }
        return 0;
}

int reach_first(struct session *s, const char *dir, struct stint_error *err)
{
        const char *named = getenv("STINT_AGENT");

        if (name_dir(s, dir, err) < 0)
                return -1;
        if ((!named || !*named) && reach_known(s, dir))
                return 0;
        if (find_agent(s, err) < 0)
                return -1;
        return connect_until(s, clock_now() + FIRST_CONNECT_NS, err);
}

/* ---- again ---------------------------------------------------------------------------------------------------- */

int reach_again(struct session *s)
{
        struct stint_error why;

        if (connect_once(s, AGAIN_WELCOME_NS, &why) == 0) {
                session_log(s, STINT_LOG_NOTICE, "the agent is back: saves are possible again");
                return 0;
        }
        if (why.code == EACCES) {
                s->off = 1;
                session_log(s, STINT_LOG_ERROR, "training goes on without checkpoints: %s", why.text);
                return -1;
        }
        if (s->solo && !s->respawns && s->backoff_ns >= RESPAWN_BACKOFF_NS) {
                s->respawns++;
                if (spawn_coordinator(s->wanted_dir, s->agent, sizeof s->agent, clock_now() + AGAIN_SPAWN_NS, &why) < 0)
                        session_log(s, STINT_LOG_WARNING, "the coordinator could not be started again: %s", why.text);
                else
                        return reach_again(s);
        }
        s->backoff_ns = s->backoff_ns * 2 < BACKOFF_MOST_NS ? s->backoff_ns * 2 : BACKOFF_MOST_NS;
        s->retry_ns = clock_now() + s->backoff_ns;
        return -1;
}

int reach_until(struct session *s, int64_t until_ns)
{
        int64_t now;

        while (s->fd < 0 && !s->off) {
                now = clock_now();
                if (now >= until_ns)
                        return -1;
                if (now < s->retry_ns)
                        nap(s->retry_ns < until_ns ? s->retry_ns - now : until_ns - now);
                reach_again(s);
                if (s->backoff_ns > CLOCK_SECOND)
                        s->backoff_ns = CLOCK_SECOND; /* somebody is waiting */
        }
        return s->fd >= 0 ? 0 : -1;
}
