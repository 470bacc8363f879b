#!/usr/bin/env python3
"""Where a release comes from: the predicate of SLSA provenance v1 (https://slsa.dev/spec/v1.0/provenance), of what the
forge says about the run that this is called in.

    provenance.py FOLDER

FOLDER is that of `make dist`: its files were built in this run, of the commit that it names.
"""

import json
import os
import pathlib
import sys
import tomllib

TOLD = ["GITHUB_SERVER_URL", "GITHUB_REPOSITORY", "GITHUB_REF", "GITHUB_SHA", "GITHUB_WORKFLOW_REF", "GITHUB_RUN_ID", "GITHUB_RUN_ATTEMPT"]


def main():
    if missing := [name for name in TOLD if name not in os.environ]:
        sys.exit(f"provenance: only the forge can say where a release comes from; {', '.join(missing)} is not set")
    server, repository, ref, commit, workflow, run, attempt = (os.environ[name] for name in TOLD)
    folder = pathlib.Path(sys.argv[1])
    if (built := (folder / "COMMIT").read_text(encoding="utf-8").strip()) != commit:
        sys.exit(f"provenance: the forge says commit {commit}, and {folder} is of {built}")
    toolchain = tomllib.loads(pathlib.Path("rust-toolchain.toml").read_text(encoding="utf-8"))["toolchain"]["channel"]
    sums = (folder / "SHA256SUMS").read_text(encoding="utf-8").splitlines()
    source = f"git+{server}/{repository}"
    json.dump({
        "buildDefinition": {
            "buildType": f"{server}/{repository}/blob/main/release/dist.sh",
            "externalParameters": {"workflow": {
                "ref": ref, "repository": f"{server}/{repository}", "path": workflow.split("@")[0].removeprefix(f"{repository}/")}},
            "internalParameters": {"rust": toolchain, "command": "make dist", "files": len(sums)},
            "resolvedDependencies": [{"uri": f"{source}@{ref}", "digest": {"gitCommit": commit}}],
        },
        "runDetails": {
            "builder": {"id": f"{server}/{workflow}"},
            "metadata": {"invocationId": f"{server}/{repository}/actions/runs/{run}/attempts/{attempt}"},
        },
    }, sys.stdout, indent=1)


if __name__ == "__main__":
    main()
