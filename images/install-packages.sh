#!/bin/sh
# install-packages.sh LOCK...: installs the packages of the named locks into /opt/ft-serving, a
# virtual environment, and leaves it under /layer.
# Reads the locks in /locks and, where any were handed in, wheels in /wheels.
set -eu

target=/opt/ft-serving

if [ -n "$(ls -A /wheels)" ]; then
  # pip asks an index first, and would wait long for one that cannot be reached.
  export PIP_NO_INDEX=1 PIP_FIND_LINKS=/wheels
fi
requirements=
for lock in "$@"; do
  requirements="$requirements --requirement /locks/$lock.lock"
done

python3 -m venv /tmp/pip
python3 -m venv --without-pip "$target"
# Locks are complete, and triton.lock leaves out on purpose what its wheel asks for: no resolving.
# shellcheck disable=SC2086 # names of locks hold no blanks
/tmp/pip/bin/pip --python "$target/bin/python" install --disable-pip-version-check --no-cache-dir \
  --no-compile --only-binary :all: --no-deps --require-hashes $requirements
# Compiled now, because the root file system is read-only at run time. Byte code is not compared
# with its source then: in an image neither changes.
"$target/bin/python" -m compileall -q -j 0 --invalidation-mode unchecked-hash "$target/lib"

mkdir -p /layer/opt
mv "$target" /layer/opt/
# One time for all files: equal inputs give equal layers.
find /layer -exec touch --no-dereference --date=@0 {} +
