//! The DANA operations the sandbox knows: their paths, names and SNAP service codes.

/// One DANA operation. The order is the order of [`TABLE`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Operation {
    CreateOrder,
    OrderStatus,
    CancelOrder,
    RefundOrder,
    Topup,
    TopupStatus,
    TransferBank,
    TransferBankStatus,
    ConsultPay,
    BalanceInquiry,
    AccountInquiry,
    BankAccountInquiry,
    ApplyB2bToken,
    ApplyToken,
    ApplyOtt,
    Unbind,
}

/// What an operation is called here, how its path ends, and its SNAP service code.
struct Row {
    operation: Operation,
    name: &'static str,
    suffix: &'static str,
    service: &'static str,
}

const fn row(
    operation: Operation,
    name: &'static str,
    suffix: &'static str,
    service: &'static str,
) -> Row {
    Row { operation, name, suffix, service }
}

/// Only the end of a path counts: the products put different prefixes before the same operation.
#[rustfmt::skip]
const TABLE: [Row; 16] = [
    row(Operation::CreateOrder, "create-order", "/debit/payment-host-to-host", "54"),
    row(Operation::OrderStatus, "order-status", "/debit/status", "55"),
    row(Operation::CancelOrder, "cancel-order", "/debit/cancel", "57"),
    row(Operation::RefundOrder, "refund-order", "/debit/refund", "58"),
    row(Operation::Topup, "topup", "/emoney/topup", "38"),
    row(Operation::TopupStatus, "topup-status", "/emoney/topup-status", "39"),
    row(Operation::TransferBank, "transfer-bank", "/emoney/transfer-bank", "43"),
    row(Operation::TransferBankStatus, "transfer-bank-status", "/emoney/transfer-bank-status",
        "00"),
    row(Operation::ConsultPay, "consult-pay", "/payment-gateway/consult-pay", "00"),
    row(Operation::BalanceInquiry, "balance-inquiry", "/balance-inquiry", "11"),
    row(Operation::AccountInquiry, "account-inquiry", "/emoney/account-inquiry", "37"),
    row(Operation::BankAccountInquiry, "bank-account-inquiry", "/emoney/bank-account-inquiry",
        "42"),
    row(Operation::ApplyB2bToken, "apply-b2b-token", "/access-token/b2b", "73"),
    row(Operation::ApplyToken, "apply-token", "/access-token/b2b2c", "74"),
    row(Operation::ApplyOtt, "apply-ott", "/qr/apply-ott", "49"),
    row(Operation::Unbind, "unbind", "/registration-account-unbinding", "09"),
];

impl Operation {
    /// The operation a request path asks for; `.htm` at the end is optional, as in DANA's products.
    pub(super) fn of_path(path: &str) -> Option<Self> {
        let path = path.strip_suffix(".htm").unwrap_or(path);
        TABLE.iter().find(|row| path.ends_with(row.suffix)).map(|row| row.operation)
    }

    /// The operation with this name, as the control API spells it.
    pub(super) fn of_name(name: &str) -> Option<Self> {
        TABLE.iter().find(|row| row.name == name).map(|row| row.operation)
    }

    /// All names, for messages that say what was expected.
    pub(super) fn names() -> String {
        TABLE.map(|row| row.name).join(", ")
    }

    pub(super) fn name(self) -> &'static str {
        self.row().map_or("", |row| row.name)
    }

    /// The two digits in the middle of every response code of this operation.
    pub(super) fn service(self) -> &'static str {
        self.row().map_or("00", |row| row.service)
    }

    fn row(self) -> Option<&'static Row> {
        TABLE.iter().find(|row| row.operation == self)
    }
}

/// What a ledger entry is about. The same reference may stand once in each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Namespace {
    Order,
    Topup,
    Transfer,
    Cancel,
    Refund,
}

impl Namespace {
    pub(super) const ALL: [Self; 5] =
        [Self::Order, Self::Topup, Self::Transfer, Self::Cancel, Self::Refund];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Order => "order",
            Self::Topup => "topup",
            Self::Transfer => "transfer",
            Self::Cancel => "cancel",
            Self::Refund => "refund",
        }
    }

    /// A cancel gives a payment up; all else moves money, and must not happen at two gateways.
    pub(super) fn moves_money(self) -> bool {
        self != Self::Cancel
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_operation_has_its_own_row() {
        for row in &TABLE {
            assert_eq!(Operation::of_path(row.suffix), Some(row.operation));
            assert_eq!(Operation::of_name(row.name), Some(row.operation));
            assert_eq!(row.operation.name(), row.name);
            assert_eq!(row.operation.service(), row.service);
        }
    }

    #[test]
    fn the_paths_of_the_sdks_are_known() {
        let cases = [
            ("/payment-gateway/v1.0/debit/payment-host-to-host.htm", Operation::CreateOrder),
            ("/rest/redirection/v1.0/debit/payment-host-to-host", Operation::CreateOrder),
            ("/rest/v1.1/debit/status", Operation::OrderStatus),
            ("/rest/v1.0/emoney/topup", Operation::Topup),
            ("/rest/v1.0/emoney/topup-status", Operation::TopupStatus),
            ("/v1.0/emoney/transfer-bank.htm", Operation::TransferBank),
            ("/v1.0/emoney/bank-account-inquiry.htm", Operation::BankAccountInquiry),
            ("/rest/v1.0/emoney/account-inquiry", Operation::AccountInquiry),
            ("/v1.0/payment-gateway/consult-pay.htm", Operation::ConsultPay),
            ("/v1.0/access-token/b2b", Operation::ApplyB2bToken),
            ("/v1.0/access-token/b2b2c.htm", Operation::ApplyToken),
        ];
        for (path, operation) in cases {
            assert_eq!(Operation::of_path(path), Some(operation), "{path}");
        }
        assert_eq!(Operation::of_path("/dana/merchant/shop/createShop.htm"), None);
        assert_eq!(Operation::of_path("/v1.0/nodebit/status2"), None);
    }
}
