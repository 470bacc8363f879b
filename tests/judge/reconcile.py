"""`dana-failover reconcile` and DuckDB over the same files: do they count the same, and at what cost?

Makes an audit trail, two gateways' reports and a ledger of so many lines, with twelve kinds of breaks
among them, has both count, and fails where they differ or where DuckDB is not slower and larger by as
much as is claimed. Run by `make reconcile-judge ROWS=30000000`.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time

# Of so many payments one is of each kind, and the others are clean.
PERIOD = 100_003
KINDS = [
    "double charged",
    "missing at gateway",
    "missing in audit",
    "orphan charge",
    "phantom success",
    "wrong channel",
    "amount mismatch",
    "currency mismatch",
    "in doubt, executed",
    "in doubt",
    "not in ledger",
    "booked twice",
]
# What is claimed: at most so much of DuckDB's time and memory.
TIME_MAX, MEMORY_MAX = 0.8, 0.2

AT = "2026-11-28T10:00:00.000Z"
UNTIL = "2026-11-29T00:00:00Z"

PAYMENTS = f"""
CREATE TEMP VIEW payments AS SELECT i, 'ORDER-' || i AS ref, i % {PERIOD} AS kind,
  CASE WHEN i % 3 = 0 THEN 1 ELSE 0 END AS gw,
  printf('%d.%02d', 1000 + i % 9000000, i % 100) AS amount,
  1000 + i % 9000000 AS whole
  FROM range($payments) t(i) ORDER BY i // 100000, hash(i)
"""

# Fields are text without anything that would have to be quoted.
TEXT = "(FORMAT csv, HEADER false, QUOTE '', ESCAPE '', DELIMITER '\t')"

AUDIT = f"""
COPY (SELECT '{{"v":1,"w":"mx2cd0cp.2","n":' || i || ',"t":"{AT}","e":"charge","from":"10.2.3.4:45622","who":"PARTNER-1",'
  || '"rid":"6c331224-83fe-4dca-90ea-00e7762f5e86","op":"create-order","key":"' || printf('%032x00000000', i)
  || '","ref":"' || ref || '","amt":"' || amount || '","cur":"IDR","do":"forward","gw":"'
  || CASE WHEN kind = 5 THEN 'primary' WHEN gw = 0 THEN 'primary' ELSE 'secondary' END || '",'
  || CASE WHEN kind IN (3, 4) THEN '"code":"4035414","ev":"no","claim":"rejected"'
          WHEN kind IN (8, 9) THEN '"ev":"doubtful","claim":"in_doubt"'
          ELSE '"code":"2005400","ev":"executed","claim":"settled"' END
  || ',"http":200,"ms":41,"prev":"Dzx1PXMfH10i4oaI4DK8Lk8d8yjYIMzYAQf3On-Tows"}}'
  FROM payments WHERE kind <> 2) TO 'audit.jsonl' {TEXT}
"""

# Which gateway's report has a payment: 0, 1 or, of the doubled ones, both.
REPORT = f"""
COPY (SELECT 'G{{gw}}-' || i AS referenceNo, ref AS partnerReferenceNo, 'PAYMENT' AS transactionType,
  CASE WHEN kind = 6 THEN printf('%d.%02d', whole - 1, i % 100) ELSE amount END AS amount,
  CASE WHEN kind = 7 THEN 'USD' ELSE 'IDR' END AS currency, '{AT}' AS transactionDate, 'SUCCESS' AS status
  FROM payments WHERE kind NOT IN (1, 4, 9)
  AND (kind = 0 OR CASE WHEN kind = 5 THEN 1 ELSE gw END = {{gw}})) TO '{{name}}.csv' (HEADER)
"""

LEDGER = """
COPY (SELECT ref AS reference, amount, 'paid' AS status FROM payments WHERE kind NOT IN (9, 10)
  UNION ALL SELECT ref, amount, 'paid' FROM payments WHERE kind = 11) TO 'ledger.csv' (HEADER)
"""

QUERY = """
WITH a AS (SELECT ref, bool_or(ev = 'executed') AS executed, bool_or(claim = 'in_doubt') AS doubt, any_value(gw) AS gw,
             any_value(amt::DECIMAL(18,2)) AS amount, any_value(cur) AS cur
           FROM read_json('audit.jsonl', format = 'newline_delimited', columns = {ref: 'VARCHAR', ev: 'VARCHAR',
             claim: 'VARCHAR', gw: 'VARCHAR', amt: 'VARCHAR', cur: 'VARCHAR'}) GROUP BY ref),
lines AS (SELECT 'primary' AS gw, partnerReferenceNo AS ref, amount::DECIMAL(18,2) AS amount, currency AS cur
            FROM read_csv('primary.csv', all_varchar = true)
          UNION ALL SELECT 'secondary', partnerReferenceNo, amount::DECIMAL(18,2), currency
            FROM read_csv('secondary.csv', all_varchar = true)),
r AS (SELECT ref, count(*) AS n, any_value(gw) AS gw, any_value(amount) AS amount, any_value(cur) AS cur FROM lines GROUP BY ref),
l AS (SELECT reference AS ref, count(*) AS n FROM read_csv('ledger.csv', all_varchar = true) GROUP BY reference),
p AS (SELECT CASE
    WHEN r.n > 1 THEN 'double charged'
    WHEN a.ref IS NULL AND r.n = 1 THEN 'missing in audit'
    WHEN a.doubt AND r.n = 1 THEN 'in doubt, executed'
    WHEN a.doubt THEN 'in doubt'
    WHEN a.executed AND r.n IS NULL THEN 'missing at gateway'
    WHEN NOT a.executed AND r.n = 1 THEN 'orphan charge'
    WHEN NOT a.executed AND l.n >= 1 THEN 'phantom success'
    WHEN a.gw <> r.gw THEN 'wrong channel'
    WHEN a.cur <> r.cur THEN 'currency mismatch'
    WHEN a.amount <> r.amount THEN 'amount mismatch'
    WHEN l.n IS NULL THEN 'not in ledger'
    WHEN l.n > 1 THEN 'booked twice'
    ELSE 'matched' END AS state, coalesce(a.amount, r.amount) AS amount
  FROM a FULL JOIN r USING (ref) FULL JOIN l USING (ref))
SELECT state, count(*), sum(amount)::VARCHAR FROM p GROUP BY state
"""


def make(payments):
    import duckdb

    db = duckdb.connect()
    db.execute("SET memory_limit = '2GB'")
    db.execute(PAYMENTS.replace("$payments", str(payments)))
    db.execute(AUDIT)
    for number, name in enumerate(["primary", "secondary"]):
        db.execute(REPORT.format(gw=number, name=name))
    db.execute(LEDGER)


def judge():
    import duckdb

    db = duckdb.connect()
    db.execute("SET threads = 2; SET memory_limit = '800MB'")
    found = {state: [count, amount] for state, count, amount in db.execute(QUERY).fetchall()}
    json.dump(found, sys.stdout)


def measured(command):
    """What it prints, its seconds, and its memory in MB."""
    begin = time.monotonic()
    child = subprocess.Popen(command, stdout=subprocess.PIPE)
    out = child.stdout.read()
    _, status, usage = os.wait4(child.pid, 0)
    took = time.monotonic() - begin
    if os.waitstatus_to_exitcode(status) not in (0, 1):
        sys.exit(f"{command[0]} failed")
    return json.loads(out), took, usage.ru_maxrss / 1000


def main():
    options = argparse.ArgumentParser()
    options.add_argument("--rows", type=int, default=300_000)
    options.add_argument("--binary")
    options.add_argument("--step", choices=["make", "judge"])
    options = options.parse_args()
    if options.step == "make":
        return make(options.rows // 3)
    if options.step == "judge":
        return judge()
    binary, script = os.path.abspath(options.binary), os.path.abspath(__file__)
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        # In processes of their own: what one needs is not the other's.
        rows = ["--rows", str(options.rows)]
        subprocess.run([sys.executable, script, "--step", "make", *rows], check=True)
        size = sum(os.path.getsize(name) for name in os.listdir("."))
        lines = sum(int(subprocess.check_output(["wc", "-l", name]).split()[0]) for name in os.listdir("."))
        print(f"{lines} lines, {size / 1e9:.1f} GB", flush=True)
        ours, took, memory = measured(
            [binary, "reconcile", "audit.jsonl", "--gateway", "primary=primary.csv",
             "--gateway", "secondary=secondary.csv", "--ledger", "ledger.csv",
             "--until", UNTIL, "--format", "json"])
        print(f"dana-failover  {took:6.1f} s {memory:7.0f} MB", flush=True)
        theirs, their_time, their_memory = measured([sys.executable, script, "--step", "judge"])
        print(f"DuckDB         {their_time:6.1f} s {their_memory:7.0f} MB", flush=True)
    mistakes = 0
    for state in ["matched", *KINDS]:
        one = ours["states"].get(state, {"payments": 0})["payments"]
        other = theirs.get(state, [0])[0]
        agree = one == other
        mistakes += not agree
        print(f"{state:<20} {one:>10} {other:>10}{'' if agree else '   DIFFER'}")
    sums = ours["states"]["matched"]["amounts"]["IDR"], theirs["matched"][1]
    print(f"{'matched, IDR':<20} {sums[0]} {sums[1]}")
    mistakes += sums[0] != sums[1]
    unknown = set(ours["states"]) - {"matched", *KINDS}
    if unknown:
        print(f"found what is not there: {unknown}")
        mistakes += 1
    time_part, memory_part = took / their_time, memory / their_memory
    print(f"{time_part:.2f} of DuckDB's time ({TIME_MAX} at most), {memory_part:.2f} of its memory ({MEMORY_MAX})")
    # Of few lines the start of a process is most of it.
    if options.rows >= 10_000_000:
        mistakes += time_part > TIME_MAX
        mistakes += memory_part > MEMORY_MAX
    return 1 if mistakes else 0


if __name__ == "__main__":
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    sys.exit(main())
