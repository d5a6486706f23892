/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * run_lease: the file RUN/lease: taking it, proving that its holder is over, looking whether it still is ours.  `stint
 * run` takes it before it changes anything, and re-reads it before every commit and prune; the verbs read who holds it.
 *
 * Whoever changes the file holds a lock on RUN/lease.lock for that moment, so two starters that find the same dead
 * holder cannot both replace it.  The lock file also remembers the last epoch, which outlives an orderly release.
 * Where the filesystem has no locks, link(2) still lets only one create the file, and re-reading it catches a late
 * replacement.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <jansson.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "clock.h"
#include "durable.h"
#include "run_lease.h"

#define LEASE_MOST 8192
#define LOCK_TRIES 500 /* of 10 ms each: nobody holds the lock for longer than a few writes take */

/* ---- the holder as text ---------------------------------------------------------------------------------------- */

static json_t *holder_to_json(const struct lease_holder *h)
{
        char when[32];

        return json_pack("{s:I, s:I, s:s, s:s, s:I, s:I, s:s, s:s, s:I, s:s, s:s, s:b, s:s, s:I}", "epoch",
                         (json_int_t)h->epoch, "stint", (json_int_t)h->stint, "host", h->host, "boot_id", h->boot_id,
                         "pid", (json_int_t)h->pid, "start_ticks", (json_int_t)h->start_ticks, "scheduler",
                         h->scheduler, "job", h->job, "restarts", (json_int_t)h->restarts, "agent", h->agent, "control", h->control, "attending",
                         h->attending, "since", clock_format(when, sizeof when, h->since_wall_ns), "since_ns",
                         (json_int_t)h->since_wall_ns);
}

/* One line, in memory the caller frees; NULL when there is none. */
static char *holder_encode(const struct lease_holder *h, size_t *n)
{
        json_t *object = holder_to_json(h);
        char *text = object == NULL ? NULL : json_dumps(object, 0);

        json_decref(object);
        if (text == NULL)
                return NULL;
        *n = strlen(text) + 1;
        text[*n - 1] = '\n'; /* instead of its NUL: it is written by its length */
        return text;
}

static int copy_member(char *field, size_t size, json_t *object, const char *key)
{
        const char *text = json_string_value(json_object_get(object, key));

        if (text == NULL || strlen(text) >= size)
                return -1;
        memcpy(field, text, strlen(text) + 1);
        return 0;
}

static int holder_from_json(struct lease_holder *h, json_t *object)
{
        json_int_t epoch, stint, pid, ticks, since;

        if (json_unpack(object, "{s:I, s:I, s:I, s:I, s:I, s:b}", "epoch", &epoch, "stint", &stint, "pid", &pid,
                        "start_ticks", &ticks, "since_ns", &since, "attending", &h->attending) != 0)
                return -1;
        h->restarts = (uint32_t)json_integer_value(json_object_get(object, "restarts"));
        h->epoch = (uint64_t)epoch;
        h->stint = (uint32_t)stint;
        h->pid = (pid_t)pid;
        h->start_ticks = (uint64_t)ticks;
        h->since_wall_ns = since;
        if (copy_member(h->host, sizeof h->host, object, "host") != 0 ||
            copy_member(h->boot_id, sizeof h->boot_id, object, "boot_id") != 0 ||
            copy_member(h->scheduler, sizeof h->scheduler, object, "scheduler") != 0 ||
            copy_member(h->job, sizeof h->job, object, "job") != 0 ||
            copy_member(h->agent, sizeof h->agent, object, "agent") != 0 ||
            copy_member(h->control, sizeof h->control, object, "control") != 0)
                return -1;
        return 0;
}

static int holder_read(const char *path, struct lease_holder *holder, struct stint_error *err)
{
        struct lease_holder read = { 0 };
        char *text;
        size_t n;
        json_t *object;
        int rc;

        if (durable_read(path, LEASE_MOST, &text, &n, err) != 0)
                return -1;
        object = json_loadb(text, n, 0, NULL);
        rc = object == NULL ? -1 : holder_from_json(&read, object);
        json_decref(object);
        free(text);
        if (rc != 0)
                return error_set(err, EBADMSG,
                                 "%s cannot be read as a lease; when nothing runs in this directory, remove that file",
                                 path);
        *holder = read;
        return 0;
}

/* ---- is that holder over? -------------------------------------------------------------------------------------- */

static int first_line(const char *path, char *out, size_t size)
{
        FILE *f = fopen(path, "re");
        char *got;

        if (f == NULL)
                return -1;
        got = fgets(out, (int)size, f);
        fclose(f);
        if (got == NULL)
                return -1;
        out[strcspn(out, "\n")] = '\0';
        return 0;
}

/*
 * When that process began, in ticks since boot, field 22 of /proc/PID/stat (proc(5)); -1 when it is gone or a zombie.
 * The second field is the name in parentheses, which may hold anything, so the fields are counted behind its last one.
 */
static int start_ticks_of(pid_t pid, uint64_t *ticks)
{
        char path[64], line[1024], state;
        const char *behind;

        snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
        if (first_line(path, line, sizeof line) != 0 || (behind = strrchr(line, ')')) == NULL)
                return -1;
        if (sscanf(behind + 1, " %c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d %*d %*d %" SCNu64,
                   &state, ticks) != 2)
                return -1;
        return state == 'Z' || state == 'X' ? -1 : 0;
}

static void this_boot(char *boot_id, size_t size)
{
        if (first_line("/proc/sys/kernel/random/boot_id", boot_id, size) != 0)
                boot_id[0] = '\0';
}

void lease_self(struct lease_holder *me)
{
        gethostname(me->host, sizeof me->host - 1);
        this_boot(me->boot_id, sizeof me->boot_id);
        me->pid = getpid();
        if (start_ticks_of(me->pid, &me->start_ticks) != 0)
                me->start_ticks = 0;
        me->since_wall_ns = clock_wall();
}

/* 1 provably gone, 0 alive, -1 nobody here can tell. */
static int holder_over(const struct lease_holder *h)
{
        char host[64] = "", boot_id[40];
        uint64_t ticks;

        gethostname(host, sizeof host - 1);
        if (strcmp(host, h->host) != 0)
                return -1;
        this_boot(boot_id, sizeof boot_id);
        if (strcmp(boot_id, h->boot_id) != 0)
                return 1;
        if (start_ticks_of(h->pid, &ticks) == 0)
                return ticks != h->start_ticks;
        return kill(h->pid, 0) == 0 || errno == EPERM ? start_ticks_of(h->pid, &ticks) != 0 : 1;
}

static int refuse(const struct lease_holder *h, int over, struct stint_error *err)
{
        char since[32], job[96] = "";

        clock_format(since, sizeof since, h->since_wall_ns);
        if (h->job[0] != '\0')
                snprintf(job, sizeof job, ", %s job %s", h->scheduler, h->job);
        if (over < 0)
                return error_set(err, EBUSY,
                                 "stint %u on host %s (pid %d%s) holds this run since %s, and from here nobody can "
                                 "tell whether it still runs; if you know that it does not, add --stint-take-over",
                                 h->stint, h->host, (int)h->pid, job, since);
        return error_set(err, EBUSY,
                         "stint %u is running here already: pid %d on host %s%s, since %s; wait for it, or end it with "
                         "`stint save --stop`",
                         h->stint, (int)h->pid, h->host, job, since);
}

/* ---- the lock that makes changes one at a time ----------------------------------------------------------------- */

static int lock_open(const char *lease_path, struct stint_error *err)
{
        char path[RUNDIR_PATH + 32];
        struct stat st;
        int fd;

        snprintf(path, sizeof path, "%s.lock", lease_path);
        fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY, 0666);
        if (fd < 0)
                return error_system(err, errno, "%s cannot be opened", path);
        if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode))
                return fd;
        close(fd);
        return error_set(err, EINVAL, "%s is no regular file, and nothing of stint's: remove it", path);
}

static int lock_take(int fd, const char *lease_path, struct stint_error *err)
{
        struct flock whole = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
        const struct timespec pause = { 0, 10 * CLOCK_MS };
        int tries;

        for (tries = 0; tries < LOCK_TRIES; tries++) {
                if (fcntl(fd, F_OFD_SETLK, &whole) == 0 || errno == ENOLCK || errno == EOPNOTSUPP || errno == ENOSYS)
                        return 0;
                if (errno != EAGAIN && errno != EACCES && errno != EINTR)
                        return error_system(err, errno, "%s.lock cannot be locked", lease_path);
                nanosleep(&pause, NULL);
        }
        return error_set(err, EBUSY, "another process has kept %s.lock for %d s; is it stopped?", lease_path,
                         LOCK_TRIES / 100);
}

static void lock_give(int fd)
{
        struct flock whole = { .l_type = F_UNLCK, .l_whence = SEEK_SET };

        fcntl(fd, F_OFD_SETLK, &whole);
}

static uint64_t epoch_last(int fd)
{
        char digits[32] = "";

        return pread(fd, digits, sizeof digits - 1, 0) > 0 ? strtoull(digits, NULL, 10) : 0;
}

/* Only a hint that keeps epochs growing over an orderly release; the lease itself is what counts. */
static void epoch_remember(int fd, uint64_t epoch)
{
        char digits[32];
        int n = snprintf(digits, sizeof digits, "%-20" PRIu64 "\n", epoch);

        if (pwrite(fd, digits, (size_t)n, 0) != n)
                errno = 0;
}

/* ---- taking it ------------------------------------------------------------------------------------------------- */

/* A new file that nobody had: link(2) lets one of several win on any filesystem, locks or not. */
static int create(const char *path, const char *text, size_t n, struct stint_error *err)
{
        char fresh[RUNDIR_PATH + 160], host[64] = "";
        int code = 0;

        gethostname(host, sizeof host - 1);
        snprintf(fresh, sizeof fresh, "%s.%s.%d", path, host, (int)getpid());
        if (durable_replace(fresh, text, n, 0644, err) != 0)
                return -1;
        if (link(fresh, path) != 0)
                code = errno;
        unlink(fresh);
        if (code == EPERM || code == EOPNOTSUPP) /* a filesystem without hard links */
                return durable_replace(path, text, n, 0644, err);
        if (code != 0)
                return error_system(err, code == EEXIST ? EBUSY : code, "%s cannot be created", path);
        return 0;
}

static int write_holder(struct lease *l, int replace, struct stint_error *err)
{
        size_t n;
        char *text = holder_encode(&l->holder, &n);
        int rc;

        if (text == NULL)
                return error_set(err, EINVAL, "the lease %s cannot be written as JSON", l->path);
        rc = replace ? durable_replace(l->path, text, n, 0644, err) : create(l->path, text, n, err);
        free(text);
        return rc;
}

static int same_holder(const struct lease_holder *a, const struct lease_holder *b)
{
        return a->epoch == b->epoch && a->pid == b->pid && a->start_ticks == b->start_ticks &&
               strcmp(a->host, b->host) == 0 && strcmp(a->boot_id, b->boot_id) == 0;
}

/* With the lock held: looks who holds it, and writes ourselves if that may be. */
static int take_locked(struct lease *l, enum lease_take_over take_over, struct lease_holder *other, struct stint_error *err)
{
        struct lease_holder held = { 0 };
        struct stint_error problem = { 0 };
        uint64_t last = epoch_last(l->lock_fd);
        int over, there = holder_read(l->path, &held, &problem) == 0;

        if (!there && problem.code != ENOENT && !(problem.code == EBADMSG && take_over == LEASE_TAKE_ANY))
                return error_set(err, problem.code, "%s", problem.text);
        if (there) {
                over = holder_over(&held);
                if (over != 1 && take_over != LEASE_TAKE_ANY &&
                    !(take_over == LEASE_TAKE_OTHER && same_holder(&held, other))) {
                        if (other != NULL)
                                *other = held;
                        return refuse(&held, over, err);
                }
        }
        if (held.epoch > last)
                last = held.epoch;
        l->holder.epoch = last + 1;
        if (write_holder(l, problem.code != ENOENT, err) != 0 || lease_check(l, err) != 0)
                return -1;
        epoch_remember(l->lock_fd, l->holder.epoch);
        return 0;
}

int lease_take(struct lease *l, const char *run_dir, const struct lease_holder *me, enum lease_take_over take_over,
               struct lease_holder *other, struct stint_error *err)
{
        struct lease taken = { .holder = *me };
        int rc;

        if (rundir_join(taken.path, sizeof taken.path, run_dir, RUNDIR_LEASE, NULL, err) != 0)
                return -1;
        taken.lock_fd = lock_open(taken.path, err);
        if (taken.lock_fd < 0)
                return -1;
        rc = lock_take(taken.lock_fd, taken.path, err);
        if (rc == 0) {
                rc = take_locked(&taken, take_over, other, err);
                lock_give(taken.lock_fd);
        }
        if (rc != 0) {
                close(taken.lock_fd);
                return -1;
        }
        *l = taken;
        return 0;
}

/* ---- holding it ------------------------------------------------------------------------------------------------ */

int lease_check(const struct lease *l, struct stint_error *err)
{
        struct lease_holder held;
        struct stint_error problem = { 0 };

        if (holder_read(l->path, &held, &problem) != 0) {
                if (problem.code == ENOENT)
                        return error_set(err, ESTALE, "the lease of stint %u was removed: %s", l->holder.stint,
                                         l->path);
                return error_set(err, problem.code, "%s", problem.text);
        }
        if (!same_holder(&held, &l->holder))
                return error_set(err, ESTALE,
                                 "stint %u on host %s (pid %d) has taken over this run; stint %u writes nothing more",
                                 held.stint, held.host, (int)held.pid, l->holder.stint);
        return 0;
}

int lease_update(struct lease *l, struct stint_error *err)
{
        int rc;

        if (lock_take(l->lock_fd, l->path, err) != 0)
                return -1;
        rc = lease_check(l, err);
        if (rc == 0)
                rc = write_holder(l, 1, err);
        lock_give(l->lock_fd);
        return rc;
}

void lease_release(struct lease *l)
{
        if (l->lock_fd < 0)
                return;
        if (lock_take(l->lock_fd, l->path, NULL) == 0) {
                if (lease_check(l, NULL) == 0)
                        unlink(l->path);
                lock_give(l->lock_fd);
        }
        close(l->lock_fd);
        l->lock_fd = -1;
}

/* ---- asking who holds it --------------------------------------------------------------------------------------- */

int lease_read(const char *run_dir, struct lease_holder *holder, int *over, struct stint_error *err)
{
        char path[RUNDIR_PATH + 16];

        if (rundir_join(path, sizeof path, run_dir, RUNDIR_LEASE, NULL, err) != 0 ||
            holder_read(path, holder, err) != 0)
                return -1;
        if (over != NULL)
                *over = holder_over(holder);
        return 0;
}
