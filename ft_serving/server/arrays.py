"""Names for the arrays that the modules of this package hand each other."""

from typing import Any

import numpy as np
import numpy.typing as npt

AnyArray = npt.NDArray[Any]
FloatArray = npt.NDArray[np.float32]
TokenArray = npt.NDArray[np.uint32]
IndexArray = npt.NDArray[np.intp]
