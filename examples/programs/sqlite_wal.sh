#!/bin/sh
# SQLite's command line in WAL mode, Debian package sqlite3.
#
#   sqlite_wal.sh write|check DIRECTORY [weak]
#
# Promise: with `synchronous=FULL`, a committed transaction is durable (sqlite.org/pragma.html,
# synchronous; in WAL mode NORMAL "might lose durability across a power loss").
# Weak: `synchronous=OFF`.
set -eu
command=$1 directory=$2 database=$2/store.db new=$2.new synchronous=FULL
# A directory that is a file system of its own is given nothing by a rename from outside.
[ "$(stat -c %d "$2")" = "$(stat -c %d "$2/..")" ] || new=$2/.new
[ "${3:-}" != weak ] || synchronous=OFF

if [ "$command" = check ]; then
    [ -e "$database" ] || exit 0
    damage=$(sqlite3 "$database" 'PRAGMA integrity_check')
    [ "$damage" = ok ] || { echo "integrity_check: $damage" >&2; exit 1; }
    exec sqlite3 "$database" "SELECT 'survived ' || name FROM entries ORDER BY place"
fi

statements() {
    # A pragma that answers would be taken for an announcement.
    printf '.bail on\n.timeout 1000\n.output /dev/null\nPRAGMA wal_autocheckpoint=8;\n'
    printf 'PRAGMA synchronous=%s;\n.output stdout\n' $synchronous
    number=0
    while :; do
        name=g$PLUGPULL_GENERATION-$number
        printf ".print attempt %s\nINSERT INTO entries (name, body) VALUES ('%s', hex(zeroblob(%d)));\n.print ack %s\n" \
            "$name" "$name" $((number % 5 * 700)) "$name"
        number=$((number + 1))
    done
}

if [ ! -e "$database" ]; then
    # Made next to the directory, whole and synced before it has its name.
    rm -f "$new" "$new-wal" "$new-shm"
    sqlite3 "$new" 'PRAGMA journal_mode=WAL; CREATE TABLE entries (place INTEGER PRIMARY KEY, name, body)' >&2
    sync "$new"
    mv "$new" "$database"
    sync "$directory"
fi
# stdbuf: an announcement that is still in the program's buffer dies with it.
statements | stdbuf -oL sqlite3 "$database"
