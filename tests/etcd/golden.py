#!/usr/bin/env python3
"""Messages of etcd as its official descriptors write and read them, for the tests of our own codec.

    python3 -m venv VENV
    VENV/bin/pip install aetcd==1.0.0 grpcio==1.76.0 protobuf==5.29.6
    VENV/bin/python tests/etcd/golden.py > src/engine/store/etcd/golden.txt

The package aetcd has the descriptors of etcd's rpc.proto and kv.proto. For the messages below they
are the same as in etcd 3.4, 3.5 and 3.6: all fields, numbers, types and members of a oneof.

A line is a kind, a name, the bytes in hex, and for an answer what it says. `-` stands for no bytes,
`none` for what must not be read as an answer.
"""

from aetcd.rpc import kv_pb2 as kv
from aetcd.rpc import rpc_pb2 as etcd
from google.protobuf.message import DecodeError

MAX = 2**63 - 1
KEY = b"dana/o/0123456789abcdef"
SETTLED = b"dana/s/0123456789abcdef"
ALIAS = b"dana/h/fedcba9876543210"
LAYOUT = b"dana/layout"
RECORD = bytes(range(160))

COMPARE = etcd.Compare


def absent(key):
    return COMPARE(key=key, target=COMPARE.CREATE, create_revision=0)


def mod(key, revision):
    return COMPARE(key=key, target=COMPARE.MOD, mod_revision=revision)


def value(key, value):
    return COMPARE(key=key, target=COMPARE.VALUE, value=value)


def put(key, value, lease=0):
    return etcd.RequestOp(request_put=etcd.PutRequest(key=key, value=value, lease=lease))


def delete(key):
    return etcd.RequestOp(request_delete_range=etcd.DeleteRangeRequest(key=key))


def reads(*keys, **options):
    return [etcd.RequestOp(request_range=etcd.RangeRequest(key=key, **options)) for key in keys]


def txn(compare=(), success=(), failure=()):
    return etcd.TxnRequest(compare=compare, success=success, failure=failure)


REQUESTS = {
    "range_of_nothing": etcd.RangeRequest(),
    "range_one": etcd.RangeRequest(key=KEY),
    "range_page": etcd.RangeRequest(key=b"dana/o/", range_end=b"dana/o0", limit=1000),
    "range_keys_only": etcd.RangeRequest(key=b"a", range_end=b"b", keys_only=True),
    "range_count_only": etcd.RangeRequest(key=b"a", range_end=b"\0", count_only=True),
    "range_serializable": etcd.RangeRequest(key=LAYOUT, serializable=True),
    "range_everything": etcd.RangeRequest(
        key=b"\0",
        range_end=b"\xff" * 200,
        limit=MAX,
        serializable=True,
        keys_only=True,
        count_only=True,
    ),
    "txn_empty": txn(),
    "compare_absent": txn([absent(KEY)]),
    "compare_no_key": txn([absent(b"")]),
    "compare_long_key": txn([absent(b"k" * 300)]),
    "compare_mod": txn([mod(KEY, 127), mod(KEY, 128), mod(KEY, 2**32)]),
    "compare_mod_0": txn([mod(KEY, 0)]),
    "compare_mod_max": txn([mod(KEY, MAX)]),
    "compare_value": txn([value(KEY, RECORD)]),
    "compare_no_value": txn([value(KEY, b"")]),
    "put": txn(success=[put(KEY, RECORD)]),
    "put_nothing": txn(success=[put(KEY, b"")]),
    "put_with_lease": txn(success=[put(KEY, b"v", 7587869523108812345)]),
    "delete": txn(success=[delete(KEY)], failure=[delete(LAYOUT)]),
    "reads": txn(success=reads(KEY, LAYOUT, serializable=True), failure=reads(KEY, limit=1)),
    "claim": txn(
        [absent(KEY), absent(SETTLED), mod(LAYOUT, 3)],
        [put(KEY, RECORD)],
        reads(KEY, SETTLED, LAYOUT),
    ),
    "claim_with_alias": txn(
        [absent(KEY), absent(SETTLED), mod(LAYOUT, 3), absent(ALIAS)],
        [put(ALIAS, RECORD[:40]), put(KEY, RECORD)],
        reads(KEY, SETTLED, LAYOUT, ALIAS),
    ),
    "settle": txn(
        [mod(KEY, 123456789)],
        [delete(KEY), put(SETTLED, RECORD, 7587869523108812345)],
        reads(KEY, SETTLED),
    ),
    "release": txn([value(KEY, RECORD)], [put(KEY, RECORD[1:])], reads(KEY, SETTLED)),
    "lease": etcd.LeaseGrantRequest(TTL=86_400),
    "lease_of_no_time": etcd.LeaseGrantRequest(TTL=0),
    "lease_of_all_time": etcd.LeaseGrantRequest(TTL=9_000_000_000),
}


def header(revision, **more):
    # The ids of a cluster and a member are unsigned and often more than an int64 holds.
    ids = dict(cluster_id=2**64 - 2, member_id=2**63 + 5, raft_term=12)
    return etcd.ResponseHeader(revision=revision, **(ids | more))


def stored(key, revision, **more):
    more = dict(create_revision=1, mod_revision=revision, version=3, value=RECORD) | more
    return kv.KeyValue(key=key, **more)


def found(*kvs, revision=500, **more):
    more = dict(count=len(kvs)) | more
    return etcd.RangeResponse(header=etcd.ResponseHeader(revision=revision), kvs=kvs, **more)


def ranged(*kvs, **more):
    return etcd.ResponseOp(response_range=found(*kvs, **more))


def was_put(**more):
    response = etcd.PutResponse(header=etcd.ResponseHeader(revision=500), **more)
    return etcd.ResponseOp(response_put=response)


def deleted(many):
    response = etcd.DeleteRangeResponse(header=etcd.ResponseHeader(revision=500), deleted=many)
    return etcd.ResponseOp(response_delete_range=response)


def told(succeeded, *responses, revision=500):
    return etcd.TxnResponse(header=header(revision), succeeded=succeeded, responses=responses)


def granted(**more):
    more = dict(ID=7587869523108812345, TTL=60) | more
    return etcd.LeaseGrantResponse(header=header(500), **more)


def raw(*messages):
    """One after the other: to a reader they are one message, merged."""
    as_bytes = lambda part: part if isinstance(part, bytes) else part.SerializeToString()
    return b"".join(map(as_bytes, messages))


def field(number, inner):
    """A message as a field of another."""
    low, high = len(inner) & 0x7F | 0x80, len(inner) >> 7
    assert number < 16 and 0 < high < 128 or len(inner) < 128
    return bytes([number << 3 | 2, low, high] if high else [number << 3 | 2, len(inner)]) + inner


# A varint, eight bytes, some bytes, four bytes; numbers that no message of etcd has.
UNKNOWN = bytes.fromhex("9801ffffffffffffffffff01 a1010102030405060708 aa0103ffffff b50101020304")
# Numbers that are known, with another wire type.
STRANGE_TXN = bytes.fromhex("0801 120101 1803")
STRANGE_RANGE = bytes.fromhex("0900000000000000ff 1001 1a0101 2500000000")
STRANGE_KEY = bytes.fromhex("0801 1a0101 2801 3500000001")
STRANGE_LEASE = bytes.fromhex("0801 120101 1d01000000 2001")

ANSWERS = {
    "txn_answer": {
        "won": told(True, was_put()),
        "won_with_alias": told(True, was_put(), was_put(), revision=2**40),
        "settled": told(True, deleted(1), was_put(prev_kv=stored(KEY, 7))),
        "lost": told(False, ranged(stored(KEY, 499)), ranged(), ranged(stored(LAYOUT, 3))),
        "lost_to_nothing": told(False, ranged(), ranged()),
        "lost_to_two": told(False, ranged(stored(KEY, 499, lease=5), stored(SETTLED, 7, value=b""))),
        "lost_to_the_greatest": told(
            False,
            ranged(stored(KEY, MAX, lease=MAX), revision=MAX, count=MAX, more=True),
            revision=MAX,
        ),
        "mixed": told(True, deleted(0), ranged(stored(KEY, 1)), was_put(), ranged(stored(ALIAS, 2))),
        "counted": told(True, ranged(count=123_456)),
        "without_results": told(True),
        "nested": told(True, etcd.ResponseOp(response_txn=told(False, ranged())), ranged(count=7)),
        "header_after": raw(
            etcd.TxnResponse(succeeded=True, responses=[ranged(stored(KEY, 2))]),
            etcd.TxnResponse(header=header(77)),
        ),
        "header_twice": raw(told(True, revision=5), etcd.TxnResponse(header=header(6))),
        "header_twice_merged": raw(told(True, revision=5), etcd.TxnResponse(header=header(0))),
        "succeeded_twice": raw(told(True), bytes.fromhex("1000")),
        "succeeded_by_much": raw(told(False), bytes.fromhex("1080808080808080808001")),
        "range_twice": raw(
            told(False),
            field(3, raw(field(1, raw(found(stored(b"a", 9, value=b"1"), revision=8))),
                         field(1, raw(found(stored(b"b", 10, value=b"2"), revision=9))))),
        ),
        "range_then_put": raw(told(False), field(3, raw(ranged(stored(b"a", 9)), was_put()))),
        "put_then_range": raw(told(False), field(3, raw(was_put(), ranged(stored(b"a", 9))))),
        "range_put_range": raw(
            told(False),
            field(3, raw(ranged(stored(b"a", 9)), was_put(), ranged(stored(b"b", 9)))),
        ),
        "unknown_fields": raw(UNKNOWN, told(True, ranged(stored(KEY, 2))), UNKNOWN),
        "unknown_fields_within": raw(
            told(False),
            field(3, raw(UNKNOWN, field(1, raw(UNKNOWN, found(stored(KEY, 2)), UNKNOWN)), UNKNOWN)),
        ),
        "other_types": raw(STRANGE_TXN, told(True, was_put()), STRANGE_TXN),
        "other_types_of_a_result": raw(told(True), field(3, bytes.fromhex("0801 1000 1d00000000"))),
        "empty": b"",
        "without_header": etcd.TxnResponse(succeeded=True, responses=[was_put()]),
        "revision_0": told(True, was_put(), revision=0),
        "revision_negative": told(True, was_put(), revision=-1),
        "range_without_header": raw(told(False), field(3, field(1, raw(etcd.RangeResponse(count=1))))),
        "range_count_negative": told(False, ranged(count=-1)),
        "range_revision_negative": told(False, ranged(revision=-500)),
        "lease_negative": told(False, ranged(stored(KEY, 499, lease=-5))),
        "mod_revision_0": told(False, ranged(stored(KEY, 0))),
        "mod_revision_negative": told(False, ranged(stored(KEY, -499))),
        "no_key": told(False, ranged(stored(b"", 499))),
        "result_of_nothing": told(False, etcd.ResponseOp()),
        "cut_short": raw(told(False, ranged(stored(KEY, 499))))[:-1],
        "text": b"<html>502 Bad Gateway</html>",
    },
    "range_answer": {
        "one": found(stored(LAYOUT, 3, lease=9)),
        "nothing": found(),
        "page": found(stored(b"a", 5), stored(b"b", 6, value=b""), count=70_000, more=True),
        "keys": found(stored(b"a", 5, value=b""), stored(b"b", 6, value=b"")),
        "count": found(count=12),
        "header_after": raw(etcd.RangeResponse(kvs=[stored(b"a", 5)], count=1), found(count=2)),
        "key_twice": raw(
            found(),
            field(2, raw(stored(b"a", 1, lease=1), kv.KeyValue(key=b"b", mod_revision=2))),
        ),
        "unknown_fields": raw(
            UNKNOWN,
            found(),
            field(2, raw(UNKNOWN, kv.KeyValue(key=b"a", mod_revision=1), UNKNOWN)),
        ),
        "other_types": raw(
            STRANGE_RANGE,
            found(),
            field(2, raw(STRANGE_KEY, stored(b"a", 5, lease=3), STRANGE_KEY)),
            STRANGE_RANGE,
        ),
        "empty": b"",
        "without_header": etcd.RangeResponse(kvs=[stored(b"a", 5)], count=1),
        "group": raw(found(), bytes.fromhex("7b")),
        "field_0": raw(found(), bytes.fromhex("0000")),
    },
    "lease_answer": {
        "granted": granted(),
        "the_greatest": granted(ID=MAX, TTL=MAX),
        "without_time": granted(TTL=0),
        "header_after": raw(etcd.LeaseGrantResponse(ID=1, TTL=2), granted(ID=3, TTL=0)),
        "unknown_fields": raw(UNKNOWN, granted(), UNKNOWN),
        "other_types": raw(STRANGE_LEASE, granted(), STRANGE_LEASE),
        "error_taken_back": raw(granted(error="no"), bytes.fromhex("2200")),
        "error": granted(error="etcdserver: lease already exists"),
        "id_0": granted(ID=0),
        "id_negative": granted(ID=-1),
        "time_negative": granted(TTL=-1),
        "without_header": etcd.LeaseGrantResponse(ID=1, TTL=2),
        "empty": b"",
    },
}


class Refused(Exception):
    pass


def demand(holds):
    if not holds:
        raise Refused


def say_range(answer):
    demand(answer.header.revision > 0 and answer.count >= 0)
    said = f"range revision={answer.header.revision} count={answer.count} more={int(answer.more)}"
    for one in answer.kvs:
        demand(one.key and one.mod_revision > 0 and one.lease >= 0)
        said += f" {one.key.hex()}@{one.mod_revision}={one.value.hex()},{one.lease}"
    return said


def say_txn(answer):
    demand(answer.header.revision > 0)
    said = f"revision={answer.header.revision} succeeded={int(answer.succeeded)}"
    for result in answer.responses:
        kind = result.WhichOneof("response")
        demand(kind)
        if kind == "response_range":
            said += f"; {say_range(result.response_range)}"
    return said


def say_lease(answer):
    demand(answer.header.revision > 0 and answer.ID > 0 and answer.TTL >= 0 and not answer.error)
    return f"id={answer.ID} ttl_s={answer.TTL}"


KINDS = {
    "txn_answer": (etcd.TxnResponse, say_txn),
    "range_answer": (etcd.RangeResponse, say_range),
    "lease_answer": (etcd.LeaseGrantResponse, say_lease),
}


def says(kind, data):
    message, say = KINDS[kind]
    try:
        return say(message.FromString(data))
    except (DecodeError, Refused):
        return "none"


def main():
    print("# Made by tests/etcd/golden.py, which says what the columns are.")
    for name, request in REQUESTS.items():
        print("request", name, raw(request).hex() or "-")
    for kind, answers in ANSWERS.items():
        for name, answer in answers.items():
            data = raw(answer)
            print(kind, name, data.hex() or "-", says(kind, data))


if __name__ == "__main__":
    main()
