#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""Protects: many connections that all pipeline more commands than a turn may run.

Each of them then has input left when its turn ends, while more is ready to be read. A
worker that waits for the ready ones before it goes on with the others, or the other way
round, stands still for ever - and can't be stopped either.
"""
import threading

from server import Server

CONNECTIONS = 9
ROUNDS = 30
DEPTH = 64


def batch(number, round_):
    lines = []
    for i in range(DEPTH):
        key = b"key-%d-%d" % (number, i)
        value = b"%d-%d" % (round_, i)
        lines.append(b"set %s 0 0 %d\r\n%s\r\n" % (key, len(value), value))
        lines.append(b"get %s\r\n" % key)
    return b"".join(lines)


def answers(number, round_):
    lines = []
    for i in range(DEPTH):
        key = b"key-%d-%d" % (number, i)
        value = b"%d-%d" % (round_, i)
        lines.append(b"STORED\r\nVALUE %s 0 %d\r\n%s\r\nEND\r\n" % (key, len(value), value))
    return b"".join(lines)


def client(server, number, done):
    talk = server.connect()
    for round_ in range(ROUNDS):
        talk.send(batch(number, round_))
        talk.expect(answers(number, round_))
    done.append(number)


def pipelines(*options):
    with Server(*options) as server:
        done = []
        threads = [threading.Thread(target=client, args=(server, number, done), daemon=True)
                   for number in range(CONNECTIONS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        assert len(done) == CONNECTIONS, f"only {sorted(done)} of {CONNECTIONS} finished"


def stop_in_the_middle():
    """A server that is asked to stop while all pipelines are full does stop."""
    with Server("-t", "1") as server:
        talks = [server.connect() for _ in range(CONNECTIONS)]
        for number, talk in enumerate(talks):
            talk.send(batch(number, 0) * 4)


pipelines("-t", "1")
pipelines("-t", "1", "-R", "1")
pipelines("-t", "3")
stop_in_the_middle()
