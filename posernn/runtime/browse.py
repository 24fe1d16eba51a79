"""Finds the pages of MLflow's viewer that are worth opening, and opens one when the viewer has started.

Run as `python -m posernn.runtime.browse ADDRESS` beside the viewer.
"""

import json
import socket
import sys
import time
import webbrowser
from urllib.parse import quote, urlsplit

from posernn.runtime import store
from posernn.runtime.view import KEY

START_SECONDS = 60.0


TRAINING = "workflowType=machine_learning"
"""Without it in an address, MLflow's menu is the one for language models until the user switches it."""


def pages() -> dict[str, str]:
    """Return the paths of MLflow's pages by title: table and charts of runs, the last run, the last two of `model`."""
    with store.client_of_project() as client:
        experiment = client.get_experiment_by_name(store.experiment_name())
        if experiment is None:
            return {}
        number = experiment.experiment_id
        newest = ["attributes.start_time DESC"]
        last = client.search_runs([number], max_results=1, order_by=newest)
        evaluated = "tags.model = 'model' and metrics.`val/pckh_total` >= 0"
        models = client.search_runs([number], evaluated, max_results=2, order_by=newest)
    runs = f"/#/experiments/{number}/runs"
    view = f"{TRAINING}&viewStateShareKey={KEY}"
    found = {"runs, best first": f"{runs}?{view}", "charts of the runs": f"{runs}?{view}&compareRunsMode=CHART"}
    if last:
        found["the last run"] = f"{runs}/{last[0].info.run_id}?{TRAINING}"
    if len(models) == 2:
        ids = quote(json.dumps([run.info.run_id for run in reversed(models)], separators=(",", ":")))
        experiments = quote(json.dumps([number]))
        found["the last two runs of model"] = f"/#/compare-runs?runs={ids}&experiments={experiments}&{TRAINING}"
    return found


def main(address: str) -> None:
    """Open an address in the user's browser as soon as its server takes connections."""
    host = urlsplit(address)
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        try:
            socket.create_connection((host.hostname, host.port), timeout=1).close()
        except OSError:
            time.sleep(0.5)
        else:
            webbrowser.open(address)
            return


if __name__ == "__main__":
    main(sys.argv[1])
