"""A classifier on the first token of a RoBERTa.

Liu et al. (2019), "RoBERTa: A Robustly Optimized BERT Pretraining Approach"; the head
is a linear layer, ReLU, dropout and a linear layer on the hidden state of ``<s>``.
"""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any

import keras
from keras import layers, ops

from emorec.errors import MissingExtraError, SpecError


def keras_hub(purpose: str) -> Any:
    """Return the package keras-hub.

    Raises
    ------
    MissingExtraError
        When it is not installed.
    """
    if find_spec("keras_hub") is None:
        raise MissingExtraError("keras-hub", "text", purpose)
    import keras_hub

    return keras_hub


def load_backbone(preset: str, weights: bool = True) -> tuple[keras.Model, Any]:
    """Load a backbone and its tokenizer.

    Parameters
    ----------
    preset : str
        A folder that keras-hub saved, which needs no network, or a preset's name.
    weights : bool
        Whether to load the backbone's weights; else they are drawn.

    Returns
    -------
    backbone, tokenizer
        Of keras-hub. The backbone takes ``token_ids`` and ``padding_mask`` (B, T) and
        gives hidden states (B, T, H).

    Raises
    ------
    MissingExtraError
        When keras-hub is not installed.
    SpecError
        When there is no such preset, or it is of another kind.
    """
    hub = keras_hub(f"The text network {preset}")
    try:
        backbone = hub.models.Backbone.from_preset(preset, load_weights=weights)
        tokenizer = hub.models.Tokenizer.from_preset(preset)
    except Exception as error:  # from the file system, the network or keras-hub
        reason = str(error).strip().splitlines() or [type(error).__name__]
        raise SpecError(
            f"{preset}: no text network that keras-hub can load ({reason[0][:200]}). "
            "Expected a folder written by save_to_preset (backbone and tokenizer), or "
            "a preset's name and a network connection."
        ) from error
    named = {tensor.name for tensor in backbone.inputs}
    if not {"token_ids", "padding_mask"} <= named:
        raise SpecError(
            f"{preset}: expected a backbone with inputs token_ids and padding_mask, "
            f"found {', '.join(sorted(named))}."
        )
    return backbone, tokenizer


@keras.saving.register_keras_serializable("emorec")
class TokenIds(layers.Layer):
    """Turn padded features into what backbones take.

    Parameters
    ----------
    padding : int
        The tokenizer's number of padding.
    **kwargs
        Those of `keras.layers.Layer`.

    Inputs: numbers (B, T, 1) float and mask (B, T) bool. Outputs: token ids and
    padding mask, both (B, T) int32.
    """

    def __init__(self, padding: int, **kwargs) -> None:
        super().__init__(**kwargs)
        self.padding = int(padding)

    def call(self, features, mask):
        """Put the padding's number where nothing is."""
        real = ops.cast(mask, "int32")
        numbers = ops.cast(features[..., 0] + 0.5, "int32")
        return numbers * real + self.padding * (1 - real), real

    def compute_output_spec(self, features, mask):
        """Return the shapes."""
        return tuple(keras.KerasTensor(mask.shape, "int32") for _ in range(2))

    def get_config(self):
        """Return the constructor's arguments."""
        return {**super().get_config(), "padding": self.padding}


def first_token_classifier(
    backbone: keras.Model, padding: int, num_outputs: int, dropout_rate: float = 0.3
) -> keras.Model:
    """Put the head on a backbone; all weights are trained.

    Parameters
    ----------
    backbone : keras.Model
        See `load_backbone`; H wide.
    padding : int
        The tokenizer's number of padding.
    num_outputs : int
        K.
    dropout_rate : float
        Between the two layers of the head.

    Returns
    -------
    keras.Model
        Inputs ``features`` (B, T, 1) float, the numbers of tokens, ``mask`` (B, T)
        bool, ``presence`` (B, T, 1), 1 at every token. Output ``emotions``: logits
        (B, K) float32. Padded tokens have no influence.
    """
    features = keras.Input((None, 1), name="features")
    mask = keras.Input((None,), dtype="bool", name="mask")
    presence = keras.Input((None, 1), name="presence")
    # float32 also under mixed precision, which would round the numbers of tokens.
    token_ids, padding_mask = TokenIds(padding, dtype="float32", name="tokens")(
        features * presence, mask
    )
    states = backbone({"token_ids": token_ids, "padding_mask": padding_mask})
    hidden = states.shape[-1]
    # Not the pooler: the hidden state of <s> itself.
    x = layers.Dense(hidden, activation="relu", name="dense")(states[:, 0])
    x = layers.Dropout(dropout_rate, name="dropout")(x)
    emotions = layers.Dense(num_outputs, dtype="float32", name="emotions")(x)
    inputs = {"features": features, "mask": mask, "presence": presence}
    return keras.Model(inputs, emotions, name="first_token_classifier")
