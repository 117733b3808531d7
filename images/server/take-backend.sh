#!/bin/bash
# Copies FasterTransformer's backend from /backend-image to /layer, if this image can run it.
set -euo pipefail

from=/backend-image/backends/fastertransformer
to=/layer/opt/tritonserver/backends/fastertransformer
problems=()

for file in libtriton_fastertransformer.so libtransformer-shared.so; do
  [[ -s $from/$file ]] || problems+=("BACKEND_IMAGE has no /opt/tritonserver/backends/fastertransformer/$file")
done
[[ -x /opt/nvidia/nvidia_entrypoint.sh && -x /opt/tritonserver/bin/tritonserver ]] ||
  problems+=("BASE_IMAGE is none of NVIDIA's tritonserver images")
# Triton's interface to backends and the CUDA libraries change between releases.
cmp -s /opt/tritonserver/TRITON_VERSION /backend-image/TRITON_VERSION ||
  problems+=("BACKEND_IMAGE was not built on BASE_IMAGE's release of Triton: /opt/tritonserver/TRITON_VERSION differs or is missing")

if ((${#problems[@]} == 0)); then
  mkdir -p "$to"
  cp "$from"/*.so "$to"
  # The two libraries of the driver are there only where there is a GPU.
  missing=$(LD_LIBRARY_PATH=$to:${LD_LIBRARY_PATH:-} ldd "$to"/*.so |
    grep 'not found' | grep -v -e 'libcuda\.so' -e 'libnvidia-ml\.so' || true)
  [[ -z $missing ]] || problems+=("BASE_IMAGE lacks libraries of the backend: ${missing//[$'\n\t']/ }")
fi
if ((${#problems[@]})); then
  printf 'Error: %s\n' "${problems[@]}" >&2
  exit 1
fi
install -D /scripts/as-child.sh /layer/opt/ft-serving/bin/as-child
install -D /scripts/server/check_release.py /layer/opt/ft-serving/bin/check-release
find /layer -exec touch --no-dereference --date=@0 {} +
