"""What every test shares."""

import os

# Many small matrix products on busy cores are several times as slow with more threads than one.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
