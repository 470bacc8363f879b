// Requests as DANA's SDKs send them, from the first byte to the access log, and what gateways answer.

export const CONFIGURATION = {
  gateways: [
    { name: "primary", cluster: "dana_primary" },
    { name: "secondary", cluster: "dana_secondary" },
  ],
  composites: [
    { members: ["primary", "secondary"], cluster: "dana_primary_first" },
    { members: ["secondary", "primary"], cluster: "dana_secondary_first" },
  ],
};

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
export const STORIES = [
  { name: "a first payment", path: CREATE, body: ORDER, answer: PAID, isNew: true },
  { name: "a first payment with its entry", path: CREATE, body: ORDER, answer: PAID, isNew: true, audit: {} },
  { name: "a replay", path: CREATE, body: ORDER },
  { name: "a status", path: STATUS, body: ABOUT, answer: FOUND },
];

const ID = Buffer.from("6f1c7c3e-9a31-4d1e-8a55-0e2f9d1b7c11");
const BEFORE = new Map([["request\0id", ID]]);
const AFTER = new Map([
  ...BEFORE,
  ["source\0address", Buffer.from("10.2.3.4:45622")],
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
export function tell(host, story) {
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
