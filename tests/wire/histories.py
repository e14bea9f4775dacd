# SPDX-License-Identifier: BSD-3-Clause
"""Tells whether what several clients saw of one key can have happened one after the other.

A history is a list of Ops, each with the time at which it was sent and the time at which its
reply had been read. It is linearizable if each can be given one moment between these two
such that a plain map, doing them in the order of these moments, gives the same replies
(Herlihy and Wing, 1990). It is searched for by trying what can come next, remembering where
one has been (Wing and Gong, 1993; Lowe, 2017). Keys are independent, so each is checked by
itself; a flush is an operation on each of them.

With `evict` the map may also lose the item at any moment.

Operations, their arguments and results:

    get                        MISS, (value, unique)
    set     value              (STORED, unique), FAILED
    add     value              (STORED, unique), EXISTS, FAILED
    cas     (unique, value)    (STORED, unique), EXISTS, MISS, FAILED
    incr    delta              (number, unique), MISS, NO_NUMBER, FAILED
    delete, touch              DONE, MISS
    flush                      DONE

where a unique may be None if the reply does not tell it. Values of different writes must
differ; what is not an int is not a number. FAILED: refused for want of memory, and the old
value may be gone; without `evict` that is not accepted.
"""
import collections

MISS, STORED, EXISTS, FAILED = "miss", "stored", "exists", "failed"
NO_NUMBER, DONE = "no number", "done"

Op = collections.namedtuple("Op", "client begin end name argument result")

IMPOSSIBLE = object()
NODES_MAX = 5000000


class TooHard(Exception):
    """The search was given up: nothing is known."""


def _seen(state, value, unique):
    """The state once a reply has shown value and unique of what is stored."""
    if state[0] != value or unique is None or state[1] == unique:
        return state if state[0] == value else IMPOSSIBLE
    return (value, unique) if state[1] is None else IMPOSSIBLE


def _write(state, op):
    value = op.argument
    if op.name == "cas":
        expected, value = op.argument
        # A unique that is not known yet belongs to a write that no reply has told of, so
        # it can't be the one that this client has read.
        matches = state is not None and state[1] == expected
        if op.result == MISS:
            return state if state is None else IMPOSSIBLE
        if op.result == EXISTS:
            return IMPOSSIBLE if state is None or matches else state
        if op.result != FAILED and not matches:
            return IMPOSSIBLE
    elif op.name == "add":
        if op.result == EXISTS:
            return IMPOSSIBLE if state is None else state
        if op.result != FAILED and state is not None:
            return IMPOSSIBLE
    if op.result == FAILED:
        return state
    return value, op.result[1]


def _count(state, op):
    if op.result == FAILED:
        return state
    if op.result == MISS or state is None:
        return state if op.result == MISS and state is None else IMPOSSIBLE
    if op.result == NO_NUMBER or not isinstance(state[0], int):
        return state if op.result == NO_NUMBER and not isinstance(state[0], int) \
            else IMPOSSIBLE
    number, unique = op.result
    return (number, unique) if state[0] + op.argument == number else IMPOSSIBLE


def step(state, op):
    """What `op` makes of the state, None or (value, unique or None); or IMPOSSIBLE."""
    if op.name == "flush":
        return None
    if op.name == "incr":
        return _count(state, op)
    if op.name in ("set", "add", "cas"):
        return _write(state, op)
    if op.result == MISS:
        return state if state is None else IMPOSSIBLE
    if state is None:
        return IMPOSSIBLE
    if op.name == "get":
        return _seen(state, *op.result)
    return None if op.name == "delete" else state


def _next(queues, at):
    """Who may come next: an operation that began before any that is open has ended."""
    open_ops = [(queue[at[i]].end, i) for i, queue in enumerate(queues)
                if at[i] < len(queue)]
    first_end = min(open_ops)[0] if open_ops else 0
    return [i for end, i in sorted(open_ops) if queues[i][at[i]].begin <= first_end]


def _advance(at, i):
    return at[:i] + (at[i] + 1,) + at[i + 1:]


def _passive(queues, at, state):
    """Does all that fits and changes nothing: sooner is never worse than later. (Not a
    flush, which may be needed later.) Where that leads and who may come next."""
    while True:
        candidates = _next(queues, at)
        for i in candidates:
            op = queues[i][at[i]]
            if op.name != "flush" and step(state, op) == state:
                at = _advance(at, i)
                break
        else:
            return at, candidates


def _successors(queues, at, state, candidates, evict):
    for i in candidates:
        op = queues[i][at[i]]
        for before in ((state, None) if evict and state is not None else (state,)):
            after = step(before, op)
            if after is not IMPOSSIBLE:
                yield _advance(at, i), after


def _two_values(ops):
    """A unique that was told of two values, as words; None if there is none."""
    values = {}
    for op in ops:
        if op.name == "get" and op.result != MISS:
            value, unique = op.result
        elif op.name == "incr" and isinstance(op.result, tuple):
            value, unique = op.result
        elif isinstance(op.result, tuple):
            value, unique = op.argument[1] if op.name == "cas" else op.argument, op.result[1]
        else:
            continue
        if unique is not None and values.setdefault(unique, value) != value:
            return "unique %d belongs to %r and to %r" % (unique, values[unique], value)
    return None


def _stuck(queues, at, state):
    done = sorted((op for i, queue in enumerate(queues) for op in queue[:at[i]]),
                  key=lambda op: op.end)
    waiting = [queue[at[i]] for i, queue in enumerate(queues) if at[i] < len(queue)]
    return "\n".join(["after %d operations, the last of them:" % len(done)]
                     + ["    %s" % (op,) for op in done[-12:]]
                     + ["the item is %r, and none of these can be next:" % (state,)]
                     + ["    %s" % (op,) for op in sorted(waiting, key=lambda op: op.begin)])


def contradiction(ops, evict=False):
    """None if the history of one key, absent at first, is possible; else what is not."""
    words = _two_values(ops)
    if words is None and not evict and any(op.result == FAILED for op in ops):
        words = "a write was refused"
    if words is not None:
        return words
    by_client = collections.defaultdict(list)
    for op in ops:
        by_client[op.client].append(op)
    queues = list(by_client.values())
    todo, been, deepest = [(tuple(0 for _ in queues), None)], set(), None
    while todo:
        at, state = todo.pop()
        at, candidates = _passive(queues, at, state)
        if not candidates:
            return None
        if (at, state) in been:
            continue
        been.add((at, state))
        if len(been) > NODES_MAX:
            raise TooHard("%d operations of a key" % len(ops))
        if deepest is None or sum(at) > sum(deepest[0]):
            deepest = at, state
        # The one that ended first is tried first.
        todo.extend(reversed(list(_successors(queues, at, state, candidates, evict))))
    return _stuck(queues, *deepest)
