/** Open files that a VM process has behind its channels. */
import {
  closeSync,
  openSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  unlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { describe, expect, onTestFinished, test } from "vitest";
import { shellConfig, tempFolder, TestVm, until } from "./vmm-fixture.js";

// The kernel hides a non-dumpable process from everybody but root.
const isRoot = process.getuid?.() === 0;

/** Descriptors of files with these contents, which have no names any more. */
function openFiles(...contents: readonly string[]): number[] {
  const folder = tempFolder();
  return contents.map((content, index) => {
    const path = join(folder, `${index}`);
    writeFileSync(path, content);
    const fd = openSync(path, "r");
    onTestFinished(() => closeSync(fd));
    unlinkSync(path);
    return fd;
  });
}

const READ_BOTH = "cat <&5 >&3; cat <&6 >&3; printf end >&3; read x <&3";

describe("open files", () => {
  test("arrive behind the channels, in their order, and stay the caller's", async () => {
    const files = openFiles("one ", "two ");
    const vm = new TestVm(shellConfig(READ_BOTH, { fileCount: 2 }), files);
    const host = await vm.connect("agent");
    await until(() => host.text === "one two end");
    expect(readFileSync(`/proc/self/fd/${files[0]}`, "latin1")).toBe("one ");
  });

  test("arrive behind a third channel, too, also when their numbers are those of others there", async () => {
    const [first, second] = openFiles("one ", "two ");
    const channels = ["agent", "console", "monitor"];
    const script = "cat <&7 >&3; cat <&6 >&3; exec cat <&5 >&5";
    const vm = new TestVm(shellConfig(script, { channels, fileCount: 2 }), [second!, first!]);
    const [agent, monitor] = await Promise.all([vm.connect("agent"), vm.connect("monitor")]);
    monitor.socket.write("echo");
    await until(() => agent.text.length >= 8 && monitor.text.length >= 4);
    expect([agent.text, monitor.text]).toEqual(["one two ", "echo"]);
  });

  test("one can be given twice", async () => {
    const [file] = openFiles("one ");
    const vm = new TestVm(shellConfig(READ_BOTH, { fileCount: 2 }), [file!, file!]);
    const host = await vm.connect("agent");
    // They share a position.
    await until(() => host.text.endsWith("end"));
    expect(host.text).toBe("one end");
  });

  test.skipIf(!isRoot)("nothing else arrives, and the supervisor keeps none", async () => {
    const [given, other] = openFiles("one", "other");
    const vm = new TestVm(shellConfig("printf x >&4; exec sleep 600", { fileCount: 1 }), [given!]);
    const { pid = 0 } = await vm.stage("forked");
    await vm.stage("alive");
    const fds = (of: number | undefined): Map<string, string> =>
      new Map(
        readdirSync(`/proc/${of}/fd`).map((fd) => [fd, readlinkSync(`/proc/${of}/fd/${fd}`)]),
      );
    const deleted = (of: number | undefined): string[] =>
      [...fds(of).values()].filter((target) => target.includes("(deleted)"));
    expect([...fds(pid).keys()].toSorted()).toEqual(["0", "1", "2", "3", "4", "5"]);
    expect(deleted(pid)).toEqual([readlinkSync(`/proc/self/fd/${given}`)]);
    expect(deleted(vm.handle.pid)).toEqual([]);
    expect(readlinkSync(`/proc/self/fd/${other}`)).toContain("(deleted)");
  });

  test.each([
    ["fewer than", 2, 1],
    ["more than", 1, 2],
    ["some where", undefined, 1],
    ["none where", 1, 0],
  ])("%s the config says are refused", (_name, fileCount, given) => {
    const files = openFiles("one", "two").slice(0, given);
    const config = shellConfig("", fileCount === undefined ? {} : { fileCount });
    expect(() => new TestVm(config, files)).toThrow(
      expect.objectContaining({ code: "MSB_NATIVE", operation: "files", errno: 22 }),
    );
  });

  test.each([
    ["a name", "x"],
    ["no whole number", 1.5],
    ["negative", -1],
  ])("a descriptor that is %s is refused", (_name, file) => {
    const config = shellConfig("", { fileCount: 1 });
    expect(() => new TestVm(config, [file as number])).toThrow(TypeError);
  });

  test("one that is not open is refused, and nothing is started", () => {
    const config = shellConfig("", { fileCount: 1 });
    expect(() => new TestVm(config, [987_654])).toThrow(
      expect.objectContaining({ code: "MSB_NATIVE", errno: 9 }),
    );
  });
});
