//! How a gateway treats a payment request: DANA's rules on top of the ledger.

use super::ask::{Ask, inquired, namespace};
use super::key::Key;
use super::ledger::{Ledger, Posting, Receipt, Site, State};
use super::money::Money;
use super::operations::{Namespace, Operation};
use super::refusal::Refusal;

/// What a gateway found or did for a request it took.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Settled {
    /// The payment the answer is about; operations without one have none.
    pub(super) receipt: Option<Receipt>,
    /// The number of the order that was cancelled or refunded.
    pub(super) original: Option<String>,
    /// Whether this very request moved money, and not an earlier copy.
    pub(super) executed: bool,
}

impl Settled {
    fn found(receipt: Option<Receipt>) -> Self {
        Self { receipt, original: None, executed: false }
    }
}

/// Does what a request asks for. Money operations are idempotent by their key.
pub(super) fn settle(
    ledger: &mut Ledger,
    ask: &Ask,
    site: Site,
    state: State,
) -> Result<Settled, Refusal> {
    match ask.operation {
        Operation::CreateOrder | Operation::Topup | Operation::TransferBank => {
            pay(ledger, ask, site, state)
        }
        Operation::CancelOrder => cancel(ledger, ask, site, state),
        Operation::RefundOrder => refund(ledger, ask, site, state),
        Operation::OrderStatus | Operation::TopupStatus | Operation::TransferBankStatus => {
            inquire(ledger, ask)
        }
        Operation::ConsultPay
        | Operation::BalanceInquiry
        | Operation::AccountInquiry
        | Operation::BankAccountInquiry
        | Operation::ApplyB2bToken
        | Operation::ApplyToken
        | Operation::ApplyOtt
        | Operation::Unbind => Ok(Settled::found(None)),
    }
}

/// Notes a request that reached the gateway and was not executed, if its payment is known.
pub(super) fn note_unexecuted(ledger: &mut Ledger, ask: &Ask, site: Site) {
    if let Some(namespace) = namespace(ask.operation) {
        ledger.count_unexecuted(&ask.key(namespace), site);
    }
}

fn pay(ledger: &mut Ledger, ask: &Ask, site: Site, state: State) -> Result<Settled, Refusal> {
    let (Some(namespace), Some(money)) = (namespace(ask.operation), &ask.money) else {
        return Err(Refusal::Missing("amount"));
    };
    let mut key = ask.key(namespace);
    if key.reference.is_empty() {
        // Nothing identifies it, so nothing can make it idempotent: each copy is a new transfer.
        key.reference = format!("unnamed-{}", ledger.len() + 1);
    }
    post(ledger, &key, money, site, state)
}

fn cancel(ledger: &mut Ledger, ask: &Ask, site: Site, state: State) -> Result<Settled, Refusal> {
    let order_key = ask.key(Namespace::Order);
    let order = ledger.find(&order_key).ok_or(Refusal::NotFound)?;
    let money = ask.money.clone().unwrap_or(order.money);
    let settled = post(ledger, &ask.key(Namespace::Cancel), &money, site, state)?;
    ledger.cancel(&order_key);
    Ok(Settled { original: Some(order.reference_no), ..settled })
}

fn refund(ledger: &mut Ledger, ask: &Ask, site: Site, state: State) -> Result<Settled, Refusal> {
    let order_key = ask.key(Namespace::Order);
    let order = ledger.find(&order_key).ok_or(Refusal::NotFound)?;
    let money = ask.money.as_ref().ok_or(Refusal::Missing("refundAmount"))?;
    let units = money.minor_units().ok_or(Refusal::Malformed("refundAmount"))?;
    let key = ask.key(Namespace::Refund);
    if ledger.find(&key).is_none() {
        if order.state == State::Cancelled {
            return Err(Refusal::InvalidStatus);
        }
        let left = order.money.minor_units().unwrap_or(0).saturating_sub(order.refunded);
        // DANA's magic amounts are larger than any order they are tried on.
        if units > left && state != State::Paying {
            return Err(Refusal::InvalidAmount);
        }
    }
    let settled = post(ledger, &key, money, site, state)?;
    if settled.executed {
        ledger.refund(&order_key, units);
    }
    Ok(Settled { original: Some(order.reference_no), ..settled })
}

fn inquire(ledger: &Ledger, ask: &Ask) -> Result<Settled, Refusal> {
    let namespace = inquired(ask.operation).ok_or(Refusal::NotFound)?;
    let receipt = if ask.reference.is_empty() {
        ledger.find_by_number(namespace, &ask.number)
    } else {
        ledger.find(&ask.key(namespace))
    };
    receipt.map(|receipt| Settled::found(Some(receipt))).ok_or(Refusal::NotFound)
}

fn post(
    ledger: &mut Ledger,
    key: &Key,
    money: &Money,
    site: Site,
    state: State,
) -> Result<Settled, Refusal> {
    match ledger.post(key, money, site, state) {
        Posting::Executed(receipt) => {
            Ok(Settled { receipt: Some(receipt), original: None, executed: true })
        }
        Posting::Repeated(receipt) => Ok(Settled::found(Some(receipt))),
        Posting::Inconsistent => Err(Refusal::Inconsistent),
        Posting::Full => Err(Refusal::LedgerFull),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(operation: Operation, body: &str) -> Ask {
        Ask::read(operation, "partner", body.as_bytes()).unwrap()
    }

    fn order(value: &str) -> Ask {
        let body = format!(
            r#"{{"partnerReferenceNo":"r","merchantId":"m",
                "amount":{{"value":"{value}","currency":"IDR"}}}}"#
        );
        ask(Operation::CreateOrder, &body)
    }

    fn refund(number: &str, value: &str) -> Ask {
        let body = format!(
            r#"{{"originalPartnerReferenceNo":"r","merchantId":"m","partnerRefundNo":"{number}",
                "refundAmount":{{"value":"{value}","currency":"IDR"}}}}"#
        );
        ask(Operation::RefundOrder, &body)
    }

    fn about(operation: Operation) -> Ask {
        ask(operation, r#"{"originalPartnerReferenceNo":"r","merchantId":"m"}"#)
    }

    fn run(ledger: &mut Ledger, ask: &Ask) -> Result<Settled, Refusal> {
        settle(ledger, ask, 0, State::Success)
    }

    #[test]
    fn a_repeated_order_is_executed_once_and_another_amount_is_inconsistent() {
        let mut ledger = Ledger::new(10);
        let first = run(&mut ledger, &order("10.00")).unwrap();
        let again = run(&mut ledger, &order("10.00")).unwrap();
        assert!(first.executed && !again.executed);
        assert_eq!(first.receipt.unwrap().reference_no, again.receipt.unwrap().reference_no);
        assert_eq!(run(&mut ledger, &order("11.00")), Err(Refusal::Inconsistent));
    }

    #[test]
    fn nothing_can_be_done_to_an_order_that_never_came() {
        let mut ledger = Ledger::new(10);
        for operation in [Operation::CancelOrder, Operation::OrderStatus] {
            assert_eq!(run(&mut ledger, &about(operation)), Err(Refusal::NotFound));
        }
        assert_eq!(run(&mut ledger, &refund("f", "1.00")), Err(Refusal::NotFound));
        assert_eq!(ledger.len(), 0);
    }

    #[test]
    fn a_cancelled_order_is_told_as_cancelled_and_cannot_be_refunded() {
        let mut ledger = Ledger::new(10);
        run(&mut ledger, &order("10.00")).unwrap();
        assert!(run(&mut ledger, &about(Operation::CancelOrder)).unwrap().executed);
        assert!(!run(&mut ledger, &about(Operation::CancelOrder)).unwrap().executed);
        let status = run(&mut ledger, &about(Operation::OrderStatus)).unwrap();
        assert_eq!(status.receipt.unwrap().state, State::Cancelled);
        assert_eq!(run(&mut ledger, &refund("f", "1.00")), Err(Refusal::InvalidStatus));
    }

    #[test]
    fn refunds_are_idempotent_and_never_more_than_the_order() {
        let mut ledger = Ledger::new(10);
        run(&mut ledger, &order("10.00")).unwrap();
        assert!(run(&mut ledger, &refund("f-1", "6.00")).unwrap().executed);
        assert!(!run(&mut ledger, &refund("f-1", "6.00")).unwrap().executed);
        assert_eq!(run(&mut ledger, &refund("f-1", "5.00")), Err(Refusal::Inconsistent));
        assert_eq!(run(&mut ledger, &refund("f-2", "6.00")), Err(Refusal::InvalidAmount));
        assert!(run(&mut ledger, &refund("f-2", "4.00")).unwrap().executed);
        let status = run(&mut ledger, &about(Operation::OrderStatus)).unwrap().receipt.unwrap();
        assert_eq!((status.state, status.refunded), (State::Refunded, 1_000));
    }

    #[test]
    fn a_refund_by_a_magic_amount_is_taken_though_the_order_is_smaller() {
        let mut ledger = Ledger::new(10);
        run(&mut ledger, &order("10.00")).unwrap();
        let magic = refund("f", "225800.00");
        assert!(settle(&mut ledger, &magic, 0, State::Paying).unwrap().executed);
        assert_eq!(run(&mut ledger, &refund("f-2", "1.00")), Err(Refusal::InvalidAmount));
    }

    #[test]
    fn an_unnamed_transfer_is_a_new_one_each_time() {
        let mut ledger = Ledger::new(10);
        let transfer =
            ask(Operation::TransferBank, r#"{"amount":{"value":"1.00","currency":"IDR"}}"#);
        assert!(run(&mut ledger, &transfer).unwrap().executed);
        assert!(run(&mut ledger, &transfer).unwrap().executed);
        assert_eq!(ledger.len(), 2);
    }
}
