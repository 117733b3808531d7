"""The base of all errors that are raised on purpose, and core's errors that somebody catches.

Each other room has a base of its own under `FtServingError`, in its errors.py.
"""


class FtServingError(Exception):
    """Something a user can act on: the message says what was wrong, what was given, what to do.

    The command line prints it without a traceback and exits with status 1.
    """


class ReleaseError(FtServingError):
    """A release is missing, damaged, in use, or written by another version."""


class ProxyError(FtServingError):
    """The environment names a proxy that cannot be used, for an address that would be asked by it.

    The message does not show the proxy's address, which may hold a password.
    """
