#!/usr/bin/env python3
"""Where a release comes from: the predicate of SLSA provenance v1 (https://slsa.dev/spec/v1.0/provenance), of what the
forge says about the run that this is called in.

    provenance.py FOLDER

FOLDER is that of `make dist`: its files were built in this run, of this commit.
"""

import json
import os
import pathlib
import subprocess
import sys
import tomllib

TOLD = ["GITHUB_SERVER_URL", "GITHUB_REPOSITORY", "GITHUB_REF", "GITHUB_SHA", "GITHUB_WORKFLOW_REF", "GITHUB_RUN_ID", "GITHUB_RUN_ATTEMPT"]


def said_by(*command):
    """The first line that a command prints."""
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()[0]


def main():
    if missing := [name for name in TOLD if name not in os.environ]:
        sys.exit(f"provenance: only the forge can say where a release comes from; {', '.join(missing)} is not set")
    server, repository, ref, commit, workflow, run, attempt = (os.environ[name] for name in TOLD)
    if (built := said_by("git", "rev-parse", "HEAD")) != commit:
        sys.exit(f"provenance: the forge says commit {commit}, and {built} was built")
    toolchain = tomllib.loads(pathlib.Path("rust-toolchain.toml").read_text(encoding="utf-8"))["toolchain"]["channel"]
    sums = pathlib.Path(sys.argv[1], "SHA256SUMS").read_text(encoding="utf-8").splitlines()
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
