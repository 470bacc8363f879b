"""DANA's Python SDK as a merchant, who is told by lines of JSON what to call.

    dana_python.py keys PRIVATE.pem PUBLIC.pem    make a key pair
    dana_python.py serve PRIVATE.pem ADDRESS      make the calls, by way of Envoy at ADDRESS

A line in, and the line out for it: what the SDK returned, or the error that it raised. Anything
else that is raised ends this program.

    {"call": "create-order", "request": {...}}
    {"value": {...}, "equal": null}
    {"error": "ServiceException", "status": 504, "body": {...}}

An order gets its "validUpTo" here, anew each time: that changes the body and not the payment.
"equal" tells whether the object equals, in the SDK's own terms, the one that the same call with
the same reference returned last; null when there was none.
"""

import functools
import json
import sys
import time

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa


def make_keys(private_path, public_path):
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    with open(private_path, "wb") as file:
        file.write(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        )
    with open(public_path, "wb") as file:
        file.write(
            key.public_key().public_bytes(
                serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
            )
        )


def calls(private_path, address):
    """The SDK's methods, each with the model of its request."""
    # The SDK parses and checks the key anew for each signature, which takes longer than all else.
    serialization.load_pem_private_key = functools.cache(serialization.load_pem_private_key)

    from dana.api_client import ApiClient
    from dana.disbursement.v1 import models as disbursement
    from dana.disbursement.v1.api import DisbursementApi
    from dana.payment_gateway.v1 import models as payment
    from dana.payment_gateway.v1.api import PaymentGatewayApi
    from dana.utils.snap_configuration import AuthSettings, Env, SnapConfiguration

    with open(private_path) as file:
        private_key = file.read()
    configuration = SnapConfiguration(
        api_key=AuthSettings(
            PRIVATE_KEY=private_key,
            ORIGIN="https://merchant.example.id",
            X_PARTNER_ID="2025021312345678901234",
            DANA_ENV=Env.SANDBOX,
        )
    )
    # The constructor ignores a host; the setter does not.
    configuration.host = f"http://{address}"
    client = ApiClient(configuration)
    payments, disbursements = PaymentGatewayApi(client), DisbursementApi(client)
    return {
        "create-order": (payments.create_order, payment.CreateOrderByRedirectRequest),
        "order-status": (payments.query_payment, payment.QueryPaymentRequest),
        "cancel-order": (payments.cancel_order, payment.CancelOrderRequest),
        "refund-order": (payments.refund_order, payment.RefundOrderRequest),
        "topup": (disbursements.transfer_to_dana, disbursement.TransferToDanaRequest),
        "topup-status": (
            disbursements.transfer_to_dana_inquiry_status,
            disbursement.TransferToDanaInquiryStatusRequest,
        ),
        "transfer-bank": (disbursements.transfer_to_bank, disbursement.TransferToBankRequest),
        "transfer-bank-status": (
            disbursements.transfer_to_bank_inquiry_status,
            disbursement.TransferToBankInquiryStatusRequest,
        ),
    }


def valid_up_to():
    in_twenty_minutes = time.gmtime(time.time() + 7 * 3600 + 1200)
    return time.strftime("%Y-%m-%dT%H:%M:%S+07:00", in_twenty_minutes)


def serve(private_path, address):
    from dana.exceptions import ApiException

    known, returned = calls(private_path, address), {}
    for line in sys.stdin:
        order = json.loads(line)
        (method, model), request = known[order["call"]], order["request"]
        reference = request.get("partnerReferenceNo") or request["originalPartnerReferenceNo"]
        place = (order["call"], reference)
        if order["call"] == "create-order":
            request["validUpTo"] = valid_up_to()
        try:
            value = method(model.from_dict(request))
        except ApiException as error:
            told = {
                "error": type(error).__name__,
                "status": error.status,
                "body": json.loads(error.body),
            }
        else:
            told = {
                "value": value and json.loads(value.to_json()),
                "equal": returned[place] == value if place in returned else None,
            }
            returned[place] = value
        print(json.dumps(told), flush=True)


def webhook(public_path):
    """Parses one notification, as it reached the merchant's application."""
    import os

    # Otherwise the parser takes the key of DANA's own sandbox.
    os.environ["DANA_ENV"] = "production"
    from dana.webhook import WebhookParser

    told = json.load(sys.stdin)
    parser = WebhookParser(public_key_path=public_path)
    try:
        notice = parser.parse_webhook(told["method"], told["path"], told["headers"], told["body"])
        print(json.dumps({"value": json.loads(notice.to_json())}))
    except ValueError as error:
        print(json.dumps({"error": str(error)}))


if __name__ == "__main__":
    command, *arguments = sys.argv[1:]
    {"keys": make_keys, "serve": serve, "webhook": webhook}[command](*arguments)
