#!/bin/sh
# Update module of Mender for bundles of mcir: lies on the device as /usr/share/mender/modules/v3/mcir.
# Mender calls it with the state and the folder of the update.
set -eu
root=${MCIR_ROOT:-/opt/mcir}
case $1 in
NeedsArtifactReboot) echo No ;;
SupportsRollback) echo Yes ;;
ArtifactInstall)
    for bundle in "$2"/files/*.bundle; do
        mkdir -p "$root"
        program=$(mktemp "$root/.install.XXXXXX")
        trap 'rm -f "$program"' EXIT
        tar -xOf "$bundle" mcir-board >"$program"
        chmod 700 "$program"
        ${MCIR_RUN_WITH:-} "$program" flash "$bundle" --target "local:$root" --quiet
    done
    ;;
ArtifactRollback) ${MCIR_RUN_WITH:-} "$root"/current/slot/mcir-board rollback --target "local:$root" --quiet ;;
esac
