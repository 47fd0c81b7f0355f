"""The main numbers of a run, as text for a reader and as plain values for JSON."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd


def summary(
    tables: Mapping[str, list[dict[str, Any]]], decimals: int, dataset: str
) -> str:
    """Return the main numbers of a run as text, beside the constant predictors'."""
    rows: dict[str, dict[str, float]] = {}

    def put(table: str, titles: Mapping[str, str], threshold: str = "") -> None:
        for row in tables[table]:
            if row["threshold_emo_present"] == threshold:
                mine = rows.setdefault(row["predictor"], {})
                mine |= {t: round(row[n], decimals) for n, t in titles.items()}

    put("regression", {"mae": "MAE", "r2": "R2"})
    limits = list(
        dict.fromkeys(
            row["threshold_emo_present"] for row in tables["classification_presence"]
        )
    )
    put("classification_presence", {"auc_macro": "AUC", "ap_macro": "AP"}, limits[0])
    for limit in limits:
        titles = {
            "weighted_accuracy_macro": f"WA@{limit}",
            "f1_macro": f"F1@{limit}",
            "accuracy_macro": f"acc@{limit}",
        }
        put("classification_presence", titles, limit)
    frame = pd.DataFrame.from_dict(rows, orient="index")
    return (
        f"Test of {dataset}; presence as mean over emotions, @ its threshold "
        "(valid: chosen on validation):\n"
        f"{frame.to_string(na_rep='')}"
    )


def plain(tables: Mapping[str, list[dict[str, Any]]]) -> dict[str, Any]:
    """Turn NaN into None, for JSON has no NaN."""
    return {
        name: [
            {
                key: None if isinstance(value, float) and np.isnan(value) else value
                for key, value in row.items()
            }
            for row in rows
        ]
        for name, rows in tables.items()
    }
