//! Every fixed bound of the engine, each with its unit and its reason.

use crate::engine::time::Millis;

/// Names of gateways a store can tell apart: a record has one bit for each.
pub const GATEWAY_NAMES_MAX: usize = 16;

/// Clusters that gateways can have had since a store began.
pub const CLUSTERS_MAX: usize = 256;

/// Paths whose payments a store can have named since it began.
pub const PATHS_MAX: usize = 1024;

/// Tries at one compare-and-set before giving up. Two workers collide on a bucket in well under
/// one of a hundred writes, so a run of sixteen is not contention but a fault.
pub const STORE_ATTEMPTS_MAX: u8 = 16;

/// Bytes of an answer that are read as evidence; a longer one proves nothing.
pub const EVIDENCE_BYTES_MAX: usize = 64 * 1024;

/// Records a bucket holds on average when the store is as full as configured.
pub const BUCKET_RECORDS_MEAN: u32 = 16;

/// Records a bucket may hold: far above the mean, so that chance alone does not fill one.
pub const BUCKET_RECORDS_MAX: usize = 64;

/// Answers that stand together in one shared value, of which the oldest leaves first. More of them
/// would lose fewer answers by chance, and each keeping and each replay copies them all.
pub const KEPT_SET_ANSWERS: u32 = 16;

/// What the worker that counts the store may spend on one tick, in buckets as they are in a store
/// that is as full as configured: about a millisecond's work, so that its payments do not wait. A
/// store of the default size takes two minutes when it is full.
pub const CENSUS_BUCKETS_PER_TICK: u32 = 256;

/// A bucket without records costs this part of one that is as full as configured: there is nothing
/// to copy and to read (measured: 0.4 microseconds). So the first count of a new store of the default
/// size takes 16 ticks, 8 seconds.
pub const CENSUS_EMPTY_PER_BUCKET: u32 = 16;

/// A census that began longer ago than this may say that nobody counts any more. Below it a pause
/// is no news: workers restart, and begin to count anew.
pub const CENSUS_OLD_MIN: Millis = Millis::new(600_000);

/// From the beginning of a census to the next one: a small store is counted in one tick.
pub const CENSUS_PERIOD_MIN: Millis = Millis::new(1000);

/// Metrics that are there from the first moment, with the value 0. Two gateways imply about a third
/// of this, for which Envoy takes about a megabyte.
pub const METRICS_IMPLIED_MAX: usize = 3072;

/// Metrics that one worker names, these among them. Labels come from fixed tables, but for a few
/// currencies, so more means a fault.
pub const METRICS_MAX: usize = 4096;

/// From this percentage on a store has little room left.
pub const STORE_NEARLY_FULL_PCT: u64 = 80;

/// Currencies whose amounts in doubt are summed. DANA has one.
pub const CENSUS_CURRENCIES_MAX: usize = 16;

/// Payments in doubt that a census lists by name; more than anybody resolves by hand.
pub const IN_DOUBT_LISTED_MAX: usize = 1000;

/// `Idempotency-Key` headers that are bound to one payment. A client that mints one for each retry
/// would fill the store; its further keys name the same payment by the body, and are not kept.
pub const HEADER_KEYS_MAX: u8 = 8;

/// Characters of an `Idempotency-Key`.
pub const IDEMPOTENCY_KEY_CHARS_MAX: usize = 255;

/// Characters of a partner id (SNAP: 36) with room for platforms that prefix it.
pub const PARTNER_CHARS_MAX: usize = 128;

/// Characters of one field of an identity (SNAP references: 64) with room to spare.
pub const IDENTITY_CHARS_MAX: usize = 256;

/// Characters of a path that may name an operation.
pub const PATH_CHARS_MAX: usize = 1024;

/// Bytes of an operator's request: names, a reason and a proof's id are far shorter.
pub const ADMIN_BODY_BYTES_MAX: usize = 4096;

/// Bytes of an operator's `Authorization`: a token, and a name before it.
pub const AUTHORIZATION_BYTES_MAX: usize = 1024;

/// Payments in doubt that are shown where nobody says how many.
pub const IN_DOUBT_SHOWN: u64 = 100;

/// Payments in doubt that the page of everything names.
pub const IN_DOUBT_ON_PAGE: usize = 5;

/// Payments in doubt that the page of them shows, each with its commands.
pub const IN_DOUBT_SHOWN_MAX: usize = 100;

/// Bytes of the id of the proof for what an operator says of a payment.
pub const EVIDENCE_ID_BYTES_MAX: usize = 128;

/// The longest that an override lasts: a day. Whoever needs it longer changes the configuration.
pub const OVERRIDE_TTL_MAX: Millis = Millis::new(86_400_000);

/// Bytes of the name of whoever asks for an override or resolves a payment.
pub const OVERRIDE_ACTOR_BYTES_MAX: usize = 64;

/// Bytes of the reason for it.
pub const OVERRIDE_REASON_BYTES_MAX: usize = 256;

/// Workers whose requests in flight are added up. Those of further ones are not seen by the others.
pub const WORKERS_MAX: usize = 64;

/// After so long without news a worker has nothing in flight: it ticks at least twice a second.
pub const IN_FLIGHT_STALE: Millis = Millis::new(5000);

/// Twice as long as payments may stay without any answer while heartbeats are bad: so that a
/// gateway which answers nothing is left within this time, or within `response_ms` if that is
/// shorter, whenever clients give up.
pub const SILENCE_MAX: Millis = Millis::new(10_000);

/// So many percent of the trials end all of them by their failure, if not fewer do: a gateway that
/// fails half of them is not well, whatever rate of failures opens its breaker.
pub const FAILED_TRIALS_PCT_MAX: u32 = 50;

/// Steps in which a gateway that takes over again gets its payments back, of equal length.
pub const RAMP_STEPS: u8 = 10;

/// Switches that are kept for operators.
pub const SWITCHES_KEPT: usize = 16;

/// A minute without a refusal ends a run of them.
pub const REFUSALS_APART: Millis = Millis::new(60_000);

/// Characters of Envoy's node id and cluster that are shown.
pub const NODE_CHARS_MAX: usize = 128;

/// For so long one operation alone cannot trip by a run of failures while another one went well
/// just before. Whatever else goes well within that time ends the run.
pub const RUN_ALONE_MAX: Millis = Millis::new(2000);

/// A clock that is further on than this since a worker's last tick has leapt, or the machine stood
/// still: workers tick at least twice a second.
pub const CLOCK_LEAP_MIN: Millis = Millis::new(5000);

/// Leaps of the clock that are told apart. Of more, the oldest become one, which keeps for longer
/// what waits.
pub const LEAPS_MAX: usize = 8;

/// What is known of a customer's token is written anew when it is used and this part of its
/// retention has passed since it was written: a token in daily use is not written with each payment.
pub const TOKEN_RENEWED_AFTER_SHARE: u64 = 8;

/// Exchanges whose client has left and that the store has still to answer, in one worker.
pub const UNFINISHED_MAX: usize = 1024;

/// So long the store may take to answer them.
pub const UNFINISHED_AGE_MAX: Millis = Millis::new(60_000);
