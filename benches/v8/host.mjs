// A host in memory for the payments' module, in V8 as Envoy has it: the ABI of proxy-wasm 0.2.1, as far as
// that module calls it, and a count of its calls.

import { readFileSync } from "node:fs";

const OK = 0;
const NOT_FOUND = 1;
const CAS_MISMATCH = 8;
const MAPS = { 0: "request", 2: "response", 6: "called" };
const BUFFERS = { 0: "request", 1: "response", 4: "called", 7: "configuration" };

/** Header fields in the ABI's serialised form. */
function serialised(fields) {
  const words = [fields.length, ...fields.flatMap(([name, value]) => [name.length, value.length])];
  const numbers = Buffer.alloc(4 * words.length);
  words.forEach((word, at) => numbers.writeUInt32LE(word, 4 * at));
  const text = fields.flat().map((part) => `${part}\0`).join("");
  return Buffer.concat([numbers, Buffer.from(text, "latin1")]);
}

/** The module in its host. */
export class Host {
  constructor(path, configuration) {
    this.now = 1_790_000_000_000n;
    this.configuration = { body: Buffer.from(JSON.stringify(configuration)) };
    this.shared = new Map();
    this.writes = 0;
    this.metrics = [];
    this.tokens = 0;
    this.probes = [];
    this.properties = new Map();
    this.calls = new Map();
    const env = Object.fromEntries(
      Object.entries(this.functions()).map(([name, call]) => [`proxy_${name}`, this.counted(name, call)]),
    );
    const module = new WebAssembly.Module(readFileSync(path));
    this.exports = new WebAssembly.Instance(module, { env }).exports;
    this.exports._initialize();
    this.exports.proxy_on_context_create(1, 0);
    if (this.exports.proxy_on_configure(1, 0) !== 1) {
      throw new Error("the configuration was refused");
    }
  }

  counted(name, call) {
    return (...args) => {
      this.calls.set(name, (this.calls.get(name) ?? 0) + 1);
      return call(...args);
    };
  }

  /** What the module is told of one side. */
  tell(side, fields, body) {
    this[side] = { headers: serialised(fields), body: Buffer.from(body, "latin1") };
  }

  read(at, size) {
    return Buffer.from(this.exports.memory.buffer, at, size);
  }

  text(at, size) {
    return this.read(at, size).toString("latin1");
  }

  word(at, value) {
    new DataView(this.exports.memory.buffer).setUint32(at, value, true);
    return OK;
  }

  /** Hands bytes over as Envoy does: the module allocates them. */
  give(bytes, data, size) {
    if (bytes === undefined) {
      return NOT_FOUND;
    }
    const place = bytes.length === 0 ? 0 : this.exports.malloc(bytes.length);
    new Uint8Array(this.exports.memory.buffer).set(bytes, place);
    this.word(data, place);
    return this.word(size, bytes.length);
  }

  functions() {
    return {
      log: () => OK,
      get_current_time_nanoseconds: (at) => {
        new DataView(this.exports.memory.buffer).setBigUint64(at, this.now * 1_000_000n, true);
        return OK;
      },
      get_header_map_pairs: (map, data, size) => this.give(this[MAPS[map]].headers, data, size),
      get_buffer_bytes: (kind, start, most, data, size) => {
        const { body } = this[BUFFERS[kind]];
        return this.give(body.length === 0 ? undefined : body.subarray(0, most >>> 0), data, size);
      },
      get_property: (path, length, data, size) =>
        this.give(this.properties.get(this.text(path, length)), data, size),
      get_shared_data: (key, length, data, size, version) => {
        const known = this.shared.get(this.text(key, length));
        if (known !== undefined) {
          this.word(version, known.version);
        }
        return this.give(known?.bytes, data, size);
      },
      set_shared_data: (key, length, value, size, version) => {
        const name = this.text(key, length);
        const known = this.shared.get(name);
        if (known !== undefined && version !== 0 && version !== known.version) {
          return CAS_MISMATCH;
        }
        this.writes += 1;
        this.shared.set(name, { bytes: Buffer.from(this.read(value, size)), version: this.writes });
        return OK;
      },
      replace_header_map_value: () => OK,
      set_property: () => OK,
      send_local_response: (status) => {
        this.replied = status;
        return OK;
      },
      define_metric: (kind, name, length, id) => this.word(id, this.metrics.push(0n) - 1),
      increment_metric: (id, by) => {
        this.metrics[id] += by;
        return OK;
      },
      record_metric: () => OK,
      get_metric: (id, at) => {
        new DataView(this.exports.memory.buffer).setBigUint64(at, this.metrics[id], true);
        return OK;
      },
      set_tick_period_milliseconds: () => OK,
      set_effective_context: () => OK,
      http_call: (...args) => {
        this.probes.push(++this.tokens);
        return this.word(args.at(-1), this.tokens);
      },
    };
  }

  /** Half a second passes, and heartbeats are answered. */
  tick() {
    this.now += 500n;
    this.exports.proxy_on_tick(1);
    for (const token of this.probes.splice(0)) {
      this.tell("called", [[":status", "200"], ["x-envoy-upstream-service-time", "1"]], "{}");
      this.exports.proxy_on_http_call_response(1, token, 2, 2, 0);
    }
  }
}
