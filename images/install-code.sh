#!/bin/sh
# Adds ft_serving and its command to the virtual environment /opt/ft-serving; leaves the added files
# under /layer. Reads the build context in /src.
#
# The package is copied and not built as a wheel, so that pyproject.toml and the README stay out of
# the context: a change to either gives no new image.
set -eu

target=/opt/ft-serving
packages=$(python3 -c "import sysconfig; print(sysconfig.get_path('purelib', 'venv', {'base': '$target'}))")

mkdir -p "/layer$packages" "/layer$target/bin"
cp -R /src/ft_serving "/layer$packages/"
cp /src/LICENSE "/layer$target/"
python3 -m compileall -q --invalidation-mode unchecked-hash -s /layer -p / "/layer$packages"
install /src/images/as-child.sh "/layer$target/bin/as-child"
printf '#!%s/bin/as-child %s/bin/python\nfrom ft_serving.cli import main\n\nmain()\n' "$target" "$target" \
  >"/layer$target/bin/ft-serving"
# Whatever the clone's umask was: another user than its owner reads the files.
chmod -R u=rwX,go=rX /layer
chmod 755 "/layer$target/bin/ft-serving" "/layer$target/bin/as-child"
find /layer -exec touch --no-dereference --date=@0 {} +
