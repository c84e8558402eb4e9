#!/bin/sh
# A log of lines: naive_log.sh write|check DIRECTORY [naive|correct]
#
# `naive` is what one writes in five minutes: it loses acknowledged lines when the power goes.
set -eu
. "$(dirname "$0")/plugpull.sh"
command=$1 log=$2/log mode=${3:-}

# The lines up to what a crash has cut, or left zeros or garbage in. `read` fails at a line without an end.
whole_lines() {
    while read -r line; do
        case $line in
        g*-*.) printf '%s\n' "$line" ;;
        *) break ;;
        esac
    done < "$log"
}

if [ "$command" = check ]; then
    [ -e "$log" ] || exit 0
    whole_lines | while read -r line; do plugpull_survived "${line%.}"; done
    exit
fi
if [ "$mode" = correct ]; then
    # A line that a crash has cut would take the next one with it.
    [ ! -e "$log" ] || whole_lines > "$log.new"
    [ -e "$log.new" ] || : > "$log.new"
    sync "$log.new"
    mv "$log.new" "$log"
    sync "$2"
fi
number=0
while :; do
    name=g$PLUGPULL_GENERATION-$number
    plugpull_attempt "$name"
    printf '%s.\n' "$name" >> "$log"
    [ "$mode" = naive ] || sync "$log"
    plugpull_ack "$name"
    number=$((number + 1))
done
