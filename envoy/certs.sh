#!/usr/bin/env bash
# Throw-away certificates for envoy/tls.yaml and envoy/etcd-tls.yaml: three authorities (the gateways',
# the platform's and etcd's), a certificate for each gateway, for etcd's members, for this Envoy towards all
# three, for one client, and for who looks after etcd. Not for production: the keys of the authorities lie
# beside them.
#
#     envoy/certs.sh DIRECTORY
#
# Envoy expects DIRECTORY as /etc/envoy/tls, and envoy/sds as /etc/envoy/sds.
set -euo pipefail
dir=${1:?expected a directory to make them in, found nothing}
mkdir -p "$dir"
cd "$dir"

quietly() { # COMMAND: what it says matters only when it fails
    local said
    said=$("$@" 2>&1) || { echo "$said" >&2; return 1; }
}

authority() { # NAME
    quietly openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 30 \
        -subj "/CN=throw-away authority $1" -keyout "$1.key" -out "$1.pem"
}

certificate() { # NAME AUTHORITY SUBJECT_ALT_NAME [COMMON_NAME]
    quietly openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj "/CN=${4:-$1}" \
        -keyout "$1.key" -out "$1.csr"
    printf 'subjectAltName=%s\nextendedKeyUsage=serverAuth,clientAuth\n' "$3" >"$1.ext"
    quietly openssl x509 -req -in "$1.csr" -CA "$2.pem" -CAkey "$2.key" -CAcreateserial -days 30 \
        -out "$1.pem" -extfile "$1.ext"
    rm "$1.csr" "$1.ext"
}

authority gateway_ca
authority platform_ca
# By its address too: where the sandbox stands in for a gateway, it can be called without a name.
certificate primary gateway_ca DNS:primary.dana.example,IP:127.0.0.1
certificate secondary gateway_ca DNS:secondary.dana.example,IP:127.0.0.1
certificate client gateway_ca DNS:merchant.example
certificate server platform_ca DNS:localhost,IP:127.0.0.1
certificate platform platform_ca URI:spiffe://platform.example/payments
# etcd takes the user from the common name.
authority etcd_ca
certificate etcd etcd_ca DNS:etcd.dana.example,DNS:etcd-1,DNS:etcd-2,DNS:etcd-3,DNS:localhost,IP:127.0.0.1
certificate etcd_client etcd_ca DNS:envoy.dana.example dana
certificate etcd_root etcd_ca DNS:operator.dana.example root
