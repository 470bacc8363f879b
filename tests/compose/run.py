#!/usr/bin/env python3
"""Brings the whole of envoy/compose.yaml up, pays, fails the primary, and looks for what operators would see.

    run.py COMPOSE_COMMAND...

for example `run.py docker compose` or `run.py podman-compose`. Prints a line for each step, and ends with 1 at the
first one that does not come true. Everything is taken down again, whatever happens.
"""

import base64
import json
import os
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
COMPOSE = os.path.join(ROOT, "envoy", "compose.yaml")
DASHBOARD = os.path.join(ROOT, "envoy", "grafana", "dana-failover.json")
PATIENCE_S = 60
CREATE = "http://localhost:10000/payment-gateway/v1.0/debit/payment-host-to-host.htm"
OPERATORS = {"authorization": "Basic " + base64.b64encode(b"test:dana-sandbox").decode()}
# Panels that show what is not there: claims stand in memory here.
EMPTY = {"Calls to etcd"}


class Failed(Exception):
    """A step that did not come true."""


def ask(url, body=None, headers=None, method=None):
    """The status, the header fields and the body of an answer; 0 where there is none."""
    data = json.dumps(body).encode() if body is not None else None
    head = {"content-type": "application/json", **(headers or {})}
    request = urllib.request.Request(url, data=data, headers=head, method=method)
    try:
        with urllib.request.urlopen(request, timeout=35) as answer:
            return answer.status, answer.headers, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.headers, error.read().decode()
    except (urllib.error.URLError, ConnectionError, TimeoutError):
        return 0, {}, ""


def until(what, condition, patience_s=PATIENCE_S):
    """Waits for a condition, and tells how long that took."""
    began = time.monotonic()
    while not (found := condition()):
        if time.monotonic() - began > patience_s:
            raise Failed(f"not within {patience_s} s: {what}")
        time.sleep(0.2)
    print(f"{time.monotonic() - began:5.1f} s  {what}", flush=True)
    return found


def pay(reference):
    """The status of a payment, and the gateway that answered."""
    order = {"merchantId": "m-1", "partnerReferenceNo": reference, "amount": {"value": "10000.00", "currency": "IDR"}}
    status, headers, _ = ask(CREATE, order, {"x-partner-id": "partner-1"})
    return status, headers.get("x-dana-gateway") if headers else None


def query(expression):
    """What Prometheus says of an expression."""
    url = "http://localhost:9090/api/v1/query?" + urllib.parse.urlencode({"query": expression})
    status, _, body = ask(url)
    if status != 200:
        raise Failed(f"Prometheus refuses {expression}: {body or status}")
    return json.loads(body)["data"]["result"]


def is_well(engine, service):
    """Whether a service's health check passes, run here and now: podman without systemd runs none by itself."""
    return subprocess.run(
        [*engine, "healthcheck", "run", f"dana-failover_{service}_1"], capture_output=True, check=False
    ).returncode == 0


def as_grafana_asks(expression):
    """An expression of the dashboard with its variables filled in."""
    for name, value in [("$job", ".*"), ("$instance", ".*"), ("$__rate_interval", "30s"), ("$__range", "5m")]:
        expression = expression.replace(name, value)
    return expression


def look_at_panels(dashboard):
    """Every expression of the dashboard is executed, and all panels but the known ones have data."""
    panels = [panel for panel in json.loads(dashboard)["panels"] if panel.get("targets")]
    empty = set()
    for panel in panels:
        if not any(query(as_grafana_asks(target["expr"])) for target in panel["targets"]):
            empty.add(panel["title"])
    if empty != EMPTY:
        raise Failed(f"panels without data: {', '.join(sorted(empty)) or 'none'}, not {', '.join(EMPTY)}")
    return len(panels)


def look_at_dashboard():
    """The dashboard is well, and copies of it that are not are found out."""
    with open(DASHBOARD, encoding="utf-8") as file:
        dashboard = file.read()

    def is_filled():
        # What is published each 10 s has a rate only after its second time.
        try:
            return look_at_panels(dashboard)
        except Failed:
            return 0

    until(f"all panels but {', '.join(EMPTY)} have data", is_filled)
    look_at_panels(dashboard)
    for well, broken in [("dana:claims:count{", "dana:claim:count{"), ("sum by (outcome)", "sum by outcome")]:
        if well not in dashboard:
            raise Failed(f"the dashboard has no {well}")
        try:
            look_at_panels(dashboard.replace(well, broken, 1))
        except Failed:
            continue
        raise Failed(f"a dashboard with {broken} is taken for well")


def story():
    """What a newcomer does, and what an operator sees of it."""
    until("Envoy takes payments", lambda: ask("http://localhost:10001/ready")[0] == 200)
    if (found := pay("first")) != (200, "primary"):
        raise Failed(f"the first payment: {found}")
    until("Prometheus sees Envoy", lambda: query("dana_build_info"))
    ask("http://localhost:18080/gateways/primary/fault", {"fault": "code", "code": "500xx01"})
    numbers = iter(range(10**6))
    until("new payments go to the secondary", lambda: pay(f"fail-{next(numbers)}") == (200, "secondary"))

    def switch_is_seen():
        pay(f"on-{next(numbers)}")
        return query('sum(increase(dana_switches_total{kind="failover"}[2m])) > 0')

    until("the switch is in Prometheus", switch_is_seen)
    alerts = "http://localhost:9093/api/v2/alerts"

    def alert_is_seen():
        pay(f"more-{next(numbers)}")
        return "DanaSwitched" in {alert["labels"]["alertname"] for alert in json.loads(ask(alerts)[2] or "[]")}

    until("the alert is in Alertmanager", alert_is_seen)
    until("operators see the secondary", lambda: json.loads(
        ask("http://localhost:10001/status", headers=OPERATORS)[2])["active"] == "secondary")
    look_at_dashboard()
    ask("http://localhost:18080/gateways/primary/fault", method="DELETE")
    ledger = json.loads(ask("http://localhost:18080/ledger")[2])
    if ledger["executed_at_both"] != 0:
        raise Failed(f"executed at both: {ledger['executed_at_both']}")
    print("        executed at both: 0", flush=True)


def main():
    compose = [*sys.argv[1:], "-f", COMPOSE]
    engine = ["docker"] if sys.argv[1] == "docker" else ["podman"]
    services = ["sandbox", "envoy", "prometheus", "alertmanager"]
    if engine == ["docker"]:
        services.append("grafana")
    else:
        print("Grafana: not started, there is no image of it here; its queries are asked of Prometheus", flush=True)
    log = subprocess.DEVNULL if not os.environ.get("VERBOSE") else None
    began = time.monotonic()
    try:
        how = ["--build", "--wait"] if engine == ["docker"] else ["--no-build"]
        subprocess.run([*compose, "up", "-d", *how, *services], stdout=log, stderr=log, check=True)
        if engine == ["podman"]:
            for service in services:
                until(f"{service} is well", lambda service=service: is_well(engine, service))
        story()
    except Failed as failed:
        print(f"failed: {failed}", file=sys.stderr)
        subprocess.run([*compose, "logs", "--tail", "20"], check=False)
        return 1
    finally:
        subprocess.run([*compose, "down", "-v"], stdout=log, stderr=log, check=False)
    print(f"passed in {time.monotonic() - began:.0f} s", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
