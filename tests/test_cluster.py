"""A real Dask cluster of two workers on this machine gives the same bytes, even if workers die."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import distributed
import pytest

from posernn.data import mpii, splits
from posernn.data.crops import write_crops
from posernn.data.synthetic import synthesize
from posernn.runtime import cluster, parallel
from posernn.runtime.errors import InputError
from posernn.runtime.parallel import in_order

PEOPLE = 40

pytestmark = [pytest.mark.campaign, pytest.mark.timeout(120)]


@pytest.fixture
def dask():
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, dashboard_address=None, host="127.0.0.1", silence_logs=50
    ) as local:
        yield local


def contents(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def workers_of(dask):
    """Return the process ids of the workers."""
    with distributed.Client(dask, set_as_default=False) as client:
        return list(client.run(os.getpid).values())


def slept(numbers):
    time.sleep(0.05)
    return numbers


def sent(numbers):
    return [bytes(50_000_000) for _ in numbers]  # the scheduler needs a moment to pass it on


def killed(numbers):
    os.kill(os.getpid(), signal.SIGKILL)


def refused(numbers):
    raise InputError("people.csv: expected a table, got none")


def test_the_bytes_do_not_depend_on_where_people_are_rendered(tmp_path, dask):
    synthesize(tmp_path / "here", num_people=PEOPLE, seed=0)
    with cluster.connect(dask.scheduler_address) as executor:
        synthesize(tmp_path / "there", num_people=PEOPLE, seed=0, executor=executor)
    assert len(contents(tmp_path / "here")) > PEOPLE / 2
    assert contents(tmp_path / "there") == contents(tmp_path / "here")


def test_the_bytes_do_not_depend_on_where_crops_are_cut(tmp_path, dask, monkeypatch):
    monkeypatch.chdir(tmp_path)
    synthesize(Path("release"), num_people=PEOPLE, seed=0)
    people, *_ = mpii.parse_release(mpii.read_release(Path("release/mpii_human_pose_v1_u12_1.mat")))
    people = splits.hold_out_share(people, 0.3, seed=0)
    settings = {"box": "joints", "padding": 20.0, "keep_aspect": False, "side": 64, "jpeg_quality": 92}
    write_crops(people, Path("release/images"), Path("here"), **settings)
    images = Path("release/images")  # relative: workers have another working directory
    with cluster.connect(dask.scheduler_address) as executor:
        write_crops(people, images, Path("there"), executor=executor, **settings)
    assert len(contents(Path("here"))) == 3  # train, val and _SUCCESS
    assert contents(Path("there")) == contents(Path("here"))


def test_a_worker_that_is_killed_costs_nothing_but_time(tmp_path, dask):
    synthesize(tmp_path / "here", num_people=PEOPLE, seed=0)
    victim = workers_of(dask)[0]
    killed_at = []

    def progress(done, total, note=""):
        if done > 3 and not killed_at:
            killed_at.append(done)
            os.kill(victim, signal.SIGKILL)

    with cluster.connect(dask.scheduler_address) as executor:
        synthesize(tmp_path / "there", num_people=PEOPLE, seed=0, executor=executor, progress=progress)
    assert killed_at
    assert victim not in workers_of(dask)
    assert contents(tmp_path / "there") == contents(tmp_path / "here")


def test_results_come_in_order_and_errors_as_they_are(dask):
    with cluster.connect(dask.scheduler_address) as executor:
        assert list(in_order(slept, range(50), per_task=3, executor=executor)) == list(range(50))
        with pytest.raises(InputError, match=r"people\.csv: expected a table"):
            list(in_order(refused, range(50), per_task=3, executor=executor))
        in_flight = [executor.submit(slept, [0]) for _ in range(50)]
    executor.shutdown()  # no thread of it waits any more
    assert any(future.cancelled() for future in in_flight)


def test_work_that_kills_every_worker_is_one_line(dask):
    with (
        pytest.raises(InputError, match="several that died of the same task"),
        cluster.connect(dask.scheduler_address) as executor,
    ):
        list(in_order(killed, range(4), per_task=2, executor=executor))


def test_a_scheduler_that_ends_while_it_sends_results_is_one_line():
    python = [sys.executable, "-m"]
    here = os.environ | {"PYTHONPATH": str(Path(__file__).parent)}  # for `sent`
    options = ["--host", "127.0.0.1", "--port", "0", "--no-dashboard"]
    command = [*python, "distributed.cli.dask_scheduler", *options]
    scheduler = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=here)
    address = next(found[1] for line in scheduler.stderr if (found := re.search(r"Scheduler at: +(tcp\S+)", line)))
    command = [*python, "distributed.cli.dask_worker", address, "--nthreads", "1", "--no-dashboard"]
    worker = subprocess.Popen(command, stderr=subprocess.DEVNULL, env=here)

    def kill_scheduler(_):
        scheduler.kill()

    try:
        with pytest.raises(InputError, match="cluster: "), cluster.connect(address) as executor:
            list(map(kill_scheduler, in_order(sent, range(100_000), per_task=1, executor=executor)))
    finally:
        scheduler.kill()
        worker.kill()


def test_the_cluster_is_used_if_its_address_is_set(monkeypatch, dask):
    monkeypatch.setenv("DASK_SCHEDULER_ADDRESS", dask.scheduler_address)
    pids = workers_of(dask)
    with parallel.workers() as executor:
        assert executor.submit(os.getpid).result() in pids
    monkeypatch.delenv("DASK_SCHEDULER_ADDRESS")
    with parallel.workers() as executor:
        assert executor.submit(os.getpid).result() not in pids


def test_no_answer_and_no_worker_are_one_line(monkeypatch):
    monkeypatch.setattr(cluster, "CONNECT_SECONDS", 1)
    with pytest.raises(InputError, match=r"expected a Dask scheduler at tcp://127\.0\.0\.1:9"):
        cluster.connect("tcp://127.0.0.1:9").__enter__()
    with pytest.raises(InputError, match="expected a Dask scheduler at nowhere://x"):
        cluster.connect("nowhere://x").__enter__()
    with (
        distributed.LocalCluster(n_workers=0, dashboard_address=None, host="127.0.0.1", silence_logs=50) as empty,
        pytest.raises(InputError, match=r"expected workers at .*, got none"),
        cluster.connect(empty.scheduler_address),
    ):
        pass


def test_a_worker_with_another_version_is_refused(monkeypatch, dask):
    monkeypatch.setattr(distributed.Client, "run", lambda *_, **options: {"tcp://w1": "0.0.1"})
    with (
        pytest.raises(InputError, match=r"cluster: tcp://.*: expected posernn .*, got 0\.0\.1; install the same"),
        cluster.connect(dask.scheduler_address),
    ):
        pass
