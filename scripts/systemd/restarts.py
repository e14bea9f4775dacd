# SPDX-License-Identifier: BSD-3-Clause
"""What scripts/check-systemd runs in the tree that it boots: restarts.py RESULT."""
import subprocess
import sys
import threading
import time

import pylibmc

RESTARTS = 20
CLIENTS = 6
SERVER = ["127.0.0.1:11211"]


class Load:
    def __init__(self):
        self.over, self.errors, self.rounds, self.longest = False, [], 0, 0.0
        self.lock = threading.Lock()
        self.threads = [threading.Thread(target=self.run, args=(number,))
                        for number in range(CLIENTS)]
        for thread in self.threads:
            thread.start()

    def run(self, number):
        rounds, longest = 0, 0.0
        try:
            client = pylibmc.Client(SERVER, behaviors={"tcp_nodelay": True})
            while not self.over:
                began = time.monotonic()
                key = "k%d:%d" % (number, rounds % 300)
                value = ("%d " % rounds) * (1 + rounds % 2000)
                if not client.set(key, value) or client.get(key) != value:
                    raise AssertionError("a value is lost")
                if not client.add("shared", 1, time=600):
                    client.incr("shared")
                rounds += 1
                longest = max(longest, time.monotonic() - began)
        except Exception as problem:  # pylint: disable=broad-except
            self.errors.append(repr(problem))
        with self.lock:
            self.rounds += rounds
            self.longest = max(self.longest, longest)

    def end(self):
        self.over = True
        for thread in self.threads:
            thread.join()


def run(*words):
    done = subprocess.run(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    return done.returncode, done.stdout.decode()


def restarted(say):
    load, problems = Load(), 0
    time.sleep(1)
    for number in range(RESTARTS):
        words = (["systemctl", "restart", "larder"] if number % 4 != 3 else
                 ["/usr/local/bin/larderctl", "upgrade"])
        status, text = run(*words)
        if text:
            say(text.rstrip())
        problems += status != 0
        time.sleep(0.3)
    load.end()
    shared = pylibmc.Client(SERVER).get("shared")
    say("%d restarts, %d failed; %d rounds, counted %s; longest round %.0f ms" % (
        RESTARTS, problems, load.rounds, shared, 1000 * load.longest))
    for error in load.errors:
        say(error)
    return problems == 0 and not load.errors and shared == load.rounds


def forgotten(say):
    """What is stopped is gone, and nothing of it stays with the manager."""
    kept = run("systemctl", "show", "larder", "-p", "NFileDescriptorStore", "--value")[1]
    run("systemctl", "stop", "larder")
    run("systemctl", "start", "larder")
    there = pylibmc.Client(SERVER).get("shared")
    say("kept by the manager while it serves: %s; after a stop and a start there is %s" % (
        kept.strip(), there))
    return kept.strip() == "0" and there is None


def main():
    with open(sys.argv[1], "w") as result:
        def say(text):
            print(text, file=result, flush=True)
        good = restarted(say)
        good = forgotten(say) and good
        if not good:
            say(run("journalctl", "--no-pager", "-u", "larder", "-n", "60")[1])
        say("passed" if good else "FAILED")


if __name__ == "__main__":
    main()
