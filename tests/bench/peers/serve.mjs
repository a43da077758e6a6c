// The protocol of `work serve`.

import { createInterface } from "node:readline";

// Runs `round` for each line that is read, and prints the processor time in seconds. If the line is a folder, the function that
// `round` returned writes into it.
export async function serve(round) {
  for await (const folder of createInterface({ input: process.stdin })) {
    const before = process.cpuUsage();
    const write = round(folder);
    const { user, system } = process.cpuUsage(before);
    if (folder !== "") write();
    console.log((user + system) / 1e6);
  }
}
