"""Early fusion on CMU-MOSI: the sentiment of each utterance, in its video's context."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from emorec.artifacts.runs import RunFolder
from emorec.artifacts.spec import Modality, Spec
from emorec.artifacts.tables import put_rows, write_table
from emorec.batches.ragged import RaggedStore
from emorec.corpora.mosi import Mosi, read_mosi, video_sequences, widths
from emorec.evaluation import metrics
from emorec.evaluation.cards import card_after
from emorec.evaluation.outputs import Scores, write_scores
from emorec.files import digest, whole_file
from emorec.labels import SENTIMENT
from emorec.training import backend, objectives
from emorec.training.config import check_numbers

SUBSETS = ("TVA", "VA", "TA", "TV", "A", "V", "T")
DATASET = "CMU-MOSI"
Say = Callable[[str], None]


@dataclass(frozen=True)
class MosiConfig:
    """One network on CMU-MOSI; the defaults are those of the main job but for steps."""

    modalities: str = "TVA"
    seed: int = 0
    num_layers: int = 1
    num_nodes: int = 100
    dropout_rate: float = 0.2
    # A batch holds videos, each of about 24 utterances.
    batch_size: int = 8
    num_epochs: int = 60
    patience: int = 10
    learning_rate: float = 1e-3
    jit: str = "auto"
    precision: str = "float32"

    def __post_init__(self) -> None:
        check_numbers(self)

    @property
    def param_name(self) -> str:
        """Names the files of a run."""
        return (
            f"{self.modalities}_l_{self.num_layers}_n_{self.num_nodes}"
            f"_d_{self.dropout_rate:g}_b_{self.batch_size}_seed_{self.seed}"
        )


def run_all(
    folder: str | Path,
    base: MosiConfig,
    subsets: Sequence[str],
    seeds: Sequence[int],
    output: Path,
    say: Say,
) -> pd.DataFrame:
    """Train every subset with every seed, skipping what is done; return the table.

    Returns
    -------
    DataFrame
        One row a subset, and the constant predictors: mean and deviation over seeds of
        each metric on the test split.
    """
    corpus = read_mosi(folder)
    sizes = corpus.index.groupby("split").agg(
        videos=("video", "nunique"), utterances=("id", "size")
    )
    say(f"DATA: {DATASET} in {folder}, split by the column 'file'.")
    say(sizes.to_string())
    constants = _constants(corpus)
    put_rows(output / "sentiment.csv", constants, ["predictor", "modalities", "seed"])
    for modalities in subsets:
        for seed in seeds:
            config = MosiConfig(
                **{**asdict(base), "modalities": modalities, "seed": seed}
            )
            row = _run(corpus, config, output, say)
            put_rows(
                output / "sentiment.csv", [row], ["predictor", "modalities", "seed"]
            )
    # All that the folder holds, also of earlier calls; models before the constants.
    stored = pd.read_csv(output / "sentiment.csv").fillna({"modalities": ""})
    first = stored["predictor"] == "model"
    table = summarise([*_records(stored[first]), *_records(stored[~first])])
    write_table(output / "summary.csv", table)
    return table


def _records(table: pd.DataFrame) -> list[dict[str, Any]]:
    return table.to_dict("records")


def _row(predictor: str, modalities: str, seed: int | str, values: dict) -> dict:
    head = {"predictor": predictor, "modalities": modalities, "seed": seed}
    return head | {"split": "test"} | {k: round(v, 4) for k, v in values.items()}


def _constants(corpus: Mosi) -> list[dict[str, Any]]:
    """Score zero and the training mean, which know nothing of an utterance."""
    true = corpus.index.sent[corpus.index.split == "test"].to_numpy()
    mean = corpus.index.sent[corpus.index.split == "train"].mean()
    return [
        _row(name, "", "", metrics.sentiment(true, np.full(len(true), value)))
        for name, value in {"zero": 0.0, "train_mean": mean}.items()
    ]


def _run(corpus: Mosi, config: MosiConfig, output: Path, say: Say) -> dict[str, Any]:
    """Train one network, or take its finished result."""
    folder = RunFolder(output, config.param_name)
    settings = asdict(config) | {"data": _fingerprint(corpus)}
    record = folder.record()
    if record and record["settings"] == settings and record.get("status") == "complete":
        say(f"{config.param_name}: done before.")
        return _row("model", config.modalities, config.seed, record["metrics"])
    with folder.alone():
        folder.claim(settings, overwrite=False)
        result, spec, training = _train(corpus, config, folder, digest(settings), say)
        write_scores(
            output / f"predictions_test_{config.param_name}.npz", result, spec.to_dict()
        )
        values = metrics.sentiment(result.true[:, 0], result.predicted[:, 0])
        folder.write_record(
            settings,
            spec,
            system="mosi",
            status="complete",
            metrics=values,
            training=training,
            utterances={
                split: int(count)
                for split, count in corpus.index.split.value_counts().items()
            },
        )
        card_after(folder, say)
        shutil.rmtree(folder.resume_folder, ignore_errors=True)
    say(
        f"{config.param_name}: {training['epochs']} epochs, "
        + ", ".join(f"{k} {v:.3f}" for k, v in values.items())
    )
    return _row("model", config.modalities, config.seed, values)


def _fingerprint(corpus: Mosi) -> str:
    sums = [float(np.abs(array).sum()) for array in corpus.features.values()]
    return digest([len(corpus.index), float(corpus.index.sent.sum()), sums])


def _train(
    corpus: Mosi, config: MosiConfig, folder: RunFolder, run_id: str, say: Say
) -> tuple[Scores, Spec, dict[str, Any]]:
    name = backend.prepare(config.seed, config.precision)
    import keras

    from emorec.batches.order import BatchOrder
    from emorec.batches.pipeline import Pipeline
    from emorec.evaluation import figures
    from emorec.models.early_fusion import early_fusion
    from emorec.training.fit import Progress, fit, write_history

    stores = {
        split: RaggedStore.build(
            video_sequences(corpus, split, config.modalities), per_step=True
        )
        for split in ("train", "valid", "test")
    }
    # One width for all splits: every step is kept, and XLA compiles once.
    longest = max(int(store.lengths.max()) for store in stores.values())
    pipelines = {
        split: Pipeline(
            store,
            BatchOrder(
                store.lengths, config.batch_size, longest, config.seed, split == "train"
            ),
        )
        for split, store in stores.items()
    }
    columns = widths(corpus, config.modalities)
    spec = Spec(
        schema=SENTIMENT,
        modalities=tuple(Modality(name, "vectors", n) for name, n in columns.items()),
        max_steps=0,
        label_type="all",
        normalisation={"kind": "none"},
        data={"dataset": DATASET, "split": "file", "backend": name},
    )
    use_cudnn, jit_compile = backend.compilation(config.jit)
    model = early_fusion(
        list(columns.values()),
        1,
        config.num_layers,
        config.num_nodes,
        config.dropout_rate,
        per_step=True,
        use_cudnn=use_cudnn,
        jit_compile=jit_compile is not False,
    )
    model.compile(
        optimizer=keras.optimizers.Adam(config.learning_rate),
        loss="mean_absolute_error",
        weighted_metrics=[objectives.accuracy_metric("all", 0.0)],
        jit_compile=jit_compile,
    )
    progress = Progress(
        pipelines["train"],
        folder.resume_folder,
        "val_loss",
        config.patience,
        run_id,
        lambda line: None,
    )
    began = time.perf_counter()
    fitted = fit(
        model, pipelines["train"], pipelines["valid"], config.num_epochs, progress
    )
    seconds = time.perf_counter() - began
    with whole_file(folder.folder / f"model_{config.param_name}.keras") as temporary:
        model.save(temporary)
    write_history(folder.folder / f"history_{config.param_name}.csv", fitted.history)
    title = f"{DATASET}, {config.param_name}"
    figures.save(
        figures.learning_curve(fitted.history, fitted.best_epoch, title),
        folder.folder / f"learning_curve_{config.param_name}.png",
    )
    store = stores["test"]
    ids = corpus.index[corpus.index.split == "test"]
    # Utterances in the order of the store: videos sorted, as in the index.
    result = Scores(
        schema=SENTIMENT,
        ids=ids.id.tolist(),
        true=store.labels,
        predicted=pipelines["test"].predict(model),
        train_mean=stores["train"].labels.mean(axis=0),
        label_type="all",
    )
    training = {
        "epochs": len(fitted.history["loss"]),
        "best_epoch": fitted.best_epoch + 1,
        "val_loss": fitted.history["val_loss"][fitted.best_epoch],
        "resumed_after": fitted.resumed_at,
        "seconds": round(seconds, 1),
        "devices": backend.devices() or ["CPU"],
        "parameters": model.count_params(),
    }
    return result, spec, training


def summarise(rows: Sequence[dict[str, Any]]) -> pd.DataFrame:
    """Return mean and deviation over seeds, models first, then the constants.

    The deviation is that of a sample (n - 1), empty for a single seed.
    """
    table = pd.DataFrame(rows)
    names = [c for c in table if c not in ("predictor", "modalities", "seed", "split")]
    groups = table.groupby(["predictor", "modalities"], sort=False)
    means = groups[names].mean().add_suffix("_mean")
    deviations = groups[names].std().add_suffix("_std")
    joined = means.join(deviations).round(4)
    ordered = [f"{name}_{kind}" for name in names for kind in ("mean", "std")]
    joined = joined[ordered]
    joined.insert(0, "seeds", groups.size())
    return joined.reset_index()
