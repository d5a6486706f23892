/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * run_identity: what a run is: run.json, written once when it begins, and DONE, written once when it is complete.
 * `stint run` calls in at its start, and at the end of training.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "clock.h"
#include "durable.h"
#include "fault.h"
#include "json_file.h"
#include "log.h"
#include "run_identity.h"
#include "rundir.h"

#define FORMAT 1
#define MOST_BYTES ((size_t)4 << 20)

/* ---- reading --------------------------------------------------------------------------------------------------- */

static int from_json(struct identity *id, json_t *root)
{
        const char *run;
        json_int_t uid, format;
        json_t *command;

        if (json_unpack(root, "{s:I, s:s, s:{s:I}, s:o}", "format", &format, "id", &run, "owner", "uid", &uid,
                        "command", &command) != 0)
                return -1;
        if (format != FORMAT || strlen(run) != sizeof id->run_id - 1 || !json_is_array(command))
                return -1;
        memcpy(id->run_id, run, sizeof id->run_id);
        id->uid = (uid_t)uid;
        id->command = json_incref(command);
        return 0;
}

/* The owner that this user's own files get here: on some filesystems (squashed NFS, vfat) that is not the user. */
static uid_t own_files_uid(const char *run_dir)
{
        char path[RUNDIR_PATH + RUNDIR_NAME];
        struct stat st = { .st_uid = getuid() };
        int fd;

        if (rundir_join(path, sizeof path, run_dir, "owner.XXXXXX", NULL, NULL) != 0 || (fd = mkostemp(path, O_CLOEXEC)) < 0)
                return st.st_uid;
        unlink(path);
        if (fstat(fd, &st) != 0)
                st.st_uid = getuid();
        close(fd);
        return st.st_uid;
}

/* What another user has written may say anything, also that it is ours. */
int identity_check_owner(const char *path, const char *run_dir, struct stint_error *err)
{
        struct stat st;

        if (stat(path, &st) != 0)
                return error_system(err, errno, "%s cannot be looked at", path);
        if (st.st_uid == getuid() || st.st_uid == own_files_uid(run_dir))
                return 0;
        return error_set(err, EPERM, "%s was written by the user with uid %u, and this is uid %u: use a run directory of your own",
                         path, (unsigned)st.st_uid, (unsigned)getuid());
}

void identity_mind_mode(const char *run_dir)
{
        struct stat st;

        if (stat(run_dir, &st) == 0 && (st.st_mode & S_IWOTH))
                log_warning("%s can be written by every user: whoever does may spoil this run; `chmod o-w` it", run_dir);
}

int identity_read(struct identity *id, const char *run_dir, struct stint_error *err)
{
        char path[RUNDIR_PATH + RUNDIR_NAME];
        struct identity read = { 0 };
        char *text;
        size_t n;
        json_t *root;
        int rc;

        if (rundir_join(path, sizeof path, run_dir, RUNDIR_RUN, NULL, err) != 0 ||
            durable_read(path, MOST_BYTES, &text, &n, err) != 0)
                return -1;
        if (identity_check_owner(path, run_dir, err) != 0) {
                free(text);
                return -1;
        }
        root = json_loadb(text, n, 0, NULL);
        free(text);
        rc = root == NULL ? -1 : from_json(&read, root);
        json_decref(root);
        if (rc != 0)
                return error_set(err, EBADMSG, "%s cannot be read as the identity of a run; use another run directory",
                                 path);
        if (read.uid != getuid()) {
                error_set(err, EPERM, "the run in %s belongs to the user with uid %u, and this is uid %u", run_dir,
                          (unsigned)read.uid, (unsigned)getuid());
                identity_fini(&read);
                return -1;
        }
        *id = read;
        return 0;
}

/* ---- writing --------------------------------------------------------------------------------------------------- */

static int new_id(char *out, struct stint_error *err)
{
        unsigned char random[16];
        size_t i;

        if (getrandom(random, sizeof random, 0) != (ssize_t)sizeof random)
                return error_system(err, errno, "no random bytes for the id of the run");
        for (i = 0; i < sizeof random; i++)
                snprintf(out + 2 * i, 3, "%02x", random[i]);
        return 0;
}

json_t *identity_word(const char *word)
{
        json_t *json = json_string(word);
        size_t i, n = strlen(word);
        char *spelled;

        if (json != NULL)
                return json;
        spelled = malloc(4 * n + 1);
        if (spelled == NULL)
                return NULL;
        for (i = 0; i < n; i++)
                snprintf(spelled + 4 * i, 5, "\\x%02x", (unsigned char)word[i]);
        json = json_string(spelled);
        free(spelled);
        return json;
}

static json_t *command_to_json(char *const *command)
{
        json_t *words = json_array();

        for (; command != NULL && *command != NULL; command++)
                json_array_append_new(words, identity_word(*command));
        return words;
}

static json_t *to_json(const struct identity *id, const char *name, const char *scheduler, const char *job)
{
        char when[32], host[64] = "", cwd[4096] = "";
        const struct passwd *pw = getpwuid(id->uid);
        json_t *root;

        gethostname(host, sizeof host - 1);
        if (getcwd(cwd, sizeof cwd) == NULL)
                cwd[0] = '\0';
        root = json_pack("{s:i, s:s, s:s, s:s, s:{s:I, s:s}, s:s, s:{s:s, s:s}, s:O}", "format", FORMAT, "id",
                         id->run_id, "name", name, "created", clock_format(when, sizeof when, clock_wall()), "owner",
                         "uid", (json_int_t)id->uid, "user", pw == NULL ? "" : pw->pw_name, "host", host, "scheduler",
                         "name", scheduler, "job", job, "command", id->command);
        if (root != NULL)
                json_object_set_new(root, "cwd", identity_word(cwd));
        return root;
}

static int write_json(const char *run_dir, const char *file, json_t *root, struct stint_error *err)
{
        char path[RUNDIR_PATH + RUNDIR_NAME];
        char *text = root == NULL ? NULL : json_dumps(root, JSON_INDENT(2));
        int rc;

        json_decref(root);
        if (text == NULL)
                return error_set(err, EINVAL, "%s cannot be written as JSON", file);
        rc = rundir_join(path, sizeof path, run_dir, file, NULL, err);
        if (rc == 0)
                rc = durable_replace(path, text, strlen(text), 0644, err);
        free(text);
        return rc;
}

int identity_create(struct identity *id, const char *run_dir, const char *name, const char *scheduler, const char *job,
                    char *const *command, struct stint_error *err)
{
        struct identity made = { .uid = getuid() };

        if (new_id(made.run_id, err) != 0)
                return -1;
        made.command = command_to_json(command);
        if (write_json(run_dir, RUNDIR_RUN, to_json(&made, name, scheduler, job), err) != 0) {
                identity_fini(&made);
                return -1;
        }
        *id = made;
        return 0;
}

/* ---- the command ----------------------------------------------------------------------------------------------- */

int identity_same_command(const struct identity *id, char *const *command)
{
        json_t *words = command_to_json(command);
        int same = json_equal(words, id->command);

        json_decref(words);
        return same;
}

const char *identity_command(char *out, size_t size, const struct identity *id)
{
        size_t i, used = 0;
        json_t *word;

        out[0] = '\0';
        json_array_foreach(id->command, i, word) {
                int n = snprintf(out + used, size - used, "%s%s", i == 0 ? "" : " ", json_string_value(word));

                if (n < 0 || (size_t)n >= size - used)
                        break;
                used += (size_t)n;
        }
        return out;
}

void identity_fini(struct identity *id)
{
        json_decref(id->command);
        *id = (struct identity){ 0 };
}

/* ---- DONE ------------------------------------------------------------------------------------------------------ */

int done_read(const char *run_dir, int64_t *step)
{
        char path[RUNDIR_PATH + RUNDIR_NAME];
        struct stat st;
        json_t *root, *member;

        *step = -1;
        if (rundir_join(path, sizeof path, run_dir, RUNDIR_DONE, NULL, NULL) != 0 || stat(path, &st) != 0)
                return 0;
        root = json_file_read(run_dir, RUNDIR_DONE);
        member = json_object_get(root, "step");
        if (json_is_integer(member))
                *step = json_integer_value(member);
        json_decref(root);
        return 1;
}

int done_write(const char *run_dir, const char *run_id, uint32_t stint, int64_t step, struct stint_error *err)
{
        char when[32];
        int code = fault_point("complete.before_done");

        if (code != 0)
                return error_system(err, code, "%s/" RUNDIR_DONE, run_dir);
        if (write_json(run_dir, RUNDIR_DONE,
                       json_pack("{s:s, s:I, s:I, s:s}", "run", run_id, "stint", (json_int_t)stint, "step",
                                 (json_int_t)step, "time", clock_format(when, sizeof when, clock_wall())),
                       err) != 0)
                return -1;
        fault_point("complete.after_done"); /* whatever it says: the run is complete */
        return 0;
}

/* ---- STOPPED --------------------------------------------------------------------------------------------------- */

int stopped_read(const char *run_dir, struct stopped *stopped)
{
        char path[RUNDIR_PATH + RUNDIR_NAME];
        const char *by, *when;
        struct stat st;
        json_t *root;

        *stopped = (struct stopped){ 0 };
        if (rundir_join(path, sizeof path, run_dir, RUNDIR_STOPPED, NULL, NULL) != 0 || stat(path, &st) != 0)
                return 0;
        root = json_file_read(run_dir, RUNDIR_STOPPED);
        stopped->cancelled = json_is_true(json_object_get(root, "cancelled"));
        by = json_string_value(json_object_get(root, "by"));
        when = json_string_value(json_object_get(root, "time"));
        snprintf(stopped->by, sizeof stopped->by, "%s", by == NULL ? "somebody" : by);
        snprintf(stopped->when, sizeof stopped->when, "%s", when == NULL ? "" : when);
        json_decref(root);
        return 1;
}

int stopped_write(const char *run_dir, int cancelled, struct stint_error *err)
{
        char when[32], host[64] = "", by[128];
        const struct passwd *pw = getpwuid(getuid());

        gethostname(host, sizeof host - 1);
        snprintf(by, sizeof by, "%s on %s", pw == NULL ? "somebody" : pw->pw_name, host);
        return write_json(run_dir, RUNDIR_STOPPED,
                          json_pack("{s:s, s:s, s:b}", "time", clock_format(when, sizeof when, clock_wall()), "by", by,
                                    "cancelled", cancelled),
                          err);
}

int stopped_remove(const char *run_dir, struct stint_error *err)
{
        char path[RUNDIR_PATH + RUNDIR_NAME];

        if (rundir_join(path, sizeof path, run_dir, RUNDIR_STOPPED, NULL, err) != 0)
                return -1;
        if (unlink(path) != 0 && errno != ENOENT)
                return error_system(err, errno, "%s cannot be removed", path);
        return durable_sync_dir(run_dir, err);
}
