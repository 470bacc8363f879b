// How many instructions the payments' module takes for each kind of request, by part and by function, how
// much code that is, and whether both are within the budget. (A request finds most of its code in no near
// cache, because Envoy's own was there meanwhile: how much it comes to says more of its time.) The module runs in V8, compiled as Envoy does it (`--no-liftoff`), over
// a host in memory, under valgrind: the same module has the same count on each machine of one kind, whatever
// else that does. What the host does is left out.
//
//   node benches/v8/main.mjs MODULE BYTES_OF [--write] [--json]
//
// MODULE has its names; BYTES_OF is the same module as it is shipped. `make budget` builds both. Each story
// is played so many times more than another run has it, and the difference is counted.

import { execFile } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { isDeepStrictEqual, promisify } from "node:util";
import { counted } from "./callgrind.mjs";
import { STORIES } from "./stories.mjs";

/** Parts of the module, and the functions that are theirs; the first that fits. */
const PARTS = [
  ["allocation", /dlmalloc|__rust_|__rdl_|__rustc|raw_vec|box_new|filter::heap|no_alloc_shim/],
  ["SHA-256", /sha2|digest|block_buffer/],
  ["JSON", /serde|engine::codec::json/],
  ["texts and maps", /core::(fmt|str|num|slice|char)|alloc::(string|str|fmt|collections::btree)|memcmp/],
  ["records and kept answers", /store::(record|alias|kept_answer|local::bucket)/],
  ["store, and the way to it", /engine::(store|machine)/],
  ["health", /engine::health/],
  ["the audit trail", /engine::audit|filter::audit/],
  ["what a payment is, and what is done", /engine::/],
  ["filter: calls, header fields, metrics", /filter::|proxy_on|malloc/],
  ["the rest", /./],
];

const TIMES = 400;
/** Runs at one time. */
const AT_ONCE = 2;
/** What is printed of each story's functions. */
const FIRST = 12;
/** How much more than the budget fails, in percent. */
const SLACK_PCT = 3;
/** Less than this much of it was not counted: V8 or valgrind tells of code in another way. */
const LEAST_PCT = 60;
const BUDGET = new URL("budget.json", import.meta.url);

const here = (name) => new URL(name, import.meta.url).pathname;

/** What V8 has no say in: no code is made anew while it runs, and hashes are the same each time. */
const V8_FLAGS = ["--no-liftoff", "--single-threaded", "--hash-seed=1", "--random-seed=1"];

/** One run under valgrind: instructions by function, and calls of the host. */
async function play(folder, module, story, times) {
  const [counts, log] = [join(folder, `${story}-${times}.counts`), join(folder, `${story}-${times}.code`)];
  const callgrind = ["-q", "--tool=callgrind", "--smc-check=all-non-file", "--dump-instr=yes"];
  const { stdout } = await promisify(execFile)(process.env.VALGRIND ?? "valgrind", [
    ...callgrind,
    `--callgrind-out-file=${counts}`,
    process.execPath,
    ...V8_FLAGS,
    "--log-code",
    "--no-logfile-per-isolate",
    `--logfile=${log}`,
    here("run.mjs"),
    module,
    story,
    String(times),
  ]);
  return { functions: counted(counts, log), calls: new Map(JSON.parse(stdout)) };
}

/** The path in a mangled name of Rust: each part has its length before it. Of the newer form its
 * identifiers, without what tells crates of one name apart and what points back. */
function readable(name) {
  const isNewer = name.startsWith("_R");
  if (!isNewer && !name.startsWith("_ZN")) {
    return name;
  }
  const between = isNewer ? /^(?:(?:C?s|B)[0-9A-Za-z]*_|[^0-9])/ : /^[^0-9]/;
  const parts = [];
  let rest = name.slice(isNewer ? 2 : 3);
  while (rest !== "") {
    const size = /^\d+/.exec(rest)?.[0];
    if (size === undefined) {
      rest = rest.slice((between.exec(rest)?.[0] ?? rest).length);
      continue;
    }
    rest = rest.slice(size.length + (isNewer && rest[size.length] === "_" ? 1 : 0));
    parts.push(rest.slice(0, Number(size)));
    rest = rest.slice(Number(size));
  }
  const signs = { LT: "<", GT: ">", RF: "&", C: ",", u20: " ", u7b: "{", u7d: "}", BP: "*" };
  const path = parts.filter((part) => !/^h[0-9a-f]{16}$/.test(part)).join("::");
  const plain = path.replace(/\$(\w+?)\$/g, (_, sign) => signs[sign] ?? sign).replaceAll("..", "::");
  return plain.replace(/^_</, "<").replaceAll("dana_failover::", "");
}

/** Whether it is the module's, and not of what stands around it. */
const isOfModule = (name) => /^(_ZN|_R|proxy_|__rust|mem(cmp|cpy|move|set)$|malloc$)/.test(name);

const sum = (some) => some.reduce((total, one) => total + one, 0);

/** Lines of code that nearly each request of a story comes to. */
const touched = ({ lines }, none) => [...lines].filter(([line, times]) => times - (none?.lines.get(line) ?? 0) > TIMES / 2).length;

/** What one request of a story takes: a run that has it, less one that has none. */
function difference({ functions, calls }, none) {
  const spent = new Map();
  for (const [name, found] of functions) {
    const before = none.functions.get(name);
    const each = (found.instructions - (before?.instructions ?? 0)) / TIMES;
    if (isOfModule(name) && each > 0) {
      const known = readable(name);
      const [all, code] = spent.get(known) ?? [0, 0];
      spent.set(known, [all + each, code + touched(found, before)]);
    }
  }
  const parts = Object.fromEntries(PARTS.map(([part]) => [part, 0]));
  for (const [name, [each]] of spent) {
    parts[PARTS.find(([, fits]) => fits.test(name))[0]] += each;
  }
  for (const part of Object.keys(parts)) {
    parts[part] = Math.round(parts[part]);
  }
  const hands = [...calls].filter(([name]) => /^get_(?!current|metric)/.test(name));
  return {
    instructions: sum(Object.values(parts)),
    lines: sum([...spent.values()].map(([, code]) => code)),
    parts,
    calls: sum([...calls.values()]) / TIMES,
    calls_that_hand_bytes_over: sum(hands.map(([, many]) => many)) / TIMES,
    functions: [...spent].sort(([, [one]], [, [other]]) => other - one),
  };
}

/** All stories. */
async function measure(module) {
  const folder = mkdtempSync(join(tmpdir(), "budget-"));
  try {
    // The warm-up is counted too, and takes more where entries are written: so it is taken away from
    // stories of the same configuration alone.
    const bases = STORIES.map((story) => STORIES.find(({ audit }) => isDeepStrictEqual(audit, story.audit)).name);
    const runs = [...[...new Set(bases)].map((name) => [name, 0]), ...STORIES.map(({ name }) => [name, TIMES])];
    const played = new Map();
    while (runs.length > 0) {
      const pair = runs.splice(0, AT_ONCE).map(async ([name, times]) => {
        played.set(`${name} ${times}`, await play(folder, module, name, times));
      });
      await Promise.all(pair);
    }
    const difference_of = ({ name }, at) => difference(played.get(`${name} ${TIMES}`), played.get(`${bases[at]} 0`));
    return Object.fromEntries(STORIES.map((story, at) => [story.name, difference_of(story, at)]));
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

const padded = (value, width) => value.toLocaleString("en-US").padStart(width);
const change = (now, before) => (before ? `${(100 * (now / before - 1)).toFixed(1)} %`.padStart(9) : "".padStart(9));

function print(name, story, before) {
  const { instructions, lines, parts, calls, calls_that_hand_bytes_over: hands, functions } = story;
  console.log(`\n${name}: ${calls} calls of the host, of which ${hands} hand bytes over`);
  console.log(`${padded(instructions, 10)}${change(instructions, before?.instructions)}  instructions in the module`);
  console.log(`${padded(lines, 10)}${change(lines, before?.lines)}  lines of 64 bytes of code that it comes to: a cache of ${(lines / 16).toFixed(0)} KiB`);
  const sorted = Object.entries(parts).sort(([, one], [, other]) => other - one);
  for (const [part, count] of sorted) {
    console.log(`${padded(count, 10)}${change(count, before?.parts[part])}  ${part}`);
  }
  console.log("  the functions that take most of it, and their lines:");
  for (const [function_, [count, code]] of functions.slice(0, FIRST)) {
    console.log(`${padded(Math.round(count), 10)}${padded(code, 9)}  ${function_.slice(0, 90)}`);
  }
}

/** What is outside of the budget, as sentences. */
function outside(found, budget) {
  const held = (what, now, planned) => {
    const pct = (100 * now) / planned;
    if (pct >= LEAST_PCT && pct <= 100 + SLACK_PCT) {
      return [];
    }
    return [`${what}: expected ${planned} and at most ${SLACK_PCT} % more, found ${now}`];
  };
  const names = new Set([...Object.keys(found.stories), ...Object.keys(budget.stories)]);
  const stories = [...names].flatMap((name) => {
    const [now, planned] = [found.stories[name], budget.stories[name]];
    return [
      ...held(`instructions of ${name}`, now?.instructions ?? 0, planned?.instructions ?? 0),
      ...held(`lines of code of ${name}`, now?.lines ?? 0, planned?.lines ?? 0),
    ];
  });
  return [...stories, ...held("bytes of the module", found.bytes, budget.bytes)];
}

const [module, shipped, ...options] = process.argv.slice(2);
if (shipped === undefined) {
  console.error("expected node benches/v8/main.mjs MODULE BYTES_OF [--write] [--json]");
  process.exit(2);
}
const stories = await measure(module);
const found = { bytes: statSync(shipped).size, stories };
const budget = JSON.parse(readFileSync(BUDGET, "utf8"));
if (options.includes("--json")) {
  console.log(JSON.stringify(found));
} else {
  Object.entries(stories).forEach(([name, story]) => print(name, story, budget.stories[name]));
  console.log(`\n${padded(found.bytes, 10)}${change(found.bytes, budget.bytes)}  bytes of the module`);
}
if (options.includes("--write")) {
  const kept = Object.entries(stories).map(([name, { instructions, lines, parts }]) => [name, { instructions, lines, parts }]);
  const text = JSON.stringify({ bytes: found.bytes, stories: Object.fromEntries(kept) }, null, 2);
  writeFileSync(BUDGET, `${text}\n`);
} else {
  const wrong = outside(found, budget);
  wrong.forEach((line) => console.error(`outside of the budget: ${line}`));
  process.exitCode = wrong.length === 0 ? 0 : 1;
}
