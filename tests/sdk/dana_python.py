"""DANA's Python SDK as a merchant would use it, pointed at Envoy.

    dana_python.py keys PRIVATE.pem PUBLIC.pem    make a key pair
    dana_python.py story PRIVATE.pem ADDRESS      run the calls; the last line is JSON
"""

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


class Merchant:
    ID = "216620010016033632482"

    def __init__(self, private_path, address):
        from dana.api_client import ApiClient
        from dana.disbursement.v1.api import DisbursementApi
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
        self.payments = PaymentGatewayApi(client)
        self.disbursement = DisbursementApi(client)

    def order(self, reference, amount="10000.00"):
        from dana.payment_gateway.v1.models import CreateOrderByRedirectRequest

        valid = time.strftime("%Y-%m-%dT%H:%M:%S+07:00", time.gmtime(time.time() + 7 * 3600 + 1200))
        return CreateOrderByRedirectRequest.from_dict(
            {
                "merchantId": self.ID,
                "partnerReferenceNo": reference,
                "amount": {"value": amount, "currency": "IDR"},
                "externalStoreId": "store-1",
                "validUpTo": valid,
                "urlParams": [
                    {"url": "https://merchant.example.id/r", "type": "PAY_RETURN", "isDeeplink": "N"},
                    {"url": "https://merchant.example.id/n", "type": "NOTIFICATION", "isDeeplink": "N"},
                ],
                "additionalInfo": {
                    "mcc": "5732",
                    "envInfo": {
                        "sourcePlatform": "IPG",
                        "terminalType": "SYSTEM",
                        "orderTerminalType": "WEB",
                    },
                    "order": {
                        "orderTitle": "Kopi susu \u00e9",
                        "merchantTransType": "SPECIAL_MOVIE",
                        "scenario": "REDIRECT",
                    },
                },
            }
        )

    def create(self, request):
        return self.payments.create_order(request)

    def query(self, reference):
        from dana.payment_gateway.v1.models import QueryPaymentRequest

        body = {
            "originalPartnerReferenceNo": reference,
            "serviceCode": "54",
            "merchantId": self.ID,
        }
        return self.payments.query_payment(QueryPaymentRequest.from_dict(body))

    def cancel(self, reference):
        from dana.payment_gateway.v1.models import CancelOrderRequest

        body = {"originalPartnerReferenceNo": reference, "merchantId": self.ID, "reason": "test"}
        return self.payments.cancel_order(CancelOrderRequest.from_dict(body))

    def refund(self, reference):
        from dana.payment_gateway.v1.models import RefundOrderRequest

        body = {
            "merchantId": self.ID,
            "originalPartnerReferenceNo": reference,
            "partnerRefundNo": reference + "-R1",
            "refundAmount": {"value": "10000.00", "currency": "IDR"},
            "reason": "test",
        }
        return self.payments.refund_order(RefundOrderRequest.from_dict(body))

    def top_up(self, reference):
        from dana.disbursement.v1.models import TransferToDanaRequest

        body = {
            "partnerReferenceNo": reference,
            "customerNumber": "62811742234",
            "amount": {"value": "1.00", "currency": "IDR"},
            "feeAmount": {"value": "1.00", "currency": "IDR"},
            "additionalInfo": {"fundType": "AGENT_TOPUP_FOR_USER_SETTLE"},
        }
        return self.disbursement.transfer_to_dana(TransferToDanaRequest.from_dict(body))


def story(private_path, address):
    from dana.exceptions import NotFoundException

    merchant = Merchant(private_path, address)
    stamp = str(int(time.time() * 1000))
    paid, cancelled, topped = "SDK-PAID-" + stamp, "SDK-CANCELLED-" + stamp, "SDK-TOPUP-" + stamp
    first = merchant.create(merchant.order(paid))
    time.sleep(1.1)  # the SDK's time stamp and signature differ from one second to the next
    again = merchant.create(merchant.order(paid))
    try:
        merchant.create(merchant.order(paid, "20000.00"))
        mismatch = None
    except NotFoundException as error:
        mismatch = [error.status, json.loads(error.body)["responseCode"]]
    query = merchant.query(paid)
    refund = merchant.refund(paid)
    merchant.create(merchant.order(cancelled))
    cancel = merchant.cancel(cancelled)
    topup, topup_again = merchant.top_up(topped), merchant.top_up(topped)
    print(
        json.dumps(
            {
                "create": paid,
                "create_again_equal": first.to_dict() == again.to_dict(),
                "topup_again_equal": topup.to_dict() == topup_again.to_dict(),
                "query_status": query.latest_transaction_status,
                "refund_code": refund.response_code,
                "cancel_code": cancel.response_code,
                "mismatch": mismatch,
            }
        )
    )


if __name__ == "__main__":
    command, *arguments = sys.argv[1:]
    {"keys": make_keys, "story": story}[command](*arguments)
