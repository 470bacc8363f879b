// DANA's Node SDK as a merchant, who is told by lines of JSON what to call.
//
//     dana_node.js serve PRIVATE.pem ADDRESS      make the calls, by way of Envoy at ADDRESS
//     dana_node.js webhook PUBLIC.pem             parse one notification
//
// Lines in and out are those of dana_python.py.

"use strict";

const { readFileSync } = require("node:fs");
const { createInterface } = require("node:readline");
const { isDeepStrictEqual } = require("node:util");

// What the SDK reads its settings with would advertise itself on stdout.
process.env.DOTENV_CONFIG_QUIET = "true";
const { Dana, ResponseError } = require("dana-node");
const { WebhookParser } = require("dana-node/webhook/v1");

function calls(privatePath, address) {
  const dana = new Dana({
    partnerId: "2025021312345678901234",
    privateKey: readFileSync(privatePath, "utf8"),
    origin: "https://merchant.example.id",
    env: "sandbox",
  });
  const [payments, disbursements] = [dana.paymentGatewayApi, dana.disbursementApi];
  for (const api of [payments, disbursements]) {
    // There is no option for it.
    api.configuration.configuration.basePath = `http://${address}`;
  }
  return {
    "create-order": (request) => payments.createOrder(request),
    "order-status": (request) => payments.queryPayment(request),
    "cancel-order": (request) => payments.cancelOrder(request),
    "refund-order": (request) => payments.refundOrder(request),
    "topup": (request) => disbursements.transferToDana(request),
    "topup-status": (request) => disbursements.transferToDanaInquiryStatus(request),
    "transfer-bank": (request) => disbursements.transferToBank(request),
    "transfer-bank-status": (request) => disbursements.transferToBankInquiryStatus(request),
  };
}

function validUpTo() {
  const inTwentyMinutes = new Date(Date.now() + (7 * 3600 + 1200) * 1000);
  return inTwentyMinutes.toISOString().replace(/\.\d+Z$/, "+07:00");
}

async function serve(privatePath, address) {
  const known = calls(privatePath, address);
  const returned = new Map();
  for await (const line of createInterface({ input: process.stdin })) {
    const { call, request } = JSON.parse(line);
    const place = `${call} ${request.partnerReferenceNo ?? request.originalPartnerReferenceNo}`;
    if (call === "create-order") {
      request.validUpTo = validUpTo();
    }
    let told;
    try {
      const value = await known[call](request);
      const equal = returned.has(place) ? isDeepStrictEqual(returned.get(place), value) : null;
      told = { value, equal };
      returned.set(place, value);
    } catch (error) {
      if (!(error instanceof ResponseError)) {
        throw error;
      }
      told = { error: error.name, status: error.status, body: error.rawResponse };
    }
    process.stdout.write(`${JSON.stringify(told)}\n`);
  }
}

// Parses one notification, as it reached the merchant's application.
async function webhook(publicPath) {
  let text = "";
  for await (const line of createInterface({ input: process.stdin })) {
    text += line;
  }
  const { method, path, headers, body } = JSON.parse(text);
  let told;
  try {
    const parser = new WebhookParser(undefined, publicPath);
    told = { value: parser.parseWebhook(method, path, headers, body) };
  } catch (error) {
    told = { error: error.message };
  }
  process.stdout.write(`${JSON.stringify(told)}\n`);
}

const [command, ...words] = process.argv.slice(2);
const commands = { serve, webhook };
if (!(command in commands)) {
  throw new Error("dana_node.js serve PRIVATE.pem ADDRESS | webhook PUBLIC.pem");
}
commands[command](...words);
