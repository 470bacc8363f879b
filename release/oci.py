#!/usr/bin/env python3
"""An image with one module as /plugin.wasm, as an OCI layout: what Istio and Envoy Gateway fetch.

    oci.py MODULE.wasm TAG FOLDER

The same module gives the same bytes: times are 1970, owners are 0. `skopeo copy oci:FOLDER:TAG docker://...` or
`oras cp --from-oci-layout` pushes it.
"""

import hashlib
import io
import json
import pathlib
import sys
import tarfile


def main():
    module, tag, folder = sys.argv[1], sys.argv[2], pathlib.Path(sys.argv[3])
    blobs = folder / "blobs" / "sha256"
    blobs.mkdir(parents=True, exist_ok=True)

    def put(data, media_type):
        """Writes a blob, and gives its descriptor."""
        digest = hashlib.sha256(data).hexdigest()
        (blobs / digest).write_bytes(data)
        return {"mediaType": media_type, "digest": f"sha256:{digest}", "size": len(data)}

    def put_json(value, media_type):
        return put(json.dumps(value, sort_keys=True, separators=(",", ":")).encode(), media_type)

    layer = io.BytesIO()
    wasm = pathlib.Path(module).read_bytes()
    with tarfile.open(fileobj=layer, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        entry = tarfile.TarInfo("plugin.wasm")
        entry.size, entry.mode = len(wasm), 0o444
        tar.addfile(entry, io.BytesIO(wasm))
    layer = put(layer.getvalue(), "application/vnd.oci.image.layer.v1.tar")
    config = put_json(
        {"architecture": "wasm", "os": "wasip1", "rootfs": {"type": "layers", "diff_ids": [layer["digest"]]}, "config": {}},
        "application/vnd.oci.image.config.v1+json",
    )
    manifest = put_json(
        {"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json", "config": config, "layers": [layer]},
        "application/vnd.oci.image.manifest.v1+json",
    )
    manifest["annotations"] = {"org.opencontainers.image.ref.name": tag}
    index = {"schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json", "manifests": [manifest]}
    (folder / "index.json").write_text(json.dumps(index, sort_keys=True, indent=1) + "\n", encoding="utf-8")
    (folder / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}\n', encoding="utf-8")


if __name__ == "__main__":
    main()
