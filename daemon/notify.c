/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * notify: the protocol of sd_notify(3), which is one datagram per news, and the watchdog.  The timer turns in the same
 * loop that serves everybody, so that a loop that stands still is not said to be alive.
 */
#include "notify.h"

#include <errno.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
#include "log.h"

static int connect_to(const char *name)
{
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        const size_t n = strlen(name);
        int fd;

        if ((name[0] != '/' && name[0] != '@') || n < 2 || n >= sizeof address.sun_path) {
                log_warning("NOTIFY_SOCKET is '%s', which is no socket: the service manager is told nothing", name);
                return -1;
        }
        memcpy(address.sun_path, name, n);
        if (name[0] == '@')
                address.sun_path[0] = '\0';
        fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (fd >= 0 &&
            connect(fd, (struct sockaddr *)&address, (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n)) == 0)
                return fd;
        log_warning("cannot reach the service manager: %s", strerror(errno));
        if (fd >= 0)
                close(fd);
        return -1;
}

static void tell(const struct notify *n, const char *text)
{
        if (n->fd >= 0 && send(n->fd, text, strlen(text), MSG_NOSIGNAL) < 0)
                log_warning("cannot tell the service manager '%s': %s", text, strerror(errno));
}

static void on_timer(uv_timer_t *timer)
{
        struct notify *n = timer->data;
        const char *late = n->check(n->arg);

        if (late)
                log_error("the watchdog is not fed: %s", late);
        else
                tell(n, "WATCHDOG=1");
}

/* sd_watchdog_enabled(3): microseconds, meant for the process that WATCHDOG_PID names, if it names one. */
static uint64_t watchdog_ms(void)
{
        const char *usec = getenv("WATCHDOG_USEC"), *pid = getenv("WATCHDOG_PID");

        if (!usec || (pid && strtol(pid, NULL, 10) != (long)getpid()))
                return 0;
        return strtoull(usec, NULL, 10) / 1000;
}

void notify_open(struct notify *n, uv_loop_t *loop, const char *(*check)(void *arg), void *arg)
{
        const char *name = getenv("NOTIFY_SOCKET");

        memset(n, 0, sizeof *n);
        n->check = check;
        n->arg = arg;
        n->fd = name && *name ? connect_to(name) : -1;
        n->every_ms = n->fd >= 0 ? watchdog_ms() / 3 : 0;
        uv_timer_init(loop, &n->timer);
        n->timer.data = n;
        unsetenv("NOTIFY_SOCKET");
        unsetenv("WATCHDOG_USEC");
        unsetenv("WATCHDOG_PID");
}

void notify_ready(struct notify *n)
{
        tell(n, "READY=1");
        if (n->every_ms > 0)
                uv_timer_start(&n->timer, on_timer, n->every_ms, n->every_ms);
}

void notify_stopping(struct notify *n)
{
        tell(n, "STOPPING=1");
        uv_timer_stop(&n->timer);
}

void notify_status(const struct notify *n, const char *format, ...)
{
        char text[256] = "STATUS=";
        va_list arguments;

        va_start(arguments, format);
        vsnprintf(text + 7, sizeof text - 7, format, arguments);
        va_end(arguments);
        tell(n, text);
}

void notify_close(struct notify *n)
{
        uv_close((uv_handle_t *)&n->timer, NULL);
        if (n->fd >= 0)
                close(n->fd);
        n->fd = -1;
}
