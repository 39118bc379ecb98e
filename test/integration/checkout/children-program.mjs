/** Runs a shell program, and another after it: `children-program.mjs SIGNALS GRACE_MS SCRIPT`. See children.test.ts. */
/* oxlint-disable no-console -- the answer of a program */
import { Children } from "../../../src/checkout/children.mjs";

const [, , signals, graceMs, script] = process.argv;
const children = new Children(process.cwd());
try {
  const opts = { signals, graceMs: Number(graceMs) };
  console.log("first", await children.run("sh", ["-c", script], opts));
  console.log("second", await children.run("echo", ["begins"]));
} catch (error) {
  console.log(error.message);
  process.exitCode = children.exitCode;
}
