#!/bin/sh
# A writer and a checker for a daemon: daemon_log.sh write|check DIRECTORY PORT|SOCKET [naive]
set -eu
home=$(dirname "$0")
. "$home/plugpull.sh"
command=$1 directory=$2 at=$3
shift 3

ask() { python3 "$home/log_server.py" "$at" "$@"; }

plugpull_start python3 "$home/log_server.py" "$at" "$directory" "$@"
plugpull_wait ask list
if [ "$command" = check ]; then
    names=$(ask list)
    for name in $names; do plugpull_survived "$name"; done
    plugpull_stop
    exit
fi
number=0
while :; do
    name=g$PLUGPULL_GENERATION-$number
    plugpull_attempt "$name"
    ask append "$name"
    plugpull_ack "$name"
    number=$((number + 1))
done
