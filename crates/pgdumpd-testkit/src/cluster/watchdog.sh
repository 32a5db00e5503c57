# Stops a test cluster (or S3 server) when no process uses it any more, and removes its files.
# $1: the cluster's folder; $2: how many seconds it may stay idle first.
# Also drops the databases of test processes that are gone.
# A file called stop beside the cluster's folder ends the patience (see script/test).
# shellcheck shell=sh
dir=$1
idle=$2
cd "$dir" || exit 0

# One watchdog a folder; it goes on holding descriptor 8 until it ends.
exec 8>watchdog 9>>in-use 7>lock
flock -n 8 || exit 0

# The server, if it runs: its working directory tells it from a reused pid.
server() {
    pid=$(cat data/postmaster.pid data/weed.pid 2>/dev/null | head -n 1) || return 1
    [ -n "$pid" ] && [ "$(readlink "/proc/$pid/cwd")" = "$dir/data" ]
}

sql() {
    "$(cat bin)/psql" -X -q -A -t -h "$dir/socket" -p "$(cat port)" -U postgres -d postgres -c "$1"
}

sweep() {
    { [ -e ready ] && [ -e bin ]; } || return 0
    for db in $(sql "SELECT datname FROM pg_database WHERE datname ~ '^t[0-9]+_'"); do
        pid=${db#t}
        pid=${pid%%_*}
        [ -d "/proc/$pid" ] || sql "DROP DATABASE IF EXISTS $db WITH (FORCE)"
    done
}

unused() {
    age=$(($(date +%s) - $(stat -c %Y in-use)))
    { [ "$age" -ge "$idle" ] || [ -e ../stop ]; } && flock -n 7
}

turn=0
while [ -d "$dir" ]; do
    if flock -w 1 -x 9; then
        unused && break
        flock -u 9
        sleep 1
    fi
    turn=$((turn + 1))
    [ "$idle" -eq 0 ] || [ $((turn % 10)) -ne 0 ] || sweep
done

if server; then
    kill -QUIT "$pid"
    for _ in $(seq 100); do
        server || break
        sleep 0.1
    done
    server && kill -KILL "$pid"
fi
# What SeaweedFS leaves outside of its folder, by its ports.
if [ -e data/weed.pid ] && base=$(cat ready 2>/dev/null); then
    for port in $(seq "$base" "$((base + 9))"); do rm -f "/tmp/seaweedfs-"*"-$port.sock"; done
    rm -f "/tmp/seaweedfs-"*"-$((base + 10002)).sock"
fi
rm -rf "$dir/data" "$dir/socket" "$dir/ready"
# A shared folder keeps its locks: another process may be waiting for them.
[ "$idle" -eq 0 ] && rm -rf "$dir"
exit 0
