"""The division of batches among devices, of one host or of several, on JAX.

Keras keeps a copy of the network on every device. Each device computes with its share
of a batch, and what is summed over the batch is summed over all devices: losses,
statistics of normalisations and gradients are those of the whole batch. So a batch size
is always that of the whole batch, and no learning rate changes with the devices.

Keras 3.15 places the batches of an epoch like its first one. The last batch may not be
divisible, and is given to every device whole; therefore batches are placed here.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from emorec.errors import SpecError
from emorec.training import hosts


@dataclass(frozen=True)
class Division:
    """Devices that share each batch.

    Attributes
    ----------
    devices : list of jax.Device
        Of all hosts, those of each together, equally many of each.
    """

    devices: list[Any]

    def scope(self) -> AbstractContextManager:
        """Return the scope in which a model, its optimiser and metrics are made."""
        names = [f"{device.platform}:{device.id}" for device in self.devices]
        return keras.distribution.DataParallel(
            devices=names, auto_shard_dataset=False
        ).scope()

    def _sharding(self, *axes: str) -> Any:
        from jax.sharding import Mesh, NamedSharding, PartitionSpec

        mesh = Mesh(np.array(self.devices), ("batch",))
        return NamedSharding(mesh, PartitionSpec(*axes))

    def by_rows(self, function: Callable) -> Callable:
        """Return a function of a batch of which each device computes its own rows.

        What XLA cannot divide, as a Fourier transform, every device would compute for
        all rows, and fetch them first.

        Parameters
        ----------
        function : callable
            (B, ...) -> (B, ...), each row of one row.
        """
        import jax

        if not (shard_map := getattr(jax, "shard_map", None)):
            # Until JAX 0.5.
            from jax.experimental.shard_map import shard_map
        batch = self._sharding("batch")
        places = {"mesh": batch.mesh, "in_specs": batch.spec, "out_specs": batch.spec}
        divided = shard_map(function, **places)

        def each(rows):
            whole = rows.shape[0] % len(self.devices)
            return function(rows) if whole else divided(rows)

        return each

    def compile(self, model: keras.Model) -> None:
        """Compile the steps of `fit` so that every device holds all that they return.

        Raises
        ------
        SpecError
            When the model is not to be compiled.
        """
        import jax

        if not model.jit_compile:
            raise SpecError(
                "--jit off: a network that several devices train is compiled. Leave "
                "the option out."
            )
        whole = self._sharding()

        def function(step: Callable) -> Callable:
            compiled = jax.jit(step, donate_argnums=0, out_shardings=whole)
            return lambda state, batches: compiled(state, next(batches))

        model.train_function = function(model.train_step)
        model.test_function = function(model.test_step)

    def share(self, rows: int) -> slice:
        """Return the rows of a batch that this process brings."""
        all_hosts = hosts.here()
        if rows % len(self.devices):
            return slice(0, rows)
        part = rows // all_hosts.count
        return slice(all_hosts.rank * part, (all_hosts.rank + 1) * part)

    def place(self, batch: tuple, rows: int) -> tuple:
        """Join the processes' shares of a batch of `rows` rows to one on all devices.

        Parameters
        ----------
        batch : tuple
            Arrays, or dicts of them, with the rows of `share`.
        rows : int
            Of the whole batch.
        """
        import jax

        divided = rows % len(self.devices) == 0
        sharding = self._sharding("batch") if divided else self._sharding()
        return jax.tree.map(
            lambda array: jax.make_array_from_process_local_data(
                sharding, array, (rows, *array.shape[1:])
            ),
            batch,
        )

    def divided(self, dataset: keras.utils.PyDataset) -> keras.utils.PyDataset:
        """Return a data set whose batches lie on all devices."""
        return _Divided(self, dataset)


class _Divided(keras.utils.PyDataset):
    """Batches of another data set, each process bringing its share.

    That has ``part(number, share)``: how many rows a batch has, and the arrays of those
    that `share` chooses, given their number.
    """

    def __init__(self, division: Division, dataset: Any) -> None:
        super().__init__(workers=1, use_multiprocessing=False, max_queue_size=0)
        self.division = division
        self.dataset = dataset

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, number: int) -> tuple:
        rows, part = self.dataset.part(number, self.division.share)
        return self.division.place(part, rows)


_division: Division | None = None


def current() -> Division | None:
    """Return how the training that was begun last is divided; None on one device."""
    return _division


def scope() -> AbstractContextManager:
    """Return the scope in which a model and what trains it are made, if divided."""
    return _division.scope() if _division else nullcontext()


def begin(gpus: int, batch_size: int) -> Division | None:
    """Choose the devices of a training.

    Parameters
    ----------
    gpus : int
        So many of each host; 0 takes all of each where several hosts train, else
        none but the first.
    batch_size : int
        Of the whole batch.

    Raises
    ------
    SpecError
        When a host has fewer devices, or the batch cannot be divided among them.
    """
    global _division
    import jax

    _division = None
    all_hosts = hosts.here()
    if gpus <= 1 and all_hosts.count == 1:
        return None
    by_host: dict[int, list] = {number: [] for number in range(all_hosts.count)}
    for device in jax.devices():
        by_host[device.process_index].append(device)
    fewest = min(len(devices) for devices in by_host.values())
    if fewest < gpus:
        raise SpecError(
            f"--gpus {gpus}: a host offers {fewest} devices to JAX. Choose fewer; for "
            "NVIDIA GPUs install jax[cuda12] beside emorec[jax]."
        )
    each = gpus or fewest
    chosen = [device for devices in by_host.values() for device in devices[:each]]
    if batch_size % len(chosen):
        raise SpecError(
            f"--batch_size {batch_size}: is of all {len(chosen)} devices together "
            f"({all_hosts.count} hosts, {each} each) and cannot be divided among them. "
            f"Choose a multiple of {len(chosen)}."
        )
    if len(chosen) > 1:
        _division = Division(chosen)
    return _division


def end() -> None:
    """Forget the division, before another training."""
    global _division
    _division = None
