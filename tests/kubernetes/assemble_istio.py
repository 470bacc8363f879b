#!/usr/bin/env python3
"""Puts built manifests together to the Envoy configuration that Istio would make of them.

    kubectl kustomize envoy/istio/overlays/egress-gateway > all.yaml
    assemble_istio.py --root ROOT all.yaml envoy/istio/mesh-config.yaml > envoy.yaml
    envoy --mode validate -c envoy.yaml

No istiod runs here. What it would send stands below as a model, taken from the sources of Istio 1.31:
the listener of a Gateway with its connection manager, the filter of an AuthorizationPolicy, and how
EnvoyFilters are applied (ADD, INSERT_BEFORE and MERGE, which appends to lists and cannot say `false`).
Left out are the filters that only Istio's own build of Envoy has: its statistics, its ALPN and its
exchange of metadata. With --root the files of the pod are looked for below ROOT.
"""
import copy
import json
import sys

import yaml

from plain import HCM, read_arguments, typed, write

# Of each group a message has one member at most: the later one takes the place of the others.
ONE_OF = [{"rds", "route_config", "scoped_routes"}, {"type", "cluster_type"},
          {"cluster", "cluster_header", "weighted_clusters"}, {"route", "direct_response", "redirect"}]
REQUIRED = ["cluster_manager", "listener_manager", "server", "cluster.xds-grpc", "wasm"]


def merge(into, patch, path=""):
    """MERGE of protobuf: members over members, lists behind lists."""
    for key, value in patch.items():
        place = f"{path}.{key}"
        for group in ONE_OF:
            if key in group:
                for other in group - {key}:
                    into.pop(other, None)
        if value is False or (value == 0 and not isinstance(value, (str, list, dict))):
            sys.exit(f"{place}: a MERGE cannot say {json.dumps(value)}")
        if isinstance(value, dict) and isinstance(into.get(key), dict) and key not in ("json_format", "value"):
            merge(into[key], value, place)
        elif isinstance(value, list) and isinstance(into.get(key), list):
            into[key] += copy.deepcopy(value)
        else:
            into[key] = copy.deepcopy(value)


def rbac(policies, port):
    """What Istio makes of AuthorizationPolicies that allow principals a port."""
    rules = {}
    for policy in policies:
        spec = policy["spec"]
        if spec.get("action", "ALLOW") != "ALLOW":
            sys.exit("the model knows AuthorizationPolicies with ALLOW only")
        for number, rule in enumerate(spec.get("rules", [])):
            ports = [p for to in rule.get("to", []) for p in to["operation"].get("ports", [])]
            names = [p for one in rule["from"] for p in one["source"]["principals"]]
            rules[f"ns[{policy['metadata'].get('namespace')}]-policy[{policy['metadata']['name']}]-rule[{number}]"] = {
                "permissions": [{"or_rules": {"rules": [{"destination_port": int(p)} for p in ports]}}],
                "principals": [{"or_ids": {"ids": [
                    {"authenticated": {"principal_name": {"exact": f"spiffe://{n}"}}} for n in names]}}]}
    if not policies:
        return []
    return [typed("envoy.filters.http.rbac", "envoy.extensions.filters.http.rbac.v3.RBAC",
                  rules={"action": "ALLOW", "policies": rules})]


def access_logs(telemetries, mesh):
    """What a Telemetry makes of the providers in the mesh's configuration."""
    providers = {p["name"]: p["envoyFileAccessLog"] for p in mesh.get("meshConfig", {}).get("extensionProviders", [])}
    names = [p["name"] for t in telemetries for a in t["spec"]["accessLogging"] for p in a["providers"]]
    return [typed("envoy.access_loggers.file", "envoy.extensions.access_loggers.file.v3.FileAccessLog",
                  path=providers[name]["path"],
                  log_format={"json_format": providers[name]["logFormat"]["labels"]})
            for name in names if name in providers]


def gateway_listener(server, policies, virtual_services, certs, logs, proxies_continue):
    """The listener of one server of a Gateway with ISTIO_MUTUAL."""
    port = server["port"]["number"]
    sds = {"api_config_source": {"api_type": "GRPC", "transport_api_version": "V3",
                                 "grpc_services": [{"envoy_grpc": {"cluster_name": "sds-grpc"}}]},
           "resource_api_version": "V3"}
    if certs:
        common = {"tls_certificates": [{"certificate_chain": {"filename": f"{certs}/cert-chain.pem"},
                                        "private_key": {"filename": f"{certs}/key.pem"}}],
                  "validation_context": {"trusted_ca": {"filename": f"{certs}/root-cert.pem"}}}
    else:
        common = {"tls_certificate_sds_secret_configs": [{"name": "default", "sds_config": sds}],
                  "validation_context_sds_secret_config": {"name": "ROOTCA", "sds_config": sds}}
    routes = [{"name": http.get("name", ""), "match": {"prefix": "/"},
               "direct_response": {"status": http["directResponse"]["status"],
                                   "body": {"inline_string": http["directResponse"]["body"]["string"]}},
               "response_headers_to_add": [
                   {"header": {"key": k, "value": v}, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"}
                   for k, v in http.get("headers", {}).get("response", {}).get("set", {}).items()]}
              for one in virtual_services for http in one["spec"]["http"] if "directResponse" in http]
    hcm = typed(
        HCM, "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        codec_type="AUTO", stat_prefix=f"outbound_0.0.0.0_{port};", normalize_path=True,
        path_with_escaped_slashes_action="KEEP_UNCHANGED", use_remote_address=True, stream_idle_timeout="0s",
        upgrade_configs=[{"upgrade_type": "websocket"}], access_log=copy.deepcopy(logs), server_name="istio-envoy",
        forward_client_cert_details="SANITIZE_SET",
        set_current_client_cert_details={"subject": True, "cert": True, "dns": True, "uri": True},
        **({"proxy_100_continue": True} if proxies_continue else {}),
        rds={"route_config_name": f"https.{port}", "config_source": {"ads": {}}},
        http_filters=rbac(policies, port) + [
            typed("envoy.filters.http.grpc_stats", "envoy.extensions.filters.http.grpc_stats.v3.FilterConfig",
                  emit_filter_state=True, stats_for_all_methods=False),
            typed("envoy.filters.http.fault", "envoy.extensions.filters.http.fault.v3.HTTPFault"),
            typed("envoy.filters.http.cors", "envoy.extensions.filters.http.cors.v3.Cors"),
            typed("envoy.filters.http.router", "envoy.extensions.filters.http.router.v3.Router")])
    fallback = {"name": f"https.{port}", "virtual_hosts": [{"name": f"*:{port}", "domains": ["*"], "routes": routes}]}
    return fallback, {"name": f"0.0.0.0_{port}", "traffic_direction": "OUTBOUND",
            "address": {"socket_address": {"address": "0.0.0.0", "port_value": port}},
            "filter_chains": [{"filters": [hcm], "transport_socket": typed(
                "envoy.transport_sockets.tls", "envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext",
                require_client_certificate=True, common_tls_context={**common, "alpn_protocols": ["h2", "http/1.1"]})}]}


def matches(patch, listener, context):
    match = patch.get("match", {})
    if match.get("context", "ANY") not in ("ANY", context):
        return False
    port = match.get("listener", {}).get("portNumber")
    address = listener["address"].get("socket_address", {})
    return port is None or port == address.get("port_value")


def apply(filters, listeners, clusters, context):
    """EnvoyFilters in Istio's order: first what changes listeners that are there, then what is added."""
    patches = [patch for one in filters for patch in one["spec"]["configPatches"]]
    unused = {id(p) for p in patches}
    for listener in listeners:
        for patch in patches:
            kind, operation, value = patch["applyTo"], patch["patch"]["operation"], patch["patch"].get("value")
            if kind not in ("LISTENER", "NETWORK_FILTER", "HTTP_FILTER") or operation == "ADD":
                continue
            if not matches(patch, listener, context):
                continue
            hcm = listener["filter_chains"][0]["filters"][0]["typed_config"]
            if (kind, operation) == ("LISTENER", "MERGE"):
                merge(listener, value, "listener")
            elif (kind, operation) == ("NETWORK_FILTER", "MERGE"):
                merge(hcm, value["typed_config"], "typed_config")
            elif (kind, operation) == ("HTTP_FILTER", "INSERT_BEFORE"):
                name = patch["match"]["listener"]["filterChain"]["filter"]["subFilter"]["name"]
                at = [f["name"] for f in hcm["http_filters"]].index(name)
                hcm["http_filters"].insert(at, copy.deepcopy(value))
            else:
                sys.exit(f"the model knows no {operation} of {kind}")
            unused.discard(id(patch))
    for patch in patches:
        to = {"LISTENER": listeners, "CLUSTER": clusters}.get(patch["applyTo"])
        if to is not None and patch["patch"]["operation"] == "ADD":
            to.append(copy.deepcopy(patch["patch"]["value"]))
            unused.discard(id(patch))
    if unused:
        sys.exit(f"{len(unused)} patches match nothing: " + ", ".join(
            json.dumps(p.get("match")) for p in patches if id(p) in unused))


def main():
    args, documents = read_arguments(__doc__)
    mesh = next((d for d in documents if "meshConfig" in d), {})
    documents = [d for d in documents if "kind" in d]

    def kind(name):
        return [d for d in documents if d["kind"] == name]

    servers = [s for g in kind("Gateway") for s in g["spec"]["servers"]]
    undecided = [v for v in kind("VirtualService") if v["spec"].get("gateways", ["mesh"]) != ["mesh"]]
    logs = access_logs(kind("Telemetry"), mesh)
    proxies_continue = mesh.get("pilot", {}).get("env", {}).get("ENABLE_100_CONTINUE_HEADERS") != "false"
    made = [gateway_listener(s, kind("AuthorizationPolicy"), undecided, args.certs, logs, proxies_continue) for s in servers]
    listeners = [listener for _, listener in made]
    clusters = []
    if servers and not args.certs:
        clusters = [{"name": "sds-grpc", "type": "STATIC", "load_assignment": {"cluster_name": "sds-grpc", "endpoints": [
            {"lb_endpoints": [{"endpoint": {"address": {"pipe": {"path": "/var/run/secrets/workload-spiffe-uds/socket"}}}}]}]}}]
    apply(kind("EnvoyFilter"), listeners, clusters, "GATEWAY" if servers else "SIDECAR_OUTBOUND")
    for routes, listener in made:
        hcm = listener["filter_chains"][0]["filters"][0]["typed_config"]
        if hcm.pop("rds", None):        # a plain Envoy has nobody to ask for it
            hcm["route_config"] = routes

    bootstrap = {
        "node": {"id": "router~10.0.0.1~dana-failover-0.dana~dana.svc.cluster.local", "cluster": "dana-failover.dana"},
        "admin": {"address": {"socket_address": {"address": "127.0.0.1", "port_value": 15000}}},
        "stats_config": {"use_all_default_tags": False, "stats_tags": [
            {"tag_name": "cluster_name", "regex": r"^cluster(\.(.+);)"},
            {"tag_name": "http_conn_manager_prefix",
             "regex": r"^http\.(((?:[_.[:digit:]\w]*|[_\[\]aAbBcCdDeEfF[:digit:]\w\:]*));\.)"}],
            "stats_matcher": {"inclusion_list": {"patterns": [{"prefix": p} for p in REQUIRED + [
                "cluster.dana_", "http.dana"]]}}},
        "static_resources": {"listeners": listeners, "clusters": clusters}}
    for one in kind("ConfigMap"):
        for name, text in one.get("data", {}).items():
            if name == "custom_bootstrap.json":
                merge(bootstrap, yaml.safe_load(text), "bootstrap")
    write(bootstrap, args)


if __name__ == "__main__":
    main()
