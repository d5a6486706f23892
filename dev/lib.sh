# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# dev/lib.sh: what the commands in dev/ share: where the checkout is, running something quietly, building in a folder.
# Read by dev/setup, dev/build, dev/test, dev/demo and dev/cluster with `.`; each has `set -eu`.

# Daemons lie in sbin, which the PATH of root lacks after a plain `su`.
PATH=$PATH:/usr/sbin:/sbin

stint_source=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
# Everything that is built lies below this folder.
stint_build=${STINT_BUILD:-$stint_source/build}
case $stint_build in
/*) ;;
*) stint_build=$PWD/$stint_build ;;
esac

say() # TEXT...: for the person watching; stdout is kept for results
{
        printf '%s\n' "${0##*/}: $*" >&2
}

die() # TEXT...
{
        say "$*"
        exit 1
}

cores()
{
        nproc 2>/dev/null || echo 1
}

quietly() # LOG COMMAND [ARGUMENT...]: output goes to LOG, and its end to stderr when the command fails
{
        local log=$1 rc=0
        shift
        "$@" >"$log" 2>&1 </dev/null || rc=$?
        if [ "$rc" -ne 0 ]; then
                say "failed with exit status $rc: $*"
                tail -n "${quietly_lines:-50}" "$log" >&2
                say "the whole log: $log"
        fi
        return "$rc"
}

# build_in FOLDER [CONFIGURE-ARGUMENT...]: brings the build in FOLDER up to date. Does next to nothing when it is. One
# build per folder at a time; a second waits. Set build_targets for other targets than `all`.
build_in()
{
        local folder=$1 rc=0
        shift
        mkdir -p "$folder"
        (
                flock 9
                build_locked "$folder" "$@" 9>&-
        ) 9>"$folder/.lock" || rc=$?
        return "$rc"
}

build_locked()
{
        local folder=$1 wanted
        shift
        [ ! -e "$stint_source/config.status" ] ||
                die "$stint_source was configured for a build in the source folder; run \`make distclean\` there first"
        if [ ! -x "$stint_source/configure" ] || [ ! -e "$stint_source/Makefile.in" ]; then
                # Two builds in different folders share these files.
                (
                        flock 8
                        quietly "$folder/autogen.log" "$stint_source/autogen.sh" 8>&-
                ) 8>"$stint_build/.autogen.lock" || return 1
        fi
        wanted="CC=${CC-} CFLAGS=${CFLAGS-} CPPFLAGS=${CPPFLAGS-} LDFLAGS=${LDFLAGS-} $*"
        if [ ! -e "$folder/Makefile" ] || [ "$(cat "$folder/.configured" 2>/dev/null)" != "$wanted" ]; then
                rm -f "$folder/.configured"
                (cd "$folder" && quietly "$folder/configure.log" "$stint_source/configure" "$@") || return 1
                printf '%s\n' "$wanted" >"$folder/.configured"
        fi
        # shellcheck disable=SC2086  # targets are words
        quietly "$folder/make.log" make -C "$folder" -j "$(cores)" ${build_targets:-all}
}
