import { randomBytes } from "node:crypto";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { decodeGuestString } from "../../src/agent/guest-string.js";
import type { GuestFiles } from "../../src/agent/guest-files.js";
import type { Guest } from "../../src/sandbox/guest.js";
import { testDrivers, VmFixture } from "../helpers/vm-fixture.js";

describe.each(testDrivers)("files of a guest under %s", (driver) => {
  let fixture: VmFixture;
  let guest: Guest;
  let files: GuestFiles;

  beforeAll(async () => {
    fixture = await VmFixture.open(driver);
    guest = await fixture.boot();
    files = guest.agent.files;
  });
  afterAll(() => fixture?.dispose());

  it("come back as they were written, also beyond the window", async () => {
    const content = randomBytes(3_000_000);
    await files.write("/tmp/random", content, { mode: 0o640, uid: 1000, gid: 1000 });
    expect((await files.read("/tmp/random")).equals(content)).toBe(true);
    expect(await files.stat("/tmp/random")).toMatchObject({
      kind: "file",
      sizeBytes: content.length,
      mode: 0o640,
      uid: 1000,
      gid: 1000,
      links: 1,
    });
    const part: Buffer[] = [];
    for await (const chunk of files.readStream("/tmp/random", { offset: 1000, length: 5000 }))
      part.push(chunk);
    expect(Buffer.concat(part).equals(content.subarray(1000, 6000))).toBe(true);
  });

  it("keep the old content when a transfer breaks", async () => {
    await files.write("/tmp/kept", "old");
    async function* broken(): AsyncGenerator<Buffer> {
      yield Buffer.from("new");
      throw new Error("source broke");
    }
    await expect(files.write("/tmp/kept", broken())).rejects.toThrow("source broke");
    expect((await files.read("/tmp/kept")).toString()).toBe("old");
    const names: string[] = [];
    for await (const entry of files.list("/tmp")) names.push(entry.name);
    expect(names.filter((name) => name.startsWith(".kept"))).toEqual([]);
  });

  it("are listed, made, renamed and removed", async () => {
    await files.mkdir("/tmp/a/b/c", { recursive: true });
    await files.write("/tmp/a/b/c/file", "x");
    await files.rename("/tmp/a/b/c/file", "/tmp/a/b/moved");
    const strange = decodeGuestString(Buffer.from([0xff, 0x61]));
    await files.write(`/tmp/a/${strange}`, "bytes");
    const names: string[] = [];
    for await (const entry of files.list("/tmp/a")) names.push(entry.name);
    expect(names.toSorted()).toEqual(["b", strange].toSorted());
    await expect(files.remove("/tmp/a")).rejects.toMatchObject({ code: "MSB_ERR_FILE_FAILED" });
    await files.remove("/tmp/a", { recursive: true });
    await expect(files.stat("/tmp/a")).rejects.toMatchObject({ code: "MSB_ERR_FILE_NOT_FOUND" });
  });

  it("of a removed tree do not take along what a symlink points to", async () => {
    await files.mkdir("/tmp/target");
    await files.write("/tmp/target/precious", "1");
    await files.mkdir("/tmp/tree");
    const link = await guest.agent.exec(["ln", "-s", "/tmp/target", "/tmp/tree/link"]);
    await link.collect();
    expect(await files.stat("/tmp/tree/link", { follow: false })).toMatchObject({
      kind: "symlink",
      target: "/tmp/target",
    });
    await files.remove("/tmp/tree", { recursive: true });
    expect((await files.read("/tmp/target/precious")).toString()).toBe("1");
  });

  it("list a folder of 5,000 entries", async () => {
    const made = await guest.agent.exec([
      "sh",
      "-c",
      "mkdir /tmp/many; cd /tmp/many; seq 1 5000 | xargs touch",
    ]);
    await made.collect();
    let count = 0;
    for await (const entry of files.list("/tmp/many")) count += entry.kind === "file" ? 1 : 0;
    expect(count).toBe(5_000);
  });

  it("that are too long for the caller, absent or a folder give clear errors", async () => {
    await expect(files.read("/tmp/random", { maxBytes: 1000 })).rejects.toMatchObject({
      code: "MSB_ERR_OUTPUT_LIMIT",
    });
    await expect(files.read("/no/such/file")).rejects.toMatchObject({
      code: "MSB_ERR_FILE_NOT_FOUND",
    });
    await expect(files.read("/tmp")).rejects.toMatchObject({ code: "MSB_ERR_FILE_FAILED" });
    await expect(files.write("/no/such/folder/file", "x")).rejects.toMatchObject({
      code: "MSB_ERR_FILE_NOT_FOUND",
    });
    await expect(files.read("relative")).rejects.toMatchObject({
      code: "MSB_ERR_INVALID_ARGUMENT",
    });
    expect(await guest.agent.ping("ok")).toBe("ok");
  });
});
