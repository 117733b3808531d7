"""The base of every error that this package raises on purpose."""


class PlatformError(Exception):
    """Something a user can act on: the message says what was wrong, what was given, what to do.

    The command line prints it without a traceback and exits with status 1.
    """
