/** Works on a store as one of several processes; says what it does in JSON lines. See store.test.ts. */
import { once } from "node:events";
import { Images } from "../../../src/oci/images.js";
import { pullImage } from "../../../src/oci/pull.js";
import { hostPlatform } from "../../../src/oci/platform.js";
import { parseReference } from "../../../src/oci/reference.js";
import { BlobStore } from "../../../src/oci/store/blob-store.js";
import { ImageStore } from "../../../src/oci/store/image-store.js";
import { msbPaths } from "../../../src/paths.js";
import { EMPTY_SETTINGS } from "../../../src/settings.js";
import { chunked, expectedOf, someBytes } from "../../helpers/blobs.js";
import { makeImage, MemoryRegistry } from "../../helpers/memory-registry.js";

export type Job =
  /** Fetches a blob; stops half-way and waits for a line of input when `isHeld`. */
  | { readonly job: "fetch"; readonly sizeBytes: number; readonly isHeld: boolean }
  /** Pulls an image and makes its disk; kills itself at the event of this number. */
  | { readonly job: "pull"; readonly killAt: number | null }
  /** Pulls an image under a pin, says when it is whole, and holds it until a line of input. */
  | { readonly job: "hold" };

export type Line =
  | { readonly opened: number }
  | { readonly state: string }
  | { readonly error: string }
  | { readonly events: number }
  | { readonly damaged: number };

const { home, ...input } = JSON.parse(process.argv[2]!) as Job & { home: string };
const paths = msbPaths(home);
const say = (line: Line): boolean => process.stdout.write(`${JSON.stringify(line)}\n`);

async function fetch(sizeBytes: number, isHeld: boolean): Promise<void> {
  const bytes = someBytes(sizeBytes);
  await new BlobStore(paths).fetch(
    expectedOf(bytes),
    async (offset) => {
      say({ opened: offset });
      const body = async function* (): AsyncGenerator<Uint8Array> {
        const half = Math.max(offset, sizeBytes / 2);
        yield* chunked(bytes.subarray(offset, half), 65_536);
        if (isHeld) await once(process.stdin, "data");
        yield* chunked(bytes.subarray(half), 65_536);
      };
      return { offset, body: body() };
    },
    { onProgress: ({ state }) => say({ state }) },
  );
}

function registry(): MemoryRegistry {
  const made = new MemoryRegistry();
  const layers = [1, 2, 3, 4].map((seed) => someBytes(400_000, seed));
  made.push("docker.io/library/python:latest", makeImage({ layers }));
  return made;
}

async function pull(killAt: number | null): Promise<void> {
  let events = 0;
  const tick = async (): Promise<void> => {
    if (++events === killAt) process.kill(process.pid, "SIGKILL");
    await new Promise((resolve) => setImmediate(resolve));
  };
  const source = registry();
  source.onBlob = tick;
  source.onChunk = tick;
  const settings = EMPTY_SETTINGS;
  await using images = await Images.open({ paths, env: {}, settings, openSource: () => source });
  await images.pull("python", { onProgress: () => void tick() });
  say({ events });
}

async function hold(): Promise<void> {
  const store = await ImageStore.open(paths);
  await using pin = await store.pin();
  const source = registry();
  source.onChunk = () => new Promise((resolve) => setImmediate(resolve));
  const ref = parseReference("python");
  const info = await pullImage(ref, { source, store, pin, platform: hostPlatform() });
  say({ damaged: (await store.damagedLayers(info)).length });
  await once(process.stdin, "data");
  say({ damaged: (await store.damagedLayers(await store.load(info))).length });
}

try {
  if (input.job === "fetch") await fetch(input.sizeBytes, input.isHeld);
  else if (input.job === "pull") await pull(input.killAt);
  else await hold();
} catch (error) {
  say({ error: (error as { code?: string }).code ?? String(error) });
}
process.stdin.destroy();
