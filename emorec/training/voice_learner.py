"""The networks that learn from speech, and what moves them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from emorec.batches.speech_input import SpeechInput
from emorec.errors import SpecError
from emorec.training import backend
from emorec.training.voices_config import VoicesConfig

if TYPE_CHECKING:
    import keras


def build(config: VoicesConfig, num_labels: int) -> keras.Model:
    """Build the network of a configuration, with the weights it names."""
    from emorec.models import vggm

    dropout, bins = config.dropout_rate, config.speech_input.bins
    if config.student == "vggm":
        model = vggm.student(num_labels, dropout=dropout)
    elif config.student == "compact":
        model = vggm.compact(num_labels, bins, dropout=dropout)
    else:
        model = vggm.statistics(num_labels, bins, dropout=dropout)
    if config.weights:
        _begin_with(model, config.weights)
    elif config.loss_type == "euclidean":
        # As published: distances of logits begin small.
        head = model.get_layer("fc8")
        head.kernel.assign(head.kernel / 10)
    return model


def _begin_with(model: keras.Model, weights: str) -> None:
    """Copy weights by layer; a classifier of other labels keeps its own."""
    source = backend.load_keras_model(weights)
    for layer in model.layers:
        if not layer.weights:
            continue
        try:
            given = source.get_layer(layer.name).get_weights()
        except ValueError:
            given = []
        own = [weight.shape for weight in layer.get_weights()]
        if [weight.shape for weight in given] == own:
            layer.set_weights(given)
        elif layer.name != "fc8":
            raise SpecError(
                f"{weights}: its layer {layer.name} has the shapes "
                f"{[weight.shape for weight in given]}, expected {own}. Choose the "
                "--student and --features of its run."
            )


def learner(
    config: VoicesConfig,
    student: keras.Model,
    shape: tuple[int, ...],
    of_input: SpeechInput | None = None,
) -> keras.Model:
    """Return the network that is trained: masks, and perhaps spectrograms, in front.

    It shares the student's weights. `shape` is of an input without the batch's axis:
    samples (N,) or a spectrogram (F, T, 1); `of_input`, by default the settings' own,
    has what the spectrograms are normalised by.
    """
    import keras

    from emorec.models.speech_layers import FrontEnd, SpecAugment
    from emorec.training import division

    inputs = keras.Input(shape)
    of_input = of_input or config.speech_input
    divided = division.current()
    front = FrontEnd(
        of_input.features,
        of_input.mean,
        of_input.deviation,
        by_rows=divided and divided.by_rows,
    )
    x = front(inputs) if len(shape) == 1 else inputs
    if config.bands or config.stretches:
        x = SpecAugment(
            config.bands,
            config.widest_band,
            config.stretches,
            config.longest_stretch,
            config.seed,
        )(x)
    return keras.Model(inputs, student(x))


def optimizer_of(config: VoicesConfig, steps: int) -> keras.optimizers.Optimizer:
    """Return the optimizer of a training with `steps` steps an epoch."""
    import keras

    from emorec.training.optimizers import GroupedSGD, Schedule

    rate = Schedule(
        config.schedule, config.learning_rate, config.num_epochs, steps, config.warmup
    )
    average = {"use_ema": config.ema > 0, "ema_momentum": config.ema}
    if config.optimizer == "sgd":
        return GroupedSGD(
            rate, config.momentum, config.weight_decay, head="fc8", **average
        )
    optimizer = keras.optimizers.AdamW(rate, config.weight_decay, **average)
    optimizer.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])
    return optimizer
