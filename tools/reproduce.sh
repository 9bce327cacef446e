#!/bin/sh
# Trains every method of a published benchmark and puts the results beside the published ones.
#
#   sh tools/reproduce.sh tofu [OPTION ...]     # or muse; the options go to each `unlearnkit fit`
set -eu
benchmark=$1
shift
case $benchmark in
    tofu) choice=split parts="forget01 forget05 forget10" ;;
    muse) choice=corpus parts="news books" ;;
    *) echo "usage: sh tools/reproduce.sh tofu|muse [OPTION ...]" >&2; exit 2 ;;
esac
methods="gradient_ascent graddiff npo simnpo rmu"
[ "$benchmark" = muse ] || methods="$methods dpo_idk"
for part in $parts; do
    for method in $methods; do
        unlearnkit fit --recipe "published/$benchmark" --method "$method" "--$choice" "$part" \
            --run_dir "runs/reproduced/$part/$method" "$@"
    done
    unlearnkit compare "runs/reproduced/$part" --expected "published/$benchmark"
done
