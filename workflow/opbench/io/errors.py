"""The one exception a user is meant to read."""


class InputError(ValueError):
    """What a user brought cannot be used.

    The message is one sentence that names the file, the field, the value and the remedy;
    jobs print it without a traceback and stop.
    """


class NotApplicable(Exception):
    """A method cannot do this split; its rows say `not_applicable` with this reason."""
