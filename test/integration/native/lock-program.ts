/** Takes a lock, says so, and holds it until it is told to go or its input ends. */
import { once } from "node:events";
import { FileLock, type LockMode } from "../../../src/native/file-lock.js";

const { path, mode, job } = JSON.parse(process.argv[2]!) as {
  path: string;
  mode: LockMode;
  job: "hold" | "forget" | "abort";
};
const say = (line: unknown): boolean => process.stdout.write(`${JSON.stringify(line)}\n`);

if (job === "abort") {
  const controller = new AbortController();
  const waiting = FileLock.acquire(path, mode, { signal: controller.signal });
  say("waiting");
  await once(process.stdin, "data");
  controller.abort();
  say(
    await waiting.then(
      () => "locked",
      (error: { code: string }) => error.code,
    ),
  );
  // Nothing is left to do: the process ends although a thread of it still waits.
  process.stdin.destroy();
} else {
  await FileLock.acquire(path, mode);
  say("locked");
  if (job === "hold") await once(process.stdin, "data");
  process.stdin.destroy();
}
