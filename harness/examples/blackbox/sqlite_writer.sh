#!/bin/sh
# A writer for SQLite's command line: inserts one row after the other, for ever.
#
#   sqlite_writer.sh DIRECTORY [SYNCHRONOUS]
#
# Each id carries the generation, so that no id is ever used twice. A row is acknowledged after
# COMMIT has returned.
set -eu
dir=$1
synchronous=${2:-FULL}

statements() {
    printf '.bail on\n.timeout 1000\n'
    printf 'PRAGMA synchronous=%s;\n' "$synchronous"
    printf 'CREATE TABLE IF NOT EXISTS entries (place INTEGER PRIMARY KEY, id TEXT, body TEXT);\n'
    i=0
    while :; do
        id="g$PLUGPULL_GENERATION-$i"
        # `.print` is the announcement; a body that crosses pages now and then.
        printf '.print attempt %s\n' "$id"
        printf "INSERT INTO entries (id, body) VALUES ('%s', hex(zeroblob(%d)));\n" \
            "$id" $((i % 5 * 700))
        printf '.print ack %s\n' "$id"
        i=$((i + 1))
    done
}

# stdbuf: standard output into a pipe is held back otherwise, and an announcement that is still in
# the program's memory when it is killed was not made.
statements | stdbuf -oL sqlite3 "$dir/store.db"
