import { expect, test } from "vitest";
import { installCommand, packagesOf } from "../../../src/runtime/system-packages.js";
import { parseLinkerCache } from "../../../src/runtime/system-libraries.js";
import { PINNED_PLATFORMS } from "../../../src/runtime/components.js";

test("missing tools are one command, in the names of the platform's package manager", () => {
  const tools = ["qemu", "mkfs.ext4", "libcap-ng"] as const;
  expect(installCommand(tools, { platform: "linux", arch: "x64" })).toBe(
    "sudo apt-get install -y qemu-system-x86 e2fsprogs libcap-ng0",
  );
  expect(installCommand(tools, { platform: "darwin", arch: "arm64" })).toBe(
    "brew install qemu e2fsprogs",
  );
  expect(packagesOf(["qemu"], { platform: "linux", arch: "arm64" })).toEqual(["qemu-system-arm"]);
});

test("libraries are found in the linker's cache by their exact name", () => {
  const output = [
    "2 libs found in cache `/etc/ld.so.cache'",
    "\tlibkrunfw.so.5 (libc6,x86-64) => /opt/krun/libkrunfw.so.5",
    "\tlibkrun.so.1 (libc6,x86-64) => /opt/krun/libkrun.so.1",
    "\tlibkrun.so.1x (libc6) => /elsewhere",
  ].join("\n");
  expect(parseLinkerCache(output, ["libkrun.so.1"])).toEqual(["/opt/krun/libkrun.so.1"]);
});

test("every pin is complete", () => {
  for (const pins of Object.values(PINNED_PLATFORMS)) {
    for (const pin of [pins.libkrun, pins.libkrunfw]) {
      if (pin === null) continue;
      expect(Buffer.from(pin.memberSha512, "base64")).toHaveLength(64);
      expect(Buffer.from(pin.integrity.replace("sha512-", ""), "base64")).toHaveLength(64);
      expect(pin.member).toMatch(/^package\/lib\/libkrun/);
      expect(pin.packageVersion).toMatch(/^\d+\.\d+\.\d+$/);
    }
  }
});
