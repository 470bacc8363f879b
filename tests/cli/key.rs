//! `dana-failover key`: from an order to the key that logs and lists name it by.

use std::process::Output;

use crate::playground;

fn run(options: &[&str], input: &str) -> Output {
    playground::piped(&[&["key"], options].concat(), input)
}

fn printed(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

/// The definition of the key is fixed: this one is also in the engine's own test.
const KEY: &str = "dd8338c744f7dae9a7820cc693034abc5c3d314d5f6a924e2786df04fbd004cb";

#[test]
fn the_key_of_an_order_is_printed() {
    let order = ["--partner", "partner", "--operation", "create-order", "merchant", "reference"];
    let output = run(&order, "");
    assert_eq!((output.status.code(), printed(&output)), (Some(0), format!("{KEY}\n")));
    // Both ways to create an order make the same payment.
    let widget = ["--partner", "partner", "--operation", "widget-pay", "merchant", "reference"];
    assert_eq!(printed(&run(&widget, "")), format!("{KEY}\n"));
}

#[test]
fn a_list_of_orders_is_searched_for_a_key() {
    let lines = "merchant,other\r\nmerchant\treference\n\nmerchant third\n";
    let output = run(&["--partner", "partner", "-"], lines);
    let printed = printed(&output);
    let found: Vec<&str> = printed.lines().filter(|line| line.starts_with(&KEY[..40])).collect();
    assert_eq!(found, [format!("{KEY} merchant\treference")]);
    assert_eq!(printed.lines().count(), 3);
}

#[test]
fn what_names_no_payment_ends_with_two_and_says_what_was_expected() {
    let long = "x".repeat(257);
    let cases: [(&[&str], &str, &str); 5] = [
        (
            &["--operation", "create-order", "m"],
            "",
            "create-order: expected merchantId partnerReferenceNo, found 1",
        ),
        (&["--operation", "balance", "m"], "", "--operation: expected one of"),
        (&["m", ""], "", "no empty value"),
        (&["m", &long], "", "at most 256 characters in a value, found 257"),
        (&["-"], "m r\nm\n", "standard input:2: create-order: expected merchantId"),
    ];
    for (options, input, expected) in cases {
        let output = run(&[&["--partner", "p"], options].concat(), input);
        let message = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{options:?}: {message}");
        assert!(message.contains(expected), "{options:?}: {message}");
    }
}
