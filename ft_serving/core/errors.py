"""The base of all errors for users, and the errors of this room that somebody catches.

Each other room has a base of its own under `FtServingError`, in its errors.py.
"""


class FtServingError(Exception):
    """An error for users: the message says what was wrong, what was given, what to do.

    The command line prints it without a traceback and exits with status 1.
    """


class ReleaseError(FtServingError):
    """A release is missing, damaged, in use, or written by another version."""


class ProxyError(FtServingError):
    """The environment names a proxy for an address, and the proxy cannot be used.

    The message does not show the proxy's address, which may hold a password.
    """
