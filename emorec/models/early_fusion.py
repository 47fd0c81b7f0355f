"""Early fusion of text, image and audio by bidirectional LSTMs.

Williams, Kleinegesse, Comanescu and Radu (2018), "Recognizing Emotions in Video Using
Multimodal DNN Feature Fusion", section 3.
"""

from __future__ import annotations

from collections.abc import Sequence

import keras
import numpy as np
from keras import layers

from emorec.models.bidirectional import Bidirectional
from emorec.models.normalisation import BatchNormalization

LSTM_UNITS = 64


@keras.saving.register_keras_serializable("emorec")
class SpreadPresence(layers.Layer):
    """Repeat the presence of each modality over the columns of its features.

    Networks saved before `emorec.models.normalisation` hold it; it is here to load
    them.

    Parameters
    ----------
    widths : sequence of int
        Number of feature columns per modality.

    Input and output: (B, T, M) float -> (B, T, sum(widths)) float.
    """

    def __init__(self, widths: Sequence[int], **kwargs) -> None:
        super().__init__(**kwargs)
        self.widths = [int(width) for width in widths]

    def call(self, presence):
        """Spread (B, T, M) to (B, T, D)."""
        owner = np.repeat(np.arange(len(self.widths)), self.widths)
        return keras.ops.take(presence, owner, axis=-1)

    def compute_output_shape(self, input_shape):
        """Return (B, T, D)."""
        return (*input_shape[:-1], sum(self.widths))

    def get_config(self):
        """Return the constructor's arguments."""
        return {**super().get_config(), "widths": self.widths}


def early_fusion(
    widths: Sequence[int],
    num_outputs: int,
    num_layers: int = 1,
    num_nodes: int = 100,
    dropout_rate: float = 0.2,
    final_activation: str = "linear",
    per_step: bool = False,
    use_cudnn: bool | str = "auto",
    jit_compile: bool = True,
) -> keras.Model:
    """Build the network.

    Batch normalisation, `num_layers` of [bidirectional LSTM of 64 units per direction,
    dropout], a dense layer with ReLU, dropout, a dense output.

    Parameters
    ----------
    widths : sequence of int
        Feature columns of each modality, in the order in which they are joined.
    num_outputs : int
        K, the labels.
    num_layers : int
        LSTM layers, 1 to 3 in the paper.
    num_nodes : int
        Units of the dense layer.
    dropout_rate : float
        In [0, 1).
    final_activation : str
        Activation of the output.
    per_step : bool
        Whether every step has an output of its own (the utterances of a video) rather
        than the sequence as a whole.
    use_cudnn : bool or "auto"
        False makes the LSTMs compilable by XLA, which cuDNN's are not.
    jit_compile : bool
        Whether XLA compiles the loops of the LSTMs when it does not compile the model.

    Returns
    -------
    keras.Model
        Inputs: ``features`` (B, T, D) float; ``mask`` (B, T) bool, True at real steps,
        which must come first; ``presence`` (B, T, M), 1 where a modality is there.
        Output ``emotions``: (B, K), or (B, T, K) when `per_step`, float32.
        Features of an absent modality have no influence, nor have padded steps.
    """
    features = keras.Input((None, sum(widths)), name="features")
    mask = keras.Input((None,), dtype="bool", name="mask")
    presence = keras.Input((None, len(widths)), name="presence")

    x, scale, shift = BatchNormalization(widths, name="normalisation")(
        features, presence, mask=mask
    )
    affine = scale, shift, presence
    for number in range(1, num_layers + 1):
        last = number == num_layers
        lstm = layers.LSTM(
            LSTM_UNITS, return_sequences=per_step or not last, use_cudnn=use_cudnn
        )
        name = f"bidirectional_{number}"
        x = Bidirectional(lstm, jit_compile, name=name)(x, mask=mask, affine=affine)
        affine = None
        x = layers.Dropout(dropout_rate, name=f"dropout_{number}")(x)
    x = layers.Dense(num_nodes, activation="relu", name="dense")(x)
    x = layers.Dropout(dropout_rate, name="dropout_dense")(x)
    # float32 also under mixed precision, for a narrow output would round the scores.
    emotions = layers.Dense(
        num_outputs, activation=final_activation, dtype="float32", name="emotions"
    )(x)
    inputs = {"features": features, "mask": mask, "presence": presence}
    return keras.Model(inputs, emotions, name="early_fusion")
