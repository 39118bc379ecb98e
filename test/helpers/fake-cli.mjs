/**
 * The real process of the CLI (dist/cli/start.js) with images that FAKE_IMAGES says the behaviour of:
 * `pull` takes some steps, `slow` goes on until it is stopped and then cleans up, `stubborn` never ends,
 * `many` lists thousands, `endless` saves for ever, `throws` throws where nobody catches,
 * `rests` waits for nothing.
 */
import { startCli } from "../../dist/cli/start.js";
import { fakeServer } from "./fake-server.mjs";

const MIB = 1024 ** 2;
const STEPS = 4;
const digest = `sha256:${"a".repeat(64)}`;

const config = {
  user: "",
  env: [],
  entrypoint: [],
  cmd: [],
  workingDir: "/",
  labels: {},
  exposedPorts: [],
  stopSignal: null,
};
const image = (name) => ({
  digest,
  names: [`docker.io/library/${name}`],
  platform: { os: "linux", architecture: "amd64" },
  layers: [],
  storedBytes: 8 * MIB,
  disk: null,
  createdAt: null,
  taggedAt: null,
  config,
});

/** Until the signal aborts; keeps the process alive meanwhile. */
async function untilStopped(signal) {
  const timer = setInterval(() => {}, 60_000);
  await new Promise((resolve) => signal.addEventListener("abort", resolve, { once: true }));
  clearInterval(timer);
}

const never = () => new Promise(() => setInterval(() => {}, 60_000));

async function pullInSteps(onProgress) {
  for (let step = 0; step <= STEPS; step++) {
    for (const id of ["one", "two"]) {
      onProgress({
        id,
        label: `layer ${id}`,
        state: step === STEPS ? "done" : "running",
        doneBytes: (step * 4 * MIB) / STEPS,
        totalBytes: 4 * MIB,
      });
    }
    await new Promise((resolve) => setTimeout(resolve, 120));
  }
  return image("python:3.12");
}

async function pullUntilStopped(onProgress, signal) {
  const stopped = untilStopped(signal);
  onProgress({ id: "1", label: "layer one", state: "running", doneBytes: 1, totalBytes: 8 * MIB });
  await stopped;
  if (process.env.FAKE_IMAGES === "stubborn") {
    process.stderr.write("clean-up begins\n");
    await never();
  }
  await new Promise((resolve) => setTimeout(resolve, 50));
  process.stderr.write("clean-up done\n");
  throw signal.reason;
}

const images = async ({ onWarning }) => ({
  pull: (_name, { onProgress, signal }) =>
    process.env.FAKE_IMAGES === "pull"
      ? pullInSteps(onProgress)
      : pullUntilStopped(onProgress, signal),
  list: async () => {
    if (process.env.FAKE_IMAGES === "throws") {
      setImmediate(() => {
        throw new TypeError("thrown where nobody catches");
      });
      await never();
    }
    if (process.env.FAKE_IMAGES === "rests") await new Promise(() => {});
    const count = process.env.FAKE_IMAGES === "many" ? 3_000 : 1;
    return Array.from({ length: count }, (_, index) => image(`image-${index}:latest`));
  },
  prune: async () => {
    onWarning("one image is broken\u0007");
    return { names: [], digests: [], freedBytes: MIB, warmed: [] };
  },
  load: async (source) => {
    let size = 0;
    for await (const chunk of source) size += chunk.length;
    return [image(`read-${size}:bytes`)];
  },
  save: async (_names, target) => {
    const chunk = Buffer.alloc(64 * 1024, "x");
    for (let left = process.env.FAKE_IMAGES === "endless" ? Infinity : 32; left > 0; left--) {
      await new Promise((resolve, reject) => {
        target.write(chunk, (error) => (error ? reject(error) : resolve()));
      });
    }
  },
  [Symbol.asyncDispose]: async () => {},
});

await startCli(process, { images, server: async () => fakeServer });
