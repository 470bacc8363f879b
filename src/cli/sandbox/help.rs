//! What the control API says at `GET /`, and the end of `--help`.

/// No line is longer than 100 columns: clap would wrap it.
pub(super) const TEXT: &str = r#"Stand-in gateways answer DANA's SNAP operations.
They do what a healthy gateway does until the control API tells them to go wrong:

  GET    /                        this text
  POST   /gateways/{name}/fault   put a fault in force (JSON, see below)
  GET    /gateways/{name}/fault   the faults in force
  DELETE /gateways/{name}/fault   end them; so does {"fault":"none"}
  POST   /gateways/{name}/notify  notify the merchant of a payment (JSON, see below)
  GET    /ledger                  every executed payment, joined over the gateways
                                  ?format=text ?reference=REF ?limit=N (0: totals only)
  GET    /requests                the last 10,000 requests of each gateway, in order of arrival
                                  ?gateway=NAME ?reference=REF ?since=SEQ (only later ones)
  GET    /stats                   requests, heartbeats, connections, faults served; requests that
                                  are open now, and the most that were at once
  DELETE /stats                   count anew
  POST   /reset                   forget payments, requests and counts; end all faults

A fault is {"fault":KIND} and, where wanted, any of
  "count":N          only the next N requests; otherwise until healed
  "every":N          of N requests only the last one
  "operation":NAME   only this operation, e.g. create-order
  "reference":REF    only the payment with this reference, and cancels, refunds and inquiries of it;
                     with * at its end all whose references begin so
  "executes":BOOL    whether the payment is made although the answer is bad
  "delay_ms":N       wait before answering
  "heartbeats":BOOL  hurt GET requests too, which are left alone otherwise
Faults for one payment, for one operation, for both and for all can be in force together; the
narrowest one that fits hurts, one payment before one operation. A new fault takes the place of one
with the same operation and reference, and {"fault":"none"} with any of them ends those alone.

KIND             what the client sees                                    executes
  refuse           connection refused, open connections dropped            no
  hang             no answer, ever                                         yes
  slow             the right answer after delay_ms                         yes
  reset            TCP RST after the whole request was read                yes
  close            TCP FIN after the whole request was read                yes
  garbage          bytes that are not HTTP                                 yes
  truncate         a full head, half of the body, then FIN                 yes
  empty            200 with an empty body                                  yes
  html             a page of a middlebox; "status", default 502            no
  code             a SNAP code; "code":"5005401", or "500xx01" for the     202, 504 and
                   service of whichever operation is asked for             5xx..01 only
  raw              "status" and "body" as given                            no
  wrong-reference  a success that names another payment                    yes
  compressed       the right answer in gzip, whatever was accepted         yes
  trap             the right answer with the header x-trap: 1              yes
  tell             a status inquiry that says "says": executed, pending,   no
                   refunded, cancelled, failed or not-found, whatever
                   the ledger knows; needs "operation", e.g. order-status

A notification is {"reference":REF,"to":"http://HOST:PORT"} and, where wanted, any of
  "status":TEXT      what it says: 00 is paid, 05 is closed without payment; default 00
  "times":N          so often, one after the other
  "forge":KIND       wrong-key, other-key, old, ahead, body, path, unsigned, untimed, cut, not-base64
The answer has what was answered to each. It is signed as DANA signs, with a key of the sandbox;
envoy/notify.yaml has the public ones. With --notify each executed order and transfer is notified.

Operations: create-order, order-status, cancel-order, refund-order, topup, topup-status,
transfer-bank, transfer-bank-status, consult-pay, balance-inquiry, account-inquiry,
bank-account-inquiry, apply-token, apply-ott, unbind.

Examples:
  curl -X POST localhost:18080/gateways/primary/fault -d '{"fault":"refuse"}'
  curl -X POST localhost:18080/gateways/primary/fault \
       -d '{"fault":"code","code":"500xx01","operation":"create-order","count":1}'
  curl -X POST localhost:18080/gateways/secondary/fault -d '{"fault":"slow","delay_ms":9000}'
  curl -X POST localhost:18080/gateways/primary/fault \
       -d '{"fault":"tell","says":"not-found","operation":"order-status",
            "reference":"order-1","count":1}'
  curl -X DELETE localhost:18080/gateways/primary/fault
  curl 'localhost:18080/ledger?format=text'
  curl -X POST localhost:18081/payment-gateway/v1.0/debit/payment-host-to-host.htm \
       -H 'content-type: application/json' -H 'x-partner-id: partner-1' \
       -d '{"merchantId":"m-1","partnerReferenceNo":"order-1",
            "amount":{"value":"10000.00","currency":"IDR"}}'

In the ledger's answer, executed_at_both counts the orders, top-ups, transfers and refunds that
stand at more than one gateway; charged_at_both counts those of them that are not cancelled at
more than one. With --ledger shared a payment is executed once whichever gateway it comes to.

DANA's documented test values work too: a cancel of the order "5005701" is answered with that
code, a refund of 505801.00 with 5005801, a top-up to 628551005454 only after 30 seconds, ...
"#;
