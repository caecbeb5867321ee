# shellcheck shell=bash
# Runs one of PostgreSQL's own regression drivers against a private cluster. Sourced after common.sh.
# shellcheck disable=SC2154

# drive FOLDER SUFFIX DRIVER [NAME…]
drive() {
    local folder=$1 suffix=$2 driver=$3
    shift 3
    local input=$root/tests/$folder output=$target/$folder code=0
    local sources=("$input"/*/*."$suffix") names=("$@")
    if [ ${#names[@]} = 0 ]; then
        [ -e "${sources[0]}" ] || die "no $input/*/*.$suffix"
        mapfile -t names < <(basename -a -s ".$suffix" "${sources[@]}")
    fi
    rm -rf "$output"
    mkdir -p "$output"
    in_cluster "$driver" --use-existing --dbname=consent_test --bindir="$(readlink -f "$root/target/pg-bin")" \
        --inputdir="$input" --outputdir="$output" "${names[@]}" \
        >"$output/driver.log" 2>&1 || code=$?
    cat "$output/driver.log"
    if [ -s "$output/regression.diffs" ]; then cat "$output/regression.diffs"; fi
    local passed failed
    passed=$(grep -cE '^test .* \.\.\. ok ' "$output/driver.log" || true)
    failed=$(grep -cE '^test .* \.\.\. (FAILED|failed)' "$output/driver.log" || true)
    # A driver that died has tested less than it was told to.
    if [ "$code" != 0 ] && [ "$failed" = 0 ]; then failed=$((${#names[@]} - passed)); fi
    echo "$passed passed, $failed failed"
    return "$code"
}
