#!/bin/sh
# Puts a bundle of mcir into the slots of this machine: `install.sh BUNDLE`. The program inside the bundle verifies,
# tests and switches, and goes back by itself; this only takes it out, unless the bundle is older than what runs:
# that is not left to the program of the old one. MCIR_ALLOW_DOWNGRADE=1 installs it all the same.
set -eu
umask 022
root=${MCIR_ROOT:-/opt/mcir}
bundle=$1
counter() { sed -n 's/^ *"counter": *\([0-9]*\),*$/\1/p' | head -n 1; }
new=$(tar -xOf "$bundle" manifest.json | counter)
old=$(cat "$root/current/slot/manifest.json" 2>/dev/null | counter)
if [ "${new:-0}" -lt "${old:-0}" ] && [ -z "${MCIR_ALLOW_DOWNGRADE:-}" ]; then
    echo "the bundle is older than what runs: its counter is ${new:-0}, and here it is $old" >&2
    exit 1
fi
mkdir -p "$root"
program=$(mktemp "$root/.install.XXXXXX")
trap 'rm -f "$program"' EXIT
tar -xOf "$bundle" mcir-board >"$program"
chmod 700 "$program"
allow=${MCIR_ALLOW_DOWNGRADE:+${new:+--allow-downgrade}}
${MCIR_RUN_WITH:-} "$program" flash "$bundle" --target "local:$root" --quiet $allow
