#!/usr/bin/env python3
"""Puts built manifests together to the Envoy configuration that Envoy Gateway would make of them.

    kubectl kustomize envoy/envoy-gateway > all.yaml
    assemble_envoy_gateway.py --root ROOT --certs CERTS all.yaml > envoy.yaml
    envoy --mode validate -c envoy.yaml

No Envoy Gateway runs here. Its listener stands below as a model, taken from the test data of v1.9, and its
patches (add of a whole resource, replace at a path) and the merged bootstrap are applied as it does.
"""
import copy
import sys

import yaml

from plain import HCM, TYPE, read_arguments, typed, write

LISTENER, CLUSTER = TYPE + "envoy.config.listener.v3.Listener", TYPE + "envoy.config.cluster.v3.Cluster"


def listener(gateway, one, answer, certs):
    """The listener of a Gateway with HTTPS, client certificates, and a route that answers by itself."""
    common = {"tls_certificates": [{"certificate_chain": {"filename": f"{certs}/cert-chain.pem"},
                                    "private_key": {"filename": f"{certs}/key.pem"}}],
              "validation_context": {"trusted_ca": {"filename": f"{certs}/root-cert.pem"}},
              "alpn_protocols": ["h2", "http/1.1"]}
    hcm = typed(
        HCM, "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        stat_prefix=f"https-{one['port']}", use_remote_address=True, normalize_path=True, merge_slashes=True,
        path_with_escaped_slashes_action="UNESCAPE_AND_REDIRECT", server_header_transformation="PASS_THROUGH",
        route_config={"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [
            {"match": {"prefix": "/"}, "direct_response": {
                "status": answer["statusCode"], "body": {"inline_string": answer["body"]["inline"]}}}]}]},
        http_filters=[typed("envoy.filters.http.router", "envoy.extensions.filters.http.router.v3.Router",
                            suppress_envoy_headers=True)])
    return {"name": f"{gateway['metadata']['namespace']}/{gateway['metadata']['name']}/{one['name']}",
            "per_connection_buffer_limit_bytes": 32768,
            "address": {"socket_address": {"address": "::", "ipv4_compat": True, "port_value": one["port"]}},
            "filter_chains": [{"filters": [hcm], "transport_socket": typed(
                "envoy.transport_sockets.tls", "envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext",
                require_client_certificate=True, common_tls_context=common)}]}


def patch(resources, one):
    operation, kind = one["operation"], one["type"]
    if operation["op"] == "add" and not operation.get("path"):
        resources[kind].append(copy.deepcopy(operation["value"]))
        return
    found = [r for r in resources[kind] if r["name"] == one["name"]]
    if not found:
        sys.exit(f"no {kind} is called {one['name']}")
    *way, last = operation["path"].strip("/").split("/")
    node = found[0]
    for step in way:
        node = node[int(step)] if isinstance(node, list) else node[step]
    assert operation["op"] == "add" or (operation["op"] == "replace" and last in node), operation["path"]
    node[last] = copy.deepcopy(operation["value"])


def main():
    args, documents = read_arguments(__doc__)

    def kind(name):
        return [d for d in documents if d["kind"] == name]

    [gateway], [answer], [proxy] = kind("Gateway"), kind("HTTPRouteFilter"), kind("EnvoyProxy")
    resources = {LISTENER: [listener(gateway, one, answer["spec"]["directResponse"], args.certs)
                            for one in gateway["spec"]["listeners"]], CLUSTER: []}
    for policy in kind("EnvoyPatchPolicy"):
        for one in policy["spec"]["jsonPatches"]:
            patch(resources, one)
    bootstrap = {"node": {"id": "dana-failover-0", "cluster": "dana/dana-failover"},
                 "admin": {"address": {"socket_address": {"address": "127.0.0.1", "port_value": 19000}}},
                 **yaml.safe_load(proxy["spec"]["bootstrap"]["value"]),
                 "static_resources": {"listeners": resources[LISTENER], "clusters": resources[CLUSTER]}}
    write(bootstrap, args)


if __name__ == "__main__":
    main()
