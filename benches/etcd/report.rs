//! What was measured, as a table and as JSON.

use std::time::Duration;

use serde_json::{Value, json};

use super::faults::Met;
use super::load::Spent;
use super::{CROWDS, Crowd, Plan, Variant};
use crate::support::root;

/// One of the figures of many connections.
type CrowdFigure = fn(&Crowd) -> f64;

/// Prints the table, and writes `target/bench/etcd.json`.
pub(super) fn tell(variants: &[Variant; 2], plan: &Plan, space: [f64; 2], met: &[Met]) {
    let [memory, etcd] = variants;
    println!("{:<52}{:>10}{:>10}{:>10}", "", "memory", "etcd", "added");
    let row = |what: &str, of: &dyn Fn(&Variant) -> f64| {
        let (one, other) = (of(memory), of(etcd));
        println!("{what:<52}{one:>10.2}{other:>10.2}{:>10.2}", other - one);
    };
    let alone = |variant: &Variant, spent: fn(&Spent) -> Duration, thousandths: usize| {
        quantile(variant.alone.iter().map(|one| spent(one).as_secs_f64() * 1000.0), thousandths)
    };
    for (thousandths, share) in [(500, "half"), (990, "99 in 100")] {
        row(&format!("ms until the gateway has it, 1 connection: {share}"), &|variant| {
            alone(variant, |spent| spent.to_gateway, thousandths)
        });
        row(&format!("ms until it is answered, 1 connection: {share}"), &|variant| {
            alone(variant, |spent| spent.in_all, thousandths)
        });
    }
    for (at, connections) in CROWDS.into_iter().enumerate() {
        let figures: [(&str, CrowdFigure); 4] = [
            ("payments a second", |crowd| crowd.per_second),
            ("us of Envoy for each payment", |crowd| crowd.envoy_us),
            ("us of all members for each payment", |crowd| crowd.etcd_us),
            ("calls of etcd for each payment", |crowd| crowd.calls),
        ];
        for (what, figure) in figures {
            row(&format!("{what}, {connections} connections"), &|variant| {
                quantile(variant.crowded[at].iter().map(figure), 500)
            });
        }
    }
    for (what, bytes) in ["compacted", "compacted and defragmented"].into_iter().zip(space) {
        println!("{:<52}{:>10}{bytes:>10.0}", format!("bytes for each payment, {what}"), "");
    }
    println!(
        "\n{:<52}{:>10}{:>10}{:>10}",
        "160 payments a second", "refused", "99 %, ms", "slowest"
    );
    for Met { what, took, refused } in met {
        let [most, slowest] = [990, 1000].map(|thousandths| quantile_ms(took, thousandths));
        println!("{what:<52}{refused:>10}{most:>10.1}{slowest:>10.1}");
    }
    let faults = met.iter().map(|Met { what, took, refused }| {
        let [most, slowest] = [990, 1000].map(|thousandths| quantile_ms(took, thousandths));
        json!({"what": what, "payments": took.len(), "refused": refused, "p99_ms": most,
            "slowest_ms": slowest})
    });
    let json = json!({
        "faults": faults.collect::<Vec<_>>(),
        "rounds": plan.rounds,
        "bytes_each_compacted_and_defragmented": space,
        "memory": of(memory),
        "etcd": of(etcd),
    });
    let path = root().join("target/bench/etcd.json");
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(&path, format!("{json:#}\n")).unwrap();
    println!("medians of {} rounds; also in target/bench/etcd.json", plan.rounds);
}

fn of(variant: &Variant) -> Value {
    let micros = |time: Duration| u64::try_from(time.as_micros()).unwrap();
    let alone = variant.alone.iter().map(|one| [micros(one.to_gateway), micros(one.in_all)]);
    let crowded = CROWDS.into_iter().zip(&variant.crowded).map(|(connections, rounds)| {
        let rounds = rounds.iter().map(|one| [one.per_second, one.envoy_us, one.etcd_us]);
        json!({
            "connections": connections,
            "per_second_envoy_us_etcd_us": rounds.collect::<Vec<_>>(),
        })
    });
    json!({
        "us_to_gateway_and_in_all": alone.collect::<Vec<_>>(),
        "crowds": crowded.collect::<Vec<_>>(),
    })
}

fn quantile_ms(took: &[Duration], thousandths: usize) -> f64 {
    quantile(took.iter().map(|one| one.as_secs_f64() * 1000.0), thousandths)
}

fn quantile(values: impl Iterator<Item = f64>, thousandths: usize) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values[(values.len() - 1) * thousandths / 1000]
}
