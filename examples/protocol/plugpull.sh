# What a writer and a checker in POSIX shell say to plugpull, and how they run a daemon. Copy this file, and
# read it in with `. ./plugpull.sh`.
#
# docs/black-box.md has the protocol, docs/daemons.md what a daemon needs.

# Where words go: each line is one write of the shell itself, and nothing is buffered.
plugpull_fd=${PLUGPULL_FD:-1}

# plugpull_attempt ID [BYTES-HASH]: before an append begins. An ID is used once: the generation is a part of it.
plugpull_attempt() { printf 'attempt %s\n' "$*" >&"$plugpull_fd"; }

# plugpull_ack ID [POSITION]: after the store has said that the entry is durable.
plugpull_ack() { printf 'ack %s\n' "$*" >&"$plugpull_fd"; }

# plugpull_survived ID [BYTES-HASH]: in a checker, for each entry in order.
plugpull_survived() { printf 'survived %s\n' "$*"; }

# plugpull_start COMMAND..: starts a daemon in the foreground of a process of its own. Its standard output would be
# taken for the protocol, so it goes to standard error. It ends with the script at the latest.
plugpull_start() {
    "$@" >&2 </dev/null &
    plugpull_daemon=$!
    trap 'plugpull_stop KILL' EXIT
}

# plugpull_wait COMMAND..: repeats a command until it succeeds, as long as the daemon runs.
plugpull_wait() {
    until "$@" >/dev/null 2>&1; do
        # Another program is run in between, so the shell has taken note of a daemon that has ended.
        sleep 0.01
        kill -0 "$plugpull_daemon" 2>/dev/null || {
            echo "the daemon has ended by itself" >&2
            exit 1
        }
    done
}

# plugpull_stop [SIGNAL]: ends the daemon and waits for its end. A checker that leaves one running has failed.
plugpull_stop() {
    [ -n "${plugpull_daemon:-}" ] || return 0
    kill -s "${1:-TERM}" "$plugpull_daemon" 2>/dev/null || :
    wait "$plugpull_daemon" 2>/dev/null || :
    plugpull_daemon=
}
