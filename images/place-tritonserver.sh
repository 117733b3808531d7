#!/bin/sh
# Runs after install-packages.sh: puts the tritonserver of NVIDIA's wheel, and the backend, where
# NVIDIA's images have them. The rest of the wheel, a Python package, is not used. Where the base is one
# of NVIDIA's images, nothing of the wheel is used.
set -eu

python=$(python3 -c 'import sys; print("{}.{}".format(*sys.version_info))')
packages=/opt/ft-serving/lib/python$python/site-packages
wheel=/layer$packages/pytriton/tritonserver
server=/layer/opt/tritonserver

mkdir -p "$server/backends/fastertransformer"
if [ -x /opt/tritonserver/bin/tritonserver ]; then
  from=/opt/tritonserver
else
  from=$server
  mkdir "$server/backends/python"
  mv "$wheel/bin" "$server/"
  mv "$wheel"/backends/python/* "$wheel/python_backend_stubs/$python/triton_python_backend_stub" \
    "$server/backends/python/"
  mv "/layer$packages/nvidia_pytriton.libs" "$server/lib"
  mv "/layer$packages"/nvidia_pytriton-*.dist-info/licenses/LICENSE "$server/"
  # 32 MB that only the stub for another version of Python needs.
  rm "$server"/lib/libpython3-*
fi
rm -r "/layer$packages"/pytriton "/layer$packages"/nvidia_pytriton*
ln -s "$packages/ft_serving/server/backend/model.py" "$server/backends/fastertransformer/model.py"

missing=$(LD_LIBRARY_PATH=$from/lib ldd "$from/bin/tritonserver" "$from"/backends/python/*_stub |
  grep 'not found' || true)
if [ -n "$missing" ]; then
  echo "BASE_IMAGE lacks libraries of Triton or of its Python stub; on Debian install libpython$python:" >&2
  echo "$missing" >&2
  exit 1
fi
find /layer -exec touch --no-dereference --date=@0 {} +
