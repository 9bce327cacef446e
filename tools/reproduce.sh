#!/bin/sh
# Trains what a published benchmark has results for, and compares: with its published table, if any.
#
#   sh tools/reproduce.sh tofu|muse|wmdp|rwku [--dry] [OPTION ...]
#
# --dry prints the commands and runs none; other options go to each `unlearnkit fit`.
set -eu
benchmark=$(printf %s "${1-}" | tr '[:upper:]' '[:lower:]')
[ $# -eq 0 ] || shift
run=""
[ "${1-}" != --dry ] || { run=echo; shift; }
methods="gradient_ascent graddiff npo simnpo rmu"
case $benchmark in
    tofu) choice=split parts="forget01 forget05 forget10" methods="$methods dpo_idk" ;;
    muse) choice=corpus parts="news books" ;;
    wmdp) choice=domain parts="cyber bio" methods="" ;;     # RMU alone, without a choice of it
    rwku) choice="" parts=person methods="npo gradient_ascent refusal" ;;
    *) echo "usage: sh tools/reproduce.sh tofu|muse|wmdp|rwku [--dry] [OPTION ...]" >&2; exit 2 ;;
esac
recipe="published/$benchmark"
table=""
case $benchmark in tofu | muse) table="--expected $recipe" ;; esac
for part in $parts; do
    folder="runs/reproduced/$benchmark/$part"
    for method in ${methods:-rmu}; do
        $run unlearnkit fit --recipe "$recipe" ${methods:+--method "$method"} \
            ${choice:+"--$choice" "$part"} --run_dir "$folder/$method" "$@"
    done
    # shellcheck disable=SC2086  # two words, or none
    $run unlearnkit compare "$folder" $table
done
