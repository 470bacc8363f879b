#!/usr/bin/env python3
"""The manifests' Envoy configuration, as the assemble scripts make it, on a real Envoy.

    smoke.py ENVOY SANDBOX MODULES [NAME...]

ENVOY is its program, SANDBOX the command line tool, MODULES the folder of the modules. NAME is egress-gateway, sidecar,
etcd or envoy-gateway; without one all are tried. Each is paid over mutual TLS: a payment, its replay, failover within
the request, a doubt that stays, and what a restart forgets, which is nothing with an etcd (ETCD_BIN, or that of
`make tools`; one member); strangers get nothing. There is no cluster: what istiod and Envoy Gateway would send is modelled in the
assemble scripts.
"""

import collections
import contextlib
import http.client
import itertools
import json
import os
import pathlib
import shutil
import socket
import ssl
import subprocess
import sys
import tempfile
import time
import urllib.request

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
PAY = "/payment-gateway/v1.0/debit/payment-host-to-host.htm"
PATIENCE_S = 30
# The ports of the manifests, and what they are for.
PORTS = {"payments": 10000, "operators": 10001, "probe": 10003, "mesh": 10011, "admin": 15000, "eg-admin": 19000}


class Setting(collections.namedtuple("Setting", "name folder assemble more payer stranger is_plain")):
    """A set of manifests, and who pays in it."""


SETTINGS = {
    one.name: one
    for one in [
        Setting("egress-gateway", "istio/overlays/egress-gateway", "assemble_istio.py", ["istio/mesh-config.yaml"], "shop", "stranger", False),
        Setting("sidecar", "istio/overlays/sidecar", "assemble_istio.py", ["istio/mesh-config.yaml"], None, None, True),
        Setting("etcd", "istio/overlays/etcd", "assemble_istio.py", ["istio/mesh-config.yaml"], "shop", "stranger", False),
        Setting("envoy-gateway", "envoy-gateway", "assemble_envoy_gateway.py", [], "platform", "stranger", False),
    ]
}
IDENTITIES = {
    "cert-chain": "URI:spiffe://cluster.local/ns/dana/sa/dana-failover,DNS:localhost",
    "shop": "URI:spiffe://cluster.local/ns/shop/sa/payments",
    "platform": "URI:spiffe://platform.example/payments",
    "stranger": "URI:spiffe://cluster.local/ns/other/sa/default",
}


def until(what, condition):
    """Waits for a condition."""
    end = time.monotonic() + PATIENCE_S
    while not (found := condition()):
        if time.monotonic() > end:
            raise AssertionError(f"not within {PATIENCE_S} s: {what}")
        time.sleep(0.1)
    return found


def openssl(*words, folder):
    subprocess.run(["openssl", *words], cwd=folder, check=True, capture_output=True)


def make_mesh(folder):
    """The mesh's authority, and a certificate for each identity."""
    folder.mkdir()
    openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=mesh", "-keyout", "ca.key",
            "-out", "root-cert.pem", folder=folder)
    for name, names in IDENTITIES.items():
        (folder / f"{name}.ext").write_text(f"subjectAltName=critical,{names}\nextendedKeyUsage=serverAuth,clientAuth\n")
        openssl("req", "-newkey", "rsa:2048", "-nodes", "-subj", "/", "-keyout", f"{name}.key", "-out", f"{name}.csr", folder=folder)
        openssl("x509", "-req", "-in", f"{name}.csr", "-CA", "root-cert.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2",
                "-out", f"{name}.pem", "-extfile", f"{name}.ext", folder=folder)
    shutil.copy(folder / "cert-chain.key", folder / "key.pem")


FIRST_PORT, MANY_PORTS = 12_000, 20_000
# Processes that run at the same time begin in different places.
NUMBERS = itertools.count(os.getpid() % MANY_PORTS * 97)


def free_ports(many):
    """Ports that nobody listens on, and that no client is ever given by the system."""
    found = []
    for number in itertools.islice(NUMBERS, MANY_PORTS):
        with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", FIRST_PORT + number % MANY_PORTS)) as free:
            found.append(free.getsockname()[1])
        if len(found) == many:
            return found
    raise AssertionError("so many ports are not free")


class Scene:
    """A set of manifests on an Envoy, before two gateways."""

    def __init__(self, setting, envoy, sandbox, modules, folder):
        self.setting, self.envoy, self.folder = setting, envoy, folder
        self.certificates, self.mesh = folder / "gateways", folder / "mesh"
        subprocess.run([ROOT / "envoy" / "certs.sh", self.certificates], check=True, capture_output=True)
        make_mesh(self.mesh)
        self.port = dict(zip(PORTS, free_ports(len(PORTS))))
        *gateways, self.control, self.etcd_port = free_ports(4)
        self.addresses = {f"{name}.dana.example": port for name, port in zip(("primary", "secondary"), gateways)}
        words = [sandbox, "sandbox", "--quiet", "--tls", self.certificates, "--control", f"127.0.0.1:{self.control}"]
        for host, port in self.addresses.items():
            words += ["--gateway", f"{host.partition('.')[0]}=127.0.0.1:{port}"]
        self.others = [subprocess.Popen(words, stdout=subprocess.DEVNULL)]
        if setting.name == "etcd":
            self.start_etcd()
        self.place_files(modules)
        self.config = folder / "envoy.yaml"
        self.config.write_text(self.assembled())
        self.process = None

    def start_etcd(self):
        """One member, at the places of all three: clients need a certificate of its authority."""
        url = f"https://127.0.0.1:{self.etcd_port}"
        secrets = {"cert": "etcd.pem", "key": "etcd.key", "trusted-ca": "etcd_ca.pem"}
        words = [os.environ.get("ETCD_BIN", ROOT / ".tools/etcd/bin/etcd"), "--data-dir", self.folder / "etcd", "--listen-client-urls", url, "--advertise-client-urls", url,
                 "--listen-peer-urls", "http://127.0.0.1:0", "--client-cert-auth", "--log-level", "error"]
        for name, file in secrets.items():
            words += [f"--{name}-file", self.certificates / file]
        self.others.append(subprocess.Popen(words))
        for number in range(3):
            self.addresses[f"etcd-{number}.etcd.dana-etcd.svc.cluster.local"] = self.etcd_port

    def place_files(self, modules):
        """What the pod would have mounted."""
        root = self.folder / "root"
        for place in ("etc/dana/wasm", "etc/dana/sds", "etc/dana/client", "etc/dana/etcd", "var/lib/dana", "var/run/dana"):
            (root / place).mkdir(parents=True)
        for name in ("dana_failover.wasm", "dana_failover_etcd.wasm", "dana_failover_operators.wasm"):
            shutil.copy(pathlib.Path(modules) / name, root / "etc/dana/wasm" / name)
        for place, who, authority in [("client", "client", "gateway_ca"), ("etcd", "etcd_client", "etcd_ca")]:
            for name, source in [("tls.crt", f"{who}.pem"), ("tls.key", f"{who}.key"), ("ca.crt", f"{authority}.pem")]:
                shutil.copy(self.certificates / source, root / "etc/dana" / place / name)
        built = json.loads(self.run("tests/kubernetes/to_json.py", self.built()))
        for name, text in next(one["data"] for one in built if one["kind"] == "ConfigMap" and "client.yaml" in one.get("data", {})).items():
            (root / "etc/dana/sds" / name).write_text(text.replace("/etc/dana/", f"{root}/etc/dana/"))

    def built(self):
        """The manifests as kubectl renders them."""
        folder = ROOT / "envoy" / self.setting.folder
        return subprocess.run([os.environ.get("KUBECTL", "kubectl"), "kustomize", folder], check=True, capture_output=True, text=True).stdout

    def run(self, script, text, *words):
        return subprocess.run([sys.executable, ROOT / script, *words], input=text, check=True, capture_output=True, text=True).stdout

    def assembled(self):
        """The configuration that its control plane would send."""
        words = ["--root", self.folder / "root", "--certs", self.mesh]
        for host, port in self.addresses.items():
            words += ["--gateway", f"{host}=127.0.0.1:{port}"]
        for name, port in self.port.items():
            words += ["--port", f"{PORTS[name]}={port}"]
        more = [ROOT / "envoy" / name for name in self.setting.more]
        return self.run(f"tests/kubernetes/{self.setting.assemble}", self.built(), *words, "/dev/stdin", *more)

    def start(self):
        """Starts Envoy, and waits until it takes payments over both gateways."""
        log = open(self.folder / "envoy.log", "a", encoding="utf-8")
        self.process = subprocess.Popen([self.envoy, "-c", self.config, "--disable-hot-restart", "--concurrency", "2", "-l", "warning",
                                         "--file-flush-interval-msec", "50"], stdout=log, stderr=log)
        until("Envoy is ready", lambda: self.ask("probe", None, "GET", "/ready", is_plain=True)[0] == 200)
        until("both gateways are up", lambda: self.metrics().count('dana_heartbeat_up{gateway="') == 2
              and 'dana_heartbeat_up{gateway="primary"} 1' in self.metrics() and 'dana_heartbeat_up{gateway="secondary"} 1' in self.metrics())

    def stop(self):
        """Ends Envoy as a rolling update does."""
        self.process.terminate()
        self.process.wait(PATIENCE_S)
        self.process = None

    def admin(self, path, **more):
        """Asks Envoy's admin interface."""
        port = self.port["eg-admin" if self.setting.name == "envoy-gateway" else "admin"]
        request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", **more)
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.read().decode()

    def metrics(self):
        return self.admin("/stats/prometheus")

    def ready_after(self, word):
        """What the probe is told after this word of the health check."""
        self.admin(f"/healthcheck/{word}", method="POST")
        return self.ask("probe", None, "GET", "/ready", is_plain=True)[0]

    def ask(self, port, who, method, path, body=None, headers=None, is_plain=None):
        """The status, the header fields and the members of an answer; 0 where there is none."""
        is_plain = self.setting.is_plain if is_plain is None else is_plain
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        if who:
            context.load_cert_chain(self.mesh / f"{who}.pem", self.mesh / f"{who}.key")
        make = http.client.HTTPConnection if is_plain else lambda *where, **how: http.client.HTTPSConnection(*where, context=context, **how)
        connection = make("127.0.0.1", self.port[port], timeout=15)
        try:
            connection.request(method, path, body, headers or {})
            answer = connection.getresponse()
            text = answer.read()
        except (OSError, http.client.HTTPException):
            return 0, {}, {}
        finally:
            connection.close()
        try:
            return answer.status, answer.headers, json.loads(text)
        except ValueError:
            return answer.status, answer.headers, {}

    def pay(self, reference, who=None, partner="PARTNER-1"):
        """The status of a payment, the gateway that answered, and its outcome where the filter says one."""
        body = {"merchantId": "m1", "partnerReferenceNo": reference, "amount": {"value": "10000.00", "currency": "IDR"}}
        headers = {"content-type": "application/json", "x-partner-id": partner}
        status, head, members = self.ask("payments", who or self.setting.payer, "POST", PAY, json.dumps(body), headers)
        return status, head.get("x-dana-gateway"), members.get("outcome")

    def control_of(self, method, path, body=None):
        request = urllib.request.Request(f"http://127.0.0.1:{self.control}{path}", json.dumps(body).encode() if body else None, method=method)
        with urllib.request.urlopen(request, timeout=10) as answer:
            return json.loads(answer.read() or b"{}")

    def received(self, reference):
        """How often each gateway has had a payment."""
        found = self.control_of("GET", f"/requests?reference={reference}")
        found = found["requests"] if isinstance(found, dict) else found
        return dict(collections.Counter(one["gateway"] for one in found))

    def end(self):
        for process in filter(None, [self.process, *self.others]):
            process.terminate()
            process.wait(PATIENCE_S)


def check(what, found, expected):
    """A step that must come true."""
    if found != expected:
        raise AssertionError(f"{what}: expected {expected}, found {found}")
    print(f"    {what}", flush=True)


def story(scene):
    """What must hold behind any control plane."""
    check("a payment goes to the primary", (scene.pay("ONE"), scene.received("ONE")), ((200, "primary", None), {"primary": 1}))
    check("its repeat is a replay", (scene.pay("ONE")[0], scene.received("ONE")), (200, {"primary": 1}))
    if not scene.setting.is_plain:
        status, _, _ = scene.pay("STRANGER", who=scene.setting.stranger)
        check("a stranger is refused, and nothing is sent", (status in (401, 403), scene.received("STRANGER")), (True, {}))
        status, _, _ = scene.pay("OTHER", partner="PARTNER-2")
        check("nobody pays for another partner", (status, scene.received("OTHER")), (403, {}))
    check("operators are asked for a token", scene.ask("operators", None, "GET", "/status", is_plain=True)[0], 401)
    scene.control_of("POST", "/gateways/primary/fault", {"fault": "reset", "executes": True, "reference": "DOUBT"})
    check("a payment in doubt is sent nowhere else", (scene.pay("DOUBT")[::2], scene.received("DOUBT")), ((504, "unknown"), {"primary": 1}))
    scene.control_of("POST", "/gateways/primary/fault", {"fault": "refuse"})
    check("while the primary refuses, the secondary gets it in the same request",
          (scene.pay("MOVED"), scene.received("MOVED")), ((200, "secondary", None), {"secondary": 1}))
    check("and its repeat is a replay", (scene.pay("MOVED")[0], scene.received("MOVED")), (200, {"secondary": 1}))
    check("told to leave, it says so to the probe, and takes it back", [scene.ready_after("fail"), scene.ready_after("ok")], [503, 200])
    check("metrics have labels", 'operation="create-order"' in scene.metrics(), True)
    check("charged at both", scene.control_of("GET", "/ledger?limit=0")["charged_at_both"], 0)


def restart(scene):
    """The recipe for a restart: claims in memory are gone with the process, those in an etcd are not."""
    scene.stop()
    scene.control_of("DELETE", "/gateways/primary/fault")
    scene.start()
    check("after a restart payments go on", scene.pay("AFTER")[:2], (200, "primary"))
    if scene.setting.name == "etcd":
        # Its answer was in the memory of the Envoy before: it is asked for where the payment is, and nowhere else.
        check("and what was paid before is known", (scene.pay("MOVED")[:2], list(scene.received("MOVED"))), ((200, "secondary"), ["secondary"]))
        scene.pay("DOUBT")
        check("and what was in doubt is sent nowhere else", list(scene.received("DOUBT")), ["primary"])


def main():
    envoy, sandbox, modules, *names = sys.argv[1:]
    for name in names or SETTINGS:
        print(f"{name}:", flush=True)
        with tempfile.TemporaryDirectory() as folder:
            scene = Scene(SETTINGS[name], envoy, sandbox, modules, pathlib.Path(folder))
            try:
                scene.start()
                story(scene)
                restart(scene)
            except AssertionError as error:
                print(f"failed: {name}: {error}", file=sys.stderr)
                with open(scene.folder / "envoy.log", encoding="utf-8") as log:
                    print("".join(log.readlines()[-20:]), file=sys.stderr)
                return 1
            finally:
                scene.end()
    return 0


if __name__ == "__main__":
    sys.exit(main())
