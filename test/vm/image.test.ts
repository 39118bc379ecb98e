import { readFile } from "node:fs/promises";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import {
  ensureLister,
  ensureNastyImage,
  ensureRecipeImage,
  type ImageFixture,
  RECIPES,
} from "../helpers/image-fixtures.js";
import { testDrivers, VmFixture } from "../helpers/vm-fixture.js";

/** Downloads of packages are in it. */
const BUILD_TIMEOUT_MS = 900_000;

const IMAGES: Readonly<Record<string, () => Promise<ImageFixture>>> = {
  "hand-made": ensureNastyImage,
  ...Object.fromEntries(RECIPES.map((name) => [name, () => ensureRecipeImage(name)])),
};

/** The emulated KVM host emulates what emulates the guest; gigabytes are read elsewhere. */
const imagesFor = (driver: string): string[] =>
  Object.keys(IMAGES).filter((name) => driver === "qemu" || !["python", "node"].includes(name));

describe.each(testDrivers)("an image's disk under %s", (driver) => {
  let fixture: VmFixture;
  beforeAll(async () => {
    fixture = await VmFixture.open(driver);
  });
  afterAll(() => fixture?.dispose());

  it.each(imagesFor(driver))(
    "is to the guest what umoci unpacks, name by name: %s",
    async (name) => {
      const { disk, listing } = await IMAGES[name]!();
      await using guest = await fixture.boot({ imageDisk: disk });
      await guest.agent.files.write("/run/list-tree", await readFile(await ensureLister()), {
        mode: 0o755,
      });
      await guest.agent.files.mkdir("/run/image");
      const argv = ["/run/list-tree", "--erofs", "/dev/vda", "/run/image"];
      const session = await guest.agent.exec(argv);
      const { exit, stdout, stderr } = await session.collect({ maxBytes: 2 ** 27 });
      expect(stderr.toString()).toBe("");
      expect(exit).toMatchObject({ exitCode: 0 });
      const [ours, theirs] = [
        comparable(stdout.toString()),
        comparable(await readFile(listing, "utf8")),
      ];
      expect(ours.filter((line, index) => line !== theirs[index])).toEqual([]);
      expect(ours).toHaveLength(theirs.length);
    },
    BUILD_TIMEOUT_MS,
  );
});

/** Umoci leaves the root's time as it comes. */
function comparable(listing: string): string[] {
  const [root, ...rest] = listing.trimEnd().split("\n");
  return [root!.replace(/ -?\d+\.\d{9} /, " "), ...rest];
}
