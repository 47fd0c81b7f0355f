"""Words to utterances, utterances to dialogues: two levels of LSTMs.

Poria et al. (2017), "Context-Dependent Sentiment Analysis in User-Generated Videos",
section 3: an LSTM over the utterances of a video, whose inputs are utterances alone;
here utterances are read by a bidirectional LSTM over word vectors or by their mean, and
the whole network is trained at once.
"""

from __future__ import annotations

import keras
from keras import layers, ops

from emorec.models.bidirectional import Bidirectional

ENCODERS = ("lstm", "mean")
CONTEXTS = ("none", "dialogue", "causal")
# So far below every activation that a padded word is never the largest.
_LOW = -1e4


@keras.saving.register_keras_serializable("emorec")
class WordsOf(layers.Layer):
    """Part the features of utterances: the numbers of words, and all the rest.

    Parameters
    ----------
    longest : int
        W, the columns that hold numbers of words.
    **kwargs
        Those of `keras.layers.Layer`.

    Input: (B, U, W + E) float. Outputs: numbers (B * U, W) int32; which of them are
    words (B * U, W) bool, the first always; the rest (B, U, E).
    """

    def __init__(self, longest: int, **kwargs) -> None:
        super().__init__(**kwargs)
        self.longest = int(longest)

    def call(self, features):
        """Part (B, U, W + E)."""
        numbers = ops.cast(features[..., : self.longest] + 0.5, "int32")
        numbers = ops.reshape(numbers, (-1, self.longest))
        # cuDNN knows no sequence without a step; what it says of one is dropped later.
        first = ops.arange(self.longest) == 0
        real = ops.logical_or(numbers != 0, first[None])
        return numbers, real, features[..., self.longest :]

    def compute_output_spec(self, features):
        """Return the shapes."""
        batch, steps, width = features.shape
        flat = batch * steps if batch and steps else None
        return (
            keras.KerasTensor((flat, self.longest), "int32"),
            keras.KerasTensor((flat, self.longest), "bool"),
            keras.KerasTensor((batch, steps, width - self.longest), features.dtype),
        )

    def get_config(self):
        """Return the constructor's arguments."""
        return {**super().get_config(), "longest": self.longest}


@keras.saving.register_keras_serializable("emorec")
class PooledUtterances(layers.Layer):
    """Make one vector of the words of each utterance: their mean and their largest.

    Inputs: words (B * U, W, D) float; which are real (B * U, W) bool; presence
    (B, U, 1) float, 1 where the utterance has words. Output: (B, U, 2D), 0 where there
    are no words.
    """

    def __init__(self, **kwargs) -> None:
        super().__init__(**kwargs)
        self.supports_masking = True

    def compute_mask(self, inputs, previous_mask=None):
        """Return None: the words that the mask was of are gone."""
        return None

    def call(self, words, real, presence):
        """Pool (B * U, W, D)."""
        there = ops.cast(real, words.dtype)[..., None]
        count = ops.sum(there, axis=1)
        mean = ops.sum(words * there, axis=1) / count
        largest = ops.max(words * there + (1 - there) * _LOW, axis=1)
        pooled = ops.concatenate([mean, largest], axis=-1)
        shape = (-1, ops.shape(presence)[1], pooled.shape[-1])
        return ops.reshape(pooled, shape) * ops.cast(presence, pooled.dtype)

    def compute_output_spec(self, words, real, presence):
        """Return the shape."""
        shape = (*presence.shape[:2], 2 * words.shape[-1])
        return keras.KerasTensor(shape, self.compute_dtype)


def dialogue_lstm(
    vocabulary_size: int,
    longest: int,
    extras: int,
    num_outputs: int,
    width: int = 300,
    encoder: str = "lstm",
    context: str = "dialogue",
    units: int = 64,
    num_nodes: int = 100,
    dropout_rate: float = 0.5,
    word_dropout: float = 0.3,
    trainable_words: bool = True,
    use_cudnn: bool | str = "auto",
    jit_compile: bool = True,
) -> keras.Model:
    """Build the network.

    Parameters
    ----------
    vocabulary_size : int
        Rows of the embedding; number 0 is padding.
    longest : int
        W, words of an utterance.
    extras : int
        E, further features of an utterance (its speaker, other models' scores); may
        be 0.
    num_outputs : int
        K, the labels.
    width : int
        Of a word vector.
    encoder : {"lstm", "mean"}
        How words become an utterance: a bidirectional LSTM, or a dense layer on each
        word; then their mean and largest value.
    context : {"none", "dialogue", "causal"}
        Whether utterances know of no other, of all of their dialogue (bidirectional
        LSTM), or of earlier ones alone.
    units : int
        Of either LSTM in each direction.
    num_nodes : int
        Of the dense layer that describes an utterance.
    dropout_rate, word_dropout : float
        In [0, 1); the latter of whole words.
    trainable_words : bool
        Whether word vectors are trained further.
    use_cudnn, jit_compile
        See `emorec.models.early_fusion.early_fusion`.

    Returns
    -------
    keras.Model
        Inputs: ``features`` (B, U, W + E) float, numbers of words first; ``mask``
        (B, U) bool, True at real utterances, which must come first; ``presence``
        (B, U, 1), 1 where there are words. Output ``emotions``: logits (B, U, K)
        float32. Padding, of words and of utterances, has no influence.
    """
    features = keras.Input((None, longest + extras), name="features")
    mask = keras.Input((None,), dtype="bool", name="mask")
    presence = keras.Input((None, 1), name="presence")

    # float32 also under mixed precision, which would round the numbers of words.
    here = ops.expand_dims(ops.cast(mask, "float32"), -1)
    numbers, real, rest = WordsOf(longest, dtype="float32", name="parts")(
        features * here
    )
    x = layers.Embedding(
        vocabulary_size, width, name="words", trainable=trainable_words
    )(numbers)
    # Whole words, so that no single one decides.
    x = layers.Dropout(word_dropout, noise_shape=(None, None, 1), name="word_dropout")(
        x
    )
    if encoder == "lstm":
        lstm = layers.LSTM(units, return_sequences=True, use_cudnn=use_cudnn)
        x = Bidirectional(lstm, jit_compile, name="utterance")(x, mask=real)
    else:
        x = layers.Dense(2 * units, activation="relu", name="utterance")(x)
    x = PooledUtterances(name="pooled")(x, real, presence)
    x = layers.Dropout(dropout_rate, name="dropout_utterance")(x)
    if extras:
        x = layers.Concatenate(name="joined")([x, rest])
    x = layers.Dense(num_nodes, activation="relu", name="dense")(x)
    x = layers.Dropout(dropout_rate, name="dropout_dense")(x)
    if context != "none":
        lstm = layers.LSTM(
            units, return_sequences=True, use_cudnn=use_cudnn, name="dialogue"
        )
        if context == "dialogue":
            lstm = Bidirectional(lstm, jit_compile, name="dialogue")
        around = lstm(x, mask=mask)
        around = layers.Dropout(dropout_rate, name="dropout_dialogue")(around)
        x = layers.Concatenate(name="in_context")([x, around])
    emotions = layers.Dense(num_outputs, dtype="float32", name="emotions")(x)
    inputs = {"features": features, "mask": mask, "presence": presence}
    return keras.Model(inputs, emotions, name="dialogue_lstm")
