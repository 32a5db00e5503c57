# A systemd of its own in namespaces, beside this machine's processes. Sourced after env.sh by what boots one:
# takes a folder `work`, and sets a trap that ends everything.
# shellcheck shell=bash
# shellcheck disable=SC2154 # root is env.sh's

cannot() {
    printf 'cannot run here: %s\n' "$1" >&2
    exit 77
}
headline() { printf '\n== %s\n' "$*"; }
held() { printf '  ok  %s\n' "$*"; }

# may_boot: ends with 77, and says why, where no systemd can be booted.
may_boot() {
    local tool
    is_root || cannot "only root may make these namespaces"
    for tool in unshare nsenter findmnt setpriv; do have $tool || cannot "there is no $tool (util-linux)"; done
}

work=$(mktemp -d "${TMPDIR:-/tmp}/pgdumpd-systemd.XXXXXX")
groups=()
unshare=
init=
cleanup() {
    local status=$? group tries
    trap - EXIT
    if [ $status -ne 0 ] && [ $status -ne 77 ] && [ -n "$init" ]; then
        printf '\nthe end of the journal:\n'
        inside journalctl --no-pager -q -n 60 -o short-precise 2>/dev/null || true
    fi
    # With the first process of the namespaces go all others, and with those every mount.
    if [ -n "$unshare" ]; then
        kill -KILL "$unshare" 2>/dev/null || true
        wait "$unshare" 2>/dev/null || true
    fi
    for group in "${groups[@]}"; do
        for ((tries = 0; tries < 100; tries++)); do
            find "$group" -depth -type d -exec rmdir {} + 2>/dev/null || true
            [ -d "$group" ] || break
            sleep 0.05
        done
        [ ! -d "$group" ] || say "cannot remove $group"
    done
    rm -rf "$work"
    case $status in
    0) printf '\nPASSED\n' ;;
    77) ;;
    *) printf '\nFAILED\n' ;;
    esac
    exit $status
}
trap cleanup EXIT
trap 'exit 130' INT TERM

# A cgroup of its own below ours, in each hierarchy that lets us, so that its systemd disturbs no other's.
make_cgroups() {
    local id controllers path mount group
    while IFS=: read -r id controllers path; do
        if [ "$id" = 0 ]; then
            mount=$(findmnt -n -t cgroup2 -o TARGET | head -1)
        else
            mount=$(findmnt -n -t cgroup -O "$controllers" -o TARGET | head -1)
        fi
        [ -n "$mount" ] || continue
        group=$mount${path%/}/pgdumpd-systemd-$$
        # A cpuset has no processors at first, and takes nobody.
        [[ $controllers == *cpuset* ]] || ! mkdir "$group" 2>/dev/null || groups+=("$group")
    done </proc/self/cgroup
}

# inside COMMAND…: in the namespaces.
inside() {
    nsenter --target "$init" --mount --uts --ipc --net --pid --cgroup -- \
        env -i -C / PATH=/opt/postgresql/bin:/usr/sbin:/usr/bin:/sbin:/bin LANG=C.UTF-8 HOME=/root PGHOST=/run/postgresql PGUSER=postgres "$@"
}

# until_true SECONDS WHAT COMMAND…
until_true() {
    local deadline=$((SECONDS + $1)) what=$2
    shift 2
    until "$@"; do
        [ $SECONDS -lt $deadline ] || die "not in time: $what"
        sleep 0.05
    done
}

booted() {
    kill -0 "$unshare" 2>/dev/null || cannot "the namespaces or their root could not be made: $(cat "$work/boot.log")"
    init=$(cat "/proc/$unshare/task/$unshare/children" 2>/dev/null | tr -d ' ')
    [ -n "$init" ] && [ "$(cat "/proc/$init/comm" 2>/dev/null)" = systemd ] &&
        inside systemctl is-active --quiet basic.target 2>/dev/null
}

# boot POSTGRES [BASE]: over the root file system BASE, by default this machine's, and with what is in $work/root.
boot() {
    local started
    findmnt -n -r -t cgroup,cgroup2 -o SOURCE,TARGET,FSTYPE,OPTIONS |
        awk '{ print $1, $2, $3, $4 }' | sed -E 's/^[^ ]+/cgroup/' >"$work/mounts"
    : >"$work/boot.log"
    make_cgroups
    started=$(date +%s%N)
    (
        for group in "${groups[@]}"; do echo "$BASHPID" >"$group/cgroup.procs" || true; done
        exec unshare --mount --uts --ipc --net --pid --cgroup --fork --kill-child=KILL \
            "$root/script/lib/systemd-root.sh" "$work" "$1" "${2:-/}"
    ) >"$work/boot.log" 2>&1 &
    unshare=$!
    until_true 30 "systemd reaches basic.target: $(cat "$work/boot.log")" booted
    held "$(inside systemctl --version | head -1) is up after $((($(date +%s%N) - started) / 1000000)) ms"
    inside hostname pgdumpd-test
}
