# What the interop scripts share: a server, a proxy that breaks, checks. For bash.
#
# A case works in `$work`; its server stores in `$storage`, writes `$work/server.N` and is
# reached at `$endpoint`. Every process a case starts ends with it, by its id.

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../.." && pwd)
target=${CARGO_TARGET_DIR:-target}
case $target in /*) ;; *) target=$root/$target ;; esac
cache=$target/interop

MIB=$((1024 * 1024))
# How long anything may take that has to happen.
PATIENCE=30

# Ways to leave a case

fail() {
    echo "FAILED: $*" >&2
    exit 1
}

# skip WHAT WHY: loudly, for a whole script
skip() {
    echo "SKIPPED: $1 because $2"
}

# Waits until a command succeeds: wait_for WHAT COMMAND…
wait_for() {
    local what=$1 deadline=$((SECONDS + PATIENCE))
    shift
    until "$@" >/dev/null 2>&1; do
        [ "$SECONDS" -lt "$deadline" ] || fail "waited $PATIENCE s for $what"
        sleep 0.05
    done
}

# The command under test

# Flags from the environment of the caller would change what is tested.
unset "${!TUS_@}"

# Sets `$tus`: the binary named by TUS, or a fresh release build.
build_tus() {
    tus=${TUS:-}
    if [ -z "$tus" ]; then
        (cd "$root" && cargo build --release --features cli --bin tus) || return
        tus=$target/release/tus
    fi
    case $tus in /*) ;; *) tus=$PWD/$tus ;; esac
    [ -x "$tus" ] || { echo "no such program: $tus" >&2; return 1; }
}

# Processes

processes=()

# start LOG COMMAND…: in the background; its id is in `$started`
start() {
    local log=$1
    shift
    "$@" >"$log" 2>&1 &
    started=$!
    processes+=("$started")
}

# Ends whatever a case left running.
end_processes() {
    set +e
    local id
    for id in "${processes[@]}"; do
        kill -KILL "$id" && wait "$id"
    done 2>/dev/null
    processes=()
}

# end SIGNAL ID: and waits until it has ended, by force if it takes too long
end() {
    kill "-$1" "$2" 2>/dev/null || return 0
    local deadline=$((SECONDS + PATIENCE))
    while kill -0 "$2" 2>/dev/null; do
        if [ "$SECONDS" -ge "$deadline" ]; then
            kill -KILL "$2" 2>/dev/null
            fail "process $2 outlived SIG$1 by $PATIENCE s"
        fi
        sleep 0.05
    done
    wait "$2" 2>/dev/null || true
}

# Server

starts=0

# Starts `tus serve` on `$storage` and a free port. Sets `$server` (its id), `$address`
# (host:port, also in the file of that name, for the proxy) and `$endpoint`.
start_server() {
    local url
    starts=$((starts + 1))
    serverlog=$work/server.$starts
    start "$serverlog" "$tus" serve --storage "$storage" --listen 127.0.0.1:0 "$@"
    server=$started
    wait_for "the server to listen" listening
    url=$(listening)
    address=${url#http://}
    address=${address%%/*}
    echo "$address" >"$work/address"
    endpoint=$url
}

# The URL in the line that says so, once all of that line is there.
listening() {
    awk '{ gsub(/\033\[[0-9;]*m/, "") }
        /listening/ && match($0, /url="http:[^"]*"/) {
            print substr($0, RSTART + 5, RLENGTH - 6)
            found = 1
            exit
        }
        END { exit !found }' "$serverlog"
}

# Proxy

# start_proxy CUT AFTER TIMES [STORAGE]: see proxy.py. Sets `$proxy` (its id) and `$proxyaddress`.
start_proxy() {
    start "$work/proxy" python3 "$here/proxy.py" "$work/address" "$@"
    proxy=$started
    wait_for "the proxy to listen" grep -q '^listening' "$work/proxy"
    proxyaddress=$(sed -n 's/^listening //p' "$work/proxy")
}

# Ends it. Sets `$carried`: the bytes that went through it to the server.
end_proxy() {
    end TERM "$proxy"
    carried=$(sed -n 's/^carried //p' "$work/proxy")
}

# Content

size() { stat -c %s "$1"; }

digest() { sha256sum <"$1"; }

# make_source BYTES: random content as `$source`
make_source() {
    source=$work/source
    head -c "$1" /dev/urandom >"$source"
}

# The bytes of all files below `$storage`, finished or not.
stored() { find "$storage" -type f -printf '%s\n' | awk '{ sum += $1 } END { print sum + 0 }'; }

stored_at_least() { [ "$(stored)" -ge "$1" ]; }

# stored_equal URL: the finished file of an upload has the content of `$source`
stored_equal() {
    local file=$storage/${1##*/}
    [ -f "$file" ] || fail "no finished file for $1"
    [ "$(digest "$file")" = "$(digest "$source")" ] ||
        fail "$file ($(size "$file") bytes) is not $source ($(size "$source") bytes)"
}

# nothing_unfinished: no data is left behind that belongs to no finished file
nothing_unfinished() {
    local left
    left=$(find "$storage" -path '*/.tus/*' -name '*.data')
    [ -z "$left" ] || fail "left behind: $left"
}

# Requests

# tus METHOD URL [OPTION…]: one request; the head of the answer is in `$answer`
tus() {
    local method=$1 url=$2
    shift 2
    answer=$work/answer
    : >"$work/body"
    curl --silent --show-error --max-time 60 --request "$method" --header 'Tus-Resumable: 1.0.0' \
        --dump-header "$answer" --output "$work/body" "$@" "$url"
}

OCTET='Content-Type: application/offset+octet-stream'

status() { sed -n 's,^HTTP/[0-9.]* \([0-9]*\).*,\1,p' "$answer" | tail -n 1; }

header() { tr -d '\r' <"$answer" | awk -v name="$1:" 'tolower($1) == tolower(name) { print $2 }' | tail -n 1; }

expect() {
    [ "$(status)" = "$1" ] ||
        fail "status $(status) instead of $1: $(cat "$answer"; head -c 300 "$work/body" | tr -cd '[:print:]')"
}

# create [OPTION…]: an upload of `$source`'s length; sets `$url`
create() {
    tus POST "$endpoint" --header "Upload-Length: $(size "$source")" "$@"
    expect 201
    located
}

located() {
    url=$(header Location)
    case $url in
    http*) ;;
    /*) url=${endpoint%"/${endpoint#*://*/}"}$url ;;
    *) fail "cannot use Location '$url'" ;;
    esac
}

# patch OFFSET [OPTION…]: standard input from there on
patch() {
    local offset=$1
    shift
    tus PATCH "$url" --header "$OCTET" --header "Upload-Offset: $offset" "$@"
}

# from OFFSET: the rest of `$source`
from() { tail -c "+$(($1 + 1))" "$source"; }

# offset: of `$url`, as HEAD tells it
offset() {
    tus HEAD "$url" --head
    expect 200
    header Upload-Offset
}

offset_is() { [ "$(offset)" = "$1" ]; }

complete() {
    expect 204
    [ "$(header Upload-Offset)" = "$(size "$source")" ] || fail "ends at $(header Upload-Offset)"
    stored_equal "$url"
    nothing_unfinished
}
