"""The errors that this package raises on purpose; those of one room only are in that room."""


class FtServingError(Exception):
    """Something a user can act on: the message says what was wrong, what was given, what to do.

    The command line prints it without a traceback and exits with status 1.
    """


class IntegrityError(FtServingError):
    """A file is not the one that it should be: another hash, or changed while it was read."""


class StorageError(FtServingError):
    """A volume has no room, or cannot be written."""


class ArchitectureError(FtServingError):
    """config.json is broken, of another architecture, or asks for what FasterTransformer lacks."""


class ReleaseError(FtServingError):
    """A release is missing, damaged, in use, or written by another version."""
