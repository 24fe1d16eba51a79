"""Runs one stage again and again, each time in another trouble, then once without: used by test_trouble.py.

    python tests/run_in_trouble.py TROUBLES MODULE ARGUMENTS...

TROUBLES is a JSON list. A trouble is one of
    {"at": 0.3}: killed at the call of one of the project's functions that comes after 30% of those of a whole run,
    {"at": 0.3, "signal": "SIGTERM"}: gets that signal there,
    {"rename": 2, "done": true}: killed just after (false: before) its second file gets its final name,
    {"checkpoint": 2}: killed just after its second checkpoint,
    {"cut": 5000}: killed in the middle of writing, when a file reaches that size,
    {"room": 5000}: no file gets larger than that, as if the disk were full then,
    {"worker": 5}: its workers are killed at their fifth call of one of the project's functions.
Each run is a fork of a process that has imported everything. The first one, which counts the calls, writes to a copy of
the working directory. Prints as JSON in its last line which signal (negative) or exit code ended each run, and its
stderr.
"""

import atexit
import functools
import importlib
import json
import os
import resource
import shutil
import signal
import sys
import tempfile
import traceback
import types
from pathlib import Path

PACKAGES = ("posernn", "stages")
ROOT = str(Path(__file__).parent.parent)
WORKER = "KILL_WORKER_AT_CALL"
"""Environment variable: workers import this file, too."""


def kill_at_rename(number, done, folder=""):
    """Kill this process at its `number`-th renaming, of those into a folder of that name."""
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


def count_calls(at_call=lambda count: None):
    """Have each function of the project's modules call `at_call` first, with the number of such calls; give the number.

    Tracing would count methods, too, and make a training ten times slower.
    """
    count, counted = 0, {}

    def count_first(function):
        @functools.wraps(function)
        def called(*arguments, **options):
            nonlocal count
            count += 1
            at_call(count)
            return function(*arguments, **options)

        return called

    modules = [module for name, module in sys.modules.items() if name.split(".")[0] in PACKAGES]
    for module in modules:
        for name, value in list(vars(module).items()):
            if isinstance(value, types.FunctionType) and value.__module__.split(".")[0] in PACKAGES:
                setattr(module, name, counted.setdefault(value, count_first(value)))
    return lambda: count


def signal_at_call(number, which=signal.SIGKILL):
    """Send this process a signal at the `number`-th call of one of the project's functions."""
    count_calls(lambda count: os.kill(os.getpid(), which) if count == number else None)


def kill_worker_at_call(number):
    """Kill this worker, which has not imported the project's modules yet, at its `number`-th call in one of them."""
    count = 0

    def called(frame, event, _):
        nonlocal count
        count += frame.f_code.co_filename.startswith((f"{ROOT}/posernn", f"{ROOT}/stages"))
        if count == number:
            os.kill(os.getpid(), signal.SIGKILL)

    sys.settrace(called)


def make(trouble, num_calls):
    """Make trouble for this process."""
    if "at" in trouble:
        signal_at_call(int(trouble["at"] * num_calls) + 1, signal.Signals[trouble.get("signal", "SIGKILL")])
    if "rename" in trouble:
        kill_at_rename(trouble["rename"], trouble["done"])
    if "checkpoint" in trouble:
        kill_at_rename(trouble["checkpoint"], True, "checkpoints")
    if "worker" in trouble:
        os.environ[WORKER] = str(trouble["worker"])
    if "cut" in trouble:
        signal.signal(signal.SIGXFSZ, signal.SIG_DFL)  # Python itself ignores it: then it is an error of the write
    size = trouble.get("cut", trouble.get("room"))
    if size is not None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))


def run_once(run_here):
    """Run a function in a fork; give its exit code, as os.waitstatus_to_exitcode has it, and its stderr."""
    reading, writing = os.pipe()
    sys.stdout.flush()
    child = os.fork()
    if child == 0:
        os.dup2(writing, 2)
        os.close(reading)
        os.close(writing)
        code = run_here()
        atexit._run_exitfuncs()  # such as that of multiprocessing, which removes its semaphores
        sys.stderr.flush()
        os._exit(code)
    os.close(writing)
    with open(reading, encoding="utf-8", errors="replace") as pipe:
        said = pipe.read()  # until all processes that can write to it have ended
    _, status = os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(status), said


def run_here(stage, arguments, trouble, num_calls):
    """Run the stage in this process; give its exit code, 99 for an exception."""
    sys.argv = [stage.__name__, *arguments]
    code = 0
    try:
        make(trouble, num_calls)
        stage.run(stage.main)
    except SystemExit as end:
        code = end.code or 0
    except BaseException:
        traceback.print_exc()
        code = 99
    return code


def calls_of(stage, arguments):
    """Return the number of calls of the project's functions in a run of the stage."""
    folder = Path(tempfile.mkdtemp()) / "copy"  # a TemporaryDirectory would be removed at the end of the fork
    shutil.copytree(".", folder)

    def run_and_count():
        os.chdir(folder)
        told = count_calls()
        code = run_here(stage, arguments, {}, 0)
        (folder / "calls").write_text(str(told()))
        return code

    code, said = run_once(run_and_count)
    assert code == 0, said
    calls = int((folder / "calls").read_text())
    shutil.rmtree(folder.parent)
    return calls


def main():
    """See above."""
    signal.signal(signal.SIGINT, signal.default_int_handler)  # tests that run in the background ignore it
    troubles, arguments = json.loads(sys.argv[1]), sys.argv[3:]
    stage = importlib.import_module(sys.argv[2])
    if "torch" in sys.modules:  # the first optimizer would import it, for seconds in each run
        importlib.import_module("torch._dynamo")
    num_calls = calls_of(stage, arguments) if any("at" in trouble for trouble in troubles) else 0
    runs = [
        run_once(lambda trouble=trouble: run_here(stage, arguments, trouble, num_calls)) for trouble in [*troubles, {}]
    ]
    ended, said = zip(*runs, strict=True)
    print(json.dumps({"ended": ended, "said": said}))


if __name__ == "__main__":
    main()
elif WORKER in os.environ:
    kill_worker_at_call(int(os.environ[WORKER]))
