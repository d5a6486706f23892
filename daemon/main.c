/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * main of stintd: one per node, as the system user stint, without a capability.  It reads its settings, opens the door,
 * and then serves until SIGTERM.  Before it is ready any error ends it; afterwards nobody's does.  Jobs live on without
 * it, and come back to the next one by themselves.
 */
#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>
#include "clock.h"
#include "log.h"
#include "stintd.h"

#define EXIT_OWN 125 /* stint's own failure, as in env(1) and timeout(1) */
#define CONFIG SYSCONFDIR "/stint/stint.conf"

struct options {
        const char *config, *node, *socket;
        int check, with_parent;
};

/* ---- options ----------------------------------------------------------------------------------------------------- */

static void usage(FILE *out)
{
        fputs("usage: stintd [OPTION...]\n"
              "Watches the deadlines of this node's jobs, tells their agents when to save, and gives them staging.\n"
              "  --config FILE       the settings; default: " CONFIG ", where it is there\n"
              "  --check-config      read the settings, print them, and end\n"
              "  --socket PATH       instead of the setting Socket\n"
              "  --node NAME         instead of the setting NodeName\n"
              "  --foreground        stay in the foreground, which it always does\n"
              "  --exit-with-parent  end when the process that started it ends\n"
              "  --help, --version   this, or the version\n"
              "Settings, one Name=value per line:\n",
              out);
        settings_help(out);
}

/* Does not return for --help, --version and what is wrong. */
static void read_options(struct options *o, int argc, char **argv)
{
        static const struct option words[] = {
                { "config", required_argument, NULL, 'c' },   { "check-config", no_argument, NULL, 'k' },
                { "socket", required_argument, NULL, 's' },   { "node", required_argument, NULL, 'n' },
                { "foreground", no_argument, NULL, 'f' },     { "exit-with-parent", no_argument, NULL, 'p' },
                { "help", no_argument, NULL, 'h' },           { "version", no_argument, NULL, 'v' },
                { NULL, 0, NULL, 0 },
        };
        int c;

        memset(o, 0, sizeof *o);
        while ((c = getopt_long(argc, argv, "h", words, NULL)) != -1)
                switch (c) {
                case 'c':
                        o->config = optarg;
                        break;
                case 'k':
                        o->check = 1;
                        break;
                case 's':
                        o->socket = optarg;
                        break;
                case 'n':
                        o->node = optarg;
                        break;
                case 'f':
                        break;
                case 'p':
                        o->with_parent = 1;
                        break;
                case 'h':
                        usage(stdout);
                        exit(0);
                case 'v':
                        puts("stintd " PACKAGE_VERSION);
                        exit(0);
                default:
                        fputs("stintd --help lists the options\n", stderr);
                        exit(EXIT_OWN);
                }
        if (optind < argc) {
                fprintf(stderr, "stintd: '%s' is not expected; stintd --help lists the options\n", argv[optind]);
                exit(EXIT_OWN);
        }
}

static int read_settings(struct settings *s, const struct options *o, struct stint_error *err)
{
        struct stint_error why = { 0 };

        settings_default(s);
        if (settings_read(s, o->config ? o->config : CONFIG, &why) < 0 && (o->config || why.code != ENOENT))
                return error_set(err, why.code, "%s", why.text);
        if (o->socket && settings_set(s, "Socket", o->socket, err) < 0)
                return error_wrap(err, "--socket");
        if (o->node && settings_set(s, "NodeName", o->node, err) < 0)
                return error_wrap(err, "--node");
        return settings_check(s, err);
}

/* ---- the life of the process ------------------------------------------------------------------------------------- */

static const struct options *options; /* what SIGHUP reads again */

static void stop(struct stintd *d)
{
        if (d->stopping)
                return;
        d->stopping = 1;
        notify_stopping(&d->notify);
        log_notice("stopping: %d job%s of this node save%s by their own timers now", (int)d->jobs.count,
                   d->jobs.count == 1 ? "" : "s", d->jobs.count == 1 ? "s" : "");
        server_close(&d->server);
        grants_stop(&d->grants);
        whose_close(&d->whose);
        notify_close(&d->notify);
        uv_close((uv_handle_t *)&d->term, NULL);
        uv_close((uv_handle_t *)&d->interrupt, NULL);
        uv_close((uv_handle_t *)&d->hangup, NULL);
}

static void on_stop(uv_signal_t *signal, int number)
{
        (void)number;
        stop(signal->data);
}

static void on_hangup(uv_signal_t *signal, int number)
{
        struct stintd *d = signal->data;
        struct settings fresh;
        struct stint_error err = { 0 };
        const char *kept;

        (void)number;
        if (read_settings(&fresh, options, &err) < 0) {
                log_error("the settings stay as they are: %s", err.text);
                return;
        }
        kept = settings_renew(&d->settings, &fresh);
        log_init("stintd", (enum stint_log_level)d->settings.log_level);
        if (kept)
                log_warning("the settings were read again; %s changes only when stintd is started again", kept);
        else
                log_notice("the settings were read again");
}

/* What systemd is told of: that this loop turns is proved by being called, and that jobs get their due by looking. */
static const char *check_progress(void *arg)
{
        const struct stintd *d = arg;

        notify_status(&d->notify, "%d jobs, %d connections", (int)d->jobs.count, (int)d->server.connections);
        return jobs_late(&d->jobs, clock_now());
}

static int watch_signal(struct stintd *d, uv_signal_t *handle, uv_signal_cb on_signal, int number)
{
        int rc = uv_signal_init(&d->loop, handle);

        handle->data = d;
        return rc < 0 ? rc : uv_signal_start(handle, on_signal, number);
}

/* Descriptors: two per connection, as many as the machine lets us have. */
static void raise_limit(void)
{
        struct rlimit limit;

        if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
                limit.rlim_cur = limit.rlim_max;
                setrlimit(RLIMIT_NOFILE, &limit);
        }
}

static void prepare(const struct settings *s)
{
        signal(SIGPIPE, SIG_IGN);
        signal(SIGXFSZ, SIG_IGN); /* a file that a user handed over may have a limit that is ours */
        raise_limit();
        /* libuv 1.45 and later would give file operations to io_uring; nothing here needs it. */
        setenv("UV_USE_IO_URING", "0", 1);
        setenv("UV_THREADPOOL_SIZE", "1", 0); /* for grants, which are made one after another */
        if (s->node[0])
                setenv("SLURMD_NODENAME", s->node, 1); /* stint-slurm asks the slurmd of this name */
}

static int set_up(struct stintd *d, struct stint_error *err)
{
        char path[SETTINGS_PATH];
        int rc = uv_loop_init(&d->loop);

        if (rc == 0)
                rc = watch_signal(d, &d->term, on_stop, SIGTERM);
        if (rc == 0)
                rc = watch_signal(d, &d->interrupt, on_stop, SIGINT);
        if (rc == 0)
                rc = watch_signal(d, &d->hangup, on_hangup, SIGHUP);
        if (rc < 0)
                return error_set(err, EIO, "cannot set up the event loop: %s", uv_strerror(rc));
        if (node_expand(path, sizeof path, d->settings.socket, NULL, err) < 0 ||
            server_open(&d->server, &d->loop, &d->settings, path, d, err) < 0)
                return -1;
        if (grants_open(&d->grants, &d->loop, &d->settings, err) < 0)
                return -1;
        jobs_open(&d->jobs, &d->loop, &d->settings);
        whose_open(&d->whose, &d->loop);
        notify_open(&d->notify, &d->loop, check_progress, d);
        return 0;
}

static void name_handle(uv_handle_t *handle, void *arg)
{
        (void)arg;
        log_error("left open: %s%s", uv_handle_type_name(uv_handle_get_type(handle)),
                  uv_is_closing(handle) ? " (closing)" : "");
}

static void tear_down(struct stintd *d)
{
        users_free(&d->server.users);
        if (uv_loop_close(&d->loop) == 0)
                return;
        uv_walk(&d->loop, name_handle, NULL);
        log_error("the event loop ended with handles left open: this is a defect of stintd");
        abort();
}

/* The parent may have died while the kernel was asked to tell. */
static void follow_parent(void)
{
        const pid_t parent = getppid();

        prctl(PR_SET_PDEATHSIG, SIGTERM);
        if (getppid() != parent)
                exit(0);
}

int main(int argc, char **argv)
{
        static struct stintd d;
        struct stint_error err = { 0 };
        struct options o;
        char node[NODE_NAME];

        read_options(&o, argc, argv);
        options = &o;
        log_init("stintd", STINT_LOG_NOTICE);
        if (read_settings(&d.settings, &o, &err) < 0) {
                log_error("%s", err.text);
                return EXIT_OWN;
        }
        if (o.check) {
                settings_print(&d.settings, stdout);
                return fflush(stdout) == 0 ? 0 : EXIT_OWN;
        }
        if (o.with_parent)
                follow_parent();
        log_init("stintd", (enum stint_log_level)d.settings.log_level);
        prepare(&d.settings);
        if (set_up(&d, &err) < 0) {
                log_error("%s", err.text);
                return EXIT_OWN;
        }
        log_notice("ready on node %s, at %s", node_name(node), d.server.door.path);
        notify_ready(&d.notify);
        uv_run(&d.loop, UV_RUN_DEFAULT);
        tear_down(&d);
        return 0;
}
