"""Run folders: one record per run, which also guards against silent overwriting."""

from __future__ import annotations

import importlib.metadata
import os
import platform
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from emorec.artifacts.spec import Spec
from emorec.errors import SpecError, shorten
from emorec.files import digest, exclusive, read_json, write_json

# fmt: off
SYSTEMS = (
    "mosei", "mosi", "faces", "voices", "ravdess", "meld_text", "meld_audio",
    "meld_face",
)
# fmt: on
_PACKAGES = ("emorec", "keras", "tensorflow", "jax", "numpy", "scikit-learn", "h5py")


@dataclass(frozen=True)
class RunFolder:
    """The files of one run inside the folder of its model.

    Several runs share the folder; their parameter names keep their files apart.

    Attributes
    ----------
    folder : Path
        ``models/<model name>``.
    param_name : str
        Parameter name of the run, e.g. ``l_2_n_128_d_0.2_b_32_s_45``.
    """

    folder: Path
    param_name: str

    @property
    def record_path(self) -> Path:
        """The JSON record: settings, spec, environment, counts, training."""
        return self.folder / f"run_{self.param_name}.json"

    @property
    def resume_folder(self) -> Path:
        """Where an unfinished training keeps its state."""
        return self.folder / f"unfinished_{self.param_name}"

    def record(self) -> dict[str, Any] | None:
        """Return the record, or None before the first run."""
        return read_json(self.record_path) if self.record_path.is_file() else None

    def alone(self) -> AbstractContextManager[None]:
        """Keep other processes from working on the same run while the block runs.

        Raises
        ------
        BusyError
            When another one is at work on it.
        """
        return exclusive(
            self.folder / f".{self.param_name}.lock",
            f"{self.folder}: another process is working on the run {self.param_name} "
            "now. Wait for it, or give this run its own --model_name.",
        )

    def claim(
        self,
        settings: dict[str, Any],
        overwrite: bool,
        advice: str = "Give this run its own --model_name, or pass --overwrite.",
    ) -> None:
        """Reserve the parameter name for these settings.

        Raises
        ------
        SpecError
            When a run of other settings has the name and `overwrite` is off. The
            message lists what differs, and ends with `advice`.
        """
        earlier = self.record()
        if earlier is None or overwrite:
            return
        before = earlier.get("settings", {})
        different = [
            f"  {key}: {before.get(key)!r} before, {settings.get(key)!r} now"
            for key in sorted({*before, *settings})
            if before.get(key) != settings.get(key)
        ]
        if different:
            raise SpecError(
                f"{self.folder}: a run named {self.param_name} exists with other "
                "settings, and would be overwritten.\n"
                + "\n".join(different)
                + f"\n{advice}"
            )

    def trained_settings(self, data: dict[str, Any], overwrite: bool) -> dict[str, Any]:
        """Return the settings of the trained model, for an evaluation on `data`.

        Raises
        ------
        SpecError
            When `data` are not those of the training and `overwrite` is off: the
            evaluation would replace the results.
        """
        settings = (self.record() or {}).get("settings", {})
        if settings.get("data") != data and not overwrite:
            raise SpecError(
                f"{self.folder}: {self.param_name} was trained and evaluated on other "
                f"data ({settings.get('data')}, now {data}), and its results would be "
                "replaced. Copy the folder under another --model_name, or pass "
                "--overwrite."
            )
        return settings | {"data": data}

    def write_record(
        self, settings: dict[str, Any], spec: Spec, *, system: str, **content: Any
    ) -> None:
        """Write the record.

        Parameters
        ----------
        settings : dict
            All that decides the run.
        spec : Spec
            What enters and leaves the model.
        system : str
            One of `SYSTEMS`, by which the model is known again.
        **content
            ``status`` (``training``, ``evaluating``, ``complete``), ``training`` and
            whatever else is told of the run, in containers for JSON.
        """
        if system not in SYSTEMS:
            raise ValueError(f"system {system!r}: expected one of {SYSTEMS}.")
        write_json(
            self.record_path,
            {
                "run": digest(settings),
                "param_name": self.param_name,
                "system": system,
                "settings": settings,
                "spec": spec.to_dict(),
                "environment": environment(),
                **content,
            },
        )

    def read_spec(self) -> Spec:
        """Return the spec of the trained model.

        Raises
        ------
        SpecError
            When there is no record; the message names the runs that there are.
        """
        record = self.record()
        if record is None:
            others = sorted(path.name for path in self.folder.glob("run_*.json"))
            raise SpecError(
                f"{self.record_path}: no such run. "
                f"Runs in this folder: {shorten(others) or 'none'}."
            )
        return Spec.from_dict(record["spec"])


def environment() -> dict[str, Any]:
    """Return what a repetition needs to know of this machine's software."""
    versions = {}
    for package in _PACKAGES:
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            versions[package] = None
    return {
        "python": platform.python_version(),
        "system": platform.platform(terse=True),
        "processors": os.cpu_count(),
        "versions": versions,
    }
