#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# tests/flow/manual.sh: the manual says what the programs say. Every verb has a page, every option is on it and no other,
# with its default; every function of stint.h is in stint(3), and the program on that page compiles and runs.
set -eu
. "$(dirname "$0")/../tap.sh"

pages=$TEST_SOURCE/docs/man

# ---- verbs and options -----------------------------------------------------------------------------------------------

verbs=$(stint --help | sed -n 's/^  \([a-z]*\)  *[^ ].*/\1/p')
like "$verbs" "^run\$" "\`stint --help\` lists its verbs"
is "$(sed -n 's/^\.It Cm \([a-z]*\)$/\1/p' "$pages/stint.1")" "$verbs" "stint(1) has the same verbs in the same order"

options_told() # by --help, sorted
{
        grep -oE '^  --[a-z][a-z0-9-]*' | tr -d ' ' | sort
}

options_written() # PAGE: those that an .It of the page begins with, sorted
{
        grep -E '^\.It Fl -' "$1" | grep -oE -- ' -[a-z][a-z0-9-]*' | sed 's/^ /-/' | sort
}

default_of() # OPTION: what its --help says in "(default: ...)", from lines that may be broken
{
        tr '\n' ' ' | tr -s ' ' | sed 's/ \(--[a-z]\)/\n\1/g' | grep -e "^$1[ =]" | sed -n 's/.*(default: \([^)]*\)).*/\1/p'
}

block_of() # OPTION PAGE: its text on the page, without macros and spaces
{
        awk -v item=".It Fl ${1#-} " '/^\.(It|El)/ { on = index($0 " ", item) == 1 } on' "$2" |
                sed 's/^\.[A-Z][a-z] //; s/ Ns / /g; s/ Pa / /g' | tr -d ' \n'
}

for verb in $verbs; do
        page=$pages/stint-$verb.1
        if [ ! -e "$page" ]; then
                fail "\`stint $verb\` has a page"
                continue
        fi
        stint help "$verb" >"$TEST_DIR/help"
        like "$(cat "$TEST_DIR/help")" "^  --help " "\`stint help $verb\` tells its options"
        is "$(options_written "$page")" "$(options_told <"$TEST_DIR/help")" "stint-$verb(1) has the options of --help and no others"
        forgotten=
        for option in $(options_told <"$TEST_DIR/help"); do
                default=$(default_of "$option" <"$TEST_DIR/help")
                [ -n "$default" ] || continue
                # "NAME.stint here" on a terminal is more words in a manual: the first one counts.
                block_of "$option" "$page" | grep -qF -e "Default:${default%% *}" || forgotten+=" $option=$default"
        done
        is "$forgotten" "" "stint-$verb(1) has their defaults"
done
is "$(stint-agent --help | options_told)" "$(options_written "$pages/stint-agent.8" | grep -vxE -e '--(help|version)')" \
        "stint-agent(8) has the options of the agent"

# ---- stint(3) --------------------------------------------------------------------------------------------------------

promised=$(grep -v '^#' "$TEST_SOURCE/lib/stint.h" | grep -oE 'STINT_API [^;(]*\(' | grep -oE 'stint_[a-z_0-9]+\($' | tr -d '(' | sort)
like "$promised" "^stint_step\$" "stint.h has functions"
is "$(sed '/^\.Sh DESCRIPTION/q' "$pages/stint.3" | sed -n 's/^\.Fn \(stint_[a-z_0-9]*\) .*/\1/p' | sort)" "$promised" \
        "stint(3) has every function of stint.h"
untold=
for function in $promised; do
        sed '1,/^\.Sh DESCRIPTION/d' "$pages/stint.3" | grep -qE "^\.(Fn|Pq Fn|It Fn) .*$function( |\$)" || untold+=" $function"
done
is "$untold" "" "and tells what each of them does"

sed -n '/^\.\\" example begins/,/^\.\\" example ends/p' "$pages/stint.3" | grep -v '^\.' | sed 's/\\e/\\/g' >"$TEST_DIR/walk.c"
if [ "$TEST_SANITIZERS" = yes ]; then
        skip "a program without the sanitizers cannot be linked with libstint here" "the program of stint(3) runs"
else
        # shellcheck disable=SC2086  # TEST_CC may carry flags
        ok "the program of stint(3) compiles" $TEST_CC -std=c11 -Wall -Wextra -Werror -I "$TEST_BUILD/public" \
                -o "$TEST_DIR/walk" "$TEST_DIR/walk.c" -L "$TEST_BUILD/lib/.libs" -lstint
        export LD_LIBRARY_PATH=$TEST_BUILD/lib/.libs
        run stint run -- "$TEST_DIR/walk" 1000
        is "$status" 0 "and runs"
        like "$(cat "$TEST_DIR/out")" "^x = .* after 1000 steps" "to its end"
        unset LD_LIBRARY_PATH
fi

# ---- the pages -------------------------------------------------------------------------------------------------------

unlisted=
dangling=
for page in "$pages"/*.[0-9]; do
        grep -qE "(^|[[:space:]])docs/man/${page##*/}([[:space:]]|\$)" "$TEST_SOURCE/Makefile.am" || unlisted+=" ${page##*/}"
        # A reference to a page of ours is to one that is there.
        while read -r reference; do
                [ -e "$pages/$reference" ] || dangling+=" ${page##*/}:$reference"
        done < <(sed -n 's/^\.Xr \(stint[a-z-]*\) \([0-9]\).*/\1.\2/p' "$page")
done
is "$unlisted" "" "every page is installed"
is "$dangling" "" "every page that is named is there"
if command -v mandoc >/dev/null; then
        run mandoc -T lint -W warning "$pages"/*.[0-9]
        is "$(cat "$TEST_DIR/out" "$TEST_DIR/err")" "" "mandoc has nothing to say"
else
        skip "mandoc is not installed" "mandoc has nothing to say"
fi
done_testing
