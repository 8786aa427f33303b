#!/bin/sh
# Unpack Debian's PgBouncer, and the libraries of its that are not installed, into the folder $1. Nothing is installed,
# so no root is needed; nothing happens where there is no apt, or where it is there already.
set -eu
mkdir -p "$1"
folder=$(cd "$1" && pwd)
if [ -e "$folder/done" ] || command -v pgbouncer >/dev/null || ! command -v apt-get >/dev/null; then exit 0; fi
mkdir -p "$folder/packages"
cd "$folder/packages"
fetch() { timeout 30 apt-get -qq download -o APT::Sandbox::User=root "$@" >/dev/null 2>&1; }
if ! fetch pgbouncer; then
    [ "$(id -u)" != 0 ] || timeout 45 apt-get -qq update >/dev/null 2>&1 || true
    fetch pgbouncer || exit 0
fi
for name in $(apt-cache depends --no-recommends --no-suggests pgbouncer | sed -n 's/^ *Depends: \(lib[^ ]*\)$/\1/p'); do
    dpkg -s "$name" >/dev/null 2>&1 || fetch "$name"
done
for package in *.deb; do dpkg -x "$package" "$folder"; done
: >"$folder/done"
