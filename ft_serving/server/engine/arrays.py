"""Names for the arrays that the modules of this package hand each other."""

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float32]
TokenArray = npt.NDArray[np.uint32]
IndexArray = npt.NDArray[np.intp]
