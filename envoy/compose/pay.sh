#!/bin/sh
# Pays twice a second, each time under another reference:
#   pay.sh http://HOST:PORT
set -eu
number=0
while sleep 0.5; do
    number=$((number + 1))
    curl -sS -m 35 -o /dev/null -w '%{http_code} %header{x-dana-gateway}\n' \
        -H 'content-type: application/json' -H 'x-partner-id: partner-1' \
        -d "{\"merchantId\":\"m-1\",\"partnerReferenceNo\":\"load-$$-$(date +%s)-$number\",\"amount\":{\"value\":\"10000.00\",\"currency\":\"IDR\"}}" \
        "$1/payment-gateway/v1.0/debit/payment-host-to-host.htm" || true
done
