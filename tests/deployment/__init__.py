"""The program on the embedded platform, driven by the real command line as a user does."""
