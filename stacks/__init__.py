"""A stack's configuration: typed, checked and sized before any resource exists."""
