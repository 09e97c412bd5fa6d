#!/bin/sh
# Update module of Mender for bundles of mcir: lies on the device as /usr/share/mender/modules/v3/mcir.
# Mender calls it with the state and the folder of the update. A bundle that is older than what runs is refused here
# and not left to its own program; MCIR_ALLOW_DOWNGRADE=1 installs it all the same.
set -eu
umask 022
root=${MCIR_ROOT:-/opt/mcir}
counter() { sed -n 's/^ *"counter": *\([0-9]*\),*$/\1/p' | head -n 1; }
case $1 in
NeedsArtifactReboot) echo No ;;
SupportsRollback) echo Yes ;;
ArtifactInstall)
    for bundle in "$2"/files/*.bundle; do
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
    done
    ;;
ArtifactRollback) ${MCIR_RUN_WITH:-} "$root"/current/slot/mcir-board rollback --target "local:$root" --quiet ;;
esac
