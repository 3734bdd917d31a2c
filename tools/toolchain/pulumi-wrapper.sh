#!/bin/sh
# coreflux-mcp-secrets: the pinned Pulumi. Written by tools/setup.py from tools/toolchain/pulumi-wrapper.sh.
# A backend that you chose wins: PULUMI_BACKEND_URL, PULUMI_ACCESS_TOKEN or `pulumi login`.
# Else the state is a folder of this clone.
clone=@CLONE@
cli=@CLI@
built=@BUILT@

logged_in() {
    [ -n "${PULUMI_ACCESS_TOKEN:-}" ] && return
    home="${PULUMI_HOME:-${HOME:-}/.pulumi}"
    grep -q '"current": *"[^"]' "$home/credentials.json" 2>/dev/null || return
    # Pulumi itself takes the home folder of the user database, which need not be $HOME.
    export PULUMI_HOME="$home"
}

if [ -z "${PULUMI_BACKEND_URL:-}" ] && ! logged_in; then
    mkdir -p "$clone/.state/pulumi"
    export PULUMI_BACKEND_URL="file://$clone/.state/pulumi"
    # The passphrase of this state is empty, whatever the shell holds for other projects: it keeps no secret.
    export PULUMI_CONFIG_PASSPHRASE=
    if [ $built = yes ]; then
        export PULUMI_HOME="${PULUMI_HOME:-$clone/.state/pulumi-home}"
    fi
fi
if [ $built = yes ]; then
    # The folder of plugins is what a registry gave us; there is no site to download others from.
    export PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION="${PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION:-true}"
    home="${PULUMI_HOME:-${HOME:+$HOME/.pulumi}}"
    if [ -n "$home" ]; then
        # Where Pulumi would look by itself, what is laid below $HOME need not be found.
        export PULUMI_HOME="$home"
        # The providers that set-up has built for a stack; on PATH they would do, with a warning at each run.
        for plugin in "$clone"/.tools/plugins/*/*; do
            folder="${plugin%/*}"
            laid="$PULUMI_HOME/plugins/${folder##*/}"
            if [ -e "$plugin" ] && [ ! -e "$laid" ]; then
                mkdir -p "$laid"
                ln -sf "$plugin" "$laid/"
            fi
        done
    fi
fi
export PULUMI_SKIP_UPDATE_CHECK="${PULUMI_SKIP_UPDATE_CHECK:-true}"
export COREFLUX_CLONE="$clone"
export PATH="${cli%/*}:$clone/.tools/bin:$PATH"
exec "$cli" "$@"
