"""The commands on CMU-MOSI."""


def add_commands(parser) -> None:
    """Add ``emorec mosi ...``."""
