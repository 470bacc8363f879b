#!/usr/bin/env python3
"""Copies CRDs without their descriptions, and only of the kinds that the manifests use.

    slim.py FROM... > crds.yaml

Istio's are manifests/charts/base/files/crd-all.gen.yaml of istio/istio; Envoy Gateway's and the Gateway API's are
charts/gateway-helm/crds of envoyproxy/gateway. Both are under the Apache License 2.0.
"""

import sys

import yaml

KINDS = {
    "AuthorizationPolicy", "DestinationRule", "EnvoyFilter", "Gateway", "PeerAuthentication", "ServiceEntry", "Sidecar",
    "Telemetry", "VirtualService", "WasmPlugin", "ClientTrafficPolicy", "EnvoyPatchPolicy", "EnvoyProxy",
    "HTTPRouteFilter", "GatewayClass", "HTTPRoute",
}


def slim(node):
    """The same without texts for people."""
    if isinstance(node, dict):
        # A property may be called `description` too: that is a schema, and no text.
        return {key: slim(value) for key, value in node.items() if not (key == "description" and isinstance(value, str))}
    return [slim(one) for one in node] if isinstance(node, list) else node


def main():
    kept = []
    for path in sys.argv[1:]:
        with open(path, encoding="utf-8") as file:
            for crd in yaml.safe_load_all(file):
                if crd and crd.get("kind") == "CustomResourceDefinition" and crd["spec"]["names"]["kind"] in KINDS:
                    metadata = {"name": crd["metadata"]["name"]}
                    versions = [
                        {"name": version["name"], "schema": slim(version["schema"])} for version in crd["spec"]["versions"]
                    ]
                    spec = {"group": crd["spec"]["group"], "names": {"kind": crd["spec"]["names"]["kind"]}, "versions": versions}
                    kept.append({"kind": crd["kind"], "metadata": metadata, "spec": spec})
    yaml.safe_dump_all(kept, sys.stdout, sort_keys=True)


if __name__ == "__main__":
    main()
