// What callgrind has counted of code that V8 made, by function.

import { readFileSync } from "node:fs";

/** What a processor's cache holds as one. */
const LINE_BYTES = 64;

/** By the name of the function, out of callgrind's counts and V8's log of its code: its instructions, and
 * how often each line of its code was executed, by its number from the function's begin. */
export function counted(counts, log) {
  const code = codeOf(log);
  const found = new Map();
  for (const [address, count] of addresses(counts)) {
    const piece = pieceAt(code, address);
    if (piece === undefined) {
      continue;
    }
    const { name, start } = piece;
    const known = found.get(name) ?? { instructions: 0, lines: new Map() };
    const line = Math.floor((address - start) / LINE_BYTES);
    known.instructions += count;
    known.lines.set(line, Math.max(known.lines.get(line) ?? 0, count));
    found.set(name, known);
  }
  return found;
}

/** Pieces of code by their place: V8 writes a line for each, `code-creation,KIND,TIER,TIME,ADDRESS,SIZE,NAME`. */
function codeOf(log) {
  const pieces = [];
  for (const line of readFileSync(log, "latin1").split("\n")) {
    const [kind, , , , start, size, name] = line.split(",");
    if (kind === "code-creation" && name !== undefined) {
      pieces.push({ start: Number(start), end: Number(start) + Number(size), name });
    }
  }
  return pieces.sort((one, other) => one.start - other.start);
}

function pieceAt(code, address) {
  let [low, high] = [0, code.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (code[middle].start <= address) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  const piece = code[low - 1];
  return piece !== undefined && address < piece.end ? piece : undefined;
}

/** Each address with its count. A place is absolute, or told by its distance from the one before; the
 * line after `calls=` counts what was called, which has lines of its own. */
function* addresses(counts) {
  let address = 0;
  let isCalled = false;
  for (const line of readFileSync(counts, "latin1").split("\n")) {
    if (line.startsWith("calls=")) {
      isCalled = true;
      continue;
    }
    if (!/^[0-9*+-]/.test(line)) {
      continue;
    }
    const fields = line.split(" ");
    const [place] = fields;
    if (place.startsWith("+")) {
      address += Number(place.slice(1));
    } else if (place.startsWith("-")) {
      address -= Number(place.slice(1));
    } else if (place !== "*") {
      address = Number(place);
    }
    if (!isCalled) {
      yield [address, Number(fields.at(-1))];
    }
    isCalled = false;
  }
}
