"""How a voice sounds from moment to moment: rows of named features, streamed.

One row for each tenth of a second: the mean over ten frames, one per hundredth, of
librosa's features of the spectrum and of pitch. A row depends on the sound within
43 ms of it alone (and pitch, where nothing is voiced, on the row before), so rows can
be made of a sound of any length and are the same however it is divided.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np

from emorec.features.audio import RATE
from emorec.features.librosa_loading import load_librosa

# Rows and frames a second.
PER_SECOND, FRAMES = 10, 100
_MEL, _MFCC = 40, 13
NAMES = (
    *(f"mel_{number:02d}" for number in range(_MEL)),
    *(f"mfcc_{number:02d}" for number in range(_MFCC)),
    *("loudness", "zero_crossings", "centroid", "bandwidth", "rolloff", "flatness"),
    *("flux", "pitch", "voicing"),
)
_HOP = RATE // FRAMES
_EACH = FRAMES // PER_SECOND
_ROW = _HOP * _EACH
# Frames of the spectrum and of pitch, which takes two periods of the lowest voice.
_SPECTRUM, _PITCH = 512, 1024
_LOWEST, _HIGHEST = 65.0, 500.0
# A frame is centred on its hop: what it takes before and behind it.
_BEFORE = (_PITCH - _HOP) // 2
_BEHIND = _PITCH - _HOP - _BEFORE
# Pitch is told from where half of the sound repeats.
_VOICED = 0.5
# Powers below this count as it: -100 dB.
_LEAST = 1e-10


def voice_rows(blocks: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
    """Yield the rows of a sound.

    Parameters
    ----------
    blocks : iterable of (n,) float32
        The sound at 16 kHz; 1 is full scale.

    Yields
    ------
    (k, 62) float32
        The next rows, finite, in the order of `NAMES`: 40 mel bands (dB), 13 cepstral
        coefficients of them, loudness (dB), share of zero crossings, spectral
        centroid, bandwidth and roll-off at 85 % (Hz), flatness (dB), flux (mean change
        of the mel bands from frame to frame, dB), pitch (semitones above 27.5 Hz, held
        where nothing is voiced; before the first voiced row, that of 150 Hz), voicing
        (correlation of the sound with itself a period later, -1 to 1). Row i is of
        the samples from 1600 i on; a last one of less than half as many is left out,
        but for the first.

    Raises
    ------
    MissingExtraError
        When librosa is not installed.
    """
    librosa = load_librosa()
    held = np.zeros(_BEFORE + _HOP, np.float32)  # one frame more, for the first flux
    pitch = _semitones(150.0)
    count = 0
    for block in blocks:
        held = np.concatenate([held, np.asarray(block, np.float32)])
        ready = (len(held) - _HOP - _BEFORE - _BEHIND) // _ROW
        if ready < 1:
            continue
        rows, pitch = _rows(librosa, held, ready, pitch)
        yield rows
        held, count = held[ready * _ROW :], count + ready
    left = len(held) - _HOP - _BEFORE
    ready = max((left + _ROW // 2) // _ROW, 1 if left > 0 and not count else 0)
    if ready > 0:
        held = np.concatenate([held, np.zeros(_BEHIND + _ROW, np.float32)])
        yield _rows(librosa, held, ready, pitch)[0]


def _rows(librosa, held: np.ndarray, rows: int, pitch: float):
    """Return (rows, D) and the last pitch; the sound begins a frame before them."""
    count = rows * _EACH + 1
    samples = held[: (count - 1) * _HOP + _PITCH].astype(np.float64)
    windows = np.lib.stride_tricks.sliding_window_view(samples, _PITCH)[::_HOP]
    frames = windows[:, (_PITCH - _SPECTRUM) // 2 :][:, :_SPECTRUM]
    spectrum = np.abs(np.fft.rfft(frames * np.hanning(_SPECTRUM + 1)[:-1])).T
    feature, kind = librosa.feature, {"sr": RATE, "n_fft": _SPECTRUM}
    mel = _decibels(feature.melspectrogram(S=spectrum**2, n_mels=_MEL, **kind))
    lag, voicing = _repetition(librosa, samples, windows)
    found = [
        mel,
        feature.mfcc(S=mel, n_mfcc=_MFCC),
        _decibels(np.mean(frames**2, axis=1))[None],
        np.mean(frames[:, 1:] * frames[:, :-1] < 0, axis=1)[None],
        feature.spectral_centroid(S=spectrum, **kind),
        feature.spectral_bandwidth(S=spectrum, **kind),
        feature.spectral_rolloff(S=spectrum, **kind),
        _decibels(feature.spectral_flatness(S=spectrum)),
        np.abs(np.diff(mel, axis=1, prepend=mel[:, :1])).mean(axis=0)[None],
    ]
    # The first frame is of the row before, there for the flux alone.
    values = np.concatenate(found)[:, 1:].reshape(-1, rows, _EACH).mean(axis=2)
    pitches = _semitones(RATE / lag[1:]).reshape(rows, _EACH)
    voicing = voicing[1:].reshape(rows, _EACH)
    voiced = voicing >= _VOICED
    held_pitch = np.empty(rows)
    for row in range(rows):
        if voiced[row].any():
            pitch = float(pitches[row][voiced[row]].mean())
        held_pitch[row] = pitch
    columns = np.stack([held_pitch, voicing.mean(axis=1)])
    return np.concatenate([values, columns]).T.astype(np.float32), pitch


def _repetition(librosa, samples: np.ndarray, windows: np.ndarray):
    """Return the period of each frame in samples, and how well it repeats."""
    hertz = librosa.yin(
        samples,
        fmin=_LOWEST,
        fmax=_HIGHEST,
        sr=RATE,
        frame_length=_PITCH,
        hop_length=_HOP,
        center=False,
    )
    lag = RATE / hertz
    whole = np.rint(lag).astype(int)
    voicing = np.zeros(len(windows))
    for period in np.unique(whole):
        own = whole == period
        first, later = windows[own, :-period], windows[own, period:]
        power = np.sqrt((first**2).sum(axis=1) * (later**2).sum(axis=1))
        # A millionth of full scale: what is fainter is silence.
        voicing[own] = (first * later).sum(axis=1) / np.maximum(power, 1e-9)
    return lag, voicing


def _decibels(power: np.ndarray) -> np.ndarray:
    return 10 * np.log10(np.maximum(power, _LEAST))


def _semitones(hertz):
    return 12 * np.log2(np.asarray(hertz) / 27.5)
