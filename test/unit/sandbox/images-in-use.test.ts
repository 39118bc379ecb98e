import { mkdir, writeFile } from "node:fs/promises";
import { dirname } from "node:path";
import { expect, it } from "vitest";
import { readImagesInUse } from "../../../src/sandbox/images-in-use.js";
import { digestOfDigit } from "../../helpers/fake-images.js";
import { KEY, SandboxBench, SPEC } from "../../helpers/sandbox-bench.js";

it("of stopped sandboxes, too, are told to who is not the server; broken records stay where they are", async () => {
  const bench = await SandboxBench.make();
  expect(await readImagesInUse(bench.paths)).toEqual(new Set());
  const manager = await bench.open();
  await manager.start(KEY, SPEC);
  await manager.stop(KEY);
  await manager.start({ ...KEY, name: "other" }, { ...SPEC, image: "node" });
  const broken = bench.paths.sandbox("default", "broken").record;
  await mkdir(dirname(broken), { recursive: true });
  await writeFile(broken, "{");

  const used = new Set([digestOfDigit("a"), digestOfDigit("b")]);
  expect(await readImagesInUse(bench.paths)).toEqual(used);
  expect(await readImagesInUse(bench.paths)).toEqual(used);
  await manager.close({ sandboxes: "stop" });
});
