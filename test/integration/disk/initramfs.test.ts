import { execFileSync } from "node:child_process";
import { mkdir, readdir, readFile, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { checkInitramfs } from "../../../src/disk/check-disk.js";
import { ensureInitramfs } from "../../../src/disk/initramfs.js";
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
  printf("agent runs as %d\\n", getpid());
  fflush(stdout);
  sleep(1);
  reboot(RB_AUTOBOOT);
}
`;

const tool = (name: string, ...args: string[]): string =>
  execFileSync(name, args, { encoding: "utf8", stdio: ["ignore", "pipe", "pipe"] });

describe("an initramfs", () => {
  test.each([1000, 4095, 4096, 4097, 1_000_003])(
    "with an agent of %d bytes is unpacked by cpio, and holds it to the byte",
    async (sizeBytes) => {
      const dir = await tempDir();
      const agent = join(dir, "agent");
      const content = Buffer.from(
        Array.from({ length: sizeBytes }, (_, index) => (index * 31) & 255),
      );
      await writeFile(agent, content);
      const path = await ensureInitramfs(agent, msbPaths(join(dir, "home")));
      await checkInitramfs(path);
      const out = join(dir, "out");
      await mkdir(out);
      const archive = await readFile(path);
      execFileSync("cpio", ["--extract", "--quiet"], { cwd: out, input: archive });
      expect((await readdir(out)).toSorted()).toEqual(["dev", "mnt", "msb-agent", "proc", "sys"]);
      expect((await readFile(join(out, "msb-agent"))).equals(content)).toBe(true);
      expect((await stat(join(out, "msb-agent"))).mode & 0o7777).toBe(0o755);
      expect((await stat(join(out, "proc"))).mode & 0o7777).toBe(0o755);
    },
  );

  test("is made once for an agent, again for another, and is the same in another place", async () => {
    const dir = await tempDir();
    const agent = join(dir, "agent");
    const paths = msbPaths(join(dir, "home"));
    await writeFile(agent, "one");
    const all = await Promise.all([1, 2, 3].map(() => ensureInitramfs(agent, paths)));
    expect(new Set(all).size).toBe(1);
    const before = await stat(all[0]!);
    expect((await stat(await ensureInitramfs(agent, paths))).ino).toBe(before.ino);
    const elsewhere = await ensureInitramfs(agent, msbPaths(join(dir, "home2")));
    expect(await readFile(elsewhere)).toEqual(await readFile(all[0]!));
    await writeFile(agent, "another");
    expect(await ensureInitramfs(agent, paths)).not.toBe(all[0]);
    expect(await readdir(paths.diskCacheDir)).toHaveLength(2);
  });

  test("without an agent says how to build one", async () => {
    const dir = await tempDir();
    await expect(ensureInitramfs(join(dir, "none"), msbPaths(dir))).rejects.toMatchObject({
      code: "MSB_ERR_DISK_NOT_FOUND",
      message: expect.stringContaining("npm run build:native") as string,
    });
  });

  test("boots: the guest kernel unpacks it and starts the agent", async () => {
    const dir = await tempDir();
    await writeFile(join(dir, "agent.c"), PROBE_AGENT);
    tool("gcc", "-static", "-O1", "-o", join(dir, "agent"), join(dir, "agent.c"));
    const initramfs = await ensureInitramfs(join(dir, "agent"), msbPaths(join(dir, "home")));
    const { kernel } = await resolveRuntime({ paths: msbPaths() });
    const append = "console=hvc0 panic=-1 reboot=t quiet rdinit=/msb-agent";
    const args = [
      ["-M", "microvm,acpi=off", "-accel", "tcg", "-cpu", "max", "-m", "256", "-smp", "1"],
      ["-nodefaults", "-no-user-config", "-display", "none", "-no-reboot"],
      ["-kernel", kernel.path, "-initrd", initramfs, "-append", append],
      ["-chardev", "stdio,id=console", "-device", "virtio-serial-device"],
      ["-device", "virtconsole,chardev=console"],
    ].flat();
    const boot = () => runTool("qemu-system-x86_64", args, { timeoutMs: 40_000 });
    // An emulated guest's clock calibration hangs now and then; the driver avoids it, this bare boot retries.
    const result = await boot().catch(boot);
    expect(result.stdout).toContain("agent runs as 1");
    expect(result.stdout).not.toContain("no /");
  });
});
