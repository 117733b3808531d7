#!/bin/sh
# Runs after install-packages.sh: leaves out what serving these models never loads, puts the compiler in
# its place, and makes what a first start would make and needs no GPU for.
set -eu

python=$(python3 -c 'import sys; print("{}.{}".format(*sys.version_info))')
target=/opt/ft-serving
packages=/layer$target/lib/python$python/site-packages

if [ ! -e "$(python3 -c 'import sysconfig; print(sysconfig.get_path("include"))')/Python.h" ]; then
  echo "BASE_IMAGE lacks Python's headers, which are compiled with; on Debian install libpython$python-dev" >&2
  exit 1
fi

cd "$packages"
# vLLM: mixtures of experts, its server in Rust, other models' kernels and their sources.
rm -r vllm/_moe_C_* vllm/_qutlass_C* vllm/_flashmla* vllm/vllm-rs vllm/third_party/deep_gemm/include \
  vllm/third_party/deep_gemm/*.so vllm/third_party/fmha_sm100/cutlass
# torch: what links against it; cuDNN's convolutions; what nothing here links.
rm -r torch/include torch/bin/protoc* nvidia/*/include \
  nvidia/cudnn/lib/libcudnn_adv.so.9 nvidia/cudnn/lib/libcudnn_engines_*.so.9 \
  nvidia/cudnn/lib/libcudnn_heuristic.so.9 nvidia/cu13/lib/*.a nvidia/cu13/lib/*.alt.so* \
  nvidia/cu13/lib/libcusolverMg.so.* nvidia/nvshmem/lib/*.a nvidia/nvshmem/lib/*.bc
# Triton, the language: its profiler.
rm -r triton/instrumentation triton/_C/libproton.so triton/backends/nvidia/lib/cupti
# The compiler: all but itself and the headers of this system. By std.zig it finds its folder.
cd ziglang
mkdir -p kept/std kept/libc/include
mv lib/std/std.zig kept/std/
mv lib/include kept/
for headers in x86-linux-gnu generic-glibc x86-linux-any any-linux-any; do
  mv "lib/libc/include/$headers" kept/libc/include/
done
rm -r lib
mv kept lib
install /scripts/server-vllm/cc.sh "/layer$target/bin/cc"
install /scripts/server-vllm/check_gpus.py "/layer$target/bin/check-gpus"

ln -s "/layer$target" "$target"
driver=$(mktemp -d)
check() {
  "$target/bin/python" -B /scripts/server-vllm/check_vllm.py "$@"
}
check "$target/bin/cc" "$driver"
# Only the first two caches are kept.
VLLM_CACHE_ROOT="/layer$target/share/compiled/vllm" TRITON_CACHE_DIR="/layer$target/share/compiled/triton" \
  TORCHINDUCTOR_CACHE_DIR="$driver" HOME="$driver" CC="$target/bin/cc" LD_LIBRARY_PATH="$driver" \
  VLLM_NO_USAGE_STATS=1 check
# vLLM writes them for their owner only.
chmod -R go=rX "/layer$target/share/compiled"
find /layer -exec touch --no-dereference --date=@0 {} +
