/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * main of stint-export: makes one HDF5 file out of the files of a checkpoint's ranks.  `stint export` looks which
 * checkpoint is meant, and becomes this program.  The file has its name only when it is whole.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>
#include "durable.h"
#include "export_copy.h"
#include "export_file.h"
#include "export_list.h"
#include "log.h"

#define EXIT_DAMAGED 1
#define EXIT_OWN 125

#define FILES_BESIDES 32 /* that a reader has open besides those of the ranks */

struct options {
        int copy, absolute;
        const char *dir, *out;
        uint32_t ranks;
};

/* ---- options ----------------------------------------------------------------------------------------------------- */

static void usage(FILE *out)
{
        fputs("usage: stint-export [--copy] [--absolute] CHECKPOINT RANKS OUT.h5\n"
              "Makes one HDF5 file out of the files of a checkpoint's ranks.  `stint export` becomes this program.\n"
              "  --copy      with the bytes themselves, each tensor proven by its hash\n"
              "  --absolute  with absolute paths of the files it refers to\n",
              out);
}

static uint32_t number(const char *text)
{
        unsigned long value;
        char *end;

        errno = 0;
        value = strtoul(text, &end, 10);
        return errno || *end || text[0] < '0' || text[0] > '9' || value > INT32_MAX ? 0 : (uint32_t)value;
}

/* -1 to go on, else the exit code. */
static int read_options(struct options *o, int argc, char **argv)
{
        static const struct option known[] = {
                { "copy", no_argument, NULL, 'c' },
                { "absolute", no_argument, NULL, 'a' },
                { "help", no_argument, NULL, 'h' },
                { "version", no_argument, NULL, 'v' },
                { NULL, 0, NULL, 0 },
        };
        int option;

        while ((option = getopt_long(argc, argv, "", known, NULL)) >= 0) {
                if (option == 'c') {
                        o->copy = 1;
                } else if (option == 'a') {
                        o->absolute = 1;
                } else if (option == 'v') {
                        printf("stint-export %s\n", PACKAGE_VERSION);
                        return 0;
                } else {
                        usage(option == 'h' ? stdout : stderr);
                        return option == 'h' ? 0 : EXIT_OWN;
                }
        }
        if (argc - optind != 3 || (o->ranks = number(argv[optind + 1])) == 0) {
                usage(stderr);
                return EXIT_OWN;
        }
        o->dir = argv[optind];
        o->out = argv[optind + 2];
        return -1;
}

/* ---- where things are, seen from where --------------------------------------------------------------------------- */

/* The directory in which out will be, absolute and without links. */
static int folder_of(char folder[PATH_MAX], const char *out, struct stint_error *err)
{
        const char *slash = strrchr(out, '/');
        char *dir = slash ? strndup(out, (size_t)(slash - out) + 1) : strdup(".");
        int rc = 0;

        if (!dir)
                return error_system(err, ENOMEM, "cannot find %s", out);
        if (!realpath(dir, folder))
                rc = error_system(err, errno, "there is no directory %s", dir);
        free(dir);
        return rc;
}

/* The n-th directory above an absolute one, as the length of its beginning. */
static size_t above(const char *dir, int n)
{
        size_t length = strlen(dir);

        while (n-- > 0)
                while (length > 0 && dir[--length] != '/')
                        continue;
        return length;
}

/*
 * The checkpoint RUN/checkpoints/STEP as it is seen from a file beside the run, in it or further down in it: so that
 * the two can be moved together.  From anywhere else its absolute path.
 */
static void refer(char *out, size_t size, const char *dir, const char *folder)
{
        const size_t run = above(dir, 2), parent = above(dir, 3);
        const char *down;

        if (strlen(folder) == parent && strncmp(folder, dir, parent) == 0) {
                snprintf(out, size, "%s", dir + parent + 1);
                return;
        }
        if (strncmp(folder, dir, run) != 0 || (folder[run] != '\0' && folder[run] != '/')) {
                snprintf(out, size, "%s", dir);
                return;
        }
        out[0] = '\0';
        for (down = folder + run; *down; down++)
                if (*down == '/' && strlen(out) + 4 < size)
                        strcat(out, "../");
        snprintf(out + strlen(out), size - strlen(out), "%s", dir + run + 1);
}

/* ---- the story --------------------------------------------------------------------------------------------------- */

static char temporary[PATH_MAX + 32];

/* What is half made has no use for anybody. */
static void on_signal(int number_of)
{
        unlink(temporary);
        signal(number_of, SIG_DFL);
        raise(number_of);
}

static int begin_file(const char *out, struct stint_error *err)
{
        if (access(out, F_OK) == 0)
                return error_set(err, EEXIST, "%s exists already; remove it, or name another file", out);
        if ((size_t)snprintf(temporary, sizeof temporary, "%s.%d.tmp", out, (int)getpid()) >= sizeof temporary)
                return error_system(err, ENAMETOOLONG, "cannot make %.200s...", out);
        signal(SIGINT, on_signal);
        signal(SIGTERM, on_signal);
        return 0;
}

static int sync_file(const char *path, struct stint_error *err)
{
        int fd = open(path, O_RDONLY | O_CLOEXEC), rc;

        if (fd < 0)
                return error_system(err, errno, "cannot open %s", path);
        rc = durable_sync(fd, path, err);
        close(fd);
        return rc;
}

static int make(const struct options *o, struct export_list *list, const char *reference, struct stint_error *err)
{
        int rc;

        if (begin_file(o->out, err) < 0)
                return -1;
        rc = export_file_make(temporary, list, o->copy ? NULL : reference, err);
        if (rc < 0)
                error_wrap(err, "%s", o->out);
        if (rc == 0)
                rc = export_copy(temporary, list, err);
        if (rc == 0)
                rc = sync_file(temporary, err);
        if (rc == 0)
                rc = durable_rename(temporary, o->out, err);
        if (rc < 0)
                unlink(temporary);
        return rc;
}

/* A program that reads an array has the files of all its shards open at once, and where it may not, HDF5 fills in. */
static void warn_of_files(const struct export_list *list)
{
        struct rlimit limit;
        uint32_t i, most = 0;

        for (i = 0; i < list->count; i++)
                if (list->arrays[i].count > most)
                        most = list->arrays[i].count;
        if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < (rlim_t)most + FILES_BESIDES)
                log_warning("export: to read an array, %u files must be open, and %llu may be here: what is not found "
                            "reads as not-a-number; raise `ulimit -n` before, or use --copy",
                            most, (unsigned long long)limit.rlim_cur);
}

static void say(const struct options *o, const struct export_list *list, const char *reference)
{
        char name[2 * STINT_MAX_NAME], more[32] = "";

        printf("%s: %u arrays in /state, %u in /ranks; ", o->out, list->whole, list->count - list->whole);
        if (o->copy)
                printf("a copy of step %lld\n", (long long)list->step);
        else
                printf("refers to %s\n", reference);
        if (!o->copy)
                warn_of_files(list);
        if (list->differ_count == 0)
                return;
        log_escape(name, sizeof name, list->differing->name);
        if (list->differ_count > 1)
                snprintf(more, sizeof more, " and %u more", list->differ_count - 1);
        log_notice("export: neither shards nor the same on all ranks, so in /ranks: %s%s", name, more);
}

static int export(const struct options *o, struct stint_error *err)
{
        struct export_list list;
        char folder[PATH_MAX], reference[PATH_MAX];
        int rc = folder_of(folder, o->out, err);

        if (rc < 0)
                return -1;
        rc = export_list_read(&list, o->dir, o->ranks, err);
        if (rc == 0) {
                if (o->absolute)
                        snprintf(reference, sizeof reference, "%s", list.dir);
                else
                        refer(reference, sizeof reference, list.dir, folder);
                rc = make(o, &list, reference, err);
        }
        if (rc == 0)
                say(o, &list, reference);
        export_list_fini(&list);
        return rc;
}

int main(int argc, char **argv)
{
        struct options o = { .copy = 0 };
        struct stint_error err = { 0 };
        int code;

        log_init("stint", STINT_LOG_NOTICE);
        code = read_options(&o, argc, argv);
        if (code >= 0)
                return code;
        if (export(&o, &err) < 0) {
                log_error("export: %s", err.text);
                return err.code == EBADMSG ? EXIT_DAMAGED : EXIT_OWN;
        }
        if (fflush(stdout) || ferror(stdout)) {
                log_error("stdout: cannot be written to");
                return EXIT_OWN;
        }
        return 0;
}
