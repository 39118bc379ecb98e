import { mkdir, readdir, readFile, writeFile } from "node:fs/promises";
import { dirname } from "node:path";
import { beforeEach, describe, expect, it, vi } from "vitest";
import { formatRecord, type SandboxRecord } from "../../../src/sandbox/record.js";
import { resolveSpec } from "../../../src/sandbox/spec.js";
import { digestOfDigit } from "../../helpers/fake-images.js";
import { KEY, NOTHING_USED, SandboxBench, SPEC } from "../../helpers/sandbox-bench.js";

const NO_LIMITS = { idleTimeoutMs: 0, maxLifetimeMs: 0 };

let bench: SandboxBench;
beforeEach(async () => {
  bench = await SandboxBench.make();
});

const NONCE = "0123456789abcdef0123456789abcdef";
const VM = { id: "sb-000000000001", nonce: NONCE, env: ["A=1"], workdir: "/w", user: "root" };

function record(opts: Partial<SandboxRecord>): SandboxRecord {
  return {
    ...KEY,
    state: "running",
    spec: resolveSpec(SPEC, NO_LIMITS),
    createdAt: "2026-01-01T00:00:00.000Z",
    startedAt: "2026-01-01T00:00:00.000Z",
    stoppedAt: null,
    stages: [],
    failure: null,
    disk: { image: "python", digest: digestOfDigit("a"), repository: null, sizeMiB: 4096 },
    vm: VM,
    kernels: null,
    ...opts,
  };
}

async function write(name: string, content: string): Promise<void> {
  const paths = bench.paths.sandbox("default", name);
  await mkdir(paths.dir, { recursive: true });
  await writeFile(paths.record, content);
  await writeFile(paths.upperDisk, "precious");
}

const addVm = async (id = VM.id): Promise<void> => {
  const machine = await bench.guests.addMachine({
    id,
    vcpuCount: 1,
    memoryMiB: 512,
    imageDisk: "/image",
    upperDisk: `/upper-of-${id}`,
  });
  machine.nonce = NONCE;
};

describe("a server that begins", () => {
  it("goes on with what another one let go, kernels and all", async () => {
    const first = await bench.open();
    const before = await first.start(KEY, { ...SPEC, maxLifetimeMs: 1_000, env: ["X=1"] });
    await first.createContext(KEY, { language: "node" });
    const snapshot = bench.kernels[0]!.snapshot();
    await first.close({ sandboxes: "detach" });
    expect(first.get(KEY)).toMatchObject({ state: "running", vm: null });
    expect(bench.kernels[0]?.isClosed).toBe(true);
    expect(bench.guests.machines.size).toBe(1);

    const second = await bench.open();
    const after = second.get(KEY);
    expect(after).toMatchObject({
      state: "running",
      startedAt: before.startedAt,
      spec: before.spec,
    });
    expect(after.vm).toEqual(before.vm);
    expect(bench.kernels[1]?.opts).toMatchObject({
      adopt: snapshot,
      env: bench.kernels[0]!.opts.env,
    });
    expect(second.status().used).toEqual({ sandboxes: 1, memoryMiB: 512, vcpus: 1 });
    await vi.waitFor(() => expect(bench.events()).toContain("adopted"));
    bench.clock.advance(1_000);
    await vi.waitFor(() => expect(second.get(KEY).state).toBe("stopped"));
  });

  it("goes on after one that was killed, and closes the commands of its clients", async () => {
    const contexts = [
      {
        id: "c",
        language: "python" as const,
        isDefault: true,
        workdir: "/",
        env: [],
        createdAt: "2026-01-01T00:00:00.000Z",
        stream: 3,
      },
    ];
    await write("box", formatRecord(record({ kernels: { contexts } })));
    await addVm();
    const { agent } = bench.guests.only();
    const exec = { pid: 9, running: true, outputOffset: 0, outputEnd: 0, stdinOffset: 0 };
    agent.hello = {
      ...agent.hello,
      state: "ready",
      nextStream: 9,
      execs: [
        { ...exec, stream: 3 },
        { ...exec, stream: 4 },
      ],
    };
    agent.on("exec.attach", () => ({ outputOffset: 0, stdinOffset: 0, running: true }));
    const manager = await bench.open();
    expect(manager.get(KEY).state).toBe("running");
    const closed = agent.requests.filter(({ type }) => type === "exec.close");
    expect(closed.map(({ stream }) => stream)).toEqual([4]);
  });

  it.each(["creating", "booting"] as const)("ends a start that was %s", async (state) => {
    const vm = state === "creating" ? null : { ...VM, nonce: null };
    await write("box", formatRecord(record({ state, vm })));
    if (vm !== null) await addVm();
    const manager = await bench.open();
    expect(manager.get(KEY)).toMatchObject({
      state: "failed",
      failure: { message: "The server ended while the sandbox was starting." },
    });
    expect(bench.guests.machines.size).toBe(0);
    expect((await manager.start(KEY, null)).state).toBe("running");
  });

  it("finishes a stop", async () => {
    await write("box", formatRecord(record({ state: "stopping" })));
    await addVm();
    const manager = await bench.open();
    expect(manager.get(KEY)).toMatchObject({ state: "stopped", failure: null });
    expect(bench.guests.machines.size).toBe(0);
    expect(manager.status().used).toEqual(NOTHING_USED);
  });

  it("says how a VM ended that nobody watched", async () => {
    await write("box", formatRecord(record({})));
    bench.guests.ends.set(VM.id, {
      exitCode: null,
      signal: 11,
      reason: "killed",
      consoleTail: "last words",
      stderrTail: "",
    });
    const manager = await bench.open();
    expect(manager.get(KEY).state).toBe("failed");
    expect(manager.get(KEY).failure?.message).toMatch(/signal 11.*last words/s);
    bench.guests.ends.clear();
    await write("gone", formatRecord(record({ name: "gone" })));
    const again = await bench.open();
    expect(again.get({ ...KEY, name: "gone" }).failure?.message).toContain("nobody knows how");
  });

  it("ends a VM that it cannot take over", async () => {
    await write("box", formatRecord(record({ vm: { ...VM, nonce: "f".repeat(32) } })));
    await addVm();
    const manager = await bench.open();
    expect(manager.get(KEY)).toMatchObject({ state: "failed", vm: null });
    expect(manager.get(KEY).failure?.message).toContain("wrong nonce");
    expect(bench.guests.machines.size).toBe(0);
  });

  it.each(["stopped", "failed"] as const)("leaves what is %s as it is", async (state) => {
    const text = formatRecord(record({ state, vm: null }));
    await write("box", text);
    const manager = await bench.open();
    expect(manager.get(KEY).state).toBe(state);
    expect(await readFile(bench.paths.sandbox("default", "box").record, "utf8")).toBe(text);
  });

  it("ends VMs that belong to nobody, and no other's", async () => {
    await addVm("sb-ffffffffffff");
    await addVm("vm-of-somebody");
    await bench.open();
    expect([...bench.guests.machines.keys()]).toEqual(["vm-of-somebody"]);
    await addVm("sb-eeeeeeeeeeee");
    bench.clock.advance(60_000);
    await vi.waitFor(() => expect(bench.guests.machines.size).toBe(1));
    expect(bench.warnings()).toHaveLength(2);
  });

  it("ends the others when one that belongs to nobody cannot be ended", async () => {
    for (const id of ["sb-000000000001", "sb-000000000002", "sb-000000000003"]) await addVm(id);
    const destroy = bench.guests.destroy.bind(bench.guests);
    bench.guests.destroy = async (id) => {
      if (id === "sb-000000000002") throw new Error("stuck");
      await destroy(id);
    };
    await bench.open();
    expect([...bench.guests.machines.keys()]).toEqual(["sb-000000000002"]);
    expect(bench.warnings()).toContainEqual(
      "The microVM sb-000000000002 could not be removed: stuck",
    );
  });

  it("removes folders without a record", async () => {
    const { upperDisk } = bench.paths.sandbox("default", "orphan");
    await mkdir(dirname(upperDisk), { recursive: true });
    await writeFile(upperDisk, "nobody's");
    await bench.open();
    expect(await readdir(bench.paths.sandboxNamespaceDir("default"))).toEqual([]);
    expect(bench.warnings()).toEqual([
      "The folder of default/orphan had no record and was removed.",
    ]);
  });
});

describe("a broken record", () => {
  const good = record({ state: "stopped", vm: null });
  const cases: Record<string, string> = {
    "no JSON": "{",
    "nothing at all": "",
    "of another version": formatRecord(good).replace('"version": 1', '"version": 2'),
    "of another sandbox": formatRecord({ ...good, name: "other" }),
    "with a VM that climbs out": formatRecord(record({ vm: { ...VM, id: "../../etc" } })),
    "without a digest": formatRecord({
      ...good,
      disk: { ...good.disk!, digest: "sha256:no" as `sha256:${string}` },
    }),
    "too large": " ".repeat(5 * 1024 ** 2),
  };
  it.each(Object.keys(cases))("(%s) is set aside with its disk", async (name) => {
    await write("box", cases[name]!);
    await write("fine", formatRecord({ ...good, name: "fine" }));
    const manager = await bench.open();
    expect(manager.list().map((info) => info.name)).toEqual(["fine"]);
    expect(bench.warnings()).toEqual([expect.stringContaining("default/box cannot be used")]);
    expect((await manager.start(KEY, SPEC)).state).toBe("running");
    await manager.close({ sandboxes: "stop" });
    const folders = await readdir(bench.paths.sandboxNamespaceDir("default"));
    const aside = folders.find((folder) => folder.startsWith("box.broken-"))!;
    const { upperDisk } = bench.paths.sandbox("default", aside);
    expect(await readFile(upperDisk, "utf8")).toBe("precious");
  });
});
