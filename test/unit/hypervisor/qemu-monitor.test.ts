import { beforeEach, describe, expect, it } from "vitest";
import { QemuMonitor } from "../../../src/hypervisor/qemu-monitor.js";
import { FakeQemu } from "../../helpers/fake-qemu.js";
import { tempDir } from "../../helpers/temp-dir.js";

const never = new AbortController().signal;

describe("QEMU's monitor", () => {
  let qemu: FakeQemu;
  beforeEach(async () => {
    qemu = await FakeQemu.start();
  });
  const open = (signal = never): Promise<QemuMonitor> =>
    QemuMonitor.connect(qemu.files.monitorSocket, signal);

  it("takes commands when its greeting was answered, and returns what QEMU does", async () => {
    qemu.on("query-status", () => ({ status: "running" }));
    using monitor = await open();
    expect(await monitor.execute("query-status", { a: 1 }, never)).toEqual({ status: "running" });
    expect(qemu.commands).toEqual([
      { execute: "qmp_capabilities", arguments: {} },
      { execute: "query-status", arguments: { a: 1 } },
    ]);
  });

  it("tells what QEMU says instead, and goes on", async () => {
    using monitor = await open();
    qemu.on("stop", () => new Error("The guest is busy"));
    await expect(monitor.execute("stop", {}, never)).rejects.toMatchObject({
      code: "MSB_ERR_SNAPSHOT_FAILED",
      message: "QEMU's monitor said: The guest is busy.",
    });
    qemu.on("stop", () => ({}));
    expect(await monitor.execute("stop", {}, never)).toEqual({});
  });

  it("tells of the first event that fits, also of one that comes before a reply", async () => {
    using monitor = await open();
    const found = monitor.event(({ data }) => data["status"] === "completed", never);
    qemu.on("migrate", () => {
      for (const status of ["setup", "completed", "late"]) qemu.event("MIGRATION", { status });
      return {};
    });
    await monitor.execute("migrate", {}, never);
    expect(await found).toEqual({ name: "MIGRATION", data: { status: "completed" } });
  });

  it.each([
    ["no JSON", "}{"],
    ["no object", "7\nnull\n[]"],
    ["an event without a name", '{"event":1}'],
    ["an event without data", '{"event":"STOP"}'],
    ["half a line", '{"timestamp":'],
  ])("skips what it does not know: %s", async (name, text) => {
    using monitor = await open();
    const isHalf = name === "half a line";
    qemu.on("query-status", () => {
      qemu.raw(isHalf ? `${text}1}\n` : `${text}\n`);
      return { status: "running" };
    });
    expect(await monitor.execute("query-status", {}, never)).toEqual({ status: "running" });
  });

  it("an error without words is an error", async () => {
    using monitor = await open();
    qemu.on("stop", () => void qemu.raw('{"error":null}\n'));
    await expect(monitor.execute("stop", {}, never)).rejects.toMatchObject({
      code: "MSB_ERR_SNAPSHOT_FAILED",
    });
  });

  it("that closes in the middle fails what is asked, what is awaited, and what comes later", async () => {
    using monitor = await open();
    const awaited = monitor.event(() => true, never).catch((error: unknown) => error);
    qemu.on("stop", () => void qemu.hangUp());
    const closed = {
      code: "MSB_ERR_SNAPSHOT_FAILED",
      message: "QEMU's monitor closed the connection.",
    };
    await expect(monitor.execute("stop", {}, never)).rejects.toMatchObject(closed);
    expect(await awaited).toMatchObject(closed);
    await expect(monitor.execute("stop", {}, never)).rejects.toMatchObject(closed);
  });

  it("that closes before it has answered the greeting cannot be used", async () => {
    qemu.on("qmp_capabilities", () => void qemu.hangUp());
    await expect(open()).rejects.toMatchObject({ code: "MSB_ERR_SNAPSHOT_FAILED" });
  });

  it("that is not there is an error of the same kind", async () => {
    await expect(QemuMonitor.connect(`${await tempDir()}/none`, never)).rejects.toMatchObject({
      code: "MSB_ERR_SNAPSHOT_FAILED",
      message: expect.stringContaining("ENOENT"),
    });
  });

  it("is not waited for when the caller gives up", async () => {
    const aborted = { code: "MSB_ERR_ABORTED" };
    await expect(open(AbortSignal.abort())).rejects.toMatchObject(aborted);
    qemu.on("qmp_capabilities", () => undefined);
    await expect(open(AbortSignal.timeout(20))).rejects.toMatchObject(aborted);
    await expect.poll(() => qemu.connections).toBe(0);

    qemu.on("qmp_capabilities", () => ({}));
    qemu.on("stop", () => undefined);
    using monitor = await open();
    const signal = AbortSignal.timeout(20);
    await expect(monitor.execute("stop", {}, signal)).rejects.toMatchObject(aborted);
    await expect(monitor.event(() => true, signal)).rejects.toMatchObject(aborted);
  });

  it("is let go of when it is disposed of", async () => {
    {
      using _monitor = await open();
      expect(qemu.connections).toBe(1);
    }
    await expect.poll(() => qemu.connections).toBe(0);
  });
});
