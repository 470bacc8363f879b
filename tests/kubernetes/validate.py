#!/usr/bin/env python3
"""Validates manifests for the filter as an API server would, and what an API server cannot see.

    validate.py --crds DIRECTORY [--reference envoy/tls.yaml] envoy/istio envoy/envoy-gateway

Each kustomization below the directories is built (`kubectl kustomize`), and each manifest that none of them
takes in is read as it is. Kinds of Istio, Envoy Gateway and the Gateway API are held to the schemas of the
CRDs in DIRECTORY, others to those of Kubernetes. Fields that a schema does not know are mistakes: an API
server drops them in silence. An EnvoyFilter's own content is opaque to its CRD, so the rules below look into
it, and the assemble scripts make a configuration of it that Envoy itself can judge. CEL rules of CRDs are not run.

Before anything else it breaks copies of the manifests on purpose: each of them must be found.
"""
import argparse
import copy
import json
import os
import pathlib
import subprocess
import sys

import jsonschema
import kubernetes_validate
import yaml

WASM = "envoy.extensions.filters.http.wasm.v3.Wasm"
# What the manifests name and somebody else makes: README.md says how.
GIVEN = {"dana-payments-0-1-0", "dana-payments-etcd-0-1-0", "dana-operators-0-1-0", "dana-client", "dana-etcd",
         "dana-server", "dana-platform-ca"}


STRINGS = {"type": "object", "additionalProperties": {"type": "string"}}
METADATA = {"type": "object", "required": ["name"], "additionalProperties": False, "properties": {
    "name": {"type": "string", "maxLength": 253, "pattern": r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$"},
    "namespace": {"type": "string"}, "labels": STRINGS, "annotations": STRINGS}}


def closed(schema):
    """A CRD's schema as a JSON Schema that refuses unknown members, as far as the CRD closes them."""
    if not isinstance(schema, dict):
        return schema
    out = {}
    for key, value in schema.items():
        if key.startswith("x-kubernetes-") or key in ("description", "example", "nullable", "format"):
            continue
        if key == "properties":
            out[key] = {name: closed(one) for name, one in value.items()}
        elif key in ("allOf", "anyOf", "oneOf"):        # these only add conditions, their members stand elsewhere
            out[key] = [conditions(one) for one in value]
        elif key == "not":
            out[key] = conditions(value)
        else:
            out[key] = closed(value) if isinstance(value, dict) else value
    if schema.get("x-kubernetes-int-or-string"):
        out.pop("type", None)
        out.setdefault("anyOf", [{"type": "integer"}, {"type": "string"}])
    if "properties" in out and "additionalProperties" not in out and not schema.get("x-kubernetes-preserve-unknown-fields"):
        out["additionalProperties"] = False
    if schema.get("nullable") and "type" in out:
        out["type"] = [out["type"], "null"]
    return out


def conditions(schema):
    if isinstance(schema, dict):
        return {k: conditions(v) for k, v in schema.items() if k not in ("description", "format") and not k.startswith("x-kubernetes")}
    return [conditions(one) for one in schema] if isinstance(schema, list) else schema


def read_crds(directories):
    schemas = {}
    for directory in directories:
        for path in sorted(pathlib.Path(directory).glob("*.yaml")):
            for crd in yaml.safe_load_all(path.read_text()):
                if not crd or crd.get("kind") != "CustomResourceDefinition":
                    continue
                spec = crd["spec"]
                for version in spec["versions"]:
                    schema = closed(version["schema"]["openAPIV3Schema"])
                    schema.setdefault("properties", {}).update(
                        {"apiVersion": {"type": "string"}, "kind": {"type": "string"}, "metadata": METADATA})
                    schema["additionalProperties"] = False
                    schema["required"] = schema.get("required", []) + ["metadata"]
                    schemas[f"{spec['group']}/{version['name']}", spec["names"]["kind"]] = schema
    return schemas


def collect(directories):
    """Sets of documents that count together: those of each kustomization, and files on their own."""
    sets = {}
    for top in map(pathlib.Path, directories):
        kustomizations = sorted(top.rglob("kustomization.yaml"))
        taken = set()
        for one in kustomizations:
            built = subprocess.run([os.environ.get("KUBECTL", "kubectl"), "kustomize", str(one.parent)], capture_output=True, text=True, check=False)
            if built.returncode:
                sys.exit(f"{one}: {built.stderr.strip()}")
            sets[str(one.parent)] = [d for d in yaml.safe_load_all(built.stdout) if d]
            taken.update(p.resolve() for p in one.parent.glob("*.yaml"))
        for path in sorted(top.rglob("*.yaml")):
            documents = [d for d in yaml.safe_load_all(path.read_text()) if d]
            if path.resolve() not in taken and all("apiVersion" in d for d in documents):
                sets[str(path)] = documents
    return sets


def schema_mistakes(document, schemas):
    key = document.get("apiVersion"), document.get("kind")
    if key in schemas:
        for error in jsonschema.Draft7Validator(schemas[key]).iter_errors(document):
            yield ".".join(map(str, error.absolute_path)) + ": " + error.message[:200]
    elif "." in key[0].split("/")[0] and not key[0].split("/")[0].endswith((".k8s.io", "policy", "apps")):
        yield f"no CRD for {key[0]} {key[1]}"
    else:
        try:
            kubernetes_validate.validate(document, kubernetes_validate.latest_version(), strict=True)
        except kubernetes_validate.ValidationError as error:
            yield ".".join(map(str, error.path)) + ": " + str(error.message)[:200]
        except (kubernetes_validate.SchemaNotFoundError, kubernetes_validate.VersionNotSupportedError) as error:
            yield f"no schema: {error}"


def walk(node, path=""):
    yield path, node
    for key, value in node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ():
        yield from walk(value, f"{path}.{key}")


def patches(documents):
    """What is given to Envoy: (what, operation, value) of EnvoyFilters and EnvoyPatchPolicies."""
    for document in documents:
        if document["kind"] == "EnvoyFilter":
            for patch in document["spec"]["configPatches"]:
                yield patch["applyTo"], patch["patch"]["operation"], patch["patch"].get("value")
        if document["kind"] == "EnvoyPatchPolicy":
            for patch in document["spec"]["jsonPatches"]:
                yield patch["type"].rsplit(".", 1)[1].upper(), patch["operation"]["op"].upper(), patch["operation"].get("value")


def plugins(documents):
    for _, _, value in patches(documents):
        for path, node in walk(value):
            if isinstance(node, dict) and node.get("@type", "").endswith(WASM):
                yield path, node["config"]


def filter_mistakes(documents):
    """Rules for what Envoy is given; they need the whole set."""
    settings = []
    clusters = {v["name"]: v for kind, op, v in patches(documents) if kind == "CLUSTER" and op == "ADD"}
    for path, config in plugins(documents):
        own = config["configuration"]["value"]
        settings.append((path, own))
        if config.get("failure_policy") not in ("FAIL_RELOAD", "FAIL_CLOSED"):
            yield f"{config['name']}: failure_policy {config.get('failure_policy')} lets payments pass without claims"
        if config.get("allow_on_headers_stop_iteration") is not True:
            yield f"{config['name']}: without allow_on_headers_stop_iteration a held request never gets its body"
        for gateway in own["gateways"]:
            found = clusters.get(gateway["cluster"], {})
            said = [e.get("metadata", {}).get("filter_metadata", {}).get("dana.failover", {}).get("gateway")
                    for es in found.get("load_assignment", {}).get("endpoints", []) for e in es["lb_endpoints"]]
            if not said or set(said) != {gateway["name"]}:
                yield f"{gateway['cluster']}: its endpoints say {said}, and not that they are {gateway['name']}"
        for composite in own["composites"]:
            found = clusters.get(composite["cluster"], {}).get("cluster_type", {}).get("typed_config", {})
            want = [g["cluster"] for name in composite["members"] for g in own["gateways"] if g["name"] == name]
            if found.get("clusters") != want:
                yield f"{composite['cluster']}: tries {found.get('clusters')}, and the filter believes {want}"
            thresholds = clusters.get(composite["cluster"], {}).get("circuit_breakers", {}).get("thresholds", [{}])
            if thresholds[0].get("max_retries", 3) < 1024:
                yield f"{composite['cluster']}: max_retries is below 1024"
        if "audit" in own and own["audit"].get("cluster", "dana_audit") not in clusters:
            yield f"{config['name']}: no cluster {own['audit']}"
    for name in ("gateways", "composites", "timeouts", "scope", "idempotency"):
        said = {json.dumps(own[name], sort_keys=True) for _, own in settings if name in own}
        if len(said) > 1:
            yield f"the filters differ in {name}: {' / '.join(sorted(said))[:300]}"
    for name, cluster in clusters.items():
        if ("health_checks" in cluster or "outlier_detection" in cluster) and any(
                name in c.get("cluster_type", {}).get("typed_config", {}).get("clusters", []) for c in clusters.values()):
            yield f"{name}: an aggregate would choose by how many of its hosts are healthy"
    for kind, operation, value in patches(documents):
        for path, node in walk(value):
            if isinstance(node, dict) and isinstance(node.get("route"), dict) and "cluster_header" in node["route"]:
                policy = node["route"].get("retry_policy", {})
                if policy.get("retry_on") != "connect-failure,refused-stream" or policy.get("num_retries") != 1:
                    yield f"a route repeats {policy.get('retry_on')} {policy.get('num_retries')} times"
                priority = policy.get("retry_priority", {})
                if priority.get("typed_config", {}).get("update_frequency") != 1:
                    yield "a route's retry may go to the gateway that has just failed: update_frequency is not 1"
            if isinstance(node, dict) and "typed_config" in node and "@type" not in node["typed_config"]:
                yield f"{path}: a typed_config without @type"
            if operation == "MERGE" and "json_format" not in path and (node is False or node == 0 and node is not False):
                yield f"{path}: a MERGE cannot say {json.dumps(node)}"


def set_mistakes(documents):
    """What must fit together in one namespace."""
    yield from filter_mistakes(documents)
    pods = [d["spec"]["template"] for d in documents if d["kind"] in ("Deployment", "StatefulSet")]
    names = {(d["kind"], d["metadata"]["name"]) for d in documents}
    for document in documents:
        kind, spec = document["kind"], document.get("spec", {})
        where = f"{kind} {document['metadata']['name']}"
        wanted = {"EnvoyFilter": spec.get("workloadSelector", {}).get("labels"), "Service": spec.get("selector"),
                  "PodDisruptionBudget": spec.get("selector", {}).get("matchLabels"), "Gateway": spec.get("selector"),
                  "Telemetry": spec.get("selector", {}).get("matchLabels"),
                  "AuthorizationPolicy": spec.get("selector", {}).get("matchLabels")}.get(kind)
        if kind == "EnvoyFilter" and not wanted:
            yield f"{where}: without a workloadSelector it counts for every proxy of the namespace"
        if wanted and pods and not any(wanted.items() <= p["metadata"]["labels"].items() for p in pods):
            yield f"{where}: no pod has the labels {wanted}"
        if kind == "VirtualService":
            for http in spec.get("http", []):
                if "directResponse" not in http and http.get("retries", {}).get("attempts") != 0:
                    yield f"{where}: Istio would repeat payments: retries.attempts is not 0"
        if kind in ("Deployment", "StatefulSet"):
            stores = [c["configuration"]["value"].get("idempotency", {}).get("store", {}) for _, c in plugins(documents)]
            if spec.get("replicas", 1) != 1 and not any("etcd" in s for s in stores):
                yield f"{where}: {spec.get('replicas')} replicas do not know each other's payments"
            if kind == "Deployment" and not any("etcd" in s for s in stores):
                yield f"{where}: a Deployment has two pods while one of them is ending, with claims of their own"
            template = spec["template"]
            volumes = {v["name"]: v for v in template["spec"].get("volumes", [])}
            for name, text in template["metadata"].get("annotations", {}).items():
                if name.startswith("sidecar.istio.io/userVolume"):
                    for volume, value in json.loads(text).items():
                        if name.endswith("userVolume"):
                            volumes[volume] = value
                elif name == "proxy.istio.io/config":
                    yaml.safe_load(text)
            for volume in volumes.values():
                for path, node in walk(volume):
                    key = path.rsplit(".", 1)[-1]
                    refers = {"configMap": ("ConfigMap", "name"), "secret": ("Secret", "secretName"),
                              "persistentVolumeClaim": ("PersistentVolumeClaim", "claimName")}.get(key)
                    if refers and node and (refers[0], node[refers[1]]) not in names and node[refers[1]] not in GIVEN:
                        yield f"{where}: nobody makes the {refers[0]} {node[refers[1]]}"


def drift(documents, reference):
    """What must be as in the reference: capabilities, statistics."""
    def caps(config):
        return set(config["capability_restriction_config"]["allowed_capabilities"])
    given = {c["name"]: c for _, c in ((p, n["config"]) for p, n in walk(reference)
                                       if isinstance(n, dict) and n.get("@type", "").endswith(WASM))}
    stores = [c["configuration"]["value"].get("idempotency", {}).get("store", {}) for _, c in plugins(documents)]
    for _, config in plugins(documents):
        more = caps(config) - caps(given[config["name"]])
        if caps(given[config["name"]]) - caps(config) or (more and not any("etcd" in s for s in stores)):
            yield f"{config['name']}: other capabilities than the reference's: {sorted(caps(given[config['name']]) ^ caps(config))}"
    texts = [d["data"]["custom_bootstrap.json"] for d in documents if d["kind"] == "ConfigMap" and "custom_bootstrap.json" in d.get("data", {})]
    texts += [d["spec"]["bootstrap"]["value"] for d in documents if d["kind"] == "EnvoyProxy"]
    for text in texts:
        if yaml.safe_load(text)["stats_config"] != reference["stats_config"]:
            yield "stats_config is not that of the reference"


def mistakes(documents, schemas, reference):
    for document in documents:
        for one in schema_mistakes(document, schemas):
            yield f"{document.get('kind')} {document.get('metadata', {}).get('name')}: {one}"
    if not [m for d in documents for m in schema_mistakes(d, schemas)]:
        yield from set_mistakes(documents)
        if reference:
            yield from drift(documents, reference)


def broken_copies(documents):
    """Copies with one mistake each, and a word of what must be found."""
    def get(copied, kind, name):
        return next(d for d in copied if d["kind"] == kind and d["metadata"]["name"] == name)

    def hcm(d):
        return get(d, "EnvoyFilter", "dana-payments")["spec"]["configPatches"][0]["patch"]["value"]["typed_config"]

    def wasm(d):
        return get(d, "EnvoyFilter", "dana-payments")["spec"]["configPatches"][1]["patch"]["value"]["typed_config"]["config"]

    def chosen(d):
        return hcm(d)["route_config"]["virtual_hosts"][0]["routes"][0]["route"]["retry_policy"]
    def as_deployment(d):
        workload = get(d, "StatefulSet", "dana-failover")
        workload["kind"] = "Deployment"
        del workload["spec"]["serviceName"]
    breaks = {
        "a field that nobody knows": (lambda d: get(d, "VirtualService", "dana-failover")["spec"]["http"][0].update(retry={}), "'retry' was unexpected"),
        "a value that is none": (lambda d: get(d, "DestinationRule", "dana-failover")["spec"]["trafficPolicy"]["tls"].update(mode="MUTAL"), "'MUTAL' is not one of"),
        "an operation that is none": (lambda d: get(d, "EnvoyFilter", "dana-payments")["spec"]["configPatches"][1]["patch"].update(operation="INSERT_BEFOR"), "INSERT_BEFOR"),
        "a hash without quotes": (lambda d: get(d, "Secret", "dana-operators-token")["stringData"].update(token_sha256=10 ** 63), "is not of type 'string'"),
        "a field of a pod misspelt": (lambda d: get(d, "StatefulSet", "dana-failover")["spec"]["template"]["spec"].update(terminationGracePeriod=60), "terminationGracePeriod"),
        "Istio's own retries": (lambda d: get(d, "VirtualService", "dana-failover")["spec"]["http"][0].pop("retries"), "would repeat payments"),
        "payments that pass a dead filter": (lambda d: wasm(d).update(failure_policy="FAIL_OPEN"), "without claims"),
        "a retry at the same gateway": (lambda d: chosen(d)["retry_priority"]["typed_config"].update(update_frequency=2), "update_frequency"),
        "a MERGE that says false": (lambda d: hcm(d).update(proxy_100_continue=False), "cannot say false"),
        "a pod that begins before the old one has ended": (as_deployment, "has two pods"),
        "two pods with claims of their own": (lambda d: get(d, "StatefulSet", "dana-failover")["spec"].update(replicas=2), "do not know each other"),
        "operators who see other gateways": (lambda d: wasm(d)["configuration"]["value"]["gateways"].reverse(), "differ in gateways"),
    }
    for name, (damage, word) in breaks.items():
        copied = copy.deepcopy(documents)
        damage(copied)
        yield name, copied, word


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--crds", action="append", required=True, help="a directory of CRDs; more than one may be given")
    parser.add_argument("--reference", help="envoy/tls.yaml: whether capabilities and statistics are still those")
    parser.add_argument("directories", nargs="+")
    args = parser.parse_args()
    schemas = read_crds(args.crds)
    reference = yaml.safe_load(pathlib.Path(args.reference).read_text()) if args.reference else None
    sets = collect(args.directories)
    failed = 0
    whole = next((s for name, s in sets.items() if name.endswith("overlays/egress-gateway")), None)
    for name, documents, word in broken_copies(whole) if whole else ():
        found = [m for m in mistakes(documents, schemas, reference) if word in m]
        print(f"broken on purpose: {name}: {'found' if found else 'NOT FOUND'}")
        failed += not found
    count = 0
    for name, documents in sets.items():
        said = list(mistakes(documents, schemas, reference))
        for one in said:
            print(f"{name}: {one}")
        print(f"{name}: {len(documents)} objects, {len(said)} mistakes")
        failed += len(said)
        count += len(documents)
    print(f"{count} objects, Kubernetes {kubernetes_validate.latest_version()}, {len(schemas)} kinds of CRDs: {'FAILED' if failed else 'valid'}")
    sys.exit(bool(failed))


if __name__ == "__main__":
    main()
