import { execFileSync } from "node:child_process";
import { mkdir, readdir, readFile, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { beforeAll, describe, expect, test } from "vitest";
import { ensureBootDisk } from "../../../src/disk/boot-disk.js";
import { checkErofsDisk } from "../../../src/disk/check-disk.js";
import { msbPaths } from "../../../src/paths.js";
import { resolveRuntime } from "../../../src/runtime/resolve.js";
import { runTool } from "../../../src/util/process.js";
import { tempDir } from "../../helpers/temp-dir.js";

/** Says that it runs, that its root is as it should be, and restarts. */
const PROBE_AGENT = `
#include <stdio.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <unistd.h>
int main(void) {
  const char* folders[] = {"/dev", "/mnt", "/proc", "/sys"};
  struct stat info;
  for (int i = 0; i < 4; i++)
    if (stat(folders[i], &info) != 0 || !S_ISDIR(info.st_mode)) printf("no %s\\n", folders[i]);
  int is_read_only = mkdir("/new", 0755) != 0;
  printf("agent runs as %d, root %s\\n", getpid(), is_read_only ? "read-only" : "writable");
  fflush(stdout);
  sleep(1);
  reboot(RB_AUTOBOOT);
}
`;

const tool = (name: string, ...args: string[]): string =>
  execFileSync(name, args, { encoding: "utf8", stdio: ["ignore", "pipe", "pipe"] });

describe("a boot disk", () => {
  beforeAll(() => {
    // Without the reference tool this test would show nothing.
    tool("fsck.erofs", "-V");
  });

  test.each([1, 4095, 4096, 4097, 1_000_003])(
    "with an agent of %d bytes is found whole by fsck.erofs and holds it to the byte",
    async (sizeBytes) => {
      const dir = await tempDir();
      const agent = join(dir, "agent");
      const content = Buffer.from(
        Array.from({ length: sizeBytes }, (_, index) => (index * 31) & 255),
      );
      await writeFile(agent, content);
      const path = await ensureBootDisk(agent, msbPaths(join(dir, "home")));
      await checkErofsDisk(path);
      const out = join(dir, "out");
      await mkdir(out);
      // A disk with any fault makes it exit with an error, and so this test.
      tool("fsck.erofs", `--extract=${out}`, "--preserve-perms", path);
      expect((await readdir(out)).toSorted()).toEqual(["dev", "mnt", "msb-agent", "proc", "sys"]);
      expect((await readFile(join(out, "msb-agent"))).equals(content)).toBe(true);
      expect((await stat(join(out, "msb-agent"))).mode & 0o7777).toBe(0o755);
      expect((await stat(join(out, "proc"))).mode & 0o7777).toBe(0o755);
      const superblock = tool("dump.erofs", "-s", path);
      expect(superblock).toMatch(/inode count: +6\n/);
      expect(superblock).toMatch(/features: +sb_csum/);
    },
  );

  test("is made once for an agent, again for another, and is the same in another place", async () => {
    const dir = await tempDir();
    const agent = join(dir, "agent");
    const paths = msbPaths(join(dir, "home"));
    await writeFile(agent, "one");
    const all = await Promise.all([1, 2, 3].map(() => ensureBootDisk(agent, paths)));
    expect(new Set(all).size).toBe(1);
    const before = await stat(all[0]!);
    expect((await stat(await ensureBootDisk(agent, paths))).ino).toBe(before.ino);
    const elsewhere = await ensureBootDisk(agent, msbPaths(join(dir, "home2")));
    expect(await readFile(elsewhere)).toEqual(await readFile(all[0]!));
    await writeFile(agent, "another");
    expect(await ensureBootDisk(agent, paths)).not.toBe(all[0]);
    expect(await readdir(paths.diskCacheDir)).toHaveLength(2);
  });

  test("without an agent says how to build one", async () => {
    const dir = await tempDir();
    await expect(ensureBootDisk(join(dir, "none"), msbPaths(dir))).rejects.toMatchObject({
      code: "MSB_ERR_DISK_NOT_FOUND",
      message: expect.stringContaining("npm run build:native") as string,
    });
  });

  test("boots: the guest kernel mounts it as its root and starts the agent", async () => {
    const dir = await tempDir();
    await writeFile(join(dir, "agent.c"), PROBE_AGENT);
    tool("gcc", "-static", "-O1", "-o", join(dir, "agent"), join(dir, "agent.c"));
    const disk = await ensureBootDisk(join(dir, "agent"), msbPaths(join(dir, "home")));
    const { kernel } = await resolveRuntime({ paths: msbPaths() });
    const append =
      "console=hvc0 panic=-1 reboot=t quiet root=/dev/vda rootfstype=erofs ro init=/msb-agent";
    const args = [
      ["-M", "microvm,acpi=off", "-accel", "tcg", "-cpu", "max", "-m", "256", "-smp", "1"],
      ["-nodefaults", "-no-user-config", "-display", "none", "-no-reboot"],
      ["-kernel", kernel.path, "-append", append],
      ["-chardev", "stdio,id=console", "-device", "virtio-serial-device"],
      ["-device", "virtconsole,chardev=console"],
      ["-drive", `id=boot,if=none,format=raw,file=${disk},readonly=on`],
      ["-device", "virtio-blk-device,drive=boot"],
    ].flat();
    const boot = () => runTool("qemu-system-x86_64", args, { timeoutMs: 40_000 });
    // An emulated guest's clock calibration hangs now and then; the driver avoids it, this bare boot retries.
    const result = await boot().catch(boot);
    expect(result.stdout).toContain("agent runs as 1, root read-only");
    expect(result.stdout).not.toContain("no /");
  });
});
