#!/usr/bin/env python3
"""The end-to-end tests on each Envoy that is supported, and the table of what holds where.

    run.py [--only TEXT] [--write] [--reuse] VERSION=CLUSTERS=PATH_OF_ENVOY...

CLUSTERS is `composite` (envoy/envoy.yaml as it is) or `aggregate` (with envoy/aggregate.yaml). Ends with 1 if a test
fails that is not known to fail there. --write puts the table into README.md; --only runs tests with this in their name;
--reuse takes the results of a cell that target/matrix has, and runs the others.
"""

import argparse
import collections
import json
import os
import re
import subprocess
import sys
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BEGIN = "<!-- made by `make test-matrix` -->\n\n"
END = "\n<!-- end -->"
# What the tests of each subject hold, in the words of the README.
GUARANTEES = {
    "No payment twice: claims, doubt, replays, evidence": (
        "claims doubt replays scope requests evidence paths provenance walk"
    ),
    "Failover in the request, by the breaker, and back": "failover never_sent aggregate detection half_open heartbeat load",
    "TLS, rights, tenants, secrets, capabilities": "tls tenants secrets capabilities",
    "Crashes of the filter, updates, restarts, slow stores": "survival trap slow lds first_day etcd",
    "Operators, metrics, `check` of a running Envoy": "admin census metrics dump mistakes",
    "Audit trail, in a file and by OTLP": "audit otlp",
    "Gateways' notifications": "notify",
    "Gateways found by DNS": "dns",
    "DANA's own SDKs": "sdk",
    "The manifests for Istio and Envoy Gateway": "manifests",
}
# Tests that cannot pass there, and why. A test that is here and passes is a mistake too, but where chance decides.
KEPT = "before 1.39 a kept connection stays at the address that the name had, until it is idle for 20 s"
NO_HOSTS = "before 1.40 a composite does not pass over a cluster that has no address"
NESTED = "it has a composite in it, which Envoy has from 1.37 on"
CAPABILITIES = "a VM keeps the capabilities that it began with"
NO_FLUSH = "its logger has no buffer_flush_interval"
KEPT_BY_NAME = {
    f"dns::{test}": KEPT
    for test in ("addresses_that_take_turns_lose_nothing", "an_address_that_is_silent_is_left_for_the_next_before_anything_is_sent",
                 "an_address_that_refuses_costs_nothing_while_the_name_has_another", "payments_follow_a_name_to_its_new_address",
                 "the_last_good_address_stays_while_lookups_fail")
}
WITHOUT_HOSTS = {
    test: NO_HOSTS
    for test in ("dns::a_gateway_may_have_two_names_for_payments", "dns::a_gateway_without_an_address_from_the_start_is_passed_over",
                 "dns::without_one_endpoint_for_all_a_missing_name_takes_a_working_gateway_away", "never_sent::a_cluster_without_hosts_is_passed_over")
}
OLD_CAPABILITIES = {"etcd::capabilities_are_changed_with_a_listener": CAPABILITIES}
KNOWN = {
    ("1.36.4", "aggregate"): KEPT_BY_NAME | OLD_CAPABILITIES | {
        "dns::a_gateway_may_have_two_names_for_payments": NESTED,
        "otlp::a_collector_gets_the_lines_that_the_file_has": NO_FLUSH,
        "otlp::a_collector_that_is_away_stops_no_payment_and_what_it_missed_has_a_number": NO_FLUSH,
    },
    ("1.37.0", "composite"): KEPT_BY_NAME | WITHOUT_HOSTS | OLD_CAPABILITIES,
    ("1.38.2", "composite"): KEPT_BY_NAME | WITHOUT_HOSTS | OLD_CAPABILITIES,
    ("1.39.3", "composite"): WITHOUT_HOSTS | OLD_CAPABILITIES,
}
# Whether they meet a kept connection is chance: there they may fail, for the reason of KEPT.
CHANCE = {"dns::a_payment_in_flight_ends_where_it_began", "dns::a_resolver_that_hangs_is_passed_over"}
KEEPING = {"1.36.4", "1.37.0", "1.38.2"}


COMMAND = ["cargo", "test", "--locked", "--test", "envoy", "--"]


def subject(test):
    """The subject of a test: the first part of its name."""
    return test.split("::", 1)[0]


def run(binary, clusters, only):
    """The result of each test: True if it passed."""
    environment = {**os.environ, "ENVOY_BINARY": os.path.abspath(binary), "ENVOY_CLUSTERS": clusters, "RUST_BACKTRACE": "0"}
    environment.setdefault("RUST_TEST_THREADS", "3")
    command = [*COMMAND, *([only] if only else [])]
    results, said = {}, []
    process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    for line in process.stdout:
        said.append(line)
        if found := re.match(r"test (\S+) \.\.\. (ok|FAILED)", line):
            results[found[1]] = found[2] == "ok"
    process.wait()
    if not results:
        sys.exit("".join(said))
    return results, "".join(said)


def run_manifests(binary):
    """Whether each set of manifests for Kubernetes does what it should on this Envoy."""
    results = {}
    for name in ("egress-gateway", "sidecar", "etcd", "envoy-gateway"):
        command = [f"{ROOT}/.tools/kubernetes/bin/python", "tests/kubernetes/smoke.py", os.path.abspath(binary),
                   "target/debug/dana-failover", "target/wasm32-unknown-unknown/release", name]
        environment = {"KUBECTL": f"{ROOT}/.tools/kubernetes/bin/kubectl", **os.environ}
        ended = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
        results[f"manifests::{name}"] = ended.returncode == 0
        if ended.returncode:
            print(ended.stdout[-1000:], ended.stderr[-2000:], flush=True)
    return results


def table(cells):
    """What holds where. A cell says how many of a subject's tests pass, if not all of them."""
    lines = ["| | " + " | ".join(name for name, _ in cells) + " |", "|---|" + "---|" * len(cells)]
    for guarantee, subjects in GUARANTEES.items():
        row = []
        for _, results in cells:
            own = [passed for test, passed in results.items() if subject(test) in subjects.split()]
            row.append("yes" if own and all(own) else f"{sum(own)} of {len(own)}" if own else "not run")
        lines.append(f"| {guarantee} | " + " | ".join(row) + " |")
    return "\n".join(lines) + "\n"


def write(text):
    """Puts the table into the README."""
    path = os.path.join(ROOT, "README.md")
    with open(path, encoding="utf-8") as file:
        before, rest = file.read().split(BEGIN)
    with open(path, "w", encoding="utf-8") as file:
        file.write(before + BEGIN + text + END + rest.split(END, 1)[1])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="")
    parser.add_argument("--write", action="store_true")
    parser.add_argument("--reuse", action="store_true")
    parser.add_argument("cells", nargs="+")
    asked = parser.parse_args()
    # Before anything that takes long.
    listed = subprocess.run([*COMMAND, "--list"], cwd=ROOT, check=True, capture_output=True, text=True).stdout
    subjects = {subject(test) for test in re.findall(r"^(\S+): test$", listed, re.MULTILINE)}
    if unknown := subjects - set(" ".join(GUARANTEES.values()).split()):
        sys.exit(f"no guarantee names these subjects: {', '.join(sorted(unknown))}")
    cells, mistakes = [], []
    for cell in asked.cells:
        version, clusters, binary = cell.split("=")
        began = time.monotonic()
        kept = os.path.join(ROOT, "target", "matrix", f"{version}-{clusters}.json")
        if asked.reuse and os.path.exists(kept):
            with open(kept, encoding="utf-8") as file:
                results, said = json.load(file), ""
        else:
            results, said = run(binary, clusters, asked.only)
            if not asked.only:
                results |= run_manifests(binary)
                os.makedirs(os.path.dirname(kept), exist_ok=True)
                with open(kept, "w", encoding="utf-8") as file:
                    json.dump(results, file, indent=1, sort_keys=True)
        failed = {test for test, passed in results.items() if not passed}
        known = {test for test in KNOWN.get((version, clusters), {}) if test in results}
        counts = collections.Counter(results.values())
        print(f"Envoy {version}, {clusters}: {counts[True]} pass, {counts[False]} fail, {time.monotonic() - began:.0f} s", flush=True)
        for test in sorted((failed ^ known) - (CHANCE if version in KEEPING else set())):
            mistakes.append(test)
            print(f"  {'fails' if test in failed else 'passes, and is known to fail'}: {test}", flush=True)
        for panicked in re.findall(r"panicked at .*\n.*", said) if failed - known else []:
            print(f"    {panicked[:600]}", flush=True)
        cells.append((f"{version} {clusters}", results))
    text = table(cells)
    print(text)
    if asked.write and not mistakes:
        write(text)
    return 1 if mistakes else 0


if __name__ == "__main__":
    sys.exit(main())
