"""The errors that emorec raises for what a user can mend.

Every message says what was expected, what came, where, and what to do. The command
line prints such a message without a traceback; any other exception is a fault of
emorec itself and keeps its traceback.
"""


class EmorecError(Exception):
    """Base of all errors that a user can mend."""


class DataError(EmorecError):
    """A file or an array is missing, damaged, or not what its format promises."""


class LabelMismatchError(EmorecError):
    """Two label schemas that must agree differ in names, order, kind or range."""


class SpecError(EmorecError):
    """A specification, an option or a combination of options cannot be used."""


class BusyError(EmorecError):
    """Another process has in hand what only one may do at a time."""


class HostError(EmorecError):
    """A host of a training on several has ended, or cannot be reached."""


class MissingExtraError(EmorecError):
    """An optional package is not installed; the message names emorec's extra."""

    def __init__(
        self, package: str, extra: str, purpose: str, constraints: str | None = None
    ) -> None:
        """Name the extra and, of a package that needs others' old releases, their list.

        Parameters
        ----------
        package, extra : str
            The package and emorec's extra that brings it.
        purpose : str
            What needs it; begins the message.
        constraints : str or None
            File of the versions beside which the package runs. Others may be installed,
            so the message says so and asks for an environment of its own.
        """
        lack, where, file = "is not installed", "", ""
        if constraints:
            lack += " or cannot run beside this TensorFlow"
            where = ", in an environment of its own,"
            file = f"-c {constraints} "
        super().__init__(
            f"{purpose} needs the package '{package}', which {lack}. "
            f"Install it{where} with: pip install {file}'emorec[{extra}]'"
        )
        self.package = package
        self.extra = extra
        self.purpose = purpose

    def __reduce__(self) -> tuple:
        # From one process to another; by default the message would be the package.
        return type(self), (self.package, self.extra, self.purpose)


def shorten(names, limit: int = 5) -> str:
    """Join up to `limit` names for an error message and count the rest."""
    names = [str(name) for name in names]
    head = ", ".join(names[:limit])
    rest = len(names) - limit
    return f"{head} and {rest} more" if rest > 0 else head
