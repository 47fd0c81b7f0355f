"""eGeMAPS' low-level descriptors of a voice, by openSMILE, streamed.

Eyben et al. (2016), "The Geneva Minimalistic Acoustic Parameter Set (GeMAPS) for Voice
Research and Affective Computing": 25 descriptors each hundredth of a second, here their
means over tenths. openSMILE may be used for research and teaching only, not in products
(its licence says what that means).
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator
from functools import lru_cache
from importlib.util import find_spec

import numpy as np

from emorec.errors import MissingExtraError
from emorec.features.audio import RATE
from emorec.features.sound_blocks import overlapping

PER_SECOND = 10
_HOP, _EACH = RATE // 100, 10
_ROW = _HOP * _EACH
# openSMILE smooths over neighbours, and loses what is at an end: it is given this much
# on either side of a block (in rows: 1 s), and blocks of 20 s.
_AROUND, _BLOCK = 10, 200


def names() -> tuple[str, ...]:
    """Return the names of the columns.

    Raises
    ------
    MissingExtraError
        When opensmile is not installed.
    """
    return tuple(_smile().feature_names)


def egemaps_rows(blocks: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
    """Yield the rows of a sound.

    Parameters
    ----------
    blocks : iterable of (n,) float32
        The sound at 16 kHz; 1 is full scale.

    Yields
    ------
    (k, 25) float32
        The next rows, finite, in the order of `names`. Row i is of the samples from
        1600 i on; a last one of less than half as many is left out, but for the first.
        What openSMILE does not tell, as of sounds under 0.08 s, is 0.
    """
    first = True
    for samples, before, count in overlapping(blocks, _BLOCK * _ROW, _AROUND * _ROW):
        # A whole block has _BLOCK rows.
        rows = max((count + _ROW // 2) // _ROW, int(first))
        if rows:
            yield _rows(samples, before // _ROW, rows)
        first = False


def _rows(samples: np.ndarray, before: int, rows: int) -> np.ndarray:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Segment too short", UserWarning)
        found = _smile().process_signal(samples, RATE).to_numpy(np.float32)
    found = np.nan_to_num(found, nan=0.0, posinf=0.0, neginf=0.0)
    # A sound's last frames are missing: the last one that there is stands for them.
    lacking = max((before + rows) * _EACH - len(found), 0)
    found = np.concatenate([found, np.repeat(found[-1:], lacking, axis=0)])
    wanted = found[before * _EACH : (before + rows) * _EACH]
    return wanted.reshape(rows, _EACH, -1).mean(axis=1)


@lru_cache(maxsize=1)
def _smile():
    if find_spec("opensmile") is None:
        raise MissingExtraError("opensmile", "opensmile", "eGeMAPS features")
    import opensmile

    return opensmile.Smile(
        feature_set=opensmile.FeatureSet.eGeMAPSv02,
        feature_level=opensmile.FeatureLevel.LowLevelDescriptors,
    )
