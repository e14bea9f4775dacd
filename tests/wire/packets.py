# SPDX-License-Identifier: BSD-3-Clause
"""Packets of the binary protocol for tests: made from words, read back, shown as words.

    request("get", key=b"k")            the bytes
    Binary(talk).ask(request(...))      the one reply, as a Reply
"""
import collections
import struct

OPCODES = {
    "get": 0x00, "set": 0x01, "add": 0x02, "replace": 0x03, "delete": 0x04, "incr": 0x05,
    "decr": 0x06, "quit": 0x07, "flush": 0x08, "getq": 0x09, "noop": 0x0a,
    "version": 0x0b, "getk": 0x0c, "getkq": 0x0d, "append": 0x0e, "prepend": 0x0f,
    "stat": 0x10, "setq": 0x11, "addq": 0x12, "replaceq": 0x13, "deleteq": 0x14,
    "incrq": 0x15, "decrq": 0x16, "quitq": 0x17, "flushq": 0x18, "appendq": 0x19,
    "prependq": 0x1a, "verbosity": 0x1b, "touch": 0x1c, "gat": 0x1d, "gatq": 0x1e,
    "gatk": 0x23, "gatkq": 0x24, "sasl_list": 0x20, "sasl_auth": 0x21, "sasl_step": 0x22,
}
NAMES = {code: name for name, code in OPCODES.items()}
HEADER = struct.Struct(">BBHBBHI4sQ")
OPAQUE = b"\x11\x22\x33\x44"

Reply = collections.namedtuple("Reply", "opcode status extras key value cas opaque")


def opcode_of(name):
    return int(name[3:], 16) if name.startswith("op_") else OPCODES[name]


def name_of(opcode):
    return NAMES.get(opcode, "op_%02x" % opcode)


def request(name, key=b"", extras=b"", value=b"", cas=0, opaque=OPAQUE, magic=0x80,
            data_type=0, reserved=0, body_len=None):
    if body_len is None:
        body_len = len(extras) + len(key) + len(value)
    return HEADER.pack(magic, opcode_of(name), len(key), len(extras), data_type, reserved,
                       body_len, opaque, cas) + extras + key + value


def read_reply(data, at=0):
    """The reply that begins at `at` and where it ends; None if it is not all there."""
    if len(data) - at < HEADER.size:
        return None
    magic, opcode, key_len, extras_len, data_type, status, body_len, opaque, cas = \
        HEADER.unpack_from(data, at)
    if magic != 0x81 or data_type != 0 or key_len + extras_len > body_len:
        raise ValueError("no reply: %r" % data[at:at + 60])
    end = at + HEADER.size + body_len
    if len(data) < end:
        return None
    body = data[at + HEADER.size:end]
    before = extras_len + key_len
    return Reply(name_of(opcode), status, body[:extras_len], body[extras_len:before],
                 body[before:], cas, opaque), end


class Binary:
    """A client on a server.Talk."""

    def __init__(self, talk):
        self.talk = talk

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.talk.close()

    def hear(self):
        """The next reply; None if the server has closed instead."""
        try:
            head = self.talk.exactly(HEADER.size)
        except AssertionError as failure:
            if "closed" in str(failure) and str(failure).startswith("0 of"):
                return None
            raise
        body = self.talk.exactly(HEADER.unpack(head)[6])
        return read_reply(head + body)[0]

    def ask(self, *args, **parts):
        self.talk.send(request(*args, **parts))
        return self.hear()

    def stat(self, key=b""):
        """A report as a dict; None if there is none such."""
        fields = {}
        reply = self.ask("stat", key=key)
        while reply.key:
            fields[reply.key.decode()] = reply.value.decode()
            reply = self.hear()
        return None if reply.status else fields

    def is_closed(self, seconds=None):
        return self.talk.unread == b"" and self.talk.more(seconds) == b""
