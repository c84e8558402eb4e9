#!/bin/sh
# Serves a collection, and inserts into it from 16 clients for ever: a writer for black-box torture.
#
#   writer.sh DIRECTORY
#
# COLLECTION names the program, if it is not where Cargo puts it.
set -eu
collection=${COLLECTION:-target/release/collection}

# The server says where it listens; then the client says what it inserts.
"$collection" serve --dir "$1" --listen 127.0.0.1:0 --memory 1 --log-segment 8 | {
    read -r line
    address=${line##* on }
    address=${address%%: *}
    exec "$collection" load --server "$address" --announce --inserts 1000000000 --clients 16 \
        --first $((PLUGPULL_GENERATION << 40)) --flush-every 50
}
