import { createHash, randomBytes } from "node:crypto";
import { spawn, spawnSync } from "node:child_process";
import { readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { msbPaths } from "../../../src/paths.js";
import type { ComponentPin, PlatformPins } from "../../../src/runtime/components.js";
import type { FetchProgress } from "../../../src/runtime/fetch.js";
import { findQemu } from "../../../src/runtime/qemu.js";
import { resolveRuntime, type ResolveRuntimeOpts } from "../../../src/runtime/resolve.js";
import { tempName } from "../../../src/util/atomic-file.js";
import { fakeElfLibrary, fakeKernel } from "../../helpers/fake-libkrunfw.js";
import {
  type FakeRegistry,
  integrityOf,
  startRegistry,
  tarball,
} from "../../helpers/fake-registry.js";
import { tempDir } from "../../helpers/temp-dir.js";

const PACKAGE = { name: "@test/runtime", version: "1.2.3" };
const MEMBER = "package/lib/libkrunfw.so.5.9";

interface Setup {
  readonly registry: FakeRegistry;
  readonly pin: ComponentPin;
  readonly opts: ResolveRuntimeOpts;
  readonly folder: string;
  readonly home: string;
}

/** A registry with one package that holds a libkrunfw, pinned for a platform of its own. */
async function prepare(change: Partial<ComponentPin> = {}): Promise<Setup> {
  const home = await tempDir();
  const library = fakeElfLibrary({ kernel: fakeKernel(64, { version: 0, note: 4096 }) });
  const packed = tarball({
    "package/package.json": Buffer.from(JSON.stringify(PACKAGE)),
    "package/bin/other": randomBytes(200_000),
    [MEMBER]: library,
  });
  const registry = await startRegistry(home, { ...PACKAGE, tarball: packed });
  const pin: ComponentPin = {
    name: "libkrunfw",
    version: "5.9",
    package: PACKAGE.name,
    packageVersion: PACKAGE.version,
    integrity: integrityOf(packed),
    tarballBytes: packed.length,
    member: MEMBER,
    memberBytes: library.length,
    memberSha512: createHash("sha512").update(library).digest("base64"),
    fileName: "libkrunfw.so.5",
    ...change,
  };
  const pins: PlatformPins = { folder: "pinned", libkrun: null, libkrunfw: pin };
  const paths = msbPaths(join(home, "msb"));
  return {
    registry,
    pin,
    home,
    folder: paths.runtimeDir("pinned"),
    opts: {
      paths,
      env: registry.env,
      platform: "test-cpu",
      pins: { "test-cpu": pins },
      findSystemLibrary: async () => undefined,
    },
  };
}

async function expectNothingLeft({ opts, folder }: Setup): Promise<void> {
  expect(await readdir(opts.paths.tempDir)).toEqual([]);
  expect(await readdir(folder).catch(() => [])).toEqual([]);
}

describe("runtime components that are missing", () => {
  test("are fetched with progress, verified, and then found without the network", async () => {
    const setup = await prepare();
    const reports: FetchProgress[] = [];
    const found = await resolveRuntime({
      ...setup.opts,
      onProgress: (report) => reports.push(report),
    });
    expect(found.kernel).toMatchObject({ version: "6.12.99", source: "setup", format: "elf" });
    expect(found.libkrun).toMatchObject({ missing: { code: "MSB_ERR_PLATFORM_UNSUPPORTED" } });
    expect(reports.at(-1)).toEqual({
      component: "libkrunfw",
      receivedBytes: setup.pin.tarballBytes,
      totalBytes: setup.pin.tarballBytes,
    });
    expect(await readdir(setup.opts.paths.tempDir)).toEqual([]);
    // Neither does npm's cache keep the tarball.
    const cached = await readdir(join(setup.home, "npm-cache"), { recursive: true }).catch(
      () => [],
    );
    expect(cached.filter((name) => name.includes("content-v2/sha512/"))).toEqual([]);
    const before = setup.registry.requests.length;
    expect(await resolveRuntime(setup.opts)).toMatchObject({ kernel: found.kernel });
    expect(setup.registry.requests).toHaveLength(before);
  });

  test("are fetched once by many callers at once", async () => {
    const setup = await prepare();
    await Promise.all(Array.from({ length: 5 }, () => resolveRuntime(setup.opts)));
    expect(setup.registry.requests.filter(({ url }) => url?.endsWith(".tgz"))).toHaveLength(1);
  });

  test("use the token that npm's settings have for the registry", async () => {
    const setup = await prepare();
    const host = setup.registry.env["npm_config_registry"]!.replace("http:", "");
    await writeFile(join(setup.home, "npmrc"), `${host}:_authToken=secret-token\n`);
    await resolveRuntime(setup.opts);
    const sent = setup.registry.requests.map(({ headers }) => headers.authorization);
    expect(sent.every((value) => value === "Bearer secret-token")).toBe(true);
  });

  test("come out of npm's cache when it has them, without the network", async () => {
    const setup = await prepare();
    const { env } = setup.registry;
    const spec = `${PACKAGE.name}@${PACKAGE.version}`;
    // npm itself fills its cache; it must not block this process, which is the registry.
    const npm = spawn("npm", ["cache", "add", spec], {
      env: { ...process.env, ...env, PATH: process.env["PATH"] },
      stdio: "ignore",
    });
    expect(await new Promise((resolve) => npm.once("close", resolve))).toBe(0);
    const before = setup.registry.requests.length;
    await resolveRuntime({ ...setup.opts, isOffline: true });
    expect(setup.registry.requests).toHaveLength(before);
  });

  test("that changed on disk are fetched again", async () => {
    const setup = await prepare();
    await resolveRuntime(setup.opts);
    const path = join(setup.folder, "libkrunfw.so.5");
    const whole = await readFile(path);
    await writeFile(path, whole.subarray(0, 5000));
    await resolveRuntime(setup.opts);
    expect(await readFile(path)).toEqual(whole);
  });
});

describe("a component that is not what is pinned", () => {
  const cases: readonly [string, Partial<ComponentPin>, ((setup: Setup) => void)?][] = [
    [
      "a changed tarball",
      {},
      ({ registry }) => (registry.body = tarball({ [MEMBER]: Buffer.alloc(9) })),
    ],
    [
      "a longer tarball",
      {},
      ({ registry }) => (registry.body = Buffer.concat([registry.body!, randomBytes(900_000)])),
    ],
    [
      "no tarball at all",
      {},
      ({ registry }) => (registry.body = Buffer.from("<html>login</html>")),
    ],
    ["a registry with another digest", { integrity: integrityOf(Buffer.from("other")) }],
    ["another library in the right tarball", { memberSha512: "AAAA" }],
    ["a tarball without the library", { member: "package/lib/none.so" }],
    ["a library of another size", { memberBytes: 17 }],
  ];
  test.each(cases)("%s is refused and nothing is left", async (_, change, spoil) => {
    const setup = await prepare(change);
    spoil?.(setup);
    await expect(resolveRuntime(setup.opts)).rejects.toMatchObject({
      code: "MSB_ERR_COMPONENT_INTEGRITY",
      message: expect.stringContaining(`${PACKAGE.name}@${PACKAGE.version}`) as string,
    });
    await expectNothingLeft(setup);
  });
});

describe("a download that does not come through", () => {
  test("says which package, which settings and which variable", async () => {
    const setup = await prepare();
    const env = { ...setup.registry.env, npm_config_registry: "http://127.0.0.1:9/" };
    const error: unknown = await resolveRuntime({ ...setup.opts, env }).catch(
      (thrown: unknown) => thrown,
    );
    expect(error).toMatchObject({ code: "MSB_ERR_COMPONENT_DOWNLOAD" });
    const { message } = error as Error;
    for (const part of ["@test/runtime@1.2.3", "npm config list", "MSB_LIBKRUNFW_PATH"]) {
      expect(message).toContain(part);
    }
    await expectNothingLeft(setup);
  });

  test("ends at once when it is aborted, and leaves nothing", async () => {
    const setup = await prepare();
    setup.registry.body = null;
    const abort = new AbortController();
    const started = resolveRuntime({
      ...setup.opts,
      signal: abort.signal,
      onProgress: () => abort.abort(),
    });
    await expect(started).rejects.toMatchObject({ code: "MSB_ERR_ABORTED" });
    await expectNothingLeft(setup);
  });

  test("of a process that was killed is swept by the next", async () => {
    const setup = await prepare();
    const dead = spawnSync(process.execPath, ["-e", "0"]).pid;
    const left = tempName("fetch-libkrunfw").replace(`.${process.pid}.`, `.${dead}.`);
    const { mkdir } = await import("node:fs/promises");
    await mkdir(join(setup.opts.paths.tempDir, left), { recursive: true });
    await resolveRuntime(setup.opts);
    expect(await readdir(setup.opts.paths.tempDir)).toEqual([]);
  });
});

describe("the order of choice", () => {
  test("is variables, then setup's copies, then the system's", async () => {
    const setup = await prepare();
    const own = join(setup.home, "own.so");
    const system = join(setup.home, "system.so");
    const make = (pages: number) =>
      fakeElfLibrary({ kernel: fakeKernel(pages, { version: 0, note: 4096 }) });
    await writeFile(own, make(2));
    await writeFile(system, make(3));
    const findSystemLibrary = async () => system;
    const kernelOf = async (opts: Partial<ResolveRuntimeOpts> = {}) => {
      const { kernel } = await resolveRuntime({ ...setup.opts, findSystemLibrary, ...opts });
      return [kernel.source, (await stat(kernel.path)).size / 4096 - 1];
    };
    expect(await kernelOf()).toEqual(["system", 3]);
    await resolveRuntime(setup.opts);
    expect(await kernelOf()).toEqual(["setup", 64]);
    const env = { ...setup.registry.env, MSB_LIBKRUNFW_PATH: own };
    expect(await kernelOf({ env })).toEqual(["env", 2]);
    await rm(own);
    await expect(kernelOf({ env })).rejects.toThrow(/MSB_LIBKRUNFW_PATH names .*own\.so/);
  });

  test("on a platform without pins asks for the variables", async () => {
    const setup = await prepare();
    await expect(resolveRuntime({ ...setup.opts, platform: "plan9-mips" })).rejects.toMatchObject({
      code: "MSB_ERR_PLATFORM_UNSUPPORTED",
      message: expect.stringMatching(
        /plan9-mips.*MSB_LIBKRUN_PATH and MSB_LIBKRUNFW_PATH/,
      ) as string,
    });
  });
});

describe("QEMU", () => {
  test("is found with its version", async () => {
    expect((await findQemu()).version).toMatch(/^\d+\.\d+/);
  });

  test("that was replaced is asked for its version again", async () => {
    const path = join(await tempDir(), "qemu");
    const put = (version: string): Promise<void> =>
      writeFile(path, `#!/bin/sh\necho QEMU emulator version ${version}\n`, { mode: 0o755 });
    const env = { MSB_QEMU_PATH: path };
    await put("8.0.0");
    expect(await findQemu({ env })).toEqual({ path, version: "8.0.0" });
    await put("10.0.0");
    expect((await findQemu({ env })).version).toBe("10.0.0");
  });

  test("that is missing or is another program comes with the command that installs it", async () => {
    const missing = { code: "MSB_ERR_QEMU_MISSING" };
    await expect(findQemu({ env: { PATH: "" }, arch: "mips" })).rejects.toMatchObject(missing);
    for (const path of ["/nowhere/qemu", "/bin/true"]) {
      await expect(findQemu({ env: { MSB_QEMU_PATH: path } })).rejects.toMatchObject({
        ...missing,
        message: expect.stringMatching(/Run: (sudo apt-get|brew) install/) as string,
      });
    }
  });
});
