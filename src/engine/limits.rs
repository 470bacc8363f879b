//! Every fixed bound of the engine, each with its unit and its reason.
//!
//! Plain numbers: names of lengths of time end with their unit, milliseconds.

/// Names of gateways that a store can tell apart: a record has one bit for each.
pub const GATEWAY_NAMES_MAX: usize = 16;

/// Clusters that gateways can have had since a store began.
pub const CLUSTERS_MAX: usize = 256;

/// Paths of operations that have named payments since a store began.
pub const PATHS_MAX: usize = 1024;

/// Tries at one compare-and-set. Two workers collide on a bucket in well under one percent of the
/// writes, so a run of sixteen collisions is not contention but a fault.
pub const STORE_ATTEMPTS_MAX: u8 = 16;

/// Conditions, and operations of a branch, that etcd takes in one transaction: its own default,
/// `--max-txn-ops`. An answer with more results is no answer to what was sent.
pub const ETCD_TXN_OPS_MAX: usize = 128;

/// Bytes of an answer of etcd that are read: a page of records, each with the answer that is kept
/// with it.
pub const ETCD_ANSWER_MESSAGE_BYTES_MAX: usize = 2 * 1024 * 1024;

/// Keys that are read from one answer of etcd. Lists are asked for in pages of at most so many.
pub const ETCD_KVS_MAX: usize = 1000;

/// One try at a call to etcd. A member that stands still costs no more than this.
pub const ETCD_ATTEMPT_MS: u64 = 400;

/// The last try has at least this long.
pub const ETCD_ATTEMPT_MS_MIN: u64 = 50;

/// All tries of one call: six that are not answered. An election takes one to two seconds.
pub const ETCD_BUDGET_MS: u64 = 2400;

/// By then Envoy has told how a try has ended, or it never will.
pub const ETCD_UNHEARD_MS: u64 = 2000;

/// From one try that fails at once to the next.
pub const ETCD_RETRY_MS: u64 = 100;

/// Between what was not written in time and the next time that it is tried.
pub const ETCD_PAUSE_MS: u64 = 500;

/// How often a worker looks for what waits, if its store is in etcd.
pub const ETCD_TICK_MS: u64 = 100;

/// From one look for a store that does not answer to the next.
pub const ETCD_SEARCH_MS: u64 = 250;

/// From one look at the realm's layout to the next. Whoever works by an old one finds out at its next
/// claim anyhow.
pub const ETCD_LOOK_MS: u64 = 1000;

/// A lease is used for this part of the retention, and lasts for that and the retention.
pub const ETCD_LEASES_IN_RETENTION: u64 = 24;

/// Realms of which a process remembers how far they were. Its listeners have one, and another one after a
/// change.
pub const ETCD_REALMS_MAX: usize = 32;

/// A worker says again and again how it stands with a store in etcd. What it has said counts for so long:
/// workers tick at least twice a second.
pub const ETCD_WORD_STALE_MS: u64 = 5000;

/// An operator may end a payment whose record in etcd was written by a clock that is ahead by more than
/// this. Which of two clocks is wrong a record does not say, and less than a day is waited for.
pub const ETCD_AHEAD_MENDED_MS_MIN: u64 = 86_400_000;

/// From the beginning of one census of a store in etcd to the beginning of the next. It costs etcd one
/// read or two.
pub const ETCD_CENSUS_MS: u64 = 5000;

/// A census of a store in etcd that took long is followed by so many times that long without one: after
/// an outage there may be hundreds of thousands of payments in doubt.
pub const ETCD_CENSUS_SHARE: u64 = 10;

/// A census of a store in etcd that takes longer is given up, and no pause between two is longer.
pub const ETCD_CENSUS_MS_MAX: u64 = 60_000;

/// What an operator has said of a payment stands in etcd for so long at least, a day. Their listener may
/// have another `retention_s` than that of payments.
pub const ETCD_RESOLUTION_MS_MIN: u64 = 86_400_000;

/// The claims in etcd are counted one by one up to so many. Of more a part is counted: each key costs
/// etcd about 0.2 microseconds (measured), and no other request is served in that time.
pub const ETCD_COUNTED_MAX: u64 = 65_536;

/// Bytes of an answer that is kept with its claim: etcd keeps everything in memory.
pub const ETCD_ANSWER_BYTES_MAX: usize = 1024;

/// Bytes of an answer that are read as evidence. A longer answer proves nothing.
pub const EVIDENCE_BYTES_MAX: usize = 64 * 1024;

/// Records that a bucket holds on average when the store is as full as configured.
pub const BUCKET_RECORDS_MEAN: u32 = 16;

/// Records that a bucket may hold: far above the mean, so that chance alone does not fill one.
pub const BUCKET_RECORDS_MAX: usize = 64;

/// Answers that are kept in one shared value, from which the oldest is evicted first. With more of
/// them fewer answers would be lost by chance, but each keeping and each replay copies all of them.
pub const KEPT_SET_ANSWERS: u32 = 16;

/// Buckets that the counting worker reads on one tick, in a store that is as full as configured.
/// They take about a millisecond, so that payments do not wait. A full store of the default size is
/// counted in two minutes.
pub const CENSUS_BUCKETS_PER_TICK: u32 = 256;

/// So many empty buckets cost as much as one that is as full as configured: there is nothing to copy
/// and to read (measured: 0.4 microseconds). A new store of the default size is counted in 16 ticks,
/// 8 seconds.
pub const CENSUS_EMPTY_PER_BUCKET: u32 = 16;

/// Once a census is older than this, the page may say that no worker counts. A shorter pause is
/// normal: workers restart, and begin to count anew.
pub const CENSUS_OLD_MS_MIN: u64 = 600_000;

/// From the beginning of one census to the beginning of the next: a small store is counted in one
/// tick.
pub const CENSUS_PERIOD_MS_MIN: u64 = 1000;

/// Metrics that are there from the first moment, with the value 0. Two gateways imply about half
/// of this, for which Envoy takes about a megabyte.
pub const METRICS_IMPLIED_MAX: usize = 3072;

/// Metrics that one worker defines, the implied ones among them. Labels come from fixed tables,
/// except for a few currencies, so a larger number is a fault.
pub const METRICS_MAX: usize = 4096;

/// From this percentage on a store has little room left.
pub const STORE_NEARLY_FULL_PCT: u64 = 80;

/// Currencies whose amounts in doubt are summed. DANA has one.
pub const CENSUS_CURRENCIES_MAX: usize = 16;

/// Payments in doubt that a census lists by key: more than anybody resolves by hand.
pub const IN_DOUBT_LISTED_MAX: usize = 1000;

/// `Idempotency-Key` headers that are bound to one payment. A client that makes a new one for each
/// retry would fill the store. Further keys are not kept: the body leads to the same payment.
pub const HEADER_KEYS_MAX: u8 = 8;

/// Characters of an `Idempotency-Key`.
pub const IDEMPOTENCY_KEY_CHARS_MAX: usize = 255;

/// Characters of a partner id. SNAP allows 36; platforms may add a prefix.
pub const PARTNER_CHARS_MAX: usize = 128;

/// Characters of one member of an identity. SNAP allows 64 for a reference.
pub const IDENTITY_CHARS_MAX: usize = 256;

/// Characters of a path that may name an operation.
pub const PATH_CHARS_MAX: usize = 1024;

/// Bytes of an operator's request. Names, a reason and an evidence id are far shorter.
pub const ADMIN_BODY_BYTES_MAX: usize = 4096;

/// Bytes of an operator's `Authorization`: a token, and a name before it.
pub const AUTHORIZATION_BYTES_MAX: usize = 1024;

/// Payments in doubt that are listed if the request has no `limit`.
pub const IN_DOUBT_SHOWN: u64 = 100;

/// Payments in doubt on the main page.
pub const IN_DOUBT_ON_PAGE: usize = 5;

/// Payments in doubt on their own page, each with its commands.
pub const IN_DOUBT_SHOWN_MAX: usize = 100;

/// Bytes of the id of the evidence by which an operator resolves a payment.
pub const EVIDENCE_ID_BYTES_MAX: usize = 128;

/// The longest that an override lasts: a day. For longer, change the configuration.
pub const OVERRIDE_TTL_MS_MAX: u64 = 86_400_000;

/// Bytes of the name of the operator who sets an override or resolves a payment.
pub const OVERRIDE_ACTOR_BYTES_MAX: usize = 64;

/// Bytes of the reason for it.
pub const OVERRIDE_REASON_BYTES_MAX: usize = 256;

/// Workers whose requests in flight are added up. Those of further workers are not counted.
pub const WORKERS_MAX: usize = 64;

/// A worker that has reported nothing for this long has nothing in flight: workers tick at least
/// twice a second.
pub const IN_FLIGHT_STALE_MS: u64 = 5000;

/// Twice as long as payments may stay without any answer while heartbeats are bad. So a gateway that
/// answers nothing is left within this time, or within `response_ms` if that is shorter, however
/// early clients give up.
pub const SILENCE_MS_MAX: u64 = 10_000;

/// The largest percentage of trials that may fail before the breaker opens again: a gateway that
/// fails half of its trials does not work, whatever rate of failures opens its breaker.
pub const FAILED_TRIALS_PCT_MAX: u32 = 50;

/// Steps of equal length in which a gateway that takes over again gets its payments back.
pub const RAMP_STEPS: u8 = 10;

/// Switches that are kept for operators.
pub const SWITCHES_KEPT: usize = 16;

/// A minute without a refusal ends a run of refusals.
pub const REFUSALS_APART_MS: u64 = 60_000;

/// Characters of Envoy's node id and cluster that are shown.
pub const NODE_CHARS_MAX: usize = 128;

/// For this long one operation alone cannot trip by a run of failures if another operation went well
/// just before. Any success within that time ends the run.
pub const RUN_ALONE_MS_MAX: u64 = 2000;

/// The clock has leapt, or the machine stood still, if it is further on than this since a worker's
/// last tick: workers tick at least twice a second.
pub const CLOCK_LEAP_MS_MIN: u64 = 5000;

/// Leaps of the clock that are kept apart. Beyond that the oldest two are merged, so that what waits
/// is kept for longer; but a short one of long ago is forgotten.
pub const LEAPS_MAX: usize = 8;

/// A leap is short if it is at most as long as this. For each one that is forgotten, what was written before
/// it ends so much earlier than it would.
pub const LEAP_SHORT_MS_MAX: u64 = 60_000;

/// It is of long ago if the newest one came so much later: no lease and no delay can be set to more, so whatever
/// waits for a gateway has ended by then in any case.
pub const LEAP_OLD_MS_MIN: u64 = 3_600_000;

/// A customer's token is written again when it is used and this part of its retention has passed
/// since it was last written: a token in daily use is not written with each payment.
pub const TOKEN_RENEWED_AFTER_SHARE: u64 = 8;

/// Exchanges whose stream is over and that have still something to write into the store, in one worker.
/// One holds 4.4 kB, and 6.4 kB with the largest answer that is kept in etcd (measured, native): 32 MiB at
/// most. While etcd is away no payment is sent, so these are the ones that were under way when it went.
pub const UNFINISHED_MAX: usize = 5120;

/// So many of them ask the store at a time, in one worker, when they have paused: after an outage there may
/// be thousands. So they come to 320 a second at most, beside the payments that come meanwhile.
pub const UNFINISHED_UNDER_WAY_MAX: usize = 32;

/// Operators' requests whose client has left and that the store has still to answer, in one worker.
pub const OPERATORS_LEFT_MAX: usize = 1024;

/// So long the store may take to answer them.
pub const OPERATORS_LEFT_MS_MAX: u64 = 60_000;

/// So long one question to a shared store takes at most, with all its attempts: six of 400 ms. A member
/// that is frozen is left out by then, and another one leads (measured: a leader that was frozen for 3 s
/// cost 1.2 s at most).
pub const SHARED_STORE_MS_MAX: u64 = 2400;

/// Characters of a text in an entry of the audit trail. A reference has 64, and what identifies a
/// payment at most so many.
pub const AUDIT_TEXT_CHARS_MAX: usize = IDENTITY_CHARS_MAX;

/// Bytes of an event that one plugin hands to the one that writes it down.
pub const AUDIT_EVENT_BYTES_MAX: usize = 8192;

/// Events that wait in one worker to be written down. What comes beyond that is counted, and the count is
/// written down instead.
pub const AUDIT_EVENTS_MAX: usize = 1024;

/// Events that are handed over at a time.
pub const AUDIT_EVENTS_PER_CALL: usize = 32;

/// So long a call that hands over events may take: it goes no further than a socket of this machine.
pub const AUDIT_CALL_MS: u64 = 1000;

/// From one publication of how far the writers are to the next.
pub const AUDIT_PUBLISHED_MS: u64 = 10_000;

/// Writers of one process whose heads are known. A worker of Envoy has one for each of its
/// configurations; whoever has a higher number takes the place of the one so many before.
pub const AUDIT_WRITERS_MAX: u64 = 1024;

/// From one look at whether it is time to publish them to the next.
pub const AUDIT_TICK_MS: u32 = 1000;

/// Writers of one process whose heads are gauges, the latest ones.
pub const AUDIT_WRITERS_SHOWN: usize = 64;

/// Writers before a new one that its first entry names with their heads.
pub const AUDIT_WRITERS_NAMED: u64 = 16;

/// Keys of gateways that sign notifications: each may have a few, so that they can be changed.
pub const NOTIFY_KEYS_MAX: usize = 8;

/// Verifications of one notification: forged ones, and those whose bodies may be read in several ways,
/// take no more of a worker's time.
pub const NOTIFY_VERIFICATIONS_MAX: usize = 16;

/// How often a worker that takes notifications in is called, in milliseconds: it hands over events.
pub const NOTIFY_TICK_MS: u64 = 500;

/// How far a gateway's clock may be ahead of this one, in milliseconds.
pub const NOTIFY_AHEAD_MS_MAX: u64 = 300_000;
