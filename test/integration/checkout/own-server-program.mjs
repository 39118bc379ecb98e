/** A server of its own that was killed, with a program in place of a microVM's supervisor. See own-server.test.ts. */
/* oxlint-disable no-console -- the answer of a program */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdirSync, mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { recordSupervisor } from "../../../dist/hypervisor/vm-folder.js";
import { msbPaths } from "../../../dist/paths.js";
import { OwnServer } from "../../../src/checkout/own-server.mjs";

const home = mkdtempSync(join(tmpdir(), "msb-q-"));
const folder = msbPaths(home).vmDir("sb-one");
mkdirSync(folder, { recursive: true });
const supervisor = spawn("sleep", ["600"], { detached: true, stdio: "ignore" });
const ended = once(supervisor, "exit");
await recordSupervisor(folder, supervisor.pid);

const killed = { stop: () => {}, ended: Promise.resolve("SIGKILL") };
console.log(await new OwnServer(home, "http://nowhere", killed).stop());
console.log((await ended)[1], existsSync(home));
