"""Synthetic voices with FER+'s eight emotions, for the miniatures.

A source and filters (Fant 1960, "Acoustic Theory of Speech Production"): pulses at the
pitch, and breath, pass the resonances of five vowels. What the emotions do to pitch,
loudness, tempo and timbre has the directions of Scherer (2003), "Vocal communication of
emotion", Table 2; its sizes are chosen, not measured.
"""

from __future__ import annotations

import wave
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
from scipy import ndimage, signal

from emorec.files import whole_file

RATE = 16_000
# Pitch, loudness and timbre change this often a second.
CONTROL = 200
_STEP = RATE // CONTROL
_LOWEST, _HIGHEST = 60.0, 550.0
_TABLE = 1024
# Hz of the first three resonances of a, e, i, o, u in a vocal tract of middle length.
_VOWELS = np.array(
    [
        (760, 1250, 2600),
        (480, 1900, 2600),
        (300, 2250, 3000),
        (470, 850, 2550),
        (320, 750, 2450),
    ]
)
_WIDTHS = np.array([80.0, 100.0, 140.0, 220.0])


class Prosody(NamedTuple):
    """How something is said.

    Attributes
    ----------
    pitch : float
        Semitones above the talker's usual.
    accents : float
        Semitones by which syllables differ in pitch (standard deviation).
    final : float
        Semitones by which the end of a phrase rises.
    energy : float
        dB above the talker's usual.
    tempo : float
        Factor on syllables a second.
    hard : float
        Added to the share of hard, bright pulses, which is 0 to 1.
    attack : float
        How early in a syllable it is loudest; 1 is its middle, less is earlier.
    jitter : float
        Semitones by which pitch trembles.
    breath : float
        Noise beside the pulses.
    pauses : float
        Factor on pauses.
    """

    pitch: float = 0.0
    accents: float = 1.8
    final: float = -2.0
    energy: float = 0.0
    tempo: float = 1.0
    hard: float = 0.0
    attack: float = 0.9
    jitter: float = 0.12
    breath: float = 0.04
    pauses: float = 1.0


PROSODY = {
    "neutral": Prosody(),
    "happiness": Prosody(3.5, 4.2, 0.5, 3, 1.12, 0.12, 0.85, 0.15, 0.05, 0.8),
    "surprise": Prosody(5.5, 3.5, 7.0, 2, 0.92, 0.08, 1.0, 0.2, 0.1, 1.2),
    "sadness": Prosody(-2.0, 0.8, -3.0, -6, 0.72, -0.25, 1.2, 0.25, 0.16, 1.7),
    "anger": Prosody(2.5, 2.8, -4.0, 6, 1.22, 0.42, 0.55, 0.3, 0.02, 0.6),
    "disgust": Prosody(-1.5, 2.4, -4.0, 0, 0.82, 0.15, 0.8, 0.5, 0.05, 1.2),
    "fear": Prosody(5.5, 1.5, 1.0, -1, 1.3, -0.12, 0.9, 0.9, 0.2, 0.9),
    "contempt": Prosody(-1.5, 1.6, -4.5, -1, 0.85, 0.05, 0.7, 0.15, 0.06, 1.3),
}
# How much two utterances of one talker in one mood differ.
_SCATTER = Prosody(0.8, 0.45, 1.0, 1.5, 0.07, 0.06, 0.08, 0.04, 0.02, 0.15)
_LEAST = Prosody(-12, 0.3, -12, -20, 0.5, -1, 0.4, 0.03, 0.01, 0.3)


class Voice(NamedTuple):
    """What a talker's voice sounds like whatever is felt.

    Attributes
    ----------
    pitch : float
        Usual pitch in Hz.
    tract : float
        Factor on the resonances; a shorter vocal tract has a larger one.
    fourth : float
        Hz of a fourth resonance.
    hard, breath : float
        Share of hard pulses, 0 to 1, and noise beside them.
    tempo : float
        Syllables a second.
    loudness : float
        Deviation of the samples while talking; 1 is full scale.
    """

    pitch: float
    tract: float
    fourth: float
    hard: float
    breath: float
    tempo: float
    loudness: float


def any_voice(
    random: np.random.Generator, lowest: float = 0.0, highest: float = 1.0
) -> Voice:
    """Draw a voice: 90 to 260 Hz, shorter vocal tracts with higher ones.

    `lowest` and `highest`, 0 to 1, narrow the range of the pitch (in octaves).
    """
    height = random.uniform(lowest, highest)
    return Voice(
        pitch=90 * (260 / 90) ** height,
        tract=0.92 + 0.2 * height + random.normal(0, 0.03),
        fourth=random.uniform(3200, 4200),
        hard=random.uniform(0.25, 0.6),
        breath=random.uniform(0.0, 0.06),
        tempo=random.uniform(4.3, 5.5),
        loudness=10 ** random.uniform(-1.5, -1.2),
    )


def blend(
    emotion: str | Prosody, strength: float, random: np.random.Generator
) -> Prosody:
    """Return how an emotion is said: 0 is neutral, 1 full, and people vary."""
    full = PROSODY[emotion] if isinstance(emotion, str) else emotion
    neutral, full, scatter = (np.array(p) for p in (PROSODY["neutral"], full, _SCATTER))
    values = neutral + strength * (full - neutral) + scatter * random.normal(size=10)
    return Prosody(*np.maximum(values, _LEAST).tolist())


def speak(
    voice: Voice, prosody: Prosody, seconds: float, random: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Synthesise syllables without meaning.

    Returns
    -------
    samples : (16000 * seconds,) float64
        Without the noise of a room.
    opening : (200 * seconds,) float64
        How far the mouth is open, 0 to 1, `CONTROL` times a second.
    """
    count = int(seconds * CONTROL)
    start, end, phrase = _syllables(count / CONTROL, voice, prosody, random)
    time = np.arange(count) / CONTROL
    which = np.clip(np.searchsorted(start, time, side="right") - 1, 0, None)
    inside = (time - start[which]) / (end - start)[which]
    voiced = (inside >= 0) & (inside < 1)
    inside = np.clip(inside, 0, 1)
    stress = random.uniform(0.55, 1.0, len(start))[which]
    # Loudest where inside ** attack is a half.
    arch = np.where(voiced, np.sin(np.pi * inside**prosody.attack), 0.0) * stress
    semitones = _contour(start, end, phrase, which, inside, prosody, random)
    pitch = np.clip(voice.pitch * 2 ** (semitones / 12), _LOWEST, _HIGHEST)
    # Louder parts of a voice are brighter, too.
    hard = np.clip(voice.hard + prosody.hard + 0.25 * (arch - 0.5), 0, 1)
    vowels = random.integers(0, len(_VOWELS), len(start))
    weights = (vowels[which] == np.arange(len(_VOWELS))[:, None]).astype(float)
    weights = ndimage.uniform_filter1d(weights, 9, axis=1)

    amplitude, pitch, hard, *weights = _per_sample(
        np.stack([arch**0.7, pitch, hard, *weights])
    )
    source = _pulses(pitch, hard, voice)
    breath = voice.breath + prosody.breath
    source += 3 * breath * random.standard_normal(len(source), np.float32)
    source *= amplitude
    samples = np.zeros(len(source))
    for weight, resonances in zip(weights, _VOWELS, strict=True):
        sections = _resonators((*(resonances * voice.tract), voice.fourth))
        samples += signal.sosfilt(sections, source * weight)
    talking = amplitude > 0.3
    samples /= max(samples[talking].std(), 1e-9)
    samples += _consonants(start, len(samples), random)
    gain = voice.loudness * 10 ** (prosody.energy / 20)
    return gain * samples, arch


def room(samples: np.ndarray, level: float, random: np.random.Generator) -> np.ndarray:
    """Add a room's noise of so large a deviation, mostly low; keep within 0.95."""
    noise = signal.lfilter(
        [1], [1, -0.7], random.standard_normal(len(samples), np.float32)
    )
    samples = samples + level * noise / noise.std()
    return samples * min(1, 0.95 / np.abs(samples).max())


def _syllables(
    seconds: float, voice: Voice, prosody: Prosody, random: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return of syllables starts and ends in seconds and the number of the phrase."""
    most = int(12 * seconds) + 2
    lengths = random.uniform(0.75, 1.25, most) / (voice.tempo * prosody.tempo)
    phrases = np.repeat(np.arange(most), random.integers(4, 9, most))[:most]
    new = np.diff(phrases, prepend=0) > 0
    pauses = new * random.uniform(0.18, 0.45, most) * prosody.pauses
    start = random.uniform(0.03, 0.25) + np.cumsum(pauses + lengths) - lengths
    kept = start < seconds - 0.15
    return start[kept], (start + 0.88 * lengths)[kept], phrases[kept]


def _contour(start, end, phrase, which, inside, prosody, random) -> np.ndarray:
    """Return the pitch at each control step in semitones above the talker's usual."""
    accents = random.normal(0, prosody.accents, len(start))
    last = np.append(np.diff(phrase) > 0, True)
    first = np.searchsorted(phrase, phrase)
    ends = np.searchsorted(phrase, phrase, side="right") - 1
    # Over a phrase pitch falls by two semitones in every mood.
    through = (start - start[first]) / (end[ends] - start[first])
    level = accents - 2 * (through - 0.5)
    contour = ndimage.uniform_filter1d(level[which], 15)
    contour += np.where(last[which], prosody.final * inside, 0)
    tremble = ndimage.uniform_filter1d(random.normal(size=len(which)), 3)
    return prosody.pitch + contour + np.sqrt(3) * prosody.jitter * tremble


def _pulses(pitch: np.ndarray, hard: np.ndarray, voice: Voice) -> np.ndarray:
    """Return pulses at a pitch (N,) in Hz, soft and hard ones mixed."""
    phase = np.cumsum(pitch / RATE)
    places = (phase * _TABLE).astype(int) % _TABLE
    # None above 7.6 kHz at the usual pitch, and little that folds back above that.
    soft, bright = _tables(int(7600 / (1.15 * voice.pitch)))
    return soft[places] + hard * (bright - soft)[places]


@lru_cache(maxsize=64)
def _tables(harmonics: int) -> tuple[np.ndarray, np.ndarray]:
    """Return one period of soft and of hard pulses, of equal power."""
    number = np.arange(1, harmonics + 1)
    found = []
    for fall in (1.9, 0.9):
        spectrum = np.zeros(_TABLE // 2 + 1, complex)
        spectrum[1 : harmonics + 1] = 1j * number**-fall
        table = np.fft.irfft(spectrum)
        found.append(table / table.std())
    return found[0], found[1]


def _resonators(frequencies) -> np.ndarray:
    """Return second-order sections, one after another, each of gain 1 at 0 Hz."""
    radius = np.exp(-np.pi * _WIDTHS / RATE)
    angle = 2 * np.pi * np.asarray(frequencies) / RATE
    feedback = np.stack([-2 * radius * np.cos(angle), radius**2], axis=1)
    sections = np.zeros((len(radius), 6))
    sections[:, 0] = 1 + feedback.sum(axis=1)
    sections[:, 3] = 1
    sections[:, 4:] = feedback
    return sections


def _consonants(
    start: np.ndarray, count: int, random: np.random.Generator
) -> np.ndarray:
    """Return hisses before half of the syllables."""
    samples = np.zeros(count)
    length = int(0.07 * RATE)
    arch = np.hanning(length)
    for begin in start[random.random(len(start)) < 0.5]:
        first = int(begin * RATE) - length // 2
        if 0 <= first < count - length:
            noise = np.diff(random.normal(size=length + 1))
            hiss = random.uniform(0.1, 0.35) * arch * noise
            samples[first : first + length] += hiss
    return samples


def _per_sample(control: np.ndarray) -> np.ndarray:
    """Interpolate values (..., T) of control steps to samples, linearly."""
    rise = np.diff(control, axis=-1, append=control[..., -1:])
    samples = control[..., None] + rise[..., None] * (np.arange(_STEP) / _STEP)
    return samples.reshape(*control.shape[:-1], -1)


def write_sound(path: Path, sound: np.ndarray) -> None:
    """Write samples (N,) float, 1 full scale, as a wav of 16 bits at 16 kHz, whole."""
    with whole_file(path) as temporary, wave.open(str(temporary), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes(np.rint(sound * 32767).astype("<i2").tobytes())
