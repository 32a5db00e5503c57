# Throwaway object stores that script/test does not need each time: Garage, the S3 server that ignores conditions, and
# Azurite, the emulator of Azure's blobs. Sourced after env.sh.
# Garage's licence is the AGPL: it is run as a program, and never linked.
# shellcheck shell=bash
# shellcheck disable=SC2154 # cache and user are env.sh's

build_garage() {
    local version=2.5.0
    [ -x "$cache/cargo/bin/garage" ] && return 0
    say "building Garage $version (10 minutes, once)"
    cargo install -q --locked --root "$cache/cargo" garage --version "$version" --no-default-features \
        --features bundled-libs,lmdb || die "cannot install Garage"
}

install_azurite() {
    # With the client that makes its container.
    npm install --silent --no-audit --no-fund --prefix "$cache/azurite" azurite@3.37.0 @azure/storage-blob@12.34.0 ||
        die "cannot install Azurite"
}

# So many ports of 127.0.0.1 that nobody listened on a moment ago.
free_ports() {
    "$cache/venv/bin/python" - "$1" <<'EOF'
import socket, sys
sockets = [socket.socket() for _ in range(int(sys.argv[1]))]
for each in sockets: each.bind(("127.0.0.1", 0))
print(*(each.getsockname()[1] for each in sockets))
EOF
}

random_hex() { od -An -v -N "$1" -tx1 /dev/urandom | tr -d ' \n'; }

# start_server DIR PORT COMMAND…: runs a server in the folder DIR, and waits until it listens.
start_server() {
    local dir=$1 port=$2 tries
    shift 2
    if [ -n "$user" ]; then chown -R "$user" "$dir"; fi
    # It writes down its own number: env.sh runs it below a shell of its own.
    # shellcheck disable=SC2016 # expanded by that sh
    as_server sh -c 'echo $$ >"$0/pid" && exec "$@"' "$dir" "$@" </dev/null >"$dir/log" 2>&1 &
    for ((tries = 0; tries < 300; tries++)); do
        if (: <"/dev/tcp/127.0.0.1/$port") 2>/dev/null; then return 0; fi
        kill -0 $! 2>/dev/null || break
        sleep 0.1
    done
    say "it does not start: $(tail -n 5 "$dir/log")"
    return 1
}

# stop_server DIR: ends it, if it runs, and waits for its end.
stop_server() {
    local pid
    pid=$(cat "$1/pid" 2>/dev/null) || return 0
    # Nothing in it is kept.
    kill -KILL "$pid" 2>/dev/null || true
    wait 2>/dev/null || true
    rm -rf "$1"
}

# start_garage DIR: a server in the new folder DIR, and what the testkit needs to know of it in PGDUMPD_TEST_S3_….
start_garage() {
    local dir=$1 port rpc_port
    read -r port rpc_port <<<"$(free_ports 2)"
    export PGDUMPD_TEST_S3_ENDPOINT=http://127.0.0.1:$port PGDUMPD_TEST_S3_REGION=garage PGDUMPD_TEST_S3_BUCKET=tests
    PGDUMPD_TEST_S3_KEY=GK$(random_hex 12)
    PGDUMPD_TEST_S3_SECRET=$(random_hex 32)
    export PGDUMPD_TEST_S3_KEY PGDUMPD_TEST_S3_SECRET
    mkdir -m 700 "$dir"
    cat >"$dir/garage.toml" <<EOF
metadata_dir = "$dir/metadata"
data_dir = "$dir/blocks"
db_engine = "lmdb"
replication_factor = 1
rpc_bind_addr = "127.0.0.1:$rpc_port"
rpc_public_addr = "127.0.0.1:$rpc_port"
rpc_secret = "$(random_hex 32)"

[s3_api]
api_bind_addr = "127.0.0.1:$port"
s3_region = "$PGDUMPD_TEST_S3_REGION"
EOF
    # Key and bucket are there before it listens.
    GARAGE_DEFAULT_ACCESS_KEY=$PGDUMPD_TEST_S3_KEY GARAGE_DEFAULT_SECRET_KEY=$PGDUMPD_TEST_S3_SECRET \
        GARAGE_DEFAULT_BUCKET=$PGDUMPD_TEST_S3_BUCKET start_server "$dir" "$port" \
        "$cache/cargo/bin/garage" -c "$dir/garage.toml" server --single-node --default-bucket
}

# start_azurite DIR: the same for Azure, in PGDUMPD_TEST_AZURE_….
start_azurite() {
    local dir=$1 port
    port=$(free_ports 1)
    export PGDUMPD_TEST_AZURE_ACCOUNT=tests PGDUMPD_TEST_AZURE_CONTAINER=backups
    export PGDUMPD_TEST_AZURE_ENDPOINT=http://127.0.0.1:$port/$PGDUMPD_TEST_AZURE_ACCOUNT
    PGDUMPD_TEST_AZURE_KEY=$(random_hex 32 | base64 -w 0)
    export PGDUMPD_TEST_AZURE_KEY
    mkdir -m 700 "$dir"
    AZURITE_ACCOUNTS=$PGDUMPD_TEST_AZURE_ACCOUNT:$PGDUMPD_TEST_AZURE_KEY start_server "$dir" "$port" \
        "$(command -v node)" "$cache/azurite/node_modules/azurite/dist/src/blob/main.js" --silent --disableTelemetry \
        --skipApiVersionCheck --location "$dir" --blobHost 127.0.0.1 --blobPort "$port" &&
        NODE_PATH=$cache/azurite/node_modules node -e '
            const env = process.env, { BlobServiceClient, StorageSharedKeyCredential } = require("@azure/storage-blob");
            const key = new StorageSharedKeyCredential(env.PGDUMPD_TEST_AZURE_ACCOUNT, env.PGDUMPD_TEST_AZURE_KEY);
            new BlobServiceClient(env.PGDUMPD_TEST_AZURE_ENDPOINT, key).createContainer(env.PGDUMPD_TEST_AZURE_CONTAINER)
                .catch((error) => { console.error(error.message); process.exit(1); });'
}
