# A throwaway PostgreSQL server for the demo and the benchmark. Sourced after env.sh.
# The tests have their own, in crates/pgdumpd-testkit.
# shellcheck shell=bash
# shellcheck disable=SC2154 # cache and user are env.sh's

# The folder of the newest PostgreSQL with a server: the system's, else the cache's.
find_postgres() {
    local dir
    for dir in ${PGDUMPD_TEST_PG_BIN:+"$PGDUMPD_TEST_PG_BIN"} \
        /usr/lib/postgresql/{18,17,16,15,14}/bin "$cache"/postgresql/{18,17,16,15,14}/bin; do
        if [ -x "$dir/initdb" ] && [ -x "$dir/postgres" ] && [ -x "$dir/psql" ]; then
            echo "$dir"
            return 0
        fi
    done
    return 1
}

# start_postgres DIR [SETTING=VALUE…]: a server in DIR/data on the unix socket DIR/socket, port 5432,
# which trusts everyone who may enter that folder. Sets pg_bin.
start_postgres() {
    local dir=$1 setting
    shift
    pg_bin=$(find_postgres) || die "no PostgreSQL server is installed" "Run script/bootstrap."
    # The kernel allows 107 bytes for a socket's path.
    [ ${#dir} -le 80 ] || die "the path $dir is too long for a unix socket" "Set TMPDIR to a shorter one."
    mkdir -m 700 "$dir/socket" "$dir/data"
    : >"$dir/postgresql.log"
    if [ -n "$user" ]; then chown "$user" "$dir/socket" "$dir/data" "$dir/postgresql.log"; fi
    as_server "$pg_bin/initdb" --username=postgres --auth=trust --encoding=UTF8 --locale=C --no-sync \
        --no-instructions -D "$dir/data" >"$dir/initdb.log" 2>&1 || die "initdb failed: $(cat "$dir/initdb.log")"
    {
        echo "unix_socket_directories = '$dir/socket'"
        echo "listen_addresses = ''"
        for setting in "$@"; do echo "$setting"; done
    } >>"$dir/data/postgresql.auto.conf"
    as_server "$pg_bin/pg_ctl" start -s -w -t 60 -D "$dir/data" -l "$dir/postgresql.log" >/dev/null ||
        die "PostgreSQL does not start: $(tail -5 "$dir/postgresql.log")"
}

stop_postgres() {
    if [ -f "$1/data/postmaster.pid" ]; then
        as_server "$pg_bin/pg_ctl" stop -s -w -m immediate -D "$1/data" >/dev/null 2>&1 || true
    fi
}

# database_url DIR NAME: how to reach a database of that server.
database_url() { echo "postgres://postgres@${1//\//%2F}%2Fsocket:5432/$2"; }
