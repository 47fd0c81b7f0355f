"""Networks on one vector of an utterance's sound, for the seven emotions of MELD.

The multilayer perceptron is that of the notebooks of the Communicative Robots course
(Vrije Universiteit Amsterdam, 2020), which took 185 means of librosa's features.
"""

from __future__ import annotations

import keras
from keras import layers

from emorec.errors import SpecError

# Units and the dropout behind them.
HIDDEN = ((185, 0.5), (128, 0.5), (64, 0.25))
NETWORKS = ("linear", "mlp")


def mlp(num_inputs: int = 185, num_outputs: int = 7) -> keras.Model:
    """Build the multilayer perceptron: three hidden layers with ReLU and dropout.

    Parameters
    ----------
    num_inputs, num_outputs : int
        D features and K emotions; 185 and 7 have 66,929 parameters.

    Returns
    -------
    keras.Model
        Input ``features`` (B, D); output ``emotions`` (B, K) float32, before the
        softmax.
    """
    features = keras.Input((num_inputs,), name="features")
    x = features
    for number, (units, rate) in enumerate(HIDDEN, 1):
        x = layers.Dense(units, activation="relu", name=f"dense_{number}")(x)
        x = layers.Dropout(rate, name=f"dropout_{number}")(x)
    return keras.Model(features, _emotions(num_outputs)(x), name="meld_audio_mlp")


def linear(num_inputs: int = 185, num_outputs: int = 7) -> keras.Model:
    """Build a single layer; see `mlp` for parameters, input and output."""
    features = keras.Input((num_inputs,), name="features")
    emotions = _emotions(num_outputs)(features)
    return keras.Model(features, emotions, name="meld_audio_linear")


def network(name: str, num_inputs: int, num_outputs: int) -> keras.Model:
    """Build one of `NETWORKS` by its name.

    Raises
    ------
    SpecError
        For another name.
    """
    if name not in NETWORKS:
        raise SpecError(f"Network '{name}': expected one of {', '.join(NETWORKS)}.")
    return {"linear": linear, "mlp": mlp}[name](num_inputs, num_outputs)


def _emotions(num_outputs: int) -> layers.Layer:
    # float32 also under mixed precision, for a narrow output would round the scores.
    return layers.Dense(num_outputs, dtype="float32", name="emotions")
