"""The command ``emorec demo``."""

from __future__ import annotations

import argparse

from emorec.cli.console import OK, say
from emorec.cli.predict import add_model_options, fusion_of, models_of, settings_of

_LOOPBACK = "127.0.0.1"


def add_command(parser: argparse.ArgumentParser) -> None:
    """Add ``emorec demo``."""
    parser.description = (
        "Show a page in the browser where one drops or records a clip and sees what "
        "the models say of it. It is served to this computer only, and nothing that is "
        "given to it leaves the computer or stays on it. Scores are estimates of "
        "expression, not of feelings; the EU AI Act, Art. 5(1)(f), forbids to infer "
        "emotions at work and in education."
    )
    add_model_options(parser)
    parser.add_argument("--port", type=int, default=7860, help="0 takes a free one")
    parser.add_argument(
        "--host",
        default=_LOOPBACK,
        help="address to listen at; with another than this one, other computers can "
        "use the page, without a password and unencrypted",
    )
    parser.add_argument(
        "--max_mb", type=float, default=200, help="largest file, in megabytes"
    )
    parser.add_argument(
        "--max_seconds", type=float, default=120, help="longest clip, in seconds"
    )
    parser.set_defaults(run=demo)


def demo(arguments: argparse.Namespace) -> int:
    """Serve the page until Ctrl-C."""
    from emorec.prediction.demo.judging import Judge
    from emorec.prediction.demo.limits import Limits
    from emorec.prediction.demo.serving import is_local, open_socket, serve

    limits = Limits(arguments.max_mb, arguments.max_seconds)
    settings = settings_of(arguments)
    listening = open_socket(arguments.host, arguments.port)
    with listening:
        predictors, _ = models_of(arguments)
        fusion = fusion_of(arguments, predictors)
        if not is_local(arguments.host):
            say(
                f"Warning: --host {arguments.host}: every computer that reaches this "
                "one can use the page, without a password, and recordings travel "
                "unencrypted. Browsers let pages use camera and microphone only at "
                f"{_LOOPBACK} or by https."
            )
        try:
            judge = Judge(predictors, settings, limits, fusion)
            serve(judge, listening, arguments.host, say)
        except KeyboardInterrupt:
            say("Ended; the temporary files are removed.")
    return OK
