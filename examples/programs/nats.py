#!/usr/bin/python3
"""NATS JetStream with one file stream, Debian package nats-server.

Promise: an acknowledged message survives the end of the server. It does not promise to survive the
end of the machine: the stream's file is synced every two minutes (NATS docs, "JetStream",
`sync_interval`), so `disk` loses messages, which is its weak mode.
"""
import base64
import json
import os
from protocol import connected, entries, main, pack, port, started, stopped, survived


def opened(directory):
    where = "127.0.0.1", port()
    process, (connection, answers) = started(
        ["nats-server", "--addr", where[0], "--port", str(where[1]), "--jetstream", "--store_dir",
         directory, "--log", "/dev/null"], lambda: connected(where))
    connection.sendall(b'CONNECT {"verbose":false,"headers":true}\r\nSUB answer.> 1\r\n')
    asked = 0

    def request(subject, data):
        nonlocal asked
        asked += 1
        connection.sendall(f"PUB {subject} answer.{asked} {len(data)}\r\n".encode() + data + b"\r\n")
        while line := answers.readline().split():
            if line[0] == b"PING":
                connection.sendall(b"PONG\r\n")
            if line[0] in (b"MSG", b"HMSG"):
                message = answers.read(int(line[-1]) + 2)[:-2]
                if line[1].decode() == f"answer.{asked}":  # HMSG: nothing listens there yet
                    return {"error": "no answer"} if line[0] == b"HMSG" else json.loads(message)
        raise SystemExit("nats-server has closed the connection")

    stream = json.dumps({"name": "S", "subjects": ["s"], "storage": "file"}).encode()
    while "error" in (created := request("$JS.API.STREAM.CREATE.S", stream)):
        if created["error"] != "no answer" and created["error"].get("code") != 503:
            raise SystemExit(f"JetStream answers {created}")
    return process, request


def write(directory, _):
    _, request = opened(directory)
    for name, body in entries():
        answer = request("s", pack(name, body))
        if "error" in answer:
            raise SystemExit(f"JetStream answers {answer}")


def check(directory, _):
    if not os.listdir(directory):
        return
    process, request = opened(directory)
    state = request("$JS.API.STREAM.INFO.S", b"")["state"]
    for number in range(state["first_seq"] or 1, state["last_seq"] + 1):
        answer = request("$JS.API.STREAM.MSG.GET.S", json.dumps({"seq": number}).encode())
        if "error" not in answer:
            survived(base64.b64decode(answer["message"]["data"]))
    stopped(process)


if __name__ == "__main__":
    main(write, check)
