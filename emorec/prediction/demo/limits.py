"""What the page refuses, with messages for people who see no terminal."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from emorec.errors import DataError, SpecError
from emorec.prediction.recordings import Recording

_MEGABYTE = 1_000_000


@dataclass(frozen=True)
class Limits:
    """How large and how long a clip may be.

    Attributes
    ----------
    max_mb : float
        Megabytes (10**6 bytes) of each file.
    max_seconds : float
        Length of a clip.
    """

    max_mb: float = 200.0
    max_seconds: float = 120.0

    def __post_init__(self) -> None:
        if not 0 < self.max_mb <= 100_000:
            raise SpecError(f"--max_mb {self.max_mb:g}: expected above 0, to 100,000.")
        if not 0 < self.max_seconds <= 86_400:
            raise SpecError(
                f"--max_seconds {self.max_seconds:g}: expected above 0, to 86,400."
            )

    @property
    def max_bytes(self) -> int:
        """Bytes of a file."""
        return int(self.max_mb * _MEGABYTE)

    def check_size(self, file: Path) -> None:
        """Refuse a file that is too large.

        Raises
        ------
        DataError
            With both sizes, and what to do.
        """
        size = file.stat().st_size
        if size > self.max_bytes:
            raise DataError(
                f"{file.name}: {size / _MEGABYTE:.1f} MB; this page takes up to "
                f"{self.max_mb:g} MB. Cut the clip, or start the page with a larger "
                "--max_mb."
            )

    def check_length(self, recording: Recording) -> None:
        """Refuse a clip that is too long.

        Raises
        ------
        DataError
            With both lengths, and what to do.
        """
        if recording.duration > self.max_seconds:
            raise DataError(
                f"{recording.id}: {recording.duration:.1f} s long; this page takes up "
                f"to {self.max_seconds:g} s. Cut the clip, start the page with a "
                "larger --max_seconds, or use emorec predict, which knows no limit."
            )
