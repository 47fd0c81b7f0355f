"""A sweep on Ray Tune: trials in processes of this machine or of a cluster."""

from __future__ import annotations

import json
import os
import queue
import shutil
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

from emorec.cluster.config import SweepConfig
from emorec.cluster.ray_engine import Resources, connected, require_ray, share_gpu
from emorec.cluster.sweep import Sweep
from emorec.cluster.trials import (
    FAILED,
    STOPPED,
    Call,
    Trial,
    run_trial,
    why_stopped,
)
from emorec.errors import EmorecError

_SCRATCH = ".tune"
# A trial that loses so many nodes may be why they are lost.
_LOSSES = 3
# Seconds until a cluster knows that a node is lost, which its trials tell at once.
_NOTICED = 30
PURPOSE = (
    "A sweep in several processes (with --local it runs in this one, a trial after the "
    "other)"
)


def run_on_ray(sweep: Sweep, call: Call, resources: Resources) -> None:
    """Run the trials of a sweep on Ray Tune.

    Processes keep their imports from trial to trial. A trial whose node is lost is
    begun again on another one; one whose process died alone has failed.

    Parameters
    ----------
    sweep : Sweep
        Its state stays in this process.
    call : callable
        Of a module, so that another process can import it.
    resources : Resources
        Where and how many at a time.
    """
    if not sweep.left:
        return
    require_ray("ray.tune", PURPOSE)
    from ray import tune

    scratch = (sweep.output / _SCRATCH).absolute()
    losses: Counter[int] = Counter()
    with connected(resources):
        while sweep.left:
            patience = _NOTICED if resources.address else 0
            searcher, before = _searcher(sweep, losses, patience), losses.total()
            try:
                tune.run(
                    tune.with_resources(
                        _worker(sweep, call, resources),
                        {"cpu": resources.cpus, "gpu": resources.gpus},
                    ),
                    name="sweep",
                    search_alg=searcher,
                    scheduler=_scheduler(sweep),
                    num_samples=sweep.left,
                    max_concurrent_trials=resources.workers,
                    reuse_actors=True,
                    storage_path=str(scratch),
                    verbose=0,
                    raise_on_failed_trial=False,
                )
            finally:
                shutil.rmtree(scratch, ignore_errors=True)
            searcher.settle(wait=True)
            for trial in sweep.unended():
                # Of a lost node's trial Tune may tell no end at all.
                _end_lost(sweep, trial, losses)
            if losses.total() == before:
                break


def _searcher(sweep: Sweep, losses: Counter[int], patience: float) -> Any:
    """Return what hands out the trials of a sweep, and hears of their ends.

    It counts in `losses` how often each was given back. Of a process that died, it
    decides `patience` seconds later whether that was with its node.
    """
    from ray.tune.search import Searcher

    class Trials(Searcher):
        def __init__(self) -> None:
            super().__init__()
            self.numbers: dict[str, int] = {}
            self.nodes: dict[str, str] = {}
            self.dead: dict[int, tuple[float, str | None]] = {}
            self.error: Exception | None = None

        def suggest(self, trial_id: str) -> Any:
            self.settle()
            trial = sweep.next()
            if trial is None:
                return Searcher.FINISHED
            self.numbers[trial_id] = trial.number
            arguments = sweep.arguments(trial.options, trial.name)
            return {"trial": trial.to_dict(), "arguments": arguments}

        def on_trial_result(self, trial_id, result) -> None:
            if "node" in result:
                self.nodes[trial_id] = result["node"]

        def on_trial_complete(self, trial_id, result=None, error=False) -> None:
            # Tune takes an error in here, as of a full disk, for one of the trial,
            # whose end it tells once more: the sweep ends, and not the trial.
            if self.error:
                raise self.error
            try:
                self._complete(trial_id, result, error)
            except (EmorecError, OSError) as problem:
                self.error = problem
                raise

        def _complete(self, trial_id, result, error) -> None:
            trial = sweep.trials[self.numbers[trial_id]]
            if result and "outcome" in result and not error:
                trial = Trial.from_dict(json.loads(result["outcome"]))
            elif error or not result:
                now = time.monotonic()
                self.dead[trial.number] = now, self.nodes.get(trial_id)
                self.settle()
                return
            else:
                trial.state, trial.epochs = STOPPED, result["epoch"]
                trial.seconds = round(result["time_total_s"], 2)
                trial.reason = why_stopped(
                    sweep.config, result["epoch"], result["value"]
                )
            sweep.end(trial)

        def settle(self, wait: bool = False) -> None:
            """Decide what became of the trials whose processes died."""
            for number, (when, node) in list(self.dead.items()):
                trial, end = sweep.trials[number], when + patience
                while not (lost := _is_lost(node)) and wait and time.monotonic() < end:
                    time.sleep(0.5)
                if lost:
                    _end_lost(sweep, trial, losses)
                elif time.monotonic() < end:
                    continue
                else:
                    trial.state = FAILED
                    trial.reason = (
                        "its process died: it ran out of memory, was killed, or a "
                        "library broke it"
                    )
                    sweep.end(trial)
                del self.dead[number]

        # The state of a sweep is in its own folder.
        def save(self, checkpoint_path: str) -> None:
            pass

        def restore(self, checkpoint_path: str) -> None:
            pass

    return Trials()


def _end_lost(sweep: Sweep, trial: Trial, losses: Counter[int]) -> None:
    """Give back a trial whose node is lost; one that loses every node has failed."""
    losses[trial.number] += 1
    if losses[trial.number] <= _LOSSES:
        sweep.give_back(trial)
        sweep.say(f"           {trial.name}: its node is lost; again")
        return
    trial.state = FAILED
    trial.reason = f"the nodes on which it ran were lost, {_LOSSES + 1} times"
    sweep.end(trial)


def _is_lost(node: str | None) -> bool:
    """Tell whether a node has left the cluster.

    Of a process that died before it told its node (None), any lost one may be it.
    """
    import ray

    alive = {known["NodeID"]: known["Alive"] for known in ray.nodes()}
    return not all(alive.values()) if node is None else not alive.get(node, False)


def _scheduler(sweep: Sweep) -> Any:
    from ray.tune.schedulers import FIFOScheduler, TrialScheduler

    class Rungs(FIFOScheduler):
        def on_trial_result(self, tune_controller, trial, result) -> str:
            if "value" not in result:
                return TrialScheduler.CONTINUE
            own = sweep.trials[result["number"]]
            behind = sweep.falls_behind(own, result["epoch"], result["value"])
            return TrialScheduler.STOP if behind else TrialScheduler.CONTINUE

    return Rungs()


def _worker(sweep: Sweep, call: Call, resources: Resources) -> type:
    """Return the class whose objects live in the processes and train."""
    import ray
    from ray import tune

    output, config = sweep.output, sweep.config
    here = os.getcwd()
    gpus = resources.gpus

    class Worker(tune.Trainable):
        def setup(self, config: dict[str, Any]) -> None:
            os.chdir(here)
            share_gpu(gpus)
            self._prepare(config)

        def reset_config(self, new_config: dict[str, Any]) -> bool:
            self.cleanup()
            self._prepare(new_config)
            return True

        def _prepare(self, given: dict[str, Any]) -> None:
            self._given = given
            self._thread: threading.Thread | None = None
            self._at_rung = self._ended = False
            self._told: queue.Queue = queue.Queue()
            self._answers: queue.Queue = queue.Queue()

        def step(self) -> dict[str, Any]:
            if self._thread is None:
                # Not before: Tune makes a process for a trial, and may then give the
                # trial to one that has become free.
                self._thread = threading.Thread(
                    target=_train,
                    args=(call, self._given, output, config, self._told, self._answers),
                    daemon=True,
                )
                self._thread.start()
                return {"node": ray.get_runtime_context().get_node_id()}
            if self._at_rung:
                self._answers.put(False)
            result = self._told.get()
            self._at_rung = "value" in result
            self._ended = not self._at_rung
            return result

        def cleanup(self) -> None:
            if self._at_rung:
                self._answers.put(True)
            if self._thread and (self._at_rung or self._ended):
                self._thread.join()
            # Else the sweep was interrupted, and the process ends with its training.

    return Worker


def _train(
    call: Call,
    given: dict[str, Any],
    output: Path,
    config: SweepConfig,
    told: queue.Queue,
    answers: queue.Queue,
) -> None:
    """Run one trial; put its rungs and its end into `told`."""
    trial = Trial.from_dict(given["trial"])

    def judge(epoch: int, value: float) -> bool:
        told.put({"number": trial.number, "epoch": epoch, "value": value})
        return answers.get()

    ended = run_trial(call, given["arguments"], trial, output, config, judge)
    # As a text, for Tune takes dictionaries apart.
    told.put({"outcome": json.dumps(ended.to_dict()), "done": True})
