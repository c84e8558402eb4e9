#!/bin/sh
# What has the name of a log is a whole one: import_checker.sh GROUPWAL ENTRIES DIR
program=$1 entries=$2 dir=$3
for log in $(ls "$dir" | grep '^log-[0-9]*-[0-9]*$' | sort -t- -k2n -k3n); do
    "$program" verify "$dir/$log" >/dev/null || exit 1
    "$program" dump "$dir/$log" | {
        count=0
        while read -r seq _; do
            echo "survived ${log#log-}-$seq"
            count=$((count + 1))
        done
        [ "$count" = "$entries" ]
    } || exit 1
done
