"""A configuration for a plain Envoy on this machine: what the assemble scripts share."""

import argparse
import sys

import yaml

TYPE = "type.googleapis.com/"
HCM = "envoy.filters.network.http_connection_manager"
POD = ("/etc/dana/", "/var/run/dana/", "/var/lib/dana/")


class Plain(yaml.SafeDumper):
    """Without anchors: Envoy reads them, people do not."""

    def ignore_aliases(self, data):
        return True


def typed(name, message, **fields):
    """An extension of Envoy's, by its name and type."""
    return {"name": name, "typed_config": {"@type": TYPE + message, **fields}}


def read_arguments(description):
    """What the scripts are told, and the documents that they are given."""
    parser = argparse.ArgumentParser(description=description.split("\n", maxsplit=1)[0])
    parser.add_argument("--root", default="", help="where the files of the pod are")
    parser.add_argument("--certs", help="the listener's certificate: cert-chain.pem, key.pem, root-cert.pem")
    parser.add_argument("--gateway", action="append", default=[], metavar="HOST=ADDRESS:PORT")
    parser.add_argument("--port", action="append", default=[], metavar="OLD=NEW")
    parser.add_argument("manifests", nargs="*", default=["/dev/stdin"])
    asked = parser.parse_intermixed_args()
    documents = []
    for path in asked.manifests:
        with open(path, encoding="utf-8") as file:
            documents += [document for document in yaml.safe_load_all(file) if document]
    return asked, documents


def write(bootstrap, asked):
    """Writes a bootstrap with the files, ports and gateways of this machine in the place of the pod's."""
    hosts = dict(pair.split("=") for pair in asked.gateway)
    ports = {int(old): int(new) for old, new in (pair.split("=") for pair in asked.port)}

    def move(node):
        if isinstance(node, list):
            return [move(one) for one in node]
        if isinstance(node, str):
            return asked.root + node if node.startswith(POD) else node
        if not isinstance(node, dict):
            return node
        if "port_value" in node:
            address, _, port = hosts.get(node["address"], "").partition(":")
            port = int(port) if port else ports.get(node["port_value"], node["port_value"])
            return {**node, "address": address or node["address"], "port_value": port}
        # A rule of Istio's for a port.
        return {key: ports.get(value, value) if key == "destination_port" else move(value) for key, value in node.items()}

    yaml.dump(move(bootstrap), sys.stdout, Dumper=Plain, sort_keys=False, width=1000)
