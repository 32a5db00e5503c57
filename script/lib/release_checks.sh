# The checks of script/test-release, which says what they are for. Sourced after release.sh and systemd.sh.
# shellcheck shell=bash
# shellcheck disable=SC2154 # files, top, unpacked, work and others are its own

sums_are_right() {
    local listed present
    (cd "$files" && sha256sum --check --strict --quiet SHA256SUMS) || die "SHA256SUMS does not fit the files"
    listed=$(sed 's/^[^ ]* [ *]//' "$files/SHA256SUMS" | sort)
    present=$(cd "$files" && printf '%s\n' * | grep -vx SHA256SUMS | sort)
    [ "$listed" = "$present" ] || die "SHA256SUMS lists $listed; the files are $present"
    held "SHA256SUMS has every file, and fits: $(tr '\n' ' ' <<<"$present")"
}

tarball_is_complete() {
    local file command
    [ "$(cd "$work/root/home/me" && echo *)" = "$top" ] || die "the tarball has more than one folder at its top"
    for file in pgdumpd README.md CHANGELOG.md LICENSE-APACHE LICENSE-MIT THIRD-PARTY-LICENSES deploy/pgdumpd.toml \
        systemd/pgdumpd.service completions/_pgdumpd completions/pgdumpd.bash completions/pgdumpd.fish man/pgdumpd.1; do
        [ -s "$unpacked/$file" ] || die "the tarball has no $file"
    done
    for file in docs/*.md; do cmp "$file" "$unpacked/$file" || die "the tarball's $file is another one"; done
    for command in $(commands); do
        [ -s "$unpacked/man/pgdumpd-$command.1" ] || die "the tarball has no man page of pgdumpd $command"
    done
    held "the tarball has program, units, configuration, documents, licences and $(find "$unpacked/man" -type f | wc -l) man pages"
}

# The commands that the program's own help lists.
commands() { "$unpacked/pgdumpd" --help | sed -n '/^Commands:/,/^$/s/^  \([a-z]\+\) .*/\1/p' | grep -vx help; }

needs_no_newer_glibc() {
    local needed others
    needed=$(readelf --wide --version-info "$1" | grep -o 'GLIBC_[0-9.]*' | sort -uV | tail -1)
    [ -n "$needed" ] || die "$1 names no version of glibc"
    [ "$(printf '%s\n' "$needed" "GLIBC_$oldest_glibc" | sort -V | tail -1)" = "GLIBC_$oldest_glibc" ] ||
        die "the program needs $needed, not $oldest_glibc at most"
    others=$(readelf --wide --dynamic "$1" | sed -n 's/.*(NEEDED).*\[\(.*\)\]/\1/p' |
        grep -vxE '(libc|libm|libdl|librt|libpthread|ld-linux-x86-64|ld-linux-aarch64)\.so\.[0-9]+' || true)
    [ -z "$others" ] || die "the program needs more than glibc: $others"
    held "the program needs $needed at most (limit: $oldest_glibc), and no library but glibc's"
}

# Whatever cargo links for the program is in its bill of materials; what only tests use is not.
bill_names_every_crate() {
    local named linked missing
    named=$("$cache/venv/bin/python" -c 'import json, sys
for part in json.load(sys.stdin)["components"]: print(part["name"], part["version"])' <"$files/$top.cdx.json" | sort -u)
    linked=$(cargo tree --quiet --locked -p pgdumpd --edges normal,no-proc-macro --target "$(release_target)" --prefix none --format '{p}' |
        sed 's/^\([^ ]*\) v\([^ ]*\).*/\1 \2/' | grep -v '^pgdumpd ' | sort -u)
    missing=$(comm -13 <(echo "$named") <(echo "$linked"))
    [ -z "$missing" ] || die "the bill of materials lacks $missing"
    ! grep -q '^pgdumpd-testkit ' <<<"$named" || die "the bill of materials has what only tests use"
    ! grep -qF "$root" "$files/$top.cdx.json" || die "the bill of materials names this machine's folders"
    held "the bill of materials names all $(wc -l <<<"$linked") crates that are linked ($(wc -l <<<"$named") with those that build)"
}

# Another hour, time zone, language and umask must not show in the files.
same_files_again() {
    local file
    (umask 077 && TZ=Pacific/Auckland LC_ALL=C.UTF-8 script/release --no-build "$work/again") >"$work/again.log" 2>&1 ||
        die "script/release --no-build: $(cat "$work/again.log")" "Run script/release first, on the same commit."
    for file in "$files"/*; do
        cmp "$file" "$work/again/$(basename "$file")" || die "made again, $(basename "$file") is not the same"
    done
    held "made again from the same program, every file has the same bytes"
}

package_fits() {
    local depends installed
    depends=$(dpkg-deb --field "$files/$deb" Depends)
    [[ ", $depends," == *", libc6 (>= $oldest_glibc),"* ]] || die "the package depends on $depends"
    inside dpkg --install "/root/$deb" >"$work/dpkg.log" 2>&1 || die "dpkg: $(cat "$work/dpkg.log")"
    inside cmp /usr/bin/pgdumpd "/home/me/$top/pgdumpd" || die "the package's program is not the tarball's"
    for installed in share/man/man1/pgdumpd-fetch.1.gz share/bash-completion/completions/pgdumpd \
        share/zsh/vendor-completions/_pgdumpd share/fish/vendor_completions.d/pgdumpd.fish; do
        inside test -s "/usr/$installed" || die "the package has no /usr/$installed"
    done
    held "$deb is installed; it has the tarball's program, the man pages and the completions"
}

# A page that its readers complain of is a fault, and so is one that man does not find in the package's place.
man_pages_are_readable() {
    local complaints
    complaints=$(inside sh -c "cd /home/me/$top/man && for page in *.1; do MANWIDTH=80 man --warnings -l \$page 2>&1 >/dev/null; done")
    [ -z "$complaints" ] || die "man complains: $complaints"
    # Not of style: pages without hard line breaks have long lines.
    complaints=$(inside sh -c "cd /home/me/$top/man && mandoc -T lint -W warning *.1" || true)
    [ -z "$complaints" ] || die "mandoc complains: $complaints"
    inside sh -c "man -l /home/me/$top/man/pgdumpd-enqueue.1" | grep 'Follow the job to its end' >/dev/null ||
        die "the man page of enqueue does not explain --wait"
    held "man and mandoc read every page without a warning"
}

# Each shell completes "pgdumpd enq" to a command.
completions_complete() {
    local folder=/home/me/$top/completions completed
    completed=$(inside bash -c ". $folder/pgdumpd.bash && COMP_WORDS=(pgdumpd enq) COMP_CWORD=1 && _pgdumpd pgdumpd enq pgdumpd && echo \${COMPREPLY[*]}")
    [ "$completed" = enqueue ] || die "bash completes \"pgdumpd enq\" to \"$completed\""
    completed=$(inside fish -c "source $folder/pgdumpd.fish; complete -C 'pgdumpd enq'" | cut -f1)
    [ "$completed" = enqueue ] || die "fish completes \"pgdumpd enq\" to \"$completed\""
    inside zsh -n "$folder/_pgdumpd" || die "zsh does not read its completions"
    # What its function of commands describes: zsh shows that only at a terminal.
    completed=$(inside zsh -f -c "autoload -U compinit && compinit -u -D && . $folder/_pgdumpd && echo \$_comps[pgdumpd]
        _describe() { print -l \$commands }; _pgdumpd_commands" | grep -oxE '_pgdumpd|enqueue:.*' || true)
    [ "$completed" = $'_pgdumpd\nenqueue:Request a backup' ] || die "zsh completes pgdumpd to: $completed"
    held "bash and fish complete \"pgdumpd enq\" to the command, and zsh knows it"
}

as_postgres() { inside sudo -u postgres psql -X -q -A -t -v ON_ERROR_STOP=1 -d "${database:-postgres}" "$@"; }

fill() {
    database=$1 as_postgres -c "CREATE TABLE orders AS SELECT n AS id, sha512(n::text::bytea) AS receipt FROM generate_series(1, 60000) AS n"
}

# block FILE HEADING NUMBER: that block of code below a heading of a document, without its fences.
block() {
    local text
    text=$(awk -v heading="## $2" -v number="$3" '
        $0 == heading { below = 1; next }
        /^## / { below = 0 }
        below && /^```/ { inside = !inside; if (inside) seen++; next }
        below && inside && seen == number' "$1")
    [ -n "$text" ] || die "$1 has no block $3 of code below \"$2\""
    printf '%s\n' "$text"
}

# The lines of README.md as they are, but for the path that it leaves out.
five_minutes() {
    # shellcheck disable=SC2016 # the inner shell expands it
    block "$unpacked/README.md" "Your own database, in five minutes" 1 | sed 's|\(~/[^ ]*\)/…/….dump|$(find \1 -name "*.dump")|' >"$work/lines"
    inside sudo -H -u me bash -exuo pipefail -c "cd && PATH=\$HOME/$top:/usr/local/bin:/usr/bin:/bin
        $(cat "$work/lines")
        pgdumpd check
        pgdumpd verify \$(pgdumpd list --storage local | sed -n 's/^\([0-9a-f-]\{36\}\) .*/\1/p')" \
        >"$work/me.log" 2>&1 </dev/null || die "the lines of README.md fail: $(cat "$work/me.log")"
    grep -q 'TABLE DATA public orders' "$work/me.log" || die "pg_restore lists no table: $(cat "$work/me.log")"
    held "all lines work; check finds nothing that would fail, and verify nothing damaged"
}

# The lines of OPERATIONS.md that install the tarball; then all of it goes, for the package.
installs_by_hand() {
    block "$unpacked/docs/OPERATIONS.md" "Installing" 1 >"$work/lines"
    inside bash -exo pipefail -c "cd /home/me/$top && $(cat "$work/lines")" >"$work/by-hand.log" 2>&1 </dev/null ||
        die "the lines that install by hand fail: $(cat "$work/by-hand.log")"
    [ "$(inside systemctl show --value -p LoadState pgdumpd)" = loaded ] || die "systemd does not load the unit"
    [ "$(inside stat -c %U /var/lib/pgdumpd/backups)" = pgdumpd ] || die "the folder of backups is not pgdumpd's"
    inside man --where pgdumpd-run >/dev/null || die "man does not find the page of pgdumpd run"
    held "all lines work: unit, user, folders and man pages are there"
    # What the same lines have installed.
    inside rm -r /usr/bin/pgdumpd /etc/systemd/system/pgdumpd.service /usr/lib/sysusers.d/pgdumpd.conf \
        /usr/lib/tmpfiles.d/pgdumpd.conf /etc/pgdumpd /usr/local/share/man/man1 /usr/share/bash-completion/completions/pgdumpd \
        /var/lib/pgdumpd
    inside userdel pgdumpd
    inside systemctl daemon-reload
}

# The lines of OPERATIONS.md as they are; what a person edits there is edited here.
first_backup() {
    local guide=$unpacked/docs/OPERATIONS.md
    block "$guide" "The queue" 1 >"$work/lines"
    block "$guide" "The backup role" 1 >"$work/role.sql"
    block "$guide" "The first backup" 1 >"$work/lines.backup"
    inside bash -exo pipefail -c "$(cat "$work/lines")" >"$work/first.log" 2>&1 </dev/null ||
        die "the lines on the queue fail: $(cat "$work/first.log")"
    as_postgres -c "$(cat "$work/role.sql")"
    inside sh -c 'install -m 0640 -o root -g pgdumpd /dev/null /etc/pgdumpd/app.password && echo … >/etc/pgdumpd/app.password
        sed -i "s/^#\(password_file = \"app.password\"\)/\1/; s/^#compression = \"auto\"/compression = \"gzip:6\"/" /etc/pgdumpd/pgdumpd.toml'
    inside bash -exo pipefail -c "$(cat "$work/lines.backup")" >"$work/first.log" 2>&1 </dev/null ||
        die "the lines on the first backup fail: $(cat "$work/first.log")"
    [ "$(inside systemctl is-active pgdumpd)" = active ] || die "the service does not run"
    held "all lines work; the service runs under $(inside systemctl --version | head -1)"
}

# restores DATABASE FOLDER: the newest archive in there, into another database, with the same content.
restores() {
    local archive sum="SELECT count(*), md5(string_agg(o::text, '' ORDER BY id)) FROM orders AS o"
    archive=$(inside find "$2" -name '*.dump')
    [ "$(wc -l <<<"$archive")" = 1 ] || die "not one archive in $2: $archive"
    as_postgres -c "CREATE DATABASE restored_$1"
    inside sh -c "pg_restore -f - '$archive' | sudo -u postgres psql -X -q -v ON_ERROR_STOP=1 -d restored_$1" >/dev/null
    [ "$(database=$1 as_postgres -c "$sum")" = "$(database=restored_$1 as_postgres -c "$sum")" ] ||
        die "the restored table is not the same"
    held "the archive restores to the same rows: $(basename "$archive")"
}
