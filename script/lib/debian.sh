# Programs of Debian's packages, unpacked into the cache and installed nowhere: no service starts, and it needs no root.
# The testkit (src/debian.rs) looks for them there. Sourced after env.sh.
# shellcheck shell=bash
# shellcheck disable=SC2154 # cache is env.sh's

# The locales that the tests' servers speak.
languages=(de_DE.UTF-8 ja_JP.UTF-8 ru_RU.UTF-8 de_DE.ISO-8859-1)

# unpack_debian PACKAGE…: them, and the libraries that this system lacks. Fails where they cannot be had.
unpack_debian() {
    local work libraries=() library
    have apt-get && have dpkg-deb || return 1
    if is_root; then apt-get update -qq >/dev/null 2>&1 || true; fi
    # Not what compiles queries, nor what only a package's installation needs.
    for library in $(apt-cache depends --recurse --no-recommends --no-suggests --no-conflicts --no-breaks \
        --no-replaces --no-enhances "$@" 2>/dev/null | grep -E '^(lib|zlib)' | grep -Ev 'perl|llvm|elogind|debian-installer|newt|textwrap'); do
        dpkg-query -W -f '${Status}' "$library" 2>/dev/null | grep -q 'ok installed' || libraries+=("$library")
    done
    say "unpacking $*"
    work=$(mktemp -d "$cache/fetch.XXXXXX")
    if ! (cd "$work" && apt-get download -qq "$@" "${libraries[@]}" >/dev/null 2>&1); then
        rm -rf "$work"
        return 1
    fi
    mkdir -p "$cache/debian"
    for package in "$work"/*.deb; do dpkg-deb -x "$package" "$cache/debian"; done
    rm -rf "$work"
}

# Whether a PostgreSQL is here that translates its messages: the builds of PyPI do not.
has_translated_postgres() {
    local bin major
    for bin in {,"$cache/debian"}/usr/lib/postgresql/{18,17,16,15,14}/bin; do
        major=${bin%/bin}
        major=${major##*/}
        if [ -x "$bin/postgres" ] && [ -f "$bin/../../../../share/locale/de/LC_MESSAGES/postgres-$major.mo" ]; then
            return 0
        fi
    done
    return 1
}

translated_postgres() {
    local server
    has_translated_postgres && return 0
    server=$(apt-cache depends postgresql 2>/dev/null | sed -n 's/^ *Depends: \(postgresql-[0-9]*\)$/\1/p')
    [ -n "$server" ] && unpack_debian "$server" "${server/-/-client-}" && has_translated_postgres
}

# Locales in the cache, for LOCPATH: the system's own are root's to make.
locales() {
    local name work source=/usr/share/i18n
    for name in "${languages[@]}"; do
        [ -d "$cache/locale/$name" ] && continue
        if [ ! -d "$source/locales" ]; then
            source=$cache/debian/usr/share/i18n
            [ -d "$source/locales" ] || unpack_debian locales || return 1
        fi
        say "making the locale $name"
        work=$(mktemp -d "$cache/fetch.XXXXXX")
        # Ends with 1 where it only warned.
        I18NPATH=$source localedef -i "${name%.*}" -f "${name#*.}" "$work/$name" >/dev/null 2>&1 || true
        mkdir -p "$cache/locale"
        [ -f "$work/$name/LC_MESSAGES/SYS_LC_MESSAGES" ] && mv "$work/$name" "$cache/locale/$name"
        rm -rf "$work"
        [ -d "$cache/locale/$name" ] || return 1
    done
}

pooler() { [ -x /usr/sbin/pgbouncer ] || [ -x "$cache/debian/usr/sbin/pgbouncer" ] || unpack_debian pgbouncer; }

# promtool alone: the rest of its package is a server.
promtool() {
    local work
    [ -x /usr/bin/promtool ] || [ -x "$cache/debian/usr/bin/promtool" ] && return 0
    have apt-get && have dpkg-deb || return 1
    if is_root; then apt-get update -qq >/dev/null 2>&1 || true; fi
    say "unpacking promtool"
    work=$(mktemp -d "$cache/fetch.XXXXXX")
    mkdir -p "$cache/debian"
    (cd "$work" && apt-get download -qq prometheus >/dev/null 2>&1) &&
        dpkg-deb --fsys-tarfile "$work"/prometheus_*.deb | tar -x -C "$cache/debian" ./usr/bin/promtool || true
    rm -rf "$work"
    [ -x "$cache/debian/usr/bin/promtool" ]
}
