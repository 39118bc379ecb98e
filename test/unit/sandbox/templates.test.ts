import { mkdir, writeFile } from "node:fs/promises";
import { dirname } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { msbPaths } from "../../../src/paths.js";
import { type SandboxDeps, sandboxDeps } from "../../../src/sandbox/manager-opts.js";
import type { SandboxNotice } from "../../../src/sandbox/notice.js";
import type { TemplateSpec } from "../../../src/sandbox/head-start.js";
import { Templates } from "../../../src/sandbox/templates.js";
import { deferred } from "../../../src/util/async.js";
import type { Progress } from "../../../src/util/progress.js";
import { FakeGuests } from "../../helpers/fake-guests.js";
import { digestOfDigit } from "../../helpers/fake-images.js";
import { FakeKernels } from "../../helpers/fake-kernels.js";
import { ManualClock } from "../../helpers/manual-clock.js";
import { tempDir } from "../../helpers/temp-dir.js";

const SPEC: TemplateSpec = {
  imageDisk: "/images/a.erofs",
  cpus: 1,
  memoryMiB: 512,
  diskMiB: 100,
  context: { env: ["A=1"], workdir: "/srv", user: "root" },
  language: "python",
};
const withMemory = (memoryMiB: number): TemplateSpec => ({ ...SPEC, memoryMiB });

describe("templates", () => {
  let guests: FakeGuests;
  let notices: SandboxNotice[];
  let kernels: FakeKernels[];
  let freeBytes: number;
  let turns: number;
  let bootTurn: (signal: AbortSignal) => Promise<Disposable>;
  let deps: SandboxDeps;
  beforeEach(async () => {
    guests = new FakeGuests();
    guests.canSave = true;
    notices = [];
    kernels = [];
    freeBytes = 2 ** 40;
    turns = 0;
    bootTurn = async () => {
      turns += 1;
      return { [Symbol.dispose]: () => void (turns -= 1) };
    };
    deps = sandboxDeps({
      paths: msbPaths(await tempDir()),
      guests,
      images: { ensure: never, hold: never, keep: never },
      openKernels: async (_agent, opts) => {
        const opened = new FakeKernels(opts);
        kernels.push(opened);
        return opened;
      },
      makeUpperDisk: async (path) => {
        await mkdir(dirname(path), { recursive: true });
        await writeFile(path, "disk", { flag: "wx" });
      },
      maxTemplates: 2,
      readHostMemory: () => ({ freeBytes, totalBytes: 2 ** 40 }),
      onNotice: (notice) => notices.push(notice),
    });
  });
  afterEach(() => guests.stop());

  const open = (maxTemplates = 2): Templates =>
    new Templates({
      deps: { ...deps, maxTemplates },
      bootTurn: (signal) => bootTurn(signal),
    });
  const disposed = (): boolean[] => guests.saved.map(({ isDisposed }) => isDisposed);

  async function prepared(templates: Templates, ...specs: TemplateSpec[]): Promise<void> {
    for (const spec of specs) templates.prepare(spec);
    await templates.settled();
  }

  it("are made in the background, in a turn of their own, with an interpreter that has run code", async () => {
    const templates = open();
    guests.beforeMake = async () => expect(turns).toBe(1);
    templates.prepare(SPEC);
    expect(await templates.take(SPEC)).toBeUndefined();
    await templates.settled();
    expect(turns).toBe(0);
    await using taken = await templates.take(SPEC);
    expect(taken).toMatchObject({ spec: SPEC, kernels: { contexts: [] }, vmId: null });
    expect(templates.vmIds()).toEqual([]);
    expect(kernels[0]).toMatchObject({ prewarmed: ["python"], isClosed: true });
    expect(notices).toMatchObject([
      { kind: "info", details: { shape: { memoryMiB: 512, diskMiB: 100 }, memoryMiB: 100 } },
    ]);
  });

  it("are made once, also when many ask, and one after the other", async () => {
    const templates = open();
    let makes = 0;
    guests.beforeMake = async () => {
      expect(++makes).toBe(1);
      await new Promise((resolve) => setImmediate(resolve));
      makes -= 1;
    };
    await prepared(templates, SPEC, SPEC, withMemory(256), SPEC);
    await prepared(templates, SPEC);
    expect(guests.made.map(({ memoryMiB }) => memoryMiB)).toEqual([512, 256]);
  });

  it("are not made when none are wanted", async () => {
    const templates = open(0);
    await prepared(templates, SPEC);
    expect(guests.savingAsked).toBe(0);
    expect(await templates.take(SPEC)).toBeUndefined();
  });

  it("that were used longest ago are given up when there are too many", async () => {
    const templates = open();
    await prepared(templates, SPEC, withMemory(256));
    await (await templates.take(SPEC))?.[Symbol.asyncDispose]();
    await prepared(templates, withMemory(128));
    expect(disposed()).toEqual([false, true, false]);
    expect(await templates.take(withMemory(256))).toBeUndefined();
    await (await templates.take(SPEC))?.[Symbol.asyncDispose]();

    // It may come back.
    await prepared(templates, withMemory(256));
    expect(disposed()).toEqual([false, true, true, false]);
  });

  it("that are given up are there for those who have taken them, to the last", async () => {
    const templates = open(1);
    await prepared(templates, SPEC);
    const [one, other] = [await templates.take(SPEC), await templates.take(SPEC)];
    await prepared(templates, withMemory(256));
    expect(await templates.take(SPEC)).toBeUndefined();
    await one?.[Symbol.asyncDispose]();
    await one?.[Symbol.asyncDispose]();
    expect(disposed()).toEqual([false, false]);
    await other?.[Symbol.asyncDispose]();
    expect(disposed()).toEqual([true, false]);
  });

  it("that cannot be used are given up, told once, and made anew, until that has happened three times", async () => {
    const templates = open();
    await prepared(templates, SPEC);
    await using one = await templates.take(SPEC);
    await using other = await templates.take(SPEC);
    one?.giveUp(new Error("no state"));
    other?.giveUp(new Error("no state"));
    expect(await templates.take(SPEC)).toBeUndefined();
    expect(disposed()).toEqual([false]);
    expect(notices.slice(1)).toMatchObject([
      { kind: "warning", message: expect.any(String), details: { error: "no state" } },
    ]);
    for (const made of [2, 3, 3]) {
      await prepared(templates, SPEC);
      expect(guests.made).toHaveLength(made);
      (await templates.take(SPEC))?.giveUp(new Error("no state"));
    }
  });

  it("for which there is no memory are not made, and tried again with the next start", async () => {
    const templates = open();
    freeBytes = 2 * 512 * 2 ** 20 - 1;
    await prepared(templates, SPEC);
    await prepared(templates, SPEC);
    expect([guests.savingAsked, guests.made.length, notices.length]).toEqual([2, 0, 0]);
    freeBytes += 1;
    await prepared(templates, SPEC);
    expect(await templates.take(SPEC)).toBeDefined();
  });

  it("are asked for once where guests cannot be kept", async () => {
    guests.canSave = false;
    const templates = open();
    await prepared(templates, SPEC);
    await prepared(templates, SPEC);
    expect([guests.savingAsked, notices.length]).toEqual([1, 0]);
  });

  it("are not made after three failures, which are told; others are", async () => {
    guests.beforeMake = async ({ memoryMiB }) => {
      if (memoryMiB === 512) throw new Error("it broke");
    };
    const templates = open();
    await prepared(templates, SPEC, withMemory(256));
    for (let again = 0; again < 3; again += 1) await prepared(templates, SPEC);
    expect(guests.made).toHaveLength(4);
    const failure = { kind: "warning", details: { error: "it broke" } };
    expect(notices).toMatchObject([failure, { kind: "info" }, failure, failure]);
    expect(turns).toBe(0);
  });

  describe("that were made with another QEMU, kernel or agent", () => {
    it("are given up, told once, and made anew; who has taken one keeps it", async () => {
      const templates = open();
      await prepared(templates, SPEC);
      const before = await templates.take(SPEC);
      guests.fingerprint = "another";
      const both = await Promise.all([templates.take(SPEC), templates.take(SPEC)]);
      expect(both).toEqual([undefined, undefined]);
      expect(notices.slice(1)).toMatchObject([
        { kind: "info", message: expect.stringContaining("given up") },
      ]);
      expect(disposed()).toEqual([false]);
      await before?.[Symbol.asyncDispose]();
      expect(disposed()).toEqual([true]);

      await prepared(templates, SPEC);
      expect(guests.made).toHaveLength(2);
      expect(await templates.take(SPEC)).toBeDefined();
    });

    it("are given up in a while though nobody asks for them, and so are the images they kept", async () => {
      const clock = new ManualClock();
      deps = { ...deps, clock };
      const templates = open();
      let kept = 0;
      const keep = async (): Promise<AsyncDisposable> => {
        kept += 1;
        return { [Symbol.asyncDispose]: async () => void (kept -= 1) };
      };
      const image = { digest: digestOfDigit("a"), keep };
      await templates.warm(SPEC, { image });
      clock.advance(60_000);
      await templates.settled();
      expect([disposed(), kept]).toEqual([[false], 1]);
      guests.fingerprint = "another";
      clock.advance(60_000);
      await templates.settled();
      expect([disposed(), kept]).toEqual([[true], 0]);
      expect(clock.timers).toBe(0);

      await templates.warm(SPEC, { image });
      await templates.close();
      expect([disposed(), kept, clock.timers]).toEqual([[true, true], 0, 0]);
    });

    it("are no failure: that may happen any number of times", async () => {
      const templates = open();
      for (let upgrade = 0; upgrade < 5; upgrade += 1) {
        guests.fingerprint = `${upgrade}`;
        expect(await templates.take(SPEC)).toBeUndefined();
        await prepared(templates, SPEC);
      }
      expect(guests.made).toHaveLength(5);
      expect(notices.every(({ kind }) => kind === "info")).toBe(true);
    });

    it("are not taken while nobody can tell, and kept", async () => {
      const templates = open();
      await prepared(templates, SPEC);
      const { saving } = guests;
      guests.saving = () => Promise.reject(new Error("there is no QEMU now"));
      expect(await templates.take(SPEC)).toBeUndefined();
      guests.saving = saving;
      expect(await templates.take(SPEC)).toBeDefined();
    });

    it("are not what is asked for", async () => {
      const templates = open();
      await templates.warm(SPEC, {});
      guests.fingerprint = "another";
      expect(await templates.warm(SPEC, {})).toMatchObject({ wasReady: false });
      expect(disposed()).toEqual([true, false]);
    });
  });

  describe("that are asked for", () => {
    const MADE = { headStart: "template", wasReady: false, keptBytes: 100 * 2 ** 20 };

    it("are waited for, with what is done told, and are there at once the next time", async () => {
      const templates = open();
      const steps: string[] = [];
      const onProgress = ({ id, state }: Progress): void => void steps.push(`${id} ${state}`);
      expect(await templates.warm(SPEC, { onProgress })).toEqual(MADE);
      expect(steps).toContain("boot running");
      expect(steps.at(-1)).toBe("save done");
      expect(await templates.warm(SPEC, {})).toEqual({ ...MADE, wasReady: true });
      expect(guests.made).toHaveLength(1);
      expect(await templates.take(SPEC)).toBeDefined();
    });

    it("are those that a start has begun, and tell how far they are", async () => {
      const templates = open();
      const goesOn = deferred<void>();
      guests.beforeMake = () => goesOn.promise;
      templates.prepare(SPEC);
      await expect.poll(() => guests.made.length).toBe(1);
      const steps: string[] = [];
      const warmed = templates.warm(SPEC, { onProgress: ({ id }) => void steps.push(id) });
      await expect.poll(() => steps).toEqual(["boot"]);
      goesOn.resolve();
      expect(await warmed).toEqual(MADE);
      expect(guests.made).toHaveLength(1);
    });

    it("are used by that: others are given up first", async () => {
      const templates = open();
      await prepared(templates, SPEC, withMemory(256));
      await templates.warm(SPEC, {});
      await templates.warm(withMemory(128), {});
      expect(disposed()).toEqual([false, true, false]);
    });

    it("are called off when nobody waits any more, without a word", async () => {
      const templates = open();
      const stop = new AbortController();
      guests.beforeMake = async () => stop.abort();
      const warmed = templates.warm(SPEC, { signal: stop.signal });
      await expect(warmed).rejects.toMatchObject({ code: "MSB_ERR_ABORTED" });
      await templates.settled();
      expect([guests.saved.length, notices.length]).toEqual([0, 0]);
      guests.beforeMake = async () => {};
      expect(await templates.warm(SPEC, {})).toEqual(MADE);
    });

    it("go on for a start that would have begun them, too", async () => {
      const templates = open();
      const stop = new AbortController();
      guests.beforeMake = async () => {
        templates.prepare(SPEC);
        stop.abort();
      };
      await expect(templates.warm(SPEC, { signal: stop.signal })).rejects.toThrow("aborted");
      await templates.settled();
      expect(await templates.take(SPEC)).toBeDefined();
    });

    it("are refused with the option where none are wanted or none can be kept", async () => {
      const off = { code: "MSB_ERR_INVALID_STATE", details: { option: "maxTemplates" } };
      await expect(open(0).requireOn()).rejects.toMatchObject(off);
      const message = expect.stringContaining("--max-templates 0");
      await expect(open(0).warm(SPEC, {})).rejects.toMatchObject({ ...off, message });
      guests.canSave = false;
      const message2 = expect.stringContaining("--warm-guests 1");
      await expect(open().warm(SPEC, {})).rejects.toMatchObject({ message: message2 });
    });

    it("for which there is no memory are refused, with what there is", async () => {
      freeBytes = 2 * 512 * 2 ** 20 - 1;
      await expect(open().warm(SPEC, {})).rejects.toMatchObject({
        code: "MSB_ERR_TOO_MANY_SANDBOXES",
        message: expect.stringContaining("512 MiB: the host has 1023 MiB left"),
      });
      expect([guests.made.length, notices.length]).toEqual([0, 0]);
    });

    it("are tried however often it has failed, and the reason is told", async () => {
      guests.beforeMake = fail;
      const templates = open();
      for (let time = 1; time <= 4; time += 1) {
        await expect(templates.warm(SPEC, {})).rejects.toThrow("it broke");
        expect(guests.made).toHaveLength(time);
      }
      await prepared(templates, SPEC);
      expect(guests.made).toHaveLength(4);
      guests.beforeMake = async () => {};
      expect(await templates.warm(SPEC, {})).toEqual(MADE);
    });

    it("are refused when the server ends, also those that are made", async () => {
      const templates = open();
      const ending = { code: "MSB_ERR_SHUTTING_DOWN" };
      const closed = deferred<void>();
      guests.beforeMake = async () => void templates.close().then(closed.resolve);
      await expect(templates.warm(SPEC, {})).rejects.toMatchObject(ending);
      await closed.promise;
      await expect(templates.warm(SPEC, {})).rejects.toMatchObject(ending);
      expect(guests.made).toHaveLength(1);
      expect(guests.machines.size).toBe(0);
    });
  });

  it("are closed with the server, but for what is in use", async () => {
    const templates = open();
    await prepared(templates, SPEC, withMemory(256));
    const taken = await templates.take(SPEC);
    await templates.close();
    expect(disposed()).toEqual([false, true]);
    expect(await templates.take(SPEC)).toBeUndefined();
    await taken?.[Symbol.asyncDispose]();
    expect(disposed()).toEqual([true, true]);
    await prepared(templates, withMemory(128));
    expect(guests.made).toHaveLength(2);
  });

  it.each([
    ["waits for its turn", "turn"],
    ["boots", "boot"],
    ["runs", "runs"],
  ])("one that %s when the server ends is called off without a word", async (_name, where) => {
    const reached = deferred<void>();
    const aborted = (signal?: AbortSignal): Promise<never> =>
      new Promise((_resolve, reject) => {
        signal?.addEventListener("abort", () => reject(new Error("aborted")));
        reached.resolve();
      });
    if (where === "turn") bootTurn = aborted;
    if (where === "boot") guests.beforeMake = async (_config, signal) => aborted(signal);
    const templates = open();
    if (where === "runs") guests.onMachine = () => reached.resolve();
    templates.prepare(SPEC);
    templates.prepare(withMemory(256));
    await reached.promise;
    await templates.close();
    expect(disposed().every((is) => is)).toBe(true);
    expect(guests.machines.size).toBe(0);
    expect(guests.made.length).toBeLessThan(2);
    expect(notices.filter(({ kind }) => kind === "warning")).toEqual([]);
  });
});

async function fail(): Promise<never> {
  throw new Error("it broke");
}

async function never(): Promise<never> {
  throw new Error("templates need no images");
}
