#!/bin/sh
# Imports the MuopDB files in SRC into one log after another until it is killed, and says so in the words of
# a black box (docs/black-box.md): import_writer.sh GROUPWAL SRC ENTRIES DIR
program=$1 src=$2 last=$(($3 - 1)) dir=$4
count=0
while :; do
    log="$PLUGPULL_GENERATION-$count"
    for seq in $(seq 0 "$last"); do echo "attempt $log-$seq"; done
    "$program" import-muopdb --segment-bytes 65536 "$src" "$dir/log-$log" >"$dir/said" || exit 1
    for seq in $(seq 0 "$last"); do echo "ack $log-$seq"; done
    count=$((count + 1))
done
