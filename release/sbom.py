#!/usr/bin/env python3
"""The bill of materials of what is shipped, in CycloneDX 1.6: each crate that is compiled in, with its licence and digest;
Rust's own standard library is that of rust-toolchain.toml.

    sbom.py TARGET FEATURES > sbom.json

TARGET is a Rust target, FEATURES those of the build. Of `cargo metadata` and `Cargo.lock` alone, so that the same sources
give the same bytes: no time, no serial number, no path of this machine.
"""

import json
import re
import subprocess
import sys
import tomllib


def main():
    target, features = sys.argv[1], sys.argv[2]
    words = ["cargo", "metadata", "--locked", "--format-version", "1", "--filter-platform", target]
    if features:
        words += ["--features", features]
    metadata = json.loads(subprocess.run(words, check=True, capture_output=True, text=True).stdout)
    with open("Cargo.lock", "rb") as file:
        checksums = {(one["name"], one["version"]): one.get("checksum") for one in tomllib.load(file)["package"]}
    packages = {one["id"]: one for one in metadata["packages"]}
    nodes = {one["id"]: one for one in metadata["resolve"]["nodes"]}

    def compiled_in(node):
        """Dependencies that are neither for tests nor for builds."""
        return [one["pkg"] for one in node["deps"] if any(kind["kind"] is None for kind in one["dep_kinds"])]

    root = metadata["resolve"]["root"]
    reached, todo = set(), [root]
    while todo:
        package = todo.pop()
        if package not in reached:
            reached.add(package)
            todo += compiled_in(nodes[package])

    def reference(package):
        one = packages[package]
        return f"pkg:cargo/{one['name']}@{one['version']}"

    def component(package):
        one = packages[package]
        made = {"type": "library", "bom-ref": reference(package), "purl": reference(package), "name": one["name"], "version": one["version"]}
        if one["license"]:
            # The registry still has old expressions such as MIT/Apache-2.0.
            made["licenses"] = [{"expression": re.sub(r"\s*/\s*", " OR ", one["license"])}]
        if checksum := checksums.get((one["name"], one["version"])):
            made["hashes"] = [{"alg": "SHA-256", "content": checksum}]
        return made

    crates = sorted(reached - {root}, key=reference)
    bom = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {"component": {**component(root), "type": "application"}, "properties": [{"name": "target", "value": target}, {"name": "features", "value": features}]},
        "components": [component(one) for one in crates],
        "dependencies": [
            {"ref": reference(one), "dependsOn": sorted(reference(to) for to in compiled_in(nodes[one]))} for one in [root, *crates]
        ],
    }
    json.dump(bom, sys.stdout, indent=1, sort_keys=True)
    print()


if __name__ == "__main__":
    main()
