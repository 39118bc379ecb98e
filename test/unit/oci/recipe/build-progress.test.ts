import { expect, test } from "vitest";
import { BuildProgress } from "../../../../src/oci/recipe/build-progress.js";
import type { Progress } from "../../../../src/util/progress.js";

function progressOf(text: string, chunkBytes = text.length): Progress[] {
  const seen: Progress[] = [];
  const progress = new BuildProgress((record) => seen.push(record));
  const bytes = Buffer.from(text);
  for (let at = 0; at < bytes.length; at += chunkBytes) {
    progress.push(bytes.subarray(at, at + chunkBytes));
  }
  return seen;
}

const LOG = `I: running apt-get update...
Get:1 http://mirror.example/debian bookworm InRelease [151 kB]
Need to get 1500 kB of archives.
Get:1 http://mirror.example/debian bookworm/main amd64 libc6 amd64 2.36 [1.5 MB]
I: extracting archives...
Need to get 100 kB/200 kB of archives.
Get:1 http://mirror.example/debian bookworm/main amd64 git amd64 1:2.39 [101 kB]
Unpacking git (1:2.39) ...
Setting up g\u00eft\u001b[2J ...
I: creating tarball...
I: done
`;

test("packages are counted over both rounds, installing is told by its lines", () => {
  const seen = progressOf(LOG);
  expect(seen.filter(({ id }) => id === "packages")).toMatchObject([
    { doneBytes: 0, totalBytes: 1_500_000 },
    { doneBytes: 1_500_000, totalBytes: 1_500_000 },
    { doneBytes: 1_500_000, totalBytes: 1_700_000 },
    { doneBytes: 1_601_000, totalBytes: 1_700_000 },
    { doneBytes: 1_700_000, totalBytes: 1_700_000, state: "done" },
  ]);
  const installing = seen.filter(({ id }) => id === "install");
  expect(installing.map(({ note }) => note)).toEqual([
    "extracting archives...",
    "Unpacking git (1:2.39) ...",
    "Setting up g\u00eft\ufffd[2J ...",
    undefined,
  ]);
  expect(seen.at(-1)).toMatchObject({ id: "install", state: "done" });
});

test("where the text is cut into pieces does not matter", () => {
  for (const size of [1, 7, 100]) expect(progressOf(LOG, size)).toEqual(progressOf(LOG));
});

test("a line without an end stays small", () => {
  expect(progressOf(`${"x".repeat(1e6)}\nNeed to get 5 B of archives.\n`, 4096)).toHaveLength(1);
});
