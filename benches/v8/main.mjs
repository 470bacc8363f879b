// Where the payments' module spends its own time, by part and by function: the module in V8, which Envoy
// runs it in too, over a host in memory. What the host does is left out.
//
//   node benches/v8/main.mjs MODULE [--requests 20000] [--json]
//
// MODULE has its names: `make hot` builds it so. Times are of this machine; compare shares.

import inspector from "node:inspector";
import { Host } from "./host.mjs";

const CONFIGURATION = {
  gateways: [
    { name: "primary", cluster: "dana_primary" },
    { name: "secondary", cluster: "dana_secondary" },
  ],
  composites: [
    { members: ["primary", "secondary"], cluster: "dana_primary_first" },
    { members: ["secondary", "primary"], cluster: "dana_secondary_first" },
  ],
  timeouts: { response_ms: 10000, inquiry_ms: 8000, route_ms: 10000 },
};

/** Parts of the module, and the functions that are theirs; the first that fits. */
const PARTS = [
  ["allocation", /dlmalloc|__rust_|__rdl_|__rustc|raw_vec|box_new/],
  ["SHA-256", /sha2|digest|block_buffer/],
  ["JSON", /serde|engine::json/],
  ["texts and maps", /core::fmt|alloc::string|core::str|core::num|alloc::str|btree|alloc::fmt|itoa/],
  ["records and kept answers", /store::(record|alias|kept_answer|local::bucket)/],
  ["store, and the way to it", /engine::(store|machine)/],
  ["health", /engine::health/],
  ["time", /engine::time/],
  ["what a payment is, and what is done", /engine::/],
  ["filter: calls, header fields, metrics", /filter::|proxy_on|malloc/],
  ["the rest", /./],
];

const FIRST = 12;

const ORDER = (reference) =>
  JSON.stringify({
    additionalInfo: {
      mcc: "5732",
      envInfo: { sourcePlatform: "IPG", terminalType: "SYSTEM", orderTerminalType: "WEB" },
      order: { orderTitle: "Kopi susu", scenario: "REDIRECT" },
    },
    partnerReferenceNo: reference,
    merchantId: "216620010016033632482",
    amount: { value: "10000.00", currency: "IDR" },
    externalStoreId: "store-1",
    validUpTo: "2026-11-22T23:43:04+07:00",
    urlParams: [
      { url: "https://merchant.example.id/ret", type: "PAY_RETURN", isDeeplink: "N" },
      { url: "https://merchant.example.id/notify", type: "NOTIFICATION", isDeeplink: "N" },
    ],
  });
const ABOUT = (reference) =>
  JSON.stringify({ merchantId: "216620010016033632482", originalPartnerReferenceNo: reference, serviceCode: "54" });
const PAID = (reference) =>
  JSON.stringify({
    responseCode: "2005400",
    responseMessage: "Successful",
    referenceNo: "20261129111212800100166000000000001",
    partnerReferenceNo: reference,
    webRedirectUrl: `https://m.sandbox.dana.id/n/cashier/new/checkout?bizNo=1&sign=${"RGqaG3IB".repeat(16)}`,
  });
const FOUND = (reference) =>
  JSON.stringify({
    responseCode: "2005500",
    responseMessage: "Successful",
    originalPartnerReferenceNo: reference,
    latestTransactionStatus: "00",
  });

const CREATE = "/payment-gateway/v1.0/debit/payment-host-to-host.htm";
const STATUS = "/payment-gateway/v1.0/debit/status.htm";

/** Kinds of requests: where they go, what they say, and what the gateway says if it is asked. */
const STORIES = [
  { name: "a first payment", path: CREATE, body: ORDER, answer: PAID, isNew: true },
  { name: "a replay", path: CREATE, body: ORDER },
  { name: "a status", path: STATUS, body: ABOUT, answer: FOUND },
];

const ID = Buffer.from("6f1c7c3e-9a31-4d1e-8a55-0e2f9d1b7c11");
const BEFORE = new Map([["request\0id", ID]]);
const AFTER = new Map([
  ...BEFORE,
  ["response\0code_details", Buffer.from("via_upstream")],
  ["response\0flags", Buffer.alloc(8)],
  ["upstream\0local_address", Buffer.from("127.0.0.1:40000")],
  ["xds\0upstream_host_metadata\0filter_metadata\0dana.failover\0gateway", Buffer.from("primary")],
]);

const fields = (path, reference, size) => [
  [":method", "POST"],
  [":path", path],
  [":scheme", "https"],
  [":authority", "api.sandbox.dana.id"],
  ["content-type", "application/json"],
  ["x-timestamp", "2026-11-22T23:17:39+07:00"],
  ["x-signature", "RGqaG3IBjAux7feTv8AdOmHYhLMf3nKTXg1UYxV7diE/".repeat(8).slice(0, 344)],
  ["origin", "https://merchant.example.id"],
  ["x-partner-id", "2025021312345678901234"],
  ["x-external-id", `sdk-${reference}`],
  ["channel-id", "95221"],
  ["accept", "*/*"],
  ["user-agent", "node"],
  ["accept-encoding", "gzip, deflate"],
  ["content-length", String(size)],
  ["x-request-id", String(ID)],
];

let context = 1;
let payments = 0;

/** One request from its first byte to the access log. */
function tell(host, story) {
  payments += story.isNew ? 1 : 0;
  const reference = `V8${String(payments).padStart(18, "0")}`;
  const body = story.body(reference);
  context += 1;
  const { exports } = host;
  host.tell("request", fields(story.path, reference, body.length), body);
  host.properties = BEFORE;
  host.replied = 0;
  exports.proxy_on_context_create(context, 1);
  exports.proxy_on_request_headers(context, 16, 0);
  const isSent = exports.proxy_on_request_body(context, body.length, 1) === 0;
  if (isSent !== (story.answer !== undefined)) {
    throw new Error(`${story.name}: sent ${isSent}, replied ${host.replied}`);
  }
  if (isSent) {
    const answer = story.answer(reference);
    const head = [
      [":status", "200"],
      ["content-type", "application/json"],
      ["content-length", String(answer.length)],
      ["x-envoy-upstream-service-time", "3"],
    ];
    host.tell("response", head, answer);
    host.properties = AFTER;
    exports.proxy_on_response_headers(context, head.length, 0);
    if (exports.proxy_on_response_body(context, answer.length, 1) !== 0) {
      throw new Error(`${story.name}: the answer was replaced by ${host.replied}`);
    }
  }
  exports.proxy_on_log(context);
  exports.proxy_on_delete(context);
}

function post(session, method, parameters) {
  let result;
  session.post(method, parameters, (error, value) => {
    if (error) {
      throw error;
    }
    result = value;
  });
  return result;
}

/** Microseconds for each function of the module, while `work` runs. */
function profiled(work) {
  const session = new inspector.Session();
  session.connect();
  post(session, "Profiler.enable");
  post(session, "Profiler.setSamplingInterval", { interval: 50 });
  post(session, "Profiler.start");
  work();
  const { profile } = post(session, "Profiler.stop");
  session.disconnect();
  const frames = new Map(profile.nodes.map((node) => [node.id, node.callFrame]));
  const spent = new Map();
  profile.samples.forEach((id, at) => {
    const { functionName, url } = frames.get(id);
    if (url.startsWith("wasm://") && !functionName.startsWith("wasm-to-js")) {
      const name = readable(functionName);
      spent.set(name, (spent.get(name) ?? 0) + profile.timeDeltas[at]);
    }
  });
  return spent;
}

/** The path in a mangled name of Rust's older form; of the newer form, its identifiers. */
function readable(name) {
  if (name.startsWith("_R")) {
    return [...name.matchAll(/\d+_?([a-zA-Z_][a-zA-Z0-9_]*)/g)].map(([, part]) => part).join("::");
  }
  if (!name.startsWith("_ZN")) {
    return name;
  }
  const parts = [];
  let rest = name.slice(3);
  for (let size = parseInt(rest, 10); size > 0; size = parseInt(rest, 10)) {
    const digits = String(size).length;
    parts.push(rest.slice(digits, digits + size));
    rest = rest.slice(digits + size);
  }
  const signs = { LT: "<", GT: ">", RF: "&", C: ",", u20: " ", u7b: "{", u7d: "}", BP: "*" };
  const path = parts.filter((part) => !/^h[0-9a-f]{16}$/.test(part)).join("::");
  return path.replace(/\$(\w+?)\$/g, (_, sign) => signs[sign] ?? sign).replaceAll("..", "::").replace(/^_</, "<");
}

function report(story, requests, host) {
  host.calls.clear();
  const spent = profiled(() => repeat(host, story, requests));
  const each = (time) => time / requests;
  const parts = PARTS.map(([part]) => ({ part, us: 0 }));
  for (const [name, time] of spent) {
    parts[PARTS.findIndex(([, fits]) => fits.test(name))].us += each(time);
  }
  const functions = [...spent].map(([name, time]) => ({ name, us: each(time) }));
  functions.sort((one, other) => other.us - one.us);
  const calls = [...host.calls].map(([name, many]) => ({ name, each: many / requests }));
  const us = functions.reduce((sum, one) => sum + one.us, 0);
  return { name: story.name, us, parts, functions: functions.slice(0, FIRST), calls };
}

function repeat(host, story, times) {
  for (let number = 0; number < times; number += 1) {
    tell(host, story);
  }
}

function print({ name, us, parts, functions, calls }) {
  const gives = calls.filter((call) => call.name.startsWith("get_") && !call.name.includes("time"));
  const sum = (some) => some.reduce((total, call) => total + call.each, 0);
  const all = sum(calls);
  console.log(`\n${name}: ${us.toFixed(1)} us in the module, and ${all.toFixed(1)} calls of its host, of which ` +
    `${sum(gives).toFixed(1)} hand bytes over`);
  const share = (time) => `${((100 * time) / us).toFixed(1).padStart(7)} %`;
  for (const { part, us: time } of parts.sort((one, other) => other.us - one.us)) {
    console.log(`${time.toFixed(2).padStart(9)} us${share(time)}  ${part}`);
  }
  console.log("  the functions that take most of it:");
  for (const { name: full, us: time } of functions) {
    console.log(`${time.toFixed(2).padStart(9)} us${share(time)}  ${full.slice(0, 100)}`);
  }
}

const [module, ...options] = process.argv.slice(2);
const given = options.indexOf("--requests");
const requests = given < 0 ? 20_000 : Number(options[given + 1]);
if (module === undefined || !(requests > 0)) {
  console.error("expected node benches/v8/main.mjs MODULE [--requests NUMBER] [--json]");
  process.exit(2);
}
const host = new Host(module, CONFIGURATION);
for (let ticks = 0; ticks < 40; ticks += 1) {
  host.tick();
}
const reports = STORIES.map((story) => {
  console.error(`${story.name}: ${requests} to warm up, ${requests} counted`);
  // V8 compiles anew what is used much.
  repeat(host, story, requests);
  return report(story, requests, host);
});
if (options.includes("--json")) {
  console.log(JSON.stringify(reports));
} else {
  reports.forEach(print);
}
