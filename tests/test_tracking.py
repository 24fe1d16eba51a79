"""Recording a training: run.json and history.csv in its folder, and the same in a real MLflow database."""

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path
from urllib.parse import unquote

import pytest
from mlflow import MlflowClient
from mlflow.entities import LoggedModelStatus

from posernn.runtime import browse, publish, store, tracking, view
from posernn.runtime.errors import InputError

PYTHON = sys.executable
PARAMETERS = {"lr": 1e-3, "seed": 0, "attention": False, "val_list": None, "arch": "lstm"}
TAGS = {"model": "model", "dataset": "synthetic"}
ROWS = [
    {"iteration": 0, "loss": 1.0, "val_rmse": float("nan")},
    {"iteration": 100, "loss": 0.5, "val_rmse": 20.25},
    {"iteration": 200, "loss": 0.25, "val_rmse": None},
]


@pytest.fixture(scope="session")
def database(tmp_path_factory):
    """Give a database with the experiment: MLflow takes seconds to create one."""
    root = tmp_path_factory.getbasetemp() / "database"
    if not root.exists():  # each module that imports this fixture has a session's one of its own
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("DVC_ROOT", str(root))
            patch.delenv("MLFLOW_TRACKING_URI", raising=False)
            publish.publish(pending_run(root, "a" * 32), ended=True)
    return root / "mlflow.db"


def pending_run(root, run_id):
    """Write a run that waits to be sent; return its folder."""
    folder = root / "mlflow-pending" / run_id
    folder.mkdir(parents=True)
    times = {"start_time": "2026-01-01T00:00:00+00:00", "end_time": "2026-01-01T00:00:10+00:00"}
    run = {"run_id": run_id, "name": "model", "parameters": {}, "tags": {}, "status": "FINISHED"} | times
    (folder / "run.json").write_text(json.dumps(run))
    return folder


@pytest.fixture
def project(tmp_path, database, monkeypatch):
    """Give a project with a database, in which nothing is sent before `publish.sync`."""
    root = tmp_path / "my project"  # MLflow writes the space as %20
    root.mkdir()
    shutil.copy(database, root)
    monkeypatch.setenv("DVC_ROOT", str(root))
    for name in (*tracking.ENVIRONMENT_TAGS, "MLFLOW_TRACKING_URI", "MLFLOW_EXPERIMENT_NAME", "POSERNN_TRACKING"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(sys, "executable", shutil.which("true"))  # the process beside the training ends at once
    return root


@pytest.fixture
def sending(project, monkeypatch):
    """Start the process beside the training for real, and wait for it."""
    monkeypatch.setattr(sys, "executable", PYTHON)
    monkeypatch.setattr(tracking, "FINISH_SECONDS", 120.0)


def record(project, run_id=None, **changed):
    values = {"parameters": PARAMETERS, "tags": TAGS} | changed
    return tracking.record(project / "runs/model", name="model-lstm", run_id=run_id, **values)


def recorded(run_id, experiment="posernn"):
    """Return a client and the only run with this id, or None."""
    client = MlflowClient(tracking.backend_uri())
    found = client.get_experiment_by_name(experiment)
    runs = client.search_runs([found.experiment_id], f"tags.`posernn.run_id` = '{run_id}'")
    assert len(runs) <= 1
    return client, (runs[0] if runs else None)


def curve(client, run, name="train/loss"):
    return [(point.step, point.value) for point in client.get_metric_history(run.info.run_id, name)]


def pending(project):
    return sorted(path.name for path in (project / "mlflow-pending").glob("*"))


def evaluate(project, **scores):
    """Write the files of an evaluation."""
    folder = project / "results/model"
    (folder / "pictures").mkdir(parents=True, exist_ok=True)
    (folder / "pictures/people.png").write_bytes(b"a picture")
    (folder / "metrics.json").write_text(json.dumps(scores))
    (project / "runs/model/model.json").write_text("{}")
    (project / "runs/model/weights.safetensors").write_bytes(b"weights")
    tracking.publish_results(project / "runs/model", folder)


def test_parameters_tags_curves_and_status_are_in_the_run_folder_and_in_mlflow(project, monkeypatch):
    monkeypatch.setenv("DVC_EXP_NAME", "mossy-apse")
    monkeypatch.setenv("DVC_STAGE", "train@model")
    with record(project, dataset={"name": "synthetic", "digest": "0123abcd", "people": 30}) as run:
        run.log(ROWS)
    assert publish.sync() == 1
    client, found = recorded(run.run_id)
    texts = {"lr": "0.001", "seed": "0", "attention": "false", "val_list": "null", "arch": "lstm"}
    tags = TAGS | {"DVC_EXP_NAME": "mossy-apse", "mlflow.source.name": "train@model", "mlflow.source.type": "LOCAL"}
    tags["DVC_STAGE"] = "train@model"
    git = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=False)
    if git.returncode == 0:
        tags["mlflow.source.git.commit"] = git.stdout.strip()
    assert found.data.params == texts
    assert tags.items() <= found.data.tags.items()
    assert found.info.run_name == "model-lstm"
    assert curve(client, found) == [(0, 1.0), (100, 0.5), (200, 0.25)]
    assert [step for step, _ in curve(client, found, "val/rmse")] == [0, 100]
    assert found.info.status == "FINISHED"
    written = json.loads((project / "runs/model/run.json").read_text())
    assert (written["parameters"], written["tags"], written["status"]) == (texts, tags, "FINISHED")
    assert written["start_time"] <= written["end_time"]
    assert (project / "runs/model/history.csv").read_text().splitlines()[:2] == ["iteration,loss,val_rmse", "0,1.0,nan"]
    assert pending(project) == []
    (used,) = found.inputs.dataset_inputs
    dataset = used.dataset
    assert (dataset.name, dataset.digest, dataset.profile) == ("synthetic", "0123abcd", '{"num_rows": 30}')


def test_the_experiment_opens_as_model_training_and_has_a_view_that_is_sorted_by_pckh(project):
    with record(project):
        pass
    client = MlflowClient(tracking.backend_uri())
    number = client.get_experiment_by_name("posernn").experiment_id
    for name in view.EXPERIMENT_TAGS:  # as in an experiment of an earlier version
        client.delete_experiment_tag(number, name)
    publish.sync()
    tags = client.get_experiment(number).tags
    assert tags["mlflow.experimentKind"] == "custom_model_development"
    state = json.loads(json.loads(tags["mlflow.sharedViewState.posernn"])["state"])
    assert (state["orderByKey"], state["orderByAsc"]) == ("metrics.`val/pckh_total`", False)
    assert [card.get("selectedMetricKeys", card["metricKey"]) for card in state["compareRunCharts"]] == [
        "val/pckh_total",
        ["train/rmse", "val/rmse"],
    ]
    assert max(map(len, tags.values())) <= 5000  # MLflow's limit
    client.set_experiment_tag(number, "mlflow.sharedViewState.posernn", "the user's own")
    with record(project):
        pass
    publish.sync()
    assert client.get_experiment(number).tags["mlflow.sharedViewState.posernn"] == "the user's own"


def test_the_trained_model_is_an_output_of_its_run_with_weights_and_scores(project):
    with record(project) as run:
        run.log(ROWS)
    for _ in range(2):
        evaluate(project, pckh_total=41.0)
        publish.sync()
    client, found = recorded(run.run_id)
    (output,) = found.outputs.model_outputs
    model = client.get_logged_model(output.model_id)
    assert (model.name, model.status) == ("model-lstm", LoggedModelStatus.READY)
    assert [(metric.key, metric.value) for metric in model.metrics] == [("val/pckh_total", 41.0)]
    assert {file.path for file in client.list_logged_model_artifacts(output.model_id)} == {
        *("weights.safetensors", "model.json")
    }


def test_the_pages_to_open_are_the_view_its_charts_the_last_run_and_the_last_two_of_model(project):
    assert list(browse.pages()) == ["runs, best first", "charts of the runs", "the last run"]
    ids = []
    for name in ("model", "model", "model", "baseline"):
        with record(project, tags={"model": name}) as run:
            run.log(ROWS)
        evaluate(project, pckh_total=41.0)
        publish.sync()
        ids.append(recorded(run.run_id)[1].info.run_id)
    pages = browse.pages()
    number = MlflowClient(tracking.backend_uri()).get_experiment_by_name("posernn").experiment_id
    runs = f"/#/experiments/{number}/runs"
    shared = f"{runs}?workflowType=machine_learning&viewStateShareKey=posernn"
    assert pages["runs, best first"] == shared
    assert pages["charts of the runs"] == f"{shared}&compareRunsMode=CHART"
    assert pages["the last run"] == f"{runs}/{ids[3]}?workflowType=machine_learning"
    assert unquote(pages["the last two runs of model"]) == (
        f'/#/compare-runs?runs=["{ids[1]}","{ids[2]}"]&experiments=["{number}"]&workflowType=machine_learning'
    )


@pytest.mark.usefixtures("sending")
def test_mlflow_shows_a_training_while_it_runs_with_the_load_of_the_machine(project, monkeypatch):
    monkeypatch.setenv("MLFLOW_SYSTEM_METRICS_SAMPLING_INTERVAL", "1")
    with record(project) as run:
        for number in range(3):
            run.log(ROWS[: number + 1])
            while not (
                (found := recorded(run.run_id)[1]) and found.data.metrics.get("train/loss") == ROWS[number]["loss"]
            ):
                time.sleep(0.2)
        assert found.info.status == "RUNNING"
        while "system/cpu_utilization_percentage" not in recorded(run.run_id)[1].data.metrics:
            time.sleep(0.2)
    client, found = recorded(run.run_id)
    assert found.info.status == "FINISHED"
    assert curve(client, found) == [(0, 1.0), (100, 0.5), (200, 0.25)]
    assert pending(project) == []


def test_a_resumed_training_is_the_same_run_with_each_point_once(project):
    with suppress(KeyboardInterrupt), record(project) as run:
        run.log(ROWS[:2])
        raise KeyboardInterrupt
    publish.sync()
    assert recorded(run.run_id)[1].info.status == "KILLED"
    with record(project, run.run_id) as resumed:
        publish.publish(project / "mlflow-pending" / run.run_id, ended=False)
        assert recorded(run.run_id)[1].info.status == "RUNNING"
        resumed.log(ROWS)
    assert resumed.run_id == run.run_id
    publish.sync()
    client, found = recorded(run.run_id)
    assert curve(client, found) == [(0, 1.0), (100, 0.5), (200, 0.25)]
    assert found.info.status == "FINISHED"


@pytest.mark.parametrize(
    ("error", "status"), [(RuntimeError, "FAILED"), (KeyboardInterrupt, "KILLED"), (SystemExit, "KILLED")]
)
def test_the_way_a_training_ends_is_its_status(project, error, status):
    with pytest.raises(error), record(project):
        raise error
    assert json.loads((project / "runs/model/run.json").read_text())["status"] == status


def test_a_training_that_was_killed_with_all_its_processes_reaches_mlflow_as_killed(project):
    code = f"""if True:
        import os, pathlib, signal, sys
        from posernn.runtime import tracking
        sys.executable = {sys.executable!r}
        with tracking.record(pathlib.Path("runs/model"), name="model", parameters={{}}, tags={{}}) as run:
            run.log([{{"iteration": 0, "loss": 1.0}}])
            print(run.run_id, flush=True)
            os.kill(os.getpid(), signal.SIGKILL)
    """
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parent.parent)}
    done = subprocess.run([PYTHON, "-c", code], cwd=project, env=environment, capture_output=True, text=True)
    assert done.returncode == -signal.SIGKILL, done.stderr
    shutil.rmtree(project / "runs")  # as DVC does before the next training
    assert publish.sync() == 1
    client, found = recorded(done.stdout.strip())
    assert curve(client, found) == [(0, 1.0)]
    assert found.info.status == "KILLED"
    assert found.info.end_time >= found.info.start_time


def test_sync_leaves_a_running_training_alone(project):
    with record(project) as run:
        sent = []
        thread = threading.Thread(target=lambda: sent.append(publish.sync()))  # filelock: not in the lock's own thread
        thread.start()
        thread.join()
        assert sent == [0]
        assert run.run_id in pending(project)
    assert publish.sync() == 1


def test_results_are_added_once_and_leave_status_and_end_as_they_are(project):
    with suppress(ZeroDivisionError), record(project) as run:
        run.log(ROWS)
        raise ZeroDivisionError
    publish.sync()
    before = recorded(run.run_id)[1].info
    for _ in range(2):
        evaluate(project, **{"PCKh@0.5 Total": 0.41, "AUC": None})
        publish.sync()
    client, found = recorded(run.run_id)
    assert (found.info.status, found.info.end_time) == ("FAILED", before.end_time)
    assert curve(client, found, "val/PCKh_0.5 Total") == [(0, 0.41)]
    assert curve(client, found) == [(0, 1.0), (100, 0.5), (200, 0.25)]
    assert "val/AUC" not in found.data.metrics
    assert [file.path for file in client.list_artifacts(found.info.run_id, "pictures")] == ["pictures/people.png"]
    assert pending(project) == []


def test_results_of_a_run_that_this_mlflow_has_never_seen_bring_the_run_along(project):
    with record(project) as run:
        run.log(ROWS)
    shutil.rmtree(project / "mlflow-pending")
    evaluate(project, AUC=0.2)
    publish.sync()
    client, found = recorded(run.run_id)
    assert found.data.metrics["val/AUC"] == 0.2
    assert found.data.params["arch"] == "lstm"
    assert curve(client, found) == [(0, 1.0), (100, 0.5), (200, 0.25)]
    assert found.info.status == "FINISHED"


def test_an_experiment_that_was_deleted_in_mlflow_loses_no_training(project):
    client = MlflowClient(tracking.backend_uri())
    client.delete_experiment(client.get_experiment_by_name("posernn").experiment_id)
    with record(project) as run:
        run.log(ROWS)
    assert publish.sync() == 1
    client, found = recorded(run.run_id)
    assert curve(client, found) == [(0, 1.0), (100, 0.5), (200, 0.25)]
    assert client.get_experiment(found.info.experiment_id).lifecycle_stage == "active"


def test_a_project_that_was_moved_keeps_its_files_in_its_own_folder(project, monkeypatch):
    with record(project) as before:
        before.log(ROWS)
    evaluate(project, AUC=0.1)
    publish.sync()
    moved = project.with_name("elsewhere")
    shutil.copytree(project, moved)
    there = sorted(project.rglob("*.png"))
    monkeypatch.setenv("DVC_ROOT", str(moved))
    with record(moved) as after:
        after.log(ROWS)
    evaluate(moved, AUC=0.2)
    publish.sync()
    assert sorted(project.rglob("*.png")) == there
    assert len(list((moved / "mlruns").rglob("people.png"))) == 2
    shutil.rmtree(project)
    for run in (before, after):
        client, found = recorded(run.run_id)
        path = client.download_artifacts(found.info.run_id, "pictures/people.png")
        assert Path(path).read_bytes() == b"a picture"
        (output,) = found.outputs.model_outputs
        location = client.get_logged_model(output.model_id).artifact_location
        assert location.startswith((moved / "mlruns").as_uri())


def test_the_viewer_of_a_moved_project_shows_the_pictures_that_moved_along(project, monkeypatch):
    with record(project) as run:
        run.log(ROWS)
    evaluate(project, AUC=0.1)
    publish.sync()
    moved = project.rename(project.with_name("elsewhere"))
    monkeypatch.setenv("DVC_ROOT", str(moved))
    store.claim_artifacts()  # as `posernn ui` does before it starts
    client, found = recorded(run.run_id)
    path = client.download_artifacts(found.info.run_id, "pictures/people.png")
    assert Path(path).read_bytes() == b"a picture"


def test_the_experiment_is_the_one_that_mlflow_experiment_name_names(project, monkeypatch):
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "poses")
    with record(project) as run:
        pass
    publish.sync()
    assert recorded(run.run_id, "poses")[1] is not None
    assert recorded(run.run_id, "posernn")[1] is None


@pytest.mark.campaign
@pytest.mark.usefixtures("project")
def test_two_processes_may_create_the_database_at_once(tmp_path, monkeypatch):
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    run_ids = ["a" * 32, "b" * 32]
    commands = [[PYTHON, "-m", "posernn.runtime.publish", pending_run(tmp_path, run_id)] for run_id in run_ids]
    processes = [subprocess.Popen(command, stdin=subprocess.DEVNULL) for command in commands]
    assert [process.wait() for process in processes] == [0, 0]
    assert [recorded(run_id)[1].info.status for run_id in run_ids] == ["FINISHED", "FINISHED"]
    assert pending(tmp_path) == []


def test_off_writes_the_history_and_records_nothing(project, monkeypatch):
    monkeypatch.setenv("POSERNN_TRACKING", "off")
    with record(project) as run:
        run.log(ROWS)
    evaluate(project, AUC=0.2)
    assert json.loads((project / "runs/model/run.json").read_text()) == {
        "run_id": None,
        "parameters": PARAMETERS | {"lr": "0.001", "seed": "0", "attention": "false", "val_list": "null"},
    }
    assert len((project / "runs/model/history.csv").read_text().splitlines()) == 1 + len(ROWS)
    assert not (project / "mlflow-pending").exists()


def test_passwords_and_tokens_in_addresses_are_not_written(project):
    addresses = {"a": "s3://key:p@ss@host/data", "b": "https://host/x?token=abc&page=2"}
    with record(project, parameters=addresses, tags={"remote": "ssh://me@host/data"}):
        pass
    for file in project.rglob("run.json"):
        written = json.loads(file.read_text())
        assert written["parameters"] == {"a": "s3://***@host/data", "b": "https://host/x?token=***&page=2"}
        assert written["tags"]["remote"] == "ssh://***@host/data"


def test_a_run_id_from_elsewhere_cannot_name_another_folder(project, capsys):
    with record(project, "../../somewhere"):
        pass
    evaluate(project)
    assert capsys.readouterr().err == (
        "tracking: run_id: expected 32 hexadecimal digits, got '../../somewhere'; train again; not recorded in MLflow\n"
    )
    assert pending(project) == []


def test_copies_that_cannot_be_written_are_one_line_and_stop_nothing(project, capsys):
    (project / "mlflow-pending").write_text("a file, not a folder")
    with record(project) as run:
        run.log(ROWS)
    said = capsys.readouterr().err
    assert said.startswith("tracking: ")
    assert "Not a directory" in said  # the path is shortened where it is long
    assert said.count("\n") == 1
    assert len((project / "runs/model/history.csv").read_text().splitlines()) == 1 + len(ROWS)


def test_a_row_that_could_not_be_copied_is_sent_with_the_next(project, capsys):
    with record(project) as run:
        folder = project / "mlflow-pending" / run.run_id
        folder.rename(project / "away")
        folder.write_text("a file, not a folder")
        run.log(ROWS[:2])
        folder.unlink()
        (project / "away").rename(folder)
        run.log(ROWS)
    assert "history.csv: cannot be written" in capsys.readouterr().err
    publish.sync()
    assert curve(*recorded(run.run_id)) == [(0, 1.0), (100, 0.5), (200, 0.25)]


def test_commands_and_trainings_do_not_import_mlflow():
    code = "import sys; from posernn import cli; from posernn.runtime import publish; sys.exit('mlflow' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_what_mlflow_does_not_take_is_an_error_of_sync_and_holds_up_nothing_else(project):
    with record(project, parameters={"bad\x00name": 1}) as bad:
        pass
    with record(project) as good:
        pass
    with pytest.raises(
        InputError, match=rf"^MLflow: .*; kept in .*{bad.run_id}, the next stage or `posernn sync` sends"
    ):
        publish.sync()
    assert recorded(good.run_id)[1].info.status == "FINISHED"
    assert f"{good.run_id}" not in pending(project)
