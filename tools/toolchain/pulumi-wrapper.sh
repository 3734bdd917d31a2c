#!/bin/sh
# coreflux-mcp-secrets: the pinned Pulumi. Written by tools/setup.py from tools/toolchain/pulumi-wrapper.sh.
# Use the backend of PULUMI_BACKEND_URL, PULUMI_ACCESS_TOKEN, `pulumi login` or Pulumi.yaml; else a folder of this clone.
clone=@CLONE@
cli=@CLI@
built=@BUILT@

logged_in() {
    [ -n "${PULUMI_ACCESS_TOKEN:-}" ] && return
    home="${PULUMI_HOME:-${HOME:-}/.pulumi}"
    grep -q '"current": *"[^"]' "$home/credentials.json" 2>/dev/null || return
    # Pulumi uses the home folder of the user database, which can differ from $HOME.
    export PULUMI_HOME="$home"
}

project_has_backend() {
    folder=. before=
    for argument in "$@"; do
        case $before in -C | --cwd) folder="$argument" ;; esac
        case $argument in -C?*) folder="${argument#-C}" ;; --cwd=*) folder="${argument#*=}" ;; esac
        before="$argument"
    done
    folder="$(CDPATH="" cd -- "${folder#=}" 2>/dev/null && pwd)"
    while [ -n "$folder" ] && [ ! -f "$folder/Pulumi.yaml" ]; do folder="${folder%/*}"; done
    grep -q '^backend:' "$folder/Pulumi.yaml" 2>/dev/null
}

if [ -z "${PULUMI_BACKEND_URL:-}" ] && ! logged_in && ! project_has_backend "$@"; then
    mkdir -p "$clone/.state/pulumi"
    export PULUMI_BACKEND_URL="file://$clone/.state/pulumi"
    # The passphrase of this state is empty, as it has no secret. The shell may have one for other projects.
    export PULUMI_CONFIG_PASSPHRASE=
    if [ $built = yes ]; then
        export PULUMI_HOME="${PULUMI_HOME:-$clone/.state/pulumi-home}"
    fi
fi
if [ $built = yes ]; then
    # The plugins come from a package registry; there is no site to download others from.
    export PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION="${PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION:-true}"
    home="${PULUMI_HOME:-${HOME:+$HOME/.pulumi}}"
    if [ -n "$home" ]; then
        # Without it, Pulumi may search another folder than the one below $HOME that is written to here.
        export PULUMI_HOME="$home"
        # Link the providers that set-up has built for a stack. On PATH they would work, with a warning at each run.
        for plugin in "$clone"/.tools/plugins/*/*; do
            folder="${plugin%/*}"
            target="$PULUMI_HOME/plugins/${folder##*/}"
            if [ -e "$plugin" ] && [ ! -e "$target" ]; then
                mkdir -p "$target"
                ln -sf "$plugin" "$target/"
            fi
        done
    fi
fi
export PULUMI_SKIP_UPDATE_CHECK="${PULUMI_SKIP_UPDATE_CHECK:-true}"
export COREFLUX_CLONE="$clone"
export PATH="${cli%/*}:$clone/.tools/bin:$PATH"
exec "$cli" "$@"
