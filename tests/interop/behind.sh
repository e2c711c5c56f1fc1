# Cases of proxies, each with the configuration that the guide shows (src/docs/proxies.md). For bash,
# and for `run` alone.

# behind PROXY WHAT…: `$front` is where clients find the proxy, which ends their TLS
behind() {
    local proxy=$1 what=$2
    shift 2
    make_source "$SIZE"
    mkdir -p "$work/proxy.d"
    certificate=$root/tests/client/certificates/server.pem
    export CURL_CA_BUNDLE=$root/tests/client/certificates/authority.pem
    front=https://localhost:$(free_port)
    "behind_$what" "$proxy" "$@"
}

# start_behind PROXY [PATH [FLAG…]]: the server and the proxy in front of it, with the uploads at PATH
start_behind() {
    local path=${2:-/files}
    start_server "${@:3}"
    "configure_$1"
    case $1 in
    nginx*) start "$work/front" nginx -p "$work/proxy.d" -c "$work/proxy.d/conf" -e stderr ;;
    caddy) start "$work/front" env HOME="$work/proxy.d" caddy run --adapter caddyfile --config "$work/proxy.d/conf" ;;
    haproxy) start "$work/front" haproxy -f "$work/proxy.d/conf" ;;
    esac
    endpoint=$front$path
    wait_for "$1 to listen" answers_or_ended "$started"
    kill -0 "$started" || fail "$1 ended: $(cat "$work/front")"
}

answers_or_ended() { curl --silent --max-time 5 --output "$work/body" "$front/" || ! kill -0 "$1"; }

# What is on its way counts, with a Content-Length and without: HEAD tells of it while the body comes.
behind_streams() {
    start_behind "$@"
    create
    stall
    end KILL "$stalled"
    stall_from "$AFTER" "$MIB" --header "Content-Length: $((SIZE - AFTER))" --header 'Transfer-Encoding:'
    end KILL "$stalled"
    from $((AFTER + MIB)) | patch $((AFTER + MIB)) --data-binary @-
    complete
}

# A slow client of HTTP/1.1 and one of HTTP/2 go away in the middle; the rest follows in one request.
behind_cut() {
    local at version
    start_behind "$1"
    for version in --http1.1 --http2; do
        create
        if patch 0 "$version" --data-binary "@$source" --limit-rate 1M --max-time 2; then fail "nothing was cut"; fi
        wait_for "the first bytes" some_offset
        at=$(offset)
        [ "$at" -lt "$SIZE" ] || fail "nothing was cut"
        # The proxy may still be passing on what it has.
        wait_for "the rest to be taken" the_rest_is_taken
        complete
    done
}

the_rest_is_taken() {
    local at
    at=$(offset)
    from "$at" | patch "$at" --data-binary @-
    [ "$(status)" = 204 ]
}

# Nothing has to be configured for a `Location` that clients can use.
behind_location() {
    start_behind "$1"
    tus POST "$endpoint" --header "Upload-Length: $SIZE"
    expect 201
    case $(header Location) in /files/*) ;; *) fail "Location is $(header Location)" ;; esac
    url=$front$(header Location)
    patch 0 --data-binary "@$source"
    complete
}

# With the proxy's fields it is absolute. A client's own fields count nothing.
behind_forwarded() {
    local path=/files
    [ "$1" != nginx_prefix ] || path=/media/files
    start_behind "$1" "$path" --trust-forwarded
    create --header 'X-Forwarded-Host: evil.example' --header 'X-Forwarded-Prefix: /evil' \
        --header 'Forwarded: host=evil.example;proto=http'
    is_below "$front$path/"
    patch 0 --data-binary "@$source"
    complete
    joined "$path"
}

behind_base_url() {
    start_behind "$1" /media/files --base-url "$front/media/files"
    create
    is_below "$front/media/files/"
    patch 0 --data-binary "@$source"
    complete
    joined /media/files
}

is_below() { case $url in "$1"*) ;; *) fail "Location is $url" ;; esac; }

# joined PATH: an upload made of two, which are named as the client sees them
joined() {
    local half
    for half in one two; do
        tus POST "$endpoint" --header 'Upload-Length: 4' --header 'Upload-Concat: partial' --header "$OCTET" --data "$half."
        expect 201
        eval "$half=\$(header Location)"
    done
    # shellcheck disable=SC2154 # set by eval
    tus POST "$endpoint" --header "Upload-Concat: final;$one $1/${two##*/}"
    expect 201
    tus GET "$(header Location)"
    [ "$(cat "$work/body")" = one.two. ] || fail "joined '$(cat "$work/body")'"
}

# behind_client PROXY CLIENT: a client that knows nothing of the proxy
behind_client() {
    start_behind "$1"
    NODE_EXTRA_CA_CERTS=$CURL_CA_BUNDLE "$2" single "$endpoint" | tee "$work/client"
    finished single
}

# What the guide says of the defaults is so.
behind_refuses() {
    start_behind "$1"
    create
    patch 0 --data-binary "@$source"
    expect 413
    mkfifo "$work/pipe"
    exec 7<>"$work/pipe"
    start "$work/stalled" stalling 0
    head -c 500000 "$source" >&7
    wait_for "its body to be kept back" kept_back
    offset_is 0 || fail "the body was passed on"
}

# In a file that is in no directory any more, but which nginx has open.
kept_back() {
    local file
    file=$(find /proc/[0-9]*/fd -lname "$work/proxy.d/body/*" 2>/dev/null | head -n 1)
    [ "$(stat -L -c %s "$file")" -gt 100000 ]
}

# Configurations, with this machine's addresses

configure_nginx() {
    guide nginx | sed "s|listen 443 |listen ${front##*:} |" >"$work/proxy.d/site"
    wrap_nginx
}

configure_nginx_prefix() {
    {
        guide nginx | sed "s|listen 443 |listen ${front##*:} |; \$d"
        guide 'nginx prefix'
        echo '}'
    } >"$work/proxy.d/site"
    wrap_nginx
}

# A server that caches whatever it can, as far as the guide lets it.
configure_nginx_cached() {
    configure_nginx
    cache_all
}

configure_nginx_prefix_cached() {
    configure_nginx_prefix
    cache_all
}

cache_all() {
    sed -i "s|^http {|&\n    proxy_cache_path $work/proxy.d/cache keys_zone=all:1m;\n    proxy_cache all;\n    proxy_cache_valid any 1m;|" \
        "$work/proxy.d/conf"
}

configure_nginx_unconfigured() {
    configure_nginx
    sed -i '/client_max_body_size\|proxy_request_buffering/d' "$work/proxy.d/site"
}

wrap_nginx() {
    here_instead "$work/proxy.d/site"
    cat >"$work/proxy.d/conf" <<CONF
daemon off;
user root;
pid $work/proxy.d/pid;
events {}
http {
    access_log off;
    client_body_temp_path $work/proxy.d/body;
    proxy_temp_path $work/proxy.d/temp;
    include $work/proxy.d/site;
}
CONF
}

configure_caddy() {
    {
        printf '{\n\tadmin off\n\tauto_https disable_redirects\n\tskip_install_trust\n}\n'
        guide caddy | sed "s|^example.com {|$front {\n\ttls $certificate $certificate|"
    } >"$work/proxy.d/conf"
    here_instead "$work/proxy.d/conf"
}

configure_haproxy() {
    guide haproxy | sed "s|bind :443 |bind 127.0.0.1:${front##*:} |" >"$work/proxy.d/conf"
    here_instead "$work/proxy.d/conf"
}

here_instead() {
    sed -E -i "s#127.0.0.1:1080#$address#; s#/etc/ssl/example.com.(pem|key)#$certificate#; s#example.com#localhost#" "$1"
}

# guide NAME: the block of the guide that stands below the comment with this name
guide() {
    awk -v name="<!-- $1 -->" '
        $0 == name { found = 1; next }
        found && /^```/ { if (inside) exit; inside = 1; next }
        inside
    ' "$root/src/docs/proxies.md" | grep . || fail "the guide has no block '$1'"
}

free_port() {
    python3 -c 'import socket; s = socket.create_server(("127.0.0.1", 0)); print(s.getsockname()[1])'
}
