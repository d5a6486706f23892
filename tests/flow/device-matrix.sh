#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# tests/flow/device-matrix.sh [--table]: a training saved on a GPU, and one saved on the host, resumed under every form of
# CUDA_VISIBLE_DEVICES with every word for the model's device: each cell goes on there, to the same bits, or is refused and
# costs nothing. The stand-in for the CUDA runtime reads the variable, the plugin is the real one. The table of
# docs/devices.md is what was measured here; --table writes it there.
set -eu
. "$(dirname "$0")/../tap.sh"
. "$TEST_SOURCE/tests/flow/flow.sh"

page=$TEST_SOURCE/docs/devices.md
train=(cuda_placed 60 0)
slow_train=(cuda_placed 60 10) # another command, hence --stint-adopt
words=(auto cuda:0 cuda:1 cpu)
export STINT_DEVICE_PATH=$TEST_BUILD/tests/standin/.libs
unset CUDA_VISIBLE_DEVICES CUDA_DEVICE_ORDER

# ---- the machines ----------------------------------------------------------------------------------------------------

declare -A uuid=(
        [A]=GPU-8932f937-d72c-4106-c12f-20bd9faed9f6
        [B]=GPU-8932b0a4-1c1a-d9ed-fe37-18b8466a78ad
        [C]=GPU-e429a63e-c61c-4795-b757-5132caeb8e70
        [B1]=MIG-c6d4f1ef-42e4-5de3-91c7-45d71c87eb3f
        [B2]=MIG-cba663e8-9bed-5b25-b243-5985ef7c9beb
)
declare -A letter
for name in "${!uuid[@]}"; do
        letter[${uuid[$name]}]=$name
done

# machine NAME LETTER...: the files of the driver, and an nvidia-smi, in folders of that name
machine()
{
        local folder=$TEST_DIR/$1 name minor=0 parts=0
        shift
        mkdir -p "$folder/dev" "$folder/bin" "$folder/proc/driver/nvidia"
        echo 'NVRM version: NVIDIA UNIX x86_64 Kernel Module  535.129.03  Thu Oct 19 18:56:32 UTC 2023' \
                >"$folder/proc/driver/nvidia/version"
        for name; do
                case $name in
                ?)
                        mkdir -p "$folder/proc/driver/nvidia/gpus/0000:0$minor:00.0"
                        printf 'Model: \t\t NVIDIA A100-SXM4-80GB\nGPU UUID: \t %s\nDevice Minor: \t %d\nGPU Excluded:\t No\n' \
                                "${uuid[$name]}" "$minor" >"$folder/proc/driver/nvidia/gpus/0000:0$minor:00.0/information"
                        : >"$folder/dev/nvidia$minor"
                        echo "GPU $minor: NVIDIA A100-SXM4-80GB (UUID: ${uuid[$name]})"
                        minor=$((minor + 1)) ;;
                *)
                        mkdir -p "$folder/proc/driver/nvidia/capabilities/gpu$((minor - 1))/mig/gi$((parts + 1))"
                        echo "  MIG 1g.10gb     Device  $parts: (UUID: ${uuid[$name]})"
                        parts=$((parts + 1)) ;;
                esac
        done >"$folder/list"
        # Memory and addresses are another question, which this one leaves without an answer.
        # shellcheck disable=SC2016  # $1 is the script's
        printf '#!/bin/sh\ntest "$1" = -L && exec cat %q\n' "$folder/list" >"$folder/bin/nvidia-smi"
        chmod +x "$folder/bin/nvidia-smi"
}
machine whole A B C
machine divided A B B1 B2
declare -A standin=(
        [whole]="devices=3,uuids=${uuid[A]}:${uuid[B]}:${uuid[C]}"
        [divided]="devices=4,uuids=${uuid[A]}:${uuid[B]}:${uuid[B1]}:${uuid[B2]}"
)

as_letters() # the UUIDs on stdin
{
        local one all=
        while read -r one; do
                [ -z "$one" ] || all+=" ${letter[$one]-$one}"
        done < <(tr -s ' ' '\n')
        echo "${all# }"
}

# ---- the rows --------------------------------------------------------------------------------------------------------

# What is expected: form | machine | CUDA_VISIBLE_DEVICES | what a program sees | where the checkpoint is from | with auto,
# cuda:0, cuda:1, cpu. A cell is a device, `host`, or why it is refused: `none`, for nothing is visible; `beyond`, for there
# is no second device; `lost`, for the state comes from a device and would end on the host unnoticed.
rows=(
        "not set|whole|not set|A B C|GPU|A A B host"
        "not set|whole|not set|A B C|CPU|A A B host"
        "index|whole|1|B|GPU|B B beyond host"
        "index|whole|1|B|CPU|B B beyond host"
        "reordered|whole|2,0|C A|GPU|C C A host"
        "reordered|whole|2,0|C A|CPU|C C A host"
        "UUID|whole|${uuid[B]},${uuid[A]}|B A|GPU|B B A host"
        "UUID|whole|${uuid[B]},${uuid[A]}|B A|CPU|B B A host"
        "beginning of a UUID|whole|GPU-e4|C|GPU|C C beyond host"
        "beginning of a UUID|whole|GPU-e4|C|CPU|C C beyond host"
        "MIG|divided|${uuid[B2]}|B2|GPU|B2 B2 beyond host"
        "MIG|divided|${uuid[B2]}|B2|CPU|B2 B2 beyond host"
        "empty|whole|empty||GPU|lost none none host"
        "empty|whole|empty||CPU|host none none host"
        "-1|whole|-1||GPU|lost none none host"
        "-1|whole|-1||CPU|host none none host"
        "NoDevFiles|whole|NoDevFiles||GPU|lost none none host"
        "NoDevFiles|whole|NoDevFiles||CPU|host none none host"
        "an invalid word ends the list|whole|1,7,0|B|GPU|B B beyond host"
        "an invalid word ends the list|whole|1,7,0|B|CPU|B B beyond host"
)

# in_row COMMAND...: with the machine and the variable of the row
in_row()
{
        local variable=(-u CUDA_VISIBLE_DEVICES)
        case $value in
        'not set') ;;
        empty) variable=(CUDA_VISIBLE_DEVICES=) ;;
        *) variable=(CUDA_VISIBLE_DEVICES="$value") ;;
        esac
        env "${variable[@]}" CUDA_STANDIN="${standin[$machine]}" STINT_DEVICE_ROOT="$TEST_DIR/$machine" \
                PATH="$TEST_DIR/$machine/bin:$PATH" "$@"
}

# ---- two checkpoints -------------------------------------------------------------------------------------------------

STINT_DIR=off STINT_MODEL_DEVICE=cpu CUDA_STANDIN=${standin[whole]} run "${train[@]}"
is "$status" 0 "a training runs without stint"
reference_hash=$(sed -n 's/^steps .* hash //p' "$TEST_DIR/out")

declare -A saved_with=([GPU]=cuda:1 [CPU]=cpu)
declare -A step step_name
for from in GPU CPU; do
        STINT_MODEL_DEVICE=${saved_with[$from]} CUDA_STANDIN=${standin[whole]} \
                killed_after "$TEST_DIR/$from" 1 stint run --stint-dir "$TEST_DIR/$from" --stint-interval 50ms -- "${slow_train[@]}"
        step_name[$from]=$(whole "$TEST_DIR/$from" | tail -n 1)
        step[$from]=$(step_of "$(newest "$TEST_DIR/$from")")
done
like "$(cat "$TEST_DIR/killed-GPU.out")" "^weights on cuda:1\$" "one checkpoint is from cuda:1"
like "$(cat "$TEST_DIR/killed-CPU.out")" "^weights on the host\$" "one is from the host"

# ---- the cells -------------------------------------------------------------------------------------------------------

declare -A refusal # the words of each, as the first cell had them

refused() # why, as a word, from what the program said
{
        local said kind
        said=$(sed -n 's/^cuda_placed: //p' "$TEST_DIR/err")
        case $said in
        *"'model/weights': it was on cuda:1 when it was saved, and this process has no device"*"=cpu"*) kind=lost ;;
        *"'model/weights': CUDA shows this process no device"*) kind=none ;;
        *"'model/weights': there is no cuda:1: this process sees 1,"*) kind=beyond ;;
        *) kind="exit status $status: $said" ;;
        esac
        : "${refusal[$kind]:=$said}"
        [ ! -e "$run/DONE" ] && [ "$(whole "$run")" = "$(whole "$TEST_DIR/$from")" ] || kind+=", but the run is another one now"
        cell=$kind
}

# Where the weights are, and their momentum with them.
resumed()
{
        local where seen
        where=$(sed -n 's/^weights on //p' "$TEST_DIR/out")
        read -r -a seen < <(sed -n 's/^sees//p' "$TEST_DIR/out") || :
        case $where in
        cuda:*) cell=$(as_letters <<<"${seen[${where#cuda:}]-}") number=$where ;;
        'the host') cell=host number= ;;
        *) cell="somewhere: $where" ;;
        esac
        grep -qxF "momentum on $where" "$TEST_DIR/out" || cell+=", but not its momentum"
        grep -qx "starts at step ${step[$from]}" "$TEST_DIR/out" || cell+=", but from another step"
        grep -qx "steps 60 hash $reference_hash" "$TEST_DIR/out" || cell+=", but to other bits"
        [ -e "$run/DONE" ] || cell+=", but it is not DONE"
}

# foretell WORD: sets `foretold`, what `stint doctor` makes of the cell beforehand
foretell()
{
        local said device
        said=$(in_row env STINT_MODEL_DEVICE="$1" stint doctor "$run" 2>"$TEST_DIR/err" | tr -s ' ')
        device=$(sed -n 's/^ok model device device \([0-9]*\)[, ].*/\1/p' <<<"$said")
        case $(grep '^[a-z]* model device ' <<<"$said") in
        'ok model device host memory'*) foretold=host ;;
        "warning model device a program sees no device here, and ${step_name[$from]} was saved from cuda:1"*) foretold=lost ;;
        *"'$1', and a program sees no device here: stint_place refuses it") foretold=none ;;
        *"'$1', and a program sees 1 here, counted from 0: stint_place refuses it") foretold=beyond ;;
        "ok model device device "*"; ${step_name[$from]} puts 15.6 KiB there")
                foretold=$(sed -n "s/^ok device $device \([^ ,]*\).*/\1/p" <<<"$said" | as_letters) ;;
        *) foretold=$(grep 'model device' <<<"$said" || :) ;;
        esac
}

measure() # FROM WORD: sets `cell`, `foretold`, and `number`, that of the device
{
        from=$1 number='' run=$TEST_DIR/cell
        cp -a "$TEST_DIR/$from" "$run"
        foretell "$2"
        run in_row env STINT_MODEL_DEVICE="$2" stint run --stint-dir "$run" --stint-adopt -- "${train[@]}"
        if [ "$status" -eq 0 ]; then
                resumed
        else
                refused
        fi
}

declare -A reason=([none]="nothing is visible" [beyond]="no second device" [lost]="not to the host unasked")

show_cell() # as the table has it
{
        case $cell in
        host) echo "host" ;;
        none | beyond | lost) echo "refused: ${reason[$cell]}" ;;
        *) echo "\`$number\`, $cell" ;;
        esac
}

show_value()
{
        case $value in
        'not set' | empty) echo "$value" ;;
        *) echo "\`$value\`" ;;
        esac
}

# seen_by_all: the program, `stint doctor` beforehand and the journal afterwards tell of the same devices
seen_by_all()
{
        local told instances=$sees
        is "$(sed -n 's/^sees//p' "$TEST_DIR/out" | as_letters)" "$sees" "$form: CUDA shows '$sees'"
        told=$(in_row stint doctor "$TEST_DIR" 2>"$TEST_DIR/err" |
                sed -n 's/^ok  *device [0-9]*  *\([^ ,]*\).*/\1/p' | as_letters)
        is "$told" "$sees" "$form: \`stint doctor\` has said so"
        # The files of the driver, which is all that libstint reads, do not name instances.
        [ "$machine" = whole ] || instances='?'
        told=$(journal "$run" attached | tail -n 1 | /usr/bin/python3 -c 'import json, sys
print(*(uuid or "?" for uuid in json.load(sys.stdin)["places"][0].get("uuids", [])))' | as_letters)
        is "$told" "$instances" "$form: and the journal says so"
}

{
        echo "| form | CUDA_VISIBLE_DEVICES | a program sees | saved on | \`auto\` | \`cuda:0\` | \`cuda:1\` | \`cpu\` |"
        echo "|---|---|---|---|---|---|---|---|"
} >"$TEST_DIR/table"
for row in "${rows[@]}"; do
        IFS='|' read -r form machine value sees from expected <<<"$row"
        read -r -a expected <<<"$expected"
        line="| $form | $(show_value) | ${sees:-nothing} | ${from/CPU/the host} |"
        for i in "${!words[@]}"; do
                measure "$from" "${words[i]}"
                is "$cell" "${expected[i]}" "$form, saved on $from, ${words[i]}: ${expected[i]}"
                is "$foretold" "$cell" "as \`stint doctor\` has said"
                line+=" $(show_cell) |"
                if [ "$from,${words[i]}" = GPU,cpu ]; then
                        seen_by_all
                fi
                rm -r "$run"
        done
        echo "$line" >>"$TEST_DIR/table"
done
{
        echo
        for kind in none beyond lost; do
                echo "- *${reason[$kind]}*: ${refusal[$kind]-no cell was refused so}"
        done
} >>"$TEST_DIR/table"

# ---- the page --------------------------------------------------------------------------------------------------------

diag "$(cat "$TEST_DIR/table")"
if [ "${1-}" = --table ]; then
        awk -v table="$TEST_DIR/table" '
                /^<!-- end -->$/ { skipping = 0 }
                !skipping
                /^<!-- matrix -->$/ { skipping = 1; while ((getline line <table) > 0) print line }' "$page" >"$TEST_DIR/page"
        cp "$TEST_DIR/page" "$page"
fi
is "$(sed -n '/^<!-- matrix -->$/,/^<!-- end -->$/{/^<!--/!p}' "$page")" "$(cat "$TEST_DIR/table")" \
        "docs/devices.md has the table as it was measured"
done_testing
