"""Runs one stage again and again, each time in another trouble, then once without: used by test_trouble.py.

    python tests/run_in_trouble.py TROUBLES MODULE ARGUMENTS...

TROUBLES is a JSON list. A trouble is one of
    {"seconds": 0.3, "signal": "SIGTERM"}: that signal (without: SIGKILL) so long after its start,
    {"rename": 2, "done": true}: killed just after (false: before) it gives its second file its final name,
    {"checkpoint": 2}: killed just after its second checkpoint,
    {"cut": 5000}: killed in the middle of writing, when a file reaches that size,
    {"room": 5000}: no file gets larger than that, as if the disk were full then,
    {"memory": 100000000}: so many bytes more than at its start, and no more for its processes either,
    {"worker": 0.2}: one of its processes is killed so many seconds after it started.
Each run is a fork of a process that has imported everything, so that the time goes into the stage and not into imports.
Prints as JSON in its last line which signal (negative) or exit code ended each run, what each said on stderr, and the
seconds of the last.
"""

import atexit
import importlib
import json
import os
import resource
import signal
import sys
import threading
import time
import traceback
from contextlib import suppress
from pathlib import Path


def die_at_rename(number, done, folder=""):
    """Let this process kill itself at its `number`-th renaming, of those into a folder of that name."""
    rename, count = os.replace, 0

    def replace(*arguments):
        nonlocal count
        count += folder in Path(arguments[1]).parts or not folder
        if count == number and not done:
            os.kill(os.getpid(), signal.SIGKILL)
        rename(*arguments)
        if count == number and done:
            os.kill(os.getpid(), signal.SIGKILL)

    os.replace = replace


def limit(trouble):
    """Put limits on this process and those that it starts."""
    if "cut" in trouble:
        signal.signal(signal.SIGXFSZ, signal.SIG_DFL)  # Python itself ignores it: then it is an error of the write
    size = trouble.get("cut", trouble.get("room"))
    if size is not None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))
    if "memory" in trouble:
        used = int(Path("/proc/self/statm").read_text().split()[5]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_DATA, (used + trouble["memory"],) * 2)


def run_once(stage, arguments, trouble):
    """Run the stage in a fork; give what ended it, as os.waitstatus_to_exitcode has it, and what it said."""
    reading, writing = os.pipe()
    sys.stdout.flush()
    child = os.fork()
    if child == 0:
        os.dup2(writing, 2)
        os.close(reading)
        os.close(writing)
        code = run_here(stage, arguments, trouble)
        atexit._run_exitfuncs()  # such as that of multiprocessing, which removes its semaphores
        sys.stderr.flush()
        os._exit(code)
    os.close(writing)
    killer = None
    if "seconds" in trouble:
        number = signal.Signals[trouble.get("signal", "SIGKILL")]
        killer = threading.Timer(trouble["seconds"], os.kill, (child, number))
        killer.start()
    if "worker" in trouble:
        threading.Thread(target=kill_worker, args=(child, trouble["worker"]), daemon=True).start()
    with open(reading, encoding="utf-8", errors="replace") as pipe:
        said = pipe.read()  # to the end of all that can write to it
    _, status = os.waitpid(child, 0)
    if killer is not None:
        killer.cancel()
    return os.waitstatus_to_exitcode(status), said


def kill_worker(parent, seconds):
    """Kill a process of the stage so long after there is one."""
    children = Path(f"/proc/{parent}/task/{parent}/children")
    while children.exists():
        for process in children.read_text().split():
            with suppress(OSError):
                if "spawn_main" in Path(f"/proc/{process}/cmdline").read_text():
                    time.sleep(seconds)
                    os.kill(int(process), signal.SIGKILL)
                    return
        time.sleep(0.01)


def run_here(stage, arguments, trouble):
    """Run the stage in this process; give its exit code, 99 for a traceback."""
    if "rename" in trouble:
        die_at_rename(trouble["rename"], trouble["done"])
    if "checkpoint" in trouble:
        die_at_rename(trouble["checkpoint"], True, "checkpoints")
    limit(trouble)
    sys.argv = [stage.__name__, *arguments]
    code = 0
    try:
        stage.run(stage.main, **({"room": stage.ROOM} if hasattr(stage, "ROOM") else {}))
    except SystemExit as end:
        code = end.code or 0
    except BaseException:
        traceback.print_exc()
        code = 99
    return code


def main():
    """See above."""
    signal.signal(signal.SIGINT, signal.default_int_handler)  # whoever runs the tests in the background ignores it
    troubles = json.loads(sys.argv[1])
    stage = importlib.import_module(sys.argv[2])
    runs = [run_once(stage, sys.argv[3:], trouble) for trouble in troubles]
    start = time.monotonic()
    runs.append(run_once(stage, sys.argv[3:], {}))
    ended, said = zip(*runs, strict=True)
    print(json.dumps({"ended": ended, "said": said, "seconds": time.monotonic() - start}))


if __name__ == "__main__":  # worker processes of the stage import this file again
    main()
