"""Matrix products that give a row of text the same bits whatever is computed beside it.

A BLAS does not: for one row, for few and for many, and for the rows at the edge of a product, it
takes different kernels, which sum in different orders.
"""

import itertools

import numpy as np

from ft_serving.core.arrays import FloatArray

# OpenBLAS runs a matrix-vector product of fewer elements (460 800) on one thread. Blocks of
# hardly more than that (1.9 MB) keep the threads busy and mostly stay in a core's cache while row
# follows row.
_BLOCK_ELEMENTS = 465_000

# A matrix of at most this many elements (512 KiB) stays in a core's cache, where row after row is
# about as fast as a product, and needs no second thread: waiting for one takes milliseconds where
# other processes want the cores too.
_CACHED_ELEMENTS = 131_072


class Linear:
    """Multiplies rows by one matrix [inputs, outputs].

    Args:
        matrix: Row-major, or the transpose of a row-major [outputs, inputs].
    """

    def __init__(self, matrix: FloatArray) -> None:
        self._matrix = matrix
        self._is_row_major = matrix.flags.c_contiguous
        # A block is one piece of memory, in either layout: one of columns of a row-major matrix,
        # whose rows are a power of two apart, would fill but a few sets of the cache.
        pieces = matrix if self._is_row_major else matrix.T
        count = max(1, matrix.size // _BLOCK_ELEMENTS)
        edges = np.linspace(0, len(pieces), min(count, len(pieces)) + 1).astype(int).tolist()
        self._blocks = [
            (
                matrix[start:stop] if self._is_row_major else matrix[:, start:stop],
                slice(start, stop),
            )
            for start, stop in itertools.pairwise(edges)
        ]

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
        if len(self._blocks) == 1:
            np.matmul(rows, self._matrix, out=out)
        elif self._is_row_major:
            block, inputs = self._blocks[0]
            np.matmul(rows[:, :, inputs], block, out=out)
            part = np.empty_like(out)
            for block, inputs in self._blocks[1:]:
                np.matmul(rows[:, :, inputs], block, out=part)
                np.add(out, part, out=out)
        else:
            for block, outputs in self._blocks:
                np.matmul(rows, block, out=out[:, :, outputs])

    def many(self, rows: FloatArray, out: FloatArray) -> None:
        """Multiply the rows of one prompt.

        Args:
            rows: [rows, inputs].
            out: [rows, outputs].
        """
        if self._matrix.size <= _CACHED_ELEMENTS:
            self.few(rows, out)
        else:
            np.matmul(rows, self._matrix, out=out)
