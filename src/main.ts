#!/usr/bin/env node
import { keepHeapSmall, usePinnedNode } from "./native/process.ts";

// The state database needs node:sqlite. An older Node (a distribution's own) hands over to the one this package pins,
// before anything that needs it is loaded.
usePinnedNode();
keepHeapSmall();

const { runCli } = await import("./cli/index.ts");
process.exitCode = await runCli(process.argv);
