#!/usr/bin/env python3
"""The manifests' Envoy configuration, as the assemble scripts make it, on a real Envoy.

    smoke.py ENVOY SANDBOX MODULES [NAME...]

ENVOY is its program, SANDBOX the command line tool, MODULES the folder of the modules. NAME is egress-gateway, sidecar
or envoy-gateway; without one all are tried. Each is paid over mutual TLS: a payment, its replay, failover within the
request, a doubt that stays, and what a restart forgets; strangers get nothing. There is no cluster: what istiod and
Envoy Gateway would send is modelled in the assemble scripts.
"""

import collections
import contextlib
import http.client
import json
import os
import pathlib
import shutil
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
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


class Gateway:
    """TLS before a stand-in gateway. It wants a client certificate of the gateways' authority."""

    def __init__(self, name, certificates, behind):
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(certificates / f"{name}.pem", certificates / f"{name}.key")
        self.context.load_verify_locations(certificates / "gateway_ca.pem")
        self.context.verify_mode = ssl.CERT_REQUIRED
        self.behind, self.connections = behind, []
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self._accept, args=(self.listener,), daemon=True).start()

    def _accept(self, listener):
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client):
        try:
            client = self.context.wrap_socket(client, server_side=True)
            server = socket.create_connection(("127.0.0.1", self.behind))
        except OSError:
            client.close()
            return
        self.connections += [client, server]
        threading.Thread(target=hand_on, args=(server, client), daemon=True).start()
        hand_on(client, server)

    def close(self):
        """From now on connections are refused, and those that are open end."""
        # A thread that waits in accept keeps a closed listener open.
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        for connection in self.connections:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)


def hand_on(of, to):
    """Hands bytes on until one side ends."""
    with contextlib.suppress(OSError):
        while data := of.recv(65536):
            to.sendall(data)
    for side in (of, to):
        with contextlib.suppress(OSError):
            side.shutdown(socket.SHUT_RDWR)


def free_ports(many):
    """Ports that nobody listens on."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(many)]
        return [one.getsockname()[1] for one in sockets]


class Scene:
    """A set of manifests on an Envoy, before two gateways."""

    def __init__(self, setting, envoy, sandbox, modules, folder):
        self.setting, self.envoy, self.folder = setting, envoy, folder
        self.certificates, self.mesh = folder / "gateways", folder / "mesh"
        subprocess.run([ROOT / "envoy" / "certs.sh", self.certificates], check=True, capture_output=True)
        make_mesh(self.mesh)
        self.port = dict(zip(PORTS, free_ports(len(PORTS))))
        first, second, self.control = free_ports(3)
        self.sandbox = subprocess.Popen([sandbox, "sandbox", "--quiet", "--control", f"127.0.0.1:{self.control}", "--gateway",
                                         f"primary=127.0.0.1:{first}", "--gateway", f"secondary=127.0.0.1:{second}"],
                                        stdout=subprocess.DEVNULL)
        self.gateways = {"primary": Gateway("primary", self.certificates, first), "secondary": Gateway("secondary", self.certificates, second)}
        self.place_files(modules)
        self.config = folder / "envoy.yaml"
        self.config.write_text(self.assembled())
        self.process = None

    def place_files(self, modules):
        """What the pod would have mounted."""
        root = self.folder / "root"
        for place in ("etc/dana/wasm", "etc/dana/sds", "etc/dana/client", "var/lib/dana", "var/run/dana"):
            (root / place).mkdir(parents=True)
        for name in ("dana_failover.wasm", "dana_failover_operators.wasm"):
            shutil.copy(pathlib.Path(modules) / name, root / "etc/dana/wasm" / name)
        for name, source in [("tls.crt", "client.pem"), ("tls.key", "client.key"), ("ca.crt", "gateway_ca.pem")]:
            shutil.copy(self.certificates / source, root / "etc/dana/client" / name)
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
        for name, gateway in self.gateways.items():
            words += ["--gateway", f"{name}.dana.example=127.0.0.1:{gateway.port}"]
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

    def metrics(self):
        port = self.port["eg-admin" if self.setting.name == "envoy-gateway" else "admin"]
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/stats/prometheus", timeout=10) as answer:
            return answer.read().decode()

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
        for process in (self.process, self.sandbox):
            if process:
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
    scene.gateways["primary"].close()
    check("while the primary refuses, the secondary gets it in the same request",
          (scene.pay("MOVED"), scene.received("MOVED")), ((200, "secondary", None), {"secondary": 1}))
    check("and its repeat is a replay", (scene.pay("MOVED")[0], scene.received("MOVED")), (200, {"secondary": 1}))
    check("metrics have labels", 'operation="create-order"' in scene.metrics(), True)
    check("charged at both", scene.control_of("GET", "/ledger?limit=0")["charged_at_both"], 0)


def restart(scene):
    """The recipe for a restart: with claims in memory the next process says that it does not know what was before."""
    scene.stop()
    port = scene.gateways["primary"].behind
    scene.gateways["primary"] = Gateway("primary", scene.certificates, port)
    scene.config.write_text(scene.assembled())
    scene.start()
    check("after a restart payments go on", scene.pay("AFTER")[:2], (200, "primary"))


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
