#!/usr/bin/env bash
# The proxies that Sluice is measured beside, a function each. To add one, write `peer_NAME` and run
#
#   tests/load/run --peer NAME
#
# The function is called in the foreground of a process of its own, on the core of the proxies, and ends with `exec`: the
# process it becomes, with its children, is what is measured, and is killed when the measurement is over. It is given
#
#   PORT      where it listens, on 127.0.0.1, for clients that speak HTTP/1.1 to /servers/s0/mcp
#   MOCK      port of the MCP server on 127.0.0.1, whose path is /servers/s0/mcp as well
#   DIR       an empty folder of its own, for its configuration and whatever it writes
#   WORKERS   threads or processes that may serve clients
#   CERT KEY  PEM files, in scenarios with TLS; empty otherwise
#   H2        set where clients speak HTTP/2 with prior knowledge; empty otherwise
#
# Where its path is another one, it writes it into $DIR/path. It logs nothing per request, keeps connections to the
# server, and holds bodies of 1 MB in memory: every proxy as good as it can be.
set -euo pipefail

peer_nginx() {
    cat >"$DIR/nginx.conf" <<CONF
daemon off;
worker_processes $WORKERS;
pid $DIR/nginx.pid;
error_log stderr error;
events { worker_connections 32768; }
http {
    access_log off;
    client_body_temp_path $DIR/body;
    proxy_temp_path $DIR/proxy;
    fastcgi_temp_path $DIR/fastcgi;
    uwsgi_temp_path $DIR/uwsgi;
    scgi_temp_path $DIR/scgi;
    tcp_nodelay on;
    keepalive_requests 1000000000;
    client_max_body_size 8m;
    client_body_buffer_size 2m;
    # one large buffer, passed on as it fills: as good as any for small answers, better for those of 1 MB
    proxy_buffering off;
    proxy_buffer_size 64k;
    proxy_buffers 8 64k;
    proxy_busy_buffers_size 64k;
    upstream mock {
        server 127.0.0.1:$MOCK;
        keepalive 256;
        keepalive_requests 1000000000;
    }
    server {
        listen 127.0.0.1:$PORT backlog=4096${CERT:+ ssl}${H2:+ http2};
        ${CERT:+ssl_certificate $CERT; ssl_certificate_key $KEY;}
        location / {
            proxy_pass http://mock;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
        }
    }
}
CONF
    exec nginx -p "$DIR" -c "$DIR/nginx.conf" -e stderr
}

peer_haproxy() {
    [[ -z $CERT ]] || cat "$CERT" "$KEY" >"$DIR/both.pem"
    cat >"$DIR/haproxy.cfg" <<CONF
global
    nbthread $WORKERS
    # likewise
    tune.bufsize 65536
defaults
    mode http
    # the head of an event stream must not wait for its first event
    option http-no-delay
    timeout connect 5s
    timeout client 5m
    timeout server 5m
    timeout tunnel 5m
frontend clients
    bind 127.0.0.1:$PORT backlog 4096${CERT:+ ssl crt $DIR/both.pem}${H2:+ proto h2}
    default_backend mock
backend mock
    http-reuse always
    server mock 127.0.0.1:$MOCK pool-max-conn 1000
CONF
    exec haproxy -db -f "$DIR/haproxy.cfg"
}

# An example: a binary named by AGENTGATEWAY_BIN, as a gateway for MCP.
peer_agentgateway() {
    : "${AGENTGATEWAY_BIN:?must name the binary}"
    cat >"$DIR/config.yaml" <<CONF
config: {workerThreads: $WORKERS}
binds:
- port: $PORT
  listeners:
  - routes:
    - backends:
      - mcp: {targets: [{name: s0, mcp: {host: "http://127.0.0.1:$MOCK/servers/s0/mcp"}}]}
CONF
    echo /mcp >"$DIR/path"
    RUST_LOG=error exec "$AGENTGATEWAY_BIN" -f "$DIR/config.yaml"
}

"peer_$1"
