#!/bin/sh
# Trains what a published benchmark has results for, and compares: with its published table, if any.
#
#   sh tools/reproduce.sh tofu|muse|muse-scal|muse-sust|wmdp|rwku [--dry] [OPTION ...]
#
# --dry prints the commands, as a shell takes them, and runs none. Other options go to each
# `unlearnkit fit`; results lie in runs/reproduced/BENCHMARK, with options in a folder of their own.
# The same command goes on after a stop: finished runs are left out, and an interrupted one is
# resumed.
set -eu
run=""
for word in "$@"; do
    shift
    if [ "$word" = --dry ]; then run=shown; else set -- "$@" "$word"; fi
done
benchmark=$(printf %s "${1-}" | tr '[:upper:]' '[:lower:]')
[ $# -eq 0 ] || shift
methods="gradient_ascent graddiff npo simnpo rmu"
recipe="published/${benchmark%%-*}"
table="--expected $recipe"
case $benchmark in
    tofu) choice=split parts="forget01 forget05 forget10" methods="$methods dpo_idk" ;;
    muse) choice=corpus parts="news books" ;;
    muse-scal) choice=corpus folds="scal1 scal2 scal3 scal4" parts="news books" table="" ;;
    muse-sust) choice=corpus folds=sust parts="news books" table="" ;;
    wmdp) choice=domain parts="cyber bio" methods="" table="" ;; # RMU alone, without a choice of it
    rwku) choice="" parts=person methods="npo gradient_ascent refusal" table="" ;;
    *)
        echo "usage: sh tools/reproduce.sh tofu|muse|muse-scal|muse-sust|wmdp|rwku [--dry] [OPTION ...]" >&2
        exit 2
        ;;
esac
# The published table is of the smallest models.
case " $*" in *" --size "[!1]* | *" --size="[!1]*) table="" ;; esac

# Options in the name of a folder: as they are, or what a name can hold of them and a checksum.
given=$(printf %s "$*" | tr ' ' _)
named=$(printf %s "$given" | tr -c 'A-Za-z0-9_.=+-' _ | cut -c 1-60)
[ "$named" = "$given" ] || named="$named-$(printf %s "$*" | cksum | cut -d ' ' -f 1)"

# shown WORD ...: the words as a shell takes them, in quotes where it needs them.
shown() {
    line=""
    for word in "$@"; do
        case $word in
            "" | *[!A-Za-z0-9_./:=+,@%-]*)
                word="'$(printf %s "$word" | sed "s/'/'\\\\''/g")'"
                ;;
        esac
        line="$line${line:+ }$word"
    done
    printf '%s\n' "$line"
}

# train FOLDER OPTION ...: one run, unless the folder has it; begun ones go on.
train() {
    runs="$1/$recipe"
    for summary in "$runs"/*/summary.json; do
        [ -f "$summary" ] || continue
        finished=${summary%/summary.json}
        # A stop after the training leaves a run without its last measurement.
        if grep -q '"before"' "$summary" && ! grep -q '"after"' "$summary"; then
            echo "$finished: trained before, and to be measured" >&2
            $run unlearnkit evaluate "$finished"
        else
            echo "$finished: finished before" >&2
        fi
        return
    done
    # A run in phases has a summary of each that is finished.
    begun=$(find "$runs" \( -name '*.ckpt' -o -name summary.json \) 2>/dev/null | head -n 1)
    $run unlearnkit fit --recipe "$recipe" --run_dir "$@" ${begun:+--ckpt_path last}
}

for part in $parts; do
    for fold in ${folds:-whole}; do
        folder="runs/reproduced/$benchmark$named/$part"
        [ -z "${folds-}" ] || folder="$folder/$fold"
        for method in ${methods:-rmu}; do
            train "$folder/$method" ${choice:+"--$choice" "$part"} ${folds:+--folds "$fold"} \
                ${methods:+--method "$method"} "$@"
        done
        # Options may have made of it a run of which no table speaks.
        # shellcheck disable=SC2086  # two words, or none
        $run unlearnkit compare "$folder" $table || {
            code=$?
            [ "$code" = 2 ] && [ -n "$table" ] || exit "$code"
            $run unlearnkit compare "$folder"
        }
    done
done
