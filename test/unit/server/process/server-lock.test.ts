import { readFile, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { FileLock } from "../../../../src/native/file-lock.js";
import { msbPaths, type MsbPaths } from "../../../../src/paths.js";
import {
  findServer,
  requireNoServer,
  serverEnds,
  ServerLock,
} from "../../../../src/server/process/server-lock.js";
import { identityOf } from "../../../../src/native/process-identity.js";
import { tempDir } from "../../../helpers/temp-dir.js";

const CLAIM = { isDev: false, version: "1.2.3", logFile: null, keyFile: null };
const WHERE = { address: "127.0.0.1:5555", url: "http://127.0.0.1:5555" };

async function home(): Promise<MsbPaths> {
  return msbPaths(join(await tempDir(), "home"));
}

const fileOf = async (pid: number, started: string) =>
  JSON.stringify({
    pid,
    startTime: started,
    startedAt: "2026-01-01T00:00:00Z",
    ...WHERE,
    ...CLAIM,
  });

describe("a server's lock", () => {
  it("is held by one server, which tells where it is", async () => {
    const paths = await home();
    expect(await findServer(paths)).toEqual({ state: "none" });
    const lock = await ServerLock.acquire(paths, CLAIM);
    expect(await findServer(paths)).toMatchObject({ state: "starting", process: { url: null } });
    await lock.announce(WHERE);
    expect(await findServer(paths)).toMatchObject({
      state: "running",
      process: { pid: process.pid, version: "1.2.3", ...WHERE },
    });
    expect((await stat(paths.serverFile)).mode & 0o777).toBe(0o600);
    await lock[Symbol.asyncDispose]();
    expect(await findServer(paths)).toEqual({ state: "none" });
    await expect(readFile(paths.serverFile)).rejects.toMatchObject({ code: "ENOENT" });
  });

  it("refuses a second server and says where the first one is", async () => {
    const paths = await home();
    await using lock = await ServerLock.acquire(paths, CLAIM);
    await lock.announce(WHERE);
    const refusal = {
      code: "MSB_ERR_SERVER_RUNNING",
      message: expect.stringContaining(`process ${process.pid} at http://127.0.0.1:5555`),
      details: { pid: process.pid, isDev: false, home: paths.home, ...WHERE },
    };
    await expect(ServerLock.acquire(paths, CLAIM)).rejects.toMatchObject(refusal);
    await expect(requireNoServer(paths)).rejects.toMatchObject(refusal);
  });

  it("is not in the way of others who only look", async () => {
    const paths = await home();
    await (await ServerLock.acquire(paths, CLAIM))[Symbol.asyncDispose]();
    const looker = await FileLock.acquire(paths.serverLock, "shared");
    const starting = ServerLock.acquire(paths, CLAIM);
    setTimeout(() => void looker.release(), 100);
    await using lock = await starting;
    expect(lock.process.pid).toBe(process.pid);
  });

  it("is taken when the file of a killed server is still there", async () => {
    const paths = await home();
    await (await ServerLock.acquire(paths, CLAIM))[Symbol.asyncDispose]();
    await writeFile(paths.serverFile, await fileOf(process.pid, identityOf(process.pid).startTime));
    expect(await findServer(paths)).toEqual({ state: "none" });
    await using lock = await ServerLock.acquire(paths, CLAIM);
    expect(lock.process.url).toBeNull();
  });

  it.each([
    ["a process that is gone", () => fileOf(999_999_999, "1")],
    ["another process with the same id", () => fileOf(process.pid, "1")],
    ["the group of all processes", () => fileOf(-1, "1")],
    ["nothing that can be read", async () => "{"],
    ["something else", async () => '{"pid": "1"}'],
  ])("held by somebody else, with a file that names %s, is unknown", async (_what, text) => {
    const paths = await home();
    await (await ServerLock.acquire(paths, CLAIM))[Symbol.asyncDispose]();
    await using _held = await FileLock.acquire(paths.serverLock, "exclusive");
    await writeFile(paths.serverFile, await text());
    expect(await findServer(paths)).toEqual({ state: "unknown" });
    await expect(ServerLock.acquire(paths, CLAIM)).rejects.toMatchObject({
      code: "MSB_ERR_SERVER_RUNNING",
      details: { pid: null, url: null },
    });
  });

  it("can be waited for", async () => {
    const paths = await home();
    const lock = await ServerLock.acquire(paths, CLAIM);
    const ended = serverEnds(paths, AbortSignal.timeout(10_000)).then(() => "ended");
    await expect(serverEnds(paths, AbortSignal.timeout(50))).rejects.toMatchObject({
      code: "MSB_ERR_ABORTED",
    });
    await lock[Symbol.asyncDispose]();
    expect(await ended).toBe("ended");
  });
});
