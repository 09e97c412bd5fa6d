#!/bin/sh
# Puts a bundle of mcir into the slots of this machine: `install.sh BUNDLE`. The program inside the bundle verifies,
# tests and switches, and goes back by itself; this only takes it out.
set -eu
root=${MCIR_ROOT:-/opt/mcir}
bundle=$1
mkdir -p "$root"
program=$(mktemp "$root/.install.XXXXXX")
trap 'rm -f "$program"' EXIT
tar -xOf "$bundle" mcir-board >"$program"
chmod 700 "$program"
${MCIR_RUN_WITH:-} "$program" flash "$bundle" --target "local:$root" --quiet
