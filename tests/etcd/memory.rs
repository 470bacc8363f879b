//! The etcd in memory that other tests stand on, against a real one: the same calls, the same answers.

use dana_failover::engine::{MemoryEtcd, Millis, RpcEvent, RpcMethod, RpcRequest};
use proptest::prelude::Rng;
use proptest::test_runner::{RngAlgorithm, TestRng};

use crate::grpc;
use crate::support::etcd::Etcd;

const CALLS: usize = 1000;
const KEYS: [&[u8]; 6] = [b"", b"/a", b"/b", b"/b/c", b"/c", b"/d"];
/// One that nobody asks for is among them.
const LEASES: [u64; 4] = [0, 71, 72, 73];

/// Requests at random.
struct Random(TestRng);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.0.next_u32()).unwrap() % end
    }

    fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())]
    }

    /// Rarely none.
    fn key(&mut self) -> &'static [u8] {
        if self.below(30) == 0 { KEYS[0] } else { self.pick(&KEYS[1..]) }
    }

    fn value(&mut self) -> Vec<u8> {
        vec![b'v'; self.below(3)]
    }

    fn range(&mut self) -> Vec<u8> {
        let end = [&b""[..], b"", b"\0", b"/c", b"/b"];
        let (mut range, end) = (bytes(1, self.key()), self.pick(&end));
        // In a transaction that only reads, etcd takes an end that is there and empty for another one.
        if !end.is_empty() {
            range.extend(bytes(2, end));
        }
        range.extend(number(3, self.below(3) as u64));
        range.extend(number(7, self.below(2) as u64));
        range.extend(number(8, (self.below(6) == 0).into()));
        range.extend(number(9, (self.below(6) == 0).into()));
        range
    }

    fn compare(&mut self, revision: u64) -> Vec<u8> {
        let target = self.below(5) as u64;
        let mut compare = number(1, self.pick(&[0, 0, 0, 1, 2, 3]));
        compare.extend(number(2, target));
        compare.extend(bytes(3, self.key()));
        // Sometimes the value of another target.
        let field = if self.below(8) == 0 { self.below(5) as u64 } else { target };
        let near = revision.saturating_sub(self.below(8) as u64);
        compare.extend(match field {
            0 => number(4, self.below(4) as u64),
            1 => number(5, self.pick(&[0, 0, near])),
            2 => number(6, self.pick(&[0, near, near])),
            3 => bytes(7, &self.value()),
            _ => number(8, self.pick(&LEASES)),
        });
        compare
    }

    fn op(&mut self) -> Vec<u8> {
        match self.below(12) {
            0..=4 => bytes(1, &self.range()),
            5..=8 => {
                let lease = if self.below(2) == 0 { self.pick(&LEASES) } else { 0 };
                let put = [bytes(1, self.key()), bytes(2, &self.value()), number(3, lease)];
                bytes(2, &put.concat())
            }
            9 | 10 => bytes(3, &bytes(1, self.key())),
            _ => Vec::new(),
        }
    }

    fn txn(&mut self, revision: u64) -> Vec<u8> {
        let mut txn = Vec::new();
        for _ in 0..self.below(3) {
            txn.extend(bytes(1, &self.compare(revision)));
        }
        for field in [2, 3] {
            for _ in 0..self.below(4) {
                let op = self.op();
                // An operation that is none is refused, and says nothing else.
                if !op.is_empty() || self.below(8) == 0 {
                    txn.extend(bytes(field, &op));
                }
            }
        }
        txn
    }

    fn request(&mut self, revision: u64) -> (RpcMethod, Vec<u8>) {
        match self.below(20) {
            0 => {
                let ttl_s = self.pick(&[600, 9_000_000_000, 9_000_000_001]);
                // With a number that is free: etcd refuses one that is not.
                (RpcMethod::LeaseGrant, number(1, ttl_s))
            }
            1 => (RpcMethod::Txn, vec![0xff; 1 + self.below(3)]),
            2..=5 => (RpcMethod::Range, self.range()),
            _ => (RpcMethod::Txn, self.txn(revision)),
        }
    }
}

fn varint(mut value: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    while value > 0x7f {
        bytes.push(u8::try_from(value & 0x7f).unwrap() | 0x80);
        value >>= 7;
    }
    bytes.push(u8::try_from(value).unwrap());
    bytes
}

/// A number, which is 0 where it is left out.
fn number(field: u64, value: u64) -> Vec<u8> {
    if value == 0 { Vec::new() } else { [varint(field << 3), varint(value)].concat() }
}

fn bytes(field: u64, value: &[u8]) -> Vec<u8> {
    [varint(field << 3 | 2), varint(value.len() as u64), value.to_vec()].concat()
}

/// The answer without what differs from one etcd to the next: who answers, and numbers of leases.
fn comparable(method: RpcMethod, message: &[u8]) -> (u64, Vec<u8>) {
    assert_eq!(message[0], 1 << 3 | 2, "a header comes first: {message:02x?}");
    let (header, rest) = message[2..].split_at(message[1].into());
    // Cluster and member are not looked at, nor which leader it is.
    let mut header = header.to_vec();
    let mut revision = 0;
    while !header.is_empty() {
        let tag = header.remove(0);
        let mut value = 0;
        for shift in (0..).step_by(7) {
            let byte = header.remove(0);
            value |= u64::from(byte & 0x7f).checked_shl(shift).unwrap_or(0);
            if byte & 0x80 == 0 {
                break;
            }
        }
        if tag == 3 << 3 {
            revision = value;
        }
    }
    let is_lease = method == RpcMethod::LeaseGrant;
    (revision, if is_lease { Vec::new() } else { rest.to_vec() })
}

#[test]
fn the_one_in_memory_answers_as_a_real_one() {
    let etcd = Etcd::start(1);
    let address = etcd.addresses().remove(0);
    let mut memory = MemoryEtcd::default();
    let mut random = Random(TestRng::from_seed(RngAlgorithm::XorShift, &[7; 16]));
    let (mut told, mut won, mut refused) = (Vec::new(), 0, 0);
    for id in &LEASES[1..3] {
        let request = (RpcMethod::LeaseGrant, [number(1, 900), number(2, *id)].concat());
        told.push(request);
    }
    for at in 0..CALLS {
        let (method, message) =
            if at < told.len() { told[at].clone() } else { random.request(memory.revision()) };
        let (service, name) = method.names();
        let real = grpc::call(&address, &format!("/{service}/{name}"), &message);
        let request = RpcRequest { method, message, timeout: Millis::new(400) };
        match memory.call(&request) {
            RpcEvent::Answered(message) => {
                assert_eq!(real.status, 0, "{at}: {real:?} {request:02x?}");
                let ours = comparable(method, &message);
                assert_eq!(ours, comparable(method, &real.message), "{at}: {request:02x?}");
                won += 1;
            }
            RpcEvent::Failed(status) => {
                assert_eq!(real.status, status, "{at}: {real:?} {request:02x?}");
                refused += 1;
            }
            RpcEvent::Unsent => panic!("it is there"),
        }
    }
    println!("{won} answered, {refused} refused, revision {}", memory.revision());
    assert!(won > CALLS / 2 && refused > CALLS / 10 && memory.revision() > 200);
}
