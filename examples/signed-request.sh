#!/usr/bin/env bash
# One signed request with curl and openssl. The API key stays in this shell: it is in no argument, where `ps` would show it.
#
#   export DARKROOM_URL=https://api.example.com DARKROOM_KEY=drk_…
#   examples/signed-request.sh GET '/api/generations?limit=5'
#   examples/signed-request.sh POST /api/images/generate '{"prompt": "A lighthouse in a storm"}'
set -euo pipefail
LC_ALL=C

method=$1 target=$2 body=${3-}
url=${DARKROOM_URL:-http://localhost:3001}
key=${DARKROOM_KEY:?Set DARKROOM_KEY to an API key.}

sha256() { openssl dgst -sha256 -binary; }
to_hex() { od -An -v -tx1 | tr -d ' \n'; }
from_hex() { local at; for ((at = 0; at < ${#1}; at += 2)); do printf "\\x${1:at:2}"; done; }

# HMAC-SHA256 (RFC 2104) of standard input under a key in hexadecimal. openssl would want the key as an argument.
hmac() {
  local key=$1 inner='' outer='' byte at
  if ((${#key} > 128)); then key=$(from_hex "$key" | sha256 | to_hex); fi
  while ((${#key} < 128)); do key+=00; done
  for ((at = 0; at < 128; at += 2)); do
    printf -v byte %02x $((16#${key:at:2} ^ 0x36)); inner+=$byte
    printf -v byte %02x $((16#${key:at:2} ^ 0x5c)); outer+=$byte
  done
  { from_hex "$outer"; { from_hex "$inner"; cat; } | sha256; } | sha256 | to_hex
}

key_id=${key#drk_} key_id=${key_id%%_*}
signing_key=$(printf %s darkroom-signing-v1 | hmac "$(printf %s "$key" | to_hex)")
timestamp=$(date +%s)
nonce=$(openssl rand -hex 16)
content_hash=$(printf %s "$body" | sha256 | to_hex)
content_type=
if [[ -n $body ]]; then content_type=application/json; fi

# Scheme, timestamp, nonce, method, target, Content-Type, Idempotency-Key (none here), content hash: a line each.
signature=$(printf '%s\n%s\n%s\n%s\n%s\n%s\n%s\n%s' DARKROOM-HMAC-SHA256 "$timestamp" "$nonce" "$method" "$target" "$content_type" '' "$content_hash" | hmac "$signing_key")

arguments=(--silent --show-error --fail-with-body --path-as-is --globoff --request "$method" "$url$target"
  --header "Authorization: Darkroom-HMAC-SHA256 KeyId=$key_id, Signature=$signature"
  --header "X-Darkroom-Timestamp: $timestamp" --header "X-Darkroom-Nonce: $nonce" --header "X-Darkroom-Content-SHA256: $content_hash")
if [[ -n $body ]]; then arguments+=(--header "Content-Type: $content_type" --data-binary @-); fi
printf %s "$body" | curl "${arguments[@]}"
