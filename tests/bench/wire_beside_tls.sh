#!/usr/bin/env bash
# One GiB over loopback, in turns: our encrypted stream with its content hash, TLS 1.3 (nginx to curl), and the same with
# sha256sum of the bytes that arrive. Every turn measures all three, so that their ratios mean something on a busy machine.
#   tests/bench/wire_beside_tls.sh BUILD_FOLDER [TURNS]
set -euo pipefail
build=${1:?the build folder, say build/release} turns=${2:-5}
bench=$build/bin/wire_stream_bench
[ -x "$bench" ] || { echo "$bench is not built: cmake --build $build --target wire_stream_bench" >&2; exit 2; }
command -v nginx curl openssl sha256sum >/dev/null || { echo "nginx, curl, openssl and sha256sum are needed" >&2; exit 2; }
here=$(mktemp -d /dev/shm/tls.XXXXXX)
trap 'nginx -s stop -c "$here/nginx.conf" -p "$here" 2>/dev/null || true; rm -rf "$here"' EXIT
head -c 1073741824 /dev/urandom >"$here/one"
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=localhost \
  -addext subjectAltName=DNS:localhost -keyout "$here/key" -out "$here/cert" 2>/dev/null
port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
cat >"$here/nginx.conf" <<CONF
user root;
worker_processes 1;
pid $here/pid;
error_log $here/error.log;
events {}
http {
  access_log off;
  sendfile on;
  server {
    listen 127.0.0.1:$port ssl;
    ssl_certificate $here/cert;
    ssl_certificate_key $here/key;
    ssl_protocols TLSv1.3;
    root $here;
  }
}
CONF
nginx -c "$here/nginx.conf" -p "$here"
fetch() { curl -sS --tlsv1.3 --cacert "$here/cert" "https://localhost:$port/one" --resolve "localhost:$port:127.0.0.1" -o "$1"; }
rate() { local began ended; began=$(date +%s.%N); "$@"; ended=$(date +%s.%N); awk "BEGIN {printf \"%.0f\", 1024 / ($ended - $began)}"; }
hashed() { fetch - | sha256sum >/dev/null; }
fetch /dev/null
echo "cipher: $(curl -sSv --cacert "$here/cert" "https://localhost:$port/pid" --resolve "localhost:$port:127.0.0.1" 2>&1 | grep -o 'TLSv1.3 / [A-Z0-9_]*' | head -1)"
echo "turn,ours_mib_per_s,tls_mib_per_s,tls_sha256_mib_per_s"
for turn in $(seq "$turns"); do
  ours=$("$bench" --mib 1024 --repeat 1 --store memory | grep -o '"mib_per_s":[0-9]*' | cut -d: -f2)
  echo "$turn,$ours,$(rate fetch /dev/null),$(rate hashed)"
done
