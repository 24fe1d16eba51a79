"""The saved view of the experiment in MLflow's UI: columns of the table, its order, and the charts.

MLflow keeps a shared view as a tag of the experiment: the state of its page as JSON. The names are those of
`ExperimentPageUIState` and `RunsChartsCardConfig` in MLflow 3.
"""

import json

KEY = "posernn"
"""Of the view in addresses: `viewStateShareKey=posernn`."""

COLUMNS = (
    "metrics.`val/pckh_total`",
    "metrics.`val/pckh_head`",
    "metrics.`val/pckh_wrist`",
    "metrics.`val/pckh_ankle`",
    "metrics.`val/rmse`",
    "params.`model.attention`",
    "tags.`DVC_EXP_NAME`",
    "attributes.`Dataset`",
    "attributes.`Source`",
    "attributes.`Models`",
)

TABLE = {
    "searchFilter": "",
    "orderByKey": "metrics.`val/pckh_total`",
    "orderByAsc": False,
    "startTime": "ALL",
    "lifecycleFilter": "Active",
    "datasetsFilter": [],
    "modelVersionFilter": "All Runs",
    "selectedColumns": COLUMNS,
    "columnOrder": ("attributes.`Run Name`", *COLUMNS, "runDateAndNestInfo", "duration"),
    "columnWidths": {},
}

SECTION = {"uuid": "posernn", "name": "Comparison", "display": True, "isReordered": True, "columns": 2}
CARD = {"metricSectionId": SECTION["uuid"], "deleted": False, "isGenerated": False, "runsCountToCompare": 20}

CHARTS = {
    "compareRunSections": [SECTION],  # MLflow adds a section for each group of metrics
    "compareRunCharts": [
        CARD | {"uuid": "pckh", "type": "BAR", "metricKey": "val/pckh_total"},
        CARD
        | {
            "uuid": "rmse",
            "type": "LINE",
            "metricKey": "val/rmse",
            "selectedMetricKeys": ["train/rmse", "val/rmse"],
            "xAxisKey": "step",
            "xAxisScaleType": "linear",
            "scaleType": "linear",
            "range": {},
            "yAxisKey": "metric",
            "yAxisExpressions": [],
            "useGlobalXaxisKey": True,
            "useGlobalLineSmoothing": True,
        },
    ],
    "isAccordionReordered": True,  # or MLflow sorts its own sections to the top
}

EXPERIMENT_TAGS = {
    "mlflow.experimentKind": "custom_model_development",  # opens in the view of model training
    f"mlflow.sharedViewState.{KEY}": json.dumps(
        {"name": "PCKh, best first", "createdAt": 0, "updatedAt": 0, "state": json.dumps(TABLE | CHARTS)}
    ),
}
"""Tags that a new experiment gets. MLflow takes 5,000 characters each."""
