#!/usr/bin/env python3
"""Brings the whole of envoy/compose.yaml up, pays, fails the primary, and looks for what operators would see.

    run.py COMPOSE_COMMAND...

for example `run.py docker compose` or `run.py podman-compose`. Prints a line for each step, and ends with 1 at the
first one that does not come true. Everything is taken down again, whatever happens.
"""

import base64
import http.client
import json
import os
import pathlib
import ssl
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
COMPOSE = os.path.join(ROOT, "envoy", "compose.yaml")
DASHBOARD = os.path.join(ROOT, "envoy", "grafana", "dana-failover.json")
# Not the project of whoever plays with it here: volumes go with it at the end.
PROJECT = "dana-failover-test"
PATIENCE_S = 60
CREATE = "/payment-gateway/v1.0/debit/payment-host-to-host.htm"
OPERATORS = {"authorization": "Basic " + base64.b64encode(b"test:dana-sandbox").decode()}


class Failed(Exception):
    """A step that did not come true."""


def ask(url, body=None, headers=None, method=None, context=None):
    """The status, the header fields and the body of an answer; 0 where there is none."""
    data = json.dumps(body).encode() if body is not None else None
    head = {"content-type": "application/json", **(headers or {})}
    request = urllib.request.Request(url, data=data, headers=head, method=method)
    try:
        with urllib.request.urlopen(request, timeout=35, context=context) as answer:
            return answer.status, answer.headers, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.headers, error.read().decode()
    except (OSError, http.client.HTTPException):
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


def pay(reference, at="http://localhost:10000", partner="partner-1", context=None):
    """The status of a payment, and the gateway that answered."""
    order = {"merchantId": "m-1", "partnerReferenceNo": reference, "amount": {"value": "10000.00", "currency": "IDR"}}
    status, headers, _ = ask(at + CREATE, order, {"x-partner-id": partner}, context=context)
    return status, headers.get("x-dana-gateway") if headers else None


def query(expression):
    """What Prometheus says of an expression."""
    url = "http://localhost:9090/api/v1/query?" + urllib.parse.urlencode({"query": expression})
    status, _, body = ask(url)
    if status != 200:
        raise Failed(f"Prometheus refuses {expression}: {body or status}")
    return json.loads(body)["data"]["result"]


def container(engine, service):
    """The name of a service's container."""
    label = f"label=com.docker.compose.service={service}"
    words = [engine, "ps", "--all", "--filter", label, "--filter", f"label=com.docker.compose.project={PROJECT}", "--format", "{{.Names}}"]
    return subprocess.run(words, capture_output=True, text=True, check=True).stdout.strip()


def is_well(service):
    """Whether a service's health check passes, run here and now: podman without systemd runs none by itself."""
    return subprocess.run(
        ["podman", "healthcheck", "run", container("podman", service)], capture_output=True, check=False
    ).returncode == 0


def expect(what, found, expected):
    """A step that must come true at once."""
    if found != expected:
        raise Failed(f"{what}: {found}, not {expected}")
    print(f"         {what}", flush=True)


def is_ready(port):
    """Whether the Envoy whose operators' listener this is takes payments."""
    return lambda: ask(f"http://localhost:{port}/ready")[0] == 200


def as_grafana_asks(expression):
    """An expression of the dashboard with its variables filled in."""
    for name, value in [("$job", ".*"), ("$instance", ".*"), ("$__rate_interval", "30s"), ("$__range", "5m")]:
        expression = expression.replace(name, value)
    return expression


def look_at_panels(dashboard):
    """Every expression of the dashboard is executed, and all panels have data."""
    panels = [panel for panel in json.loads(dashboard)["panels"] if panel.get("targets")]
    empty = set()
    for panel in panels:
        if not any(query(as_grafana_asks(target["expr"])) for target in panel["targets"]):
            empty.add(panel["title"])
    if empty:
        raise Failed(f"panels without data: {', '.join(sorted(empty))}")
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

    until("all panels have data", is_filled)
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
    until("Envoy takes payments", is_ready(10001))
    expect("the first payment", pay("first"), (200, "primary"))
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
    nothing_is_executed_twice(18080)


def nothing_is_executed_twice(control):
    """The gateways' own ledgers."""
    ledger = json.loads(ask(f"http://localhost:{control}/ledger")[2])
    expect("nothing is executed at both gateways", ledger["executed_at_both"], 0)


def paid_as_documented(certificates):
    """The gateway that answers the payment which envoy/compose.yaml names, with the certificates at another place."""
    with open(COMPOSE, encoding="utf-8") as file:
        lines = [line[1:].strip() for line in file if line.startswith("#")]
    begin = next(number for number, line in enumerate(lines) if line.startswith("curl -i --cacert"))
    end = next(number for number, line in enumerate(lines[begin:], begin) if not line.endswith("\\"))
    command = "\n".join(lines[begin:end + 1]).replace("/tmp/dana-", f"{certificates}/")
    said = subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=True).stdout
    return next((line.split()[1] for line in said.lower().splitlines() if line.startswith("x-dana-gateway:")), said)


def story_of_tls(engine):
    """The profile tls: a merchant with a certificate pays, one without does not."""
    until("Envoy with TLS takes payments", is_ready(10444))
    with tempfile.TemporaryDirectory() as folder:
        source = f"{container(engine, 'envoy-tls')}:/etc/envoy/tls"
        subprocess.run([engine, "cp", source, folder], check=True, capture_output=True)
        certificates = pathlib.Path(folder) / "tls"
        expect("no authority's key is left", list(certificates.glob("*_ca.key")), [])
        expect("what the file says can be typed in", paid_as_documented(certificates), "primary")
        nobody = ssl.create_default_context(cafile=certificates / "platform_ca.pem")
        merchant = ssl.create_default_context(cafile=certificates / "platform_ca.pem")
        merchant.load_cert_chain(certificates / "platform.pem", certificates / "platform.key")
    at = "https://localhost:10443"
    expect("without a certificate nobody is served", pay("tls-0", at, context=nobody)[0], 0)
    until("a merchant with one pays at the primary",
          lambda: pay("tls-1", at, "PARTNER-1", merchant) == (200, "primary"))
    expect("and speaks for no other partner", pay("tls-2", at, "PARTNER-2", merchant)[0], 403)
    until("both gateways have heartbeats", lambda: len(query('dana_heartbeat_up{instance="envoy-tls:9902"} == 1')) == 2)
    ask("http://localhost:18443/gateways/primary/fault", {"fault": "refuse"})
    expect("the secondary takes what the primary refuses", pay("tls-3", at, "PARTNER-1", merchant), (200, "secondary"))
    nothing_is_executed_twice(18443)


def story_of_etcd(engine):
    """The profile etcd: what one Envoy was paid the other one knows, and both after a restart."""
    until("two Envoys with an etcd take payments", lambda: is_ready(11001)() and is_ready(12001)())
    one, other = "http://localhost:11000", "http://localhost:12000"
    ask("http://localhost:18080/gateways/primary/fault", {"fault": "refuse"})
    expect("one is paid while the primary refuses", pay("shared", one), (200, "secondary"))
    ask("http://localhost:18080/gateways/primary/fault", method="DELETE")

    def gateways():
        received = json.loads(ask("http://localhost:18080/requests?reference=shared")[2])
        return {request["gateway"] for request in received["requests"]}

    # Its answer is in the memory of the first one: it is asked for where the payment is.
    expect("the other one knows where it is", pay("shared", other), (200, "secondary"))
    names = [container(engine, name) for name in ("envoy-1", "envoy-2", "etcd-1", "etcd-2", "etcd-3")]
    subprocess.run([engine, "restart", *names], check=True, capture_output=True)
    until("they and all members of the etcd are back", lambda: is_ready(11001)() and is_ready(12001)())
    expect("they know it after a restart", [pay("shared", at) for at in (one, other)], [(200, "secondary")] * 2)
    expect("and no other gateway has seen it", gateways(), {"secondary"})
    nothing_is_executed_twice(18080)


SERVICES = ["sandbox", "envoy", "prometheus", "alertmanager", "certificates", "sandbox-tls", "envoy-tls", "etcd-1", "etcd-2",
            "etcd-3", "envoy-1", "envoy-2"]


def main():
    compose = [*sys.argv[1:], "-p", PROJECT, "-f", COMPOSE, "--profile", "tls", "--profile", "etcd"]
    engine = "docker" if sys.argv[1] == "docker" else "podman"
    services = list(SERVICES)
    if engine == "docker":
        services.append("grafana")
    else:
        print("Grafana: not started, there is no image of it here; its queries are asked of Prometheus", flush=True)
    log = subprocess.DEVNULL if not os.environ.get("VERBOSE") else None
    began = time.monotonic()
    try:
        # What a run that was killed has left behind.
        subprocess.run([*compose, "down", "-v"], stdout=log, stderr=log, check=False)
        how = ["--build", "--wait"] if engine == "docker" else ["--no-build"]
        subprocess.run([*compose, "up", "-d", *how, *services], stdout=log, stderr=log, check=True)
        if engine == "podman":
            for service in services:
                if service != "certificates":
                    until(f"{service} is well", lambda service=service: is_well(service))
        story()
        story_of_tls(engine)
        story_of_etcd(engine)
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
