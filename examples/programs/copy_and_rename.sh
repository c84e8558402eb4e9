#!/bin/sh
# The plain script that many programs use: copy the file, change the copy, rename it over the old one.
#
#   copy_and_rename.sh write|check DIRECTORY [weak]
#
# Promise: a file that was synced, renamed, and whose directory was synced, is there after a crash, old
# or new and never torn (POSIX: rename is atomic; fsync(2): the directory needs a sync of its own).
# Weak: without `sync`.
set -eu
command=$1 file=$2/file weak=${3:-}

if [ "$command" = check ]; then
    [ -e "$file" ] || exit 0
    exec sed 's/^/survived /' "$file"
fi
number=0
while :; do
    name=g$PLUGPULL_GENERATION-$number
    echo "attempt $name"
    : > "$file.new"
    [ ! -e "$file" ] || cp "$file" "$file.new"
    echo "$name" >> "$file.new"
    [ "$weak" = weak ] || sync "$file.new"
    mv "$file.new" "$file"
    [ "$weak" = weak ] || sync "$2"
    echo "ack $name"
    number=$((number + 1))
done
