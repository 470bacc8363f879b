// Plays one story so many times, after a warm-up that is the same for all of them.
//
//   node benches/v8/run.mjs MODULE STORY TIMES

import { Host } from "./host.mjs";
import { CONFIGURATION, STORIES, tell } from "./stories.mjs";

const WARM_UP = 50;

const [module, name, times] = process.argv.slice(2);
const host = new Host(module, CONFIGURATION);
// Heartbeats come up.
for (let ticks = 0; ticks < 40; ticks += 1) {
  host.tick();
}
for (const story of STORIES) {
  repeat(story, WARM_UP);
}
host.calls.clear();
repeat(STORIES.find((story) => story.name === name) ?? STORIES[0], Number(times));
console.log(JSON.stringify([...host.calls]));

function repeat(story, wanted) {
  for (let number = 0; number < wanted; number += 1) {
    tell(host, story);
  }
}
