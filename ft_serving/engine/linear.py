"""Matrix products whose rows do not depend on one another.

A row's result must be the same bits whatever rows are computed beside it. A BLAS promises
nothing of the kind: it picks another kernel, and with it another order of summation, for one
row, for few rows and for many.
"""

import itertools

import numpy as np

from ft_serving.engine.arrays import FloatArray

# OpenBLAS runs a matrix-vector product of fewer elements (460 800) on one thread. Blocks of
# little more than that keep the threads busy and stay in the cache while row follows row.
_BLOCK_ELEMENTS = 600_000

# Columns of a row-major block lie together in memory; with fewer, reads become too short.
_LEAST_COLUMNS = 256

# A matrix of at most this many elements (512 KiB) stays in a core's cache, where row after row is
# about as fast as a product, and needs no second thread: waiting for one takes milliseconds where
# other processes want the cores too.
_CACHED_ELEMENTS = 131_072

# OpenBLAS takes a product of at most this many multiplications to a kernel that sums in another
# order than its general one.
_SMALL_PRODUCT = 1_000_000


class Linear:
    """Multiplies rows by one matrix [inputs, outputs].

    Args:
        matrix: Row-major, or the transpose of a row-major [outputs, inputs].
    """

    def __init__(self, matrix: FloatArray) -> None:
        outputs = matrix.shape[1]
        row_major = matrix.strides[1] == matrix.itemsize
        most_blocks = outputs // _LEAST_COLUMNS if row_major else outputs
        count = max(1, min(matrix.size // _BLOCK_ELEMENTS, most_blocks))
        edges = np.linspace(0, outputs, count + 1).astype(int).tolist()
        self._matrix = matrix
        self._blocks = [
            (matrix[:, start:stop], slice(start, stop)) for start, stop in itertools.pairwise(edges)
        ]
        self._least_rows = max(2, _SMALL_PRODUCT // matrix.size + 1)

    def few(self, rows: FloatArray, out: FloatArray) -> None:
        """Multiply the rows of a decoding step, each by a matrix-vector product of its own.

        As few rows as a step has wait for memory, not for arithmetic: each block of the matrix
        is read once and serves all of them from the cache. From some 16 rows on one matrix
        product would be faster, at the price of results that depend on the batch.

        Args:
            rows: [rows, inputs].
            out: [rows, outputs].
        """
        # As a stack of one-row matrices, which numpy hands to the BLAS one by one.
        rows, out = rows[:, None], out[:, None]
        for block, columns in self._blocks:
            np.matmul(rows, block, out=out[:, :, columns])

    def many(self, rows: FloatArray, out: FloatArray) -> None:
        """Multiply the rows of prompts, by one matrix product where the matrix is large.

        OpenBLAS's general kernel gives a row the same bits in every product; it is not used for
        small products or a single row, so those are padded.

        Args:
            rows: [rows, inputs].
            out: [rows, outputs].
        """
        count = len(rows)
        if self._matrix.size <= _CACHED_ELEMENTS:
            self.few(rows, out)
        elif count >= self._least_rows:
            np.matmul(rows, self._matrix, out=out)
        else:
            padded = np.zeros((self._least_rows, rows.shape[1]), np.float32)
            padded[:count] = rows
            out[:] = np.matmul(padded, self._matrix)[:count]
