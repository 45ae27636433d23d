"""The exception for a mistake that the user can correct."""


class UserError(Exception):
    """A mistake in a file, an option or the surroundings, reported in one line.

    The message names the file, the field, what was found and what is accepted. Programs print it
    without a stack trace (see :func:`cai.core.cli.run`).
    """


def fail_if(condition: object, message: str) -> None:
    """Raise :class:`UserError` with ``message`` if ``condition`` is true."""
    if condition:
        raise UserError(message)
