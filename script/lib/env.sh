# Sourced by every script: strict mode, where things are, how to speak. Sets root, cache and user.
# shellcheck shell=bash
set -euo pipefail
umask 022

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
cd "$root"

say() { printf '%s\n' "$*"; }
die() { printf 'error: %s\n' "$1" >&2; shift; [ $# -eq 0 ] || printf 'HINT: %s\n' "$*" >&2; exit 1; }
have() { command -v "$1" >/dev/null 2>&1; }
is_root() { [ "$(id -u)" -eq 0 ]; }

# The account that servers run as: PostgreSQL refuses root. Empty if we are not root.
server_user() {
    is_root || return 0
    for name in postgres nobody; do
        if getent passwd "$name" >/dev/null; then
            echo "$name"
            return 0
        fi
    done
    die "root cannot run PostgreSQL, and there is neither a user postgres nor nobody"
}
user=$(server_user)

# Runs a command as that account.
as_server() {
    if [ -n "$user" ]; then
        (cd / && exec setpriv --reuid "$user" --regid "$(id -g "$user")" --clear-groups -- env -u HOME "$@")
    else
        "$@"
    fi
}

# Where tools and PostgreSQL are kept. The testkit (src/binaries.rs) looks into the same three places.
choose_cache() {
    if [ -n "${PGDUMPD_CACHE:-}" ]; then
        echo "$PGDUMPD_CACHE"
    elif is_root && ! as_server test -x "$root"; then
        # A checkout that only root may enter hides its .cache from the server's account.
        echo /var/cache/pgdumpd-dev
    elif mkdir -p "$root/.cache" 2>/dev/null && [ -w "$root/.cache" ]; then
        echo "$root/.cache"
    else
        echo "${XDG_CACHE_HOME:-$HOME/.cache}/pgdumpd-dev"
    fi
}
cache=$(choose_cache)
mkdir -p "$cache"
export PGDUMPD_CACHE=$cache

export PATH="$cache/cargo/bin:$cache/venv/bin:$PATH"
