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

START_SECONDS = 60.0


def pages() -> dict[str, str]:
    """Return the paths of MLflow's pages: the table of runs, and the comparison of the last two runs of `model`."""
    with store.client_of_project() as client:
        experiment = client.get_experiment_by_name(store.experiment_name())
        if experiment is None:
            return {}
        number = experiment.experiment_id
        evaluated = "tags.model = 'model' and metrics.`val/pckh_total` >= 0"
        runs = client.search_runs([number], evaluated, order_by=["attributes.start_time DESC"], max_results=2)
    view = f"workflowType=machine_learning&viewStateShareKey={store.VIEW}"
    found = {"runs, best first": f"/#/experiments/{number}/runs?{view}"}
    if len(runs) == 2:
        ids = quote(json.dumps([run.info.run_id for run in reversed(runs)], separators=(",", ":")))
        experiments = quote(json.dumps([number]))
        address = f"/#/compare-runs?runs={ids}&experiments={experiments}&workflowType=machine_learning"
        found["the last two runs of model"] = address
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
