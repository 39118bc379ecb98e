import { existsSync } from "node:fs";
import { mkdir, writeFile } from "node:fs/promises";
import { dirname } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { AgentClient } from "../../../src/agent/agent-client.js";
import type { OpenKernels } from "../../../src/kernel/kernels.js";
import { msbPaths } from "../../../src/paths.js";
import type { GuestSaving } from "../../../src/sandbox/guest-source.js";
import { resolveSpec } from "../../../src/sandbox/spec.js";
import {
  adoptedKernels,
  makeTemplate,
  type Template,
  templateShape,
  templateSpec,
} from "../../../src/sandbox/template.js";
import type { Progress } from "../../../src/util/progress.js";
import { FakeAgent } from "../../helpers/fake-agent.js";
import { FakeGuests } from "../../helpers/fake-guests.js";
import { fakeImage } from "../../helpers/fake-images.js";
import { FakeKernels } from "../../helpers/fake-kernels.js";
import { tempDir } from "../../helpers/temp-dir.js";

const DISK = { path: "/images/a.erofs", sizeBytes: 1 };
const LIMITS = { idleTimeoutMs: 0, maxLifetimeMs: 0 };
const signal = new AbortController().signal;
const image = {
  ...fakeImage(),
  disk: DISK,
  config: { ...fakeImage().config, env: ["LANG=C"], workingDir: "/app", user: "app" },
};
const spec = resolveSpec({ image: "python", cpus: 2, memoryMiB: 256, diskMiB: 100 }, LIMITS);

describe("what a template is for", () => {
  it("is an image's disk and the size of the machine", () => {
    const shape = { imageDisk: DISK.path, cpus: 2, memoryMiB: 256, diskMiB: 100 };
    expect(templateShape(image, spec)).toEqual(shape);
    const own = { ...spec, env: ["A=1"], workdir: "/own", user: "me", labels: { a: "b" } };
    expect(templateSpec(image, own, "background")).toEqual({
      ...shape,
      context: {
        env: [expect.stringMatching(/^PATH=/), "HOME=/home/app", "LANG=C"],
        workdir: "/app",
        user: "app",
      },
      language: "python",
    });
  });

  it("has no language when none is to be started ahead, or the image says none", () => {
    expect(templateSpec(image, spec, "off")).not.toHaveProperty("language");
    const silent = { ...image, config: { ...image.config, cmd: [] } };
    expect(templateSpec(silent, { ...spec, image: "app" }, "wait")).not.toHaveProperty("language");
  });
});

describe("the interpreters of a template", () => {
  const exec = (stream: number) => ({
    ...{ stream, pid: 7, running: true },
    ...{ outputOffset: 0, outputEnd: 0, stdinOffset: 0 },
  });
  let agent: FakeAgent;
  let client: AgentClient;
  beforeEach(async () => {
    agent = await FakeAgent.start();
    agent.hello = { ...agent.hello, state: "ready", nextStream: 9, execs: [exec(3), exec(5)] };
    agent.on("exec.attach", () => ({ outputOffset: 0, stdinOffset: 0, running: true }));
    client = await AgentClient.connect(agent.socketPath, { nonce: "ab".repeat(16) });
  });
  afterEach(async () => {
    client.close();
    await agent.stop();
  });

  const context = { env: ["A=1"], workdir: "/", user: "root" };
  const template = { spec: { context }, kernels: { contexts: [] } } as unknown as Template;
  const closed = (): number[] =>
    agent.requests.filter(({ type }) => type === "exec.close").map(({ stream }) => stream);

  it("serve a sandbox whose context is the same, whoever made it", async () => {
    const same = { env: ["A=1"], workdir: "/", user: "root" };
    expect(await adoptedKernels(client, template, same)).toEqual({
      adopt: template.kernels,
      isResumed: true,
    });
    expect(closed()).toEqual([]);
  });

  it.each([
    ["environment", { env: ["A=2"] }],
    ["folder", { workdir: "/srv" }],
    ["user", { user: "1000" }],
  ])("are all closed for another %s", async (_name, other) => {
    expect(await adoptedKernels(client, template, { ...context, ...other })).toEqual({});
    expect(closed()).toEqual([3, 5]);
  });

  it("are nobody's where there is no template", async () => {
    expect(await adoptedKernels(client, undefined, context)).toEqual({});
    expect(agent.requests.map(({ type }) => type)).toEqual(["hello"]);
  });
});

describe("the making of a template", () => {
  let guests: FakeGuests;
  let saving: GuestSaving;
  let kernels: FakeKernels[];
  let onKernels: (kernels: FakeKernels) => void;
  let steps: Progress[];
  beforeEach(async () => {
    guests = new FakeGuests();
    guests.canSave = true;
    saving = (await guests.saving())!;
    kernels = [];
    steps = [];
    onKernels = () => {};
  });
  afterEach(() => guests.stop());

  const openKernels: OpenKernels = async (_agent, opts) => {
    const opened = new FakeKernels(opts);
    kernels.push(opened);
    onKernels(opened);
    return opened;
  };
  async function make(): Promise<Template> {
    const deps = {
      paths: msbPaths(await tempDir()),
      bootTimeoutMs: 5_000,
      openKernels,
      makeUpperDisk: async (path: string) => {
        await mkdir(dirname(path), { recursive: true });
        await writeFile(path, "disk");
      },
    };
    const how = { signal, onProgress: (progress: Progress) => void steps.push(progress) };
    return makeTemplate(templateSpec(image, spec, "background"), saving, deps, how);
  }

  it("boots a guest of the shape, with its folder, and keeps it with its interpreters", async () => {
    const requests: string[] = [];
    guests.onMachine = ({ agent, vm }) => {
      agent.on("file.mkdir", ({ fields }) => (requests.push(String(fields["path"])), {}));
      agent.on(
        "core.setup",
        ({ fields }) => (requests.push(String(fields["hostname"])), { timings: [] }),
      );
      void vm.exited.then(() => requests.push("ended"));
    };
    onKernels = (opened) => {
      opened.onPrewarm = async () => void (await opened.create({ language: "python" }));
    };
    const template = await make();
    expect(requests).toEqual(["template", "/app", "ended"]);
    expect(guests.made).toMatchObject([{ vcpuCount: 2, memoryMiB: 256, imageDisk: DISK.path }]);
    expect(kernels[0]?.opts).toMatchObject({ workdir: "/app", user: "app" });
    expect(kernels[0]?.isClosed).toBe(true);
    expect(template.kernels.contexts).toMatchObject([{ language: "python", stream: 5 }]);
    expect(template.guest.nonce).toMatch(/^[0-9a-f]{32}$/);
    expect(template.madeWith).toBe("one");
    expect(existsSync(guests.made[0]!.upperDisk!)).toBe(false);
  });

  it("tells what it does, step by step, and how much it takes in the end", async () => {
    await make();
    const told = steps.map(({ id, state, doneBytes }) => [id, state, doneBytes]);
    expect(told).toEqual([
      ["boot", "running", 0],
      ["boot", "done", 0],
      ["warm-up", "running", 0],
      ["warm-up", "done", 0],
      ["save", "running", 0],
      ["save", "done", 100 * 2 ** 20],
    ]);
  });

  it("is of what was there when it began", async () => {
    guests.beforeMake = async () => void (guests.fingerprint = "another");
    expect((await make()).madeWith).toBe("one");
  });

  it.each([
    ["its guest does not boot", () => void (guests.beforeMake = fail)],
    ["its interpreter does not start", () => void (onKernels = (k) => (k.onPrewarm = fail))],
    ["its interpreter runs no code", () => void (onKernels = (k) => (k.run = failRun))],
  ])("leaves nothing when %s", async (_name, breakIt) => {
    breakIt();
    await expect(make()).rejects.toThrow("it broke");
    expect(guests.machines.size).toBe(0);
    expect(guests.saved).toEqual([]);
    expect(existsSync(guests.made[0]!.upperDisk!)).toBe(false);
    expect(kernels.every(({ isClosed }) => isClosed)).toBe(true);
  });
});

async function fail(): Promise<never> {
  throw new Error("it broke");
}

// oxlint-disable-next-line require-yield
async function* failRun(): AsyncGenerator<never, void, undefined> {
  throw new Error("it broke");
}
