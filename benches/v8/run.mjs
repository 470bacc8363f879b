// Plays one story so many times, after a warm-up that is the same for all of them.
//
//   node benches/v8/run.mjs MODULE STORY TIMES

import { Host } from "./host.mjs";
import { CONFIGURATION, STORIES, tell } from "./stories.mjs";

const WARM_UP = 50;

const [module, name, times] = process.argv.slice(2);
const story = STORIES.find((one) => one.name === name) ?? STORIES[0];
const { audit } = story;
const host = new Host(module, audit === undefined ? CONFIGURATION : { ...CONFIGURATION, audit });
// Heartbeats come up.
for (let ticks = 0; ticks < 40; ticks += 1) {
  host.tick();
}
for (const other of STORIES) {
  repeat(other, WARM_UP);
}
host.calls.clear();
repeat(story, Number(times));
console.log(JSON.stringify([...host.calls]));

function repeat(story, wanted) {
  for (let number = 0; number < wanted; number += 1) {
    tell(host, story);
  }
}
