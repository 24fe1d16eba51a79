"""Runs one stage again and again, each time to its death, then once to its end: used by test_kill.py.

    python tests/kill_stage.py DEATHS MODULE ARGUMENTS...

DEATHS is a JSON list. A death is one of
    {"seconds": 0.3, "signal": "SIGTERM"}: that signal (without: SIGKILL) so long after its start,
    {"rename": 2, "done": true}: killed just after (false: before) it gives its second file its final name,
    {"bytes": 5000}: killed in the middle of writing, when a file reaches that size.
Each run is a fork of a process that has imported everything, so that the time goes into the stage and not into imports.
Prints as JSON in its last line which signal (negative) or exit code ended each run, and the seconds of the last.
"""

import importlib
import json
import os
import resource
import signal
import sys
import threading
import time


def die_at_rename(number, done):
    """Let this process kill itself at its `number`-th renaming."""
    rename, count = os.replace, 0

    def replace(*arguments):
        nonlocal count
        count += 1
        if count == number and not done:
            os.kill(os.getpid(), signal.SIGKILL)
        rename(*arguments)
        if count == number and done:
            os.kill(os.getpid(), signal.SIGKILL)

    os.replace = replace


def run_once(stage, arguments, death):
    """Run the stage in a fork; give what ended it, as os.waitstatus_to_exitcode has it."""
    sys.stdout.flush()
    child = os.fork()
    if child == 0:
        if "rename" in death:
            die_at_rename(death["rename"], death["done"])
        if "bytes" in death:
            signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
            resource.setrlimit(resource.RLIMIT_FSIZE, (death["bytes"], death["bytes"]))
        sys.argv = [stage.__name__, *arguments]
        try:
            stage.run(stage.main)
        except SystemExit as end:
            sys.stderr.flush()
            os._exit(end.code or 0)
        os._exit(0)
    if "seconds" in death:
        number = signal.Signals[death.get("signal", "SIGKILL")]
        killer = threading.Timer(death["seconds"], os.kill, (child, number))
        killer.start()
    _, status = os.waitpid(child, 0)
    if "seconds" in death:
        killer.cancel()
    return os.waitstatus_to_exitcode(status)


def main():
    """See above."""
    deaths = json.loads(sys.argv[1])
    stage = importlib.import_module(sys.argv[2])
    ended = [run_once(stage, sys.argv[3:], death) for death in deaths]
    start = time.monotonic()
    ended.append(run_once(stage, sys.argv[3:], {}))
    print(json.dumps({"ended": ended, "seconds": time.monotonic() - start}))


if __name__ == "__main__":  # worker processes of the stage import this file again
    main()
