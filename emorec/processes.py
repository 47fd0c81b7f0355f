"""Helper processes: how many, how they hear Ctrl-C, and work shared among them."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent import futures
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing.connection import wait
from multiprocessing.process import BaseProcess
from typing import TypeVar

from emorec.errors import DataError

Item = TypeVar("Item")
Result = TypeVar("Result")
# Read once, when the libraries are loaded.
_THREADS = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "TF_NUM_INTRAOP_THREADS",
    "TF_NUM_INTEROP_THREADS",
)


def usable_cores() -> int:
    """Return the cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):  # Linux: a job may have fewer than there are
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def limit_threads(cores: int) -> None:
    """Let this process compute with so many threads.

    Libraries that are loaded later read the limit from the environment. Of those that
    are loaded, BLAS, OpenMP and torch are told; TensorFlow and JAX cannot be.
    """
    from threadpoolctl import threadpool_limits

    for name in _THREADS:
        os.environ[name] = str(cores)
    threadpool_limits(cores)
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(cores)


def peak_memory() -> int:
    """Return the most bytes of memory that this process has held; 0 where unknown."""
    try:
        import resource
    except ImportError:  # Windows
        return 0
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


@contextmanager
def interrupts_later() -> Iterator[None]:
    """Hold Ctrl-C back; a process that begins meanwhile does not hear it, either."""
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def begin_helper() -> None:
    """Make a new process a helper, which ends with the process that began it."""
    # Ctrl-C reaches every process of a terminal. Only the first one has to speak, and
    # it ends the others: a death of theirs before it hears would be taken for a fault.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """Leave when the first process is killed, for nobody would take the results."""
    wait([multiprocessing.parent_process().sentinel])
    os._exit(1)


def on_processes(
    function: Callable[[Item], Result],
    items: Sequence[Item],
    workers: int,
    begin: Callable[..., None],
    arguments: tuple,
    here: Callable[[Item], Result] | None = None,
) -> Iterator[Result]:
    """Yield the results of a function, called in other processes, as they come.

    Parameters
    ----------
    function, begin : callable
        Of a module, so that another process can import them. `begin` is called once
        in each process.
    items : sequence
        One call each. They, the results and `arguments` go from process to process.
    workers : int
        Processes, 1 or more.
    arguments : tuple
        Of `begin`.
    here : callable, optional
        Does in this process what `function` does in others, and takes items, from the
        last one on, while they start and work.

    Raises
    ------
    DataError
        When a process dies, with the items that were in hand. Errors of `function`
        come as they are; then, and when the iteration is left, the processes end.
    """
    # A forked process would share threads and open files in whatever state they are.
    context = multiprocessing.get_context("spawn")
    own: set[BaseProcess] = set()
    with ProcessPoolExecutor(workers, context, _begin, (begin, arguments)) as pool:
        left, waiting = deque(items), {}
        try:
            while left or waiting:
                # One in hand and one in store for each process.
                while left and len(waiting) < 2 * workers:
                    item = left.popleft()
                    others = set(multiprocessing.active_children())
                    with interrupts_later():
                        waiting[pool.submit(function, item)] = item
                    own |= set(multiprocessing.active_children()) - others
                if here and left:
                    yield here(left.pop())
                else:
                    futures.wait(waiting, return_when=futures.FIRST_COMPLETED)
                for task in [task for task in waiting if task.done()]:
                    result = task.result()
                    del waiting[task]
                    yield result
        except BrokenProcessPool as error:
            raise DataError(
                f"A helper process died ({_ends(own)}): it ran out of memory, or a "
                "damaged file broke a library. In hand were: "
                f"{', '.join(map(str, waiting.values()))}. What is finished is kept, "
                "and the same command goes on there; fewer processes need less memory."
            ) from error
        finally:
            if waiting:  # After an error nobody wants what the processes have in hand.
                for process in own:
                    process.terminate()


def _ends(processes: Iterable[BaseProcess]) -> str:
    """Say how processes ended, but for those that were told to."""
    codes = {process.exitcode for process in processes} - {0, None, -signal.SIGTERM}
    ends = [
        signal.Signals(-code).name if code < 0 else f"exit code {code}"
        for code in sorted(codes)
    ]
    return " and ".join(ends) or "no exit code"


def _begin(begin: Callable[..., None], arguments: tuple) -> None:
    begin_helper()
    begin(*arguments)
