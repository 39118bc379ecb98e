/** Fetches one component through the npm registry with npm's own client and settings. */
import { chmod, mkdir, open, rm } from "node:fs/promises";
import { basename, join } from "node:path";
import pacote from "pacote";
import { Unpack } from "tar";
import { isMsbError, messageOf, MsbError } from "../errors.js";
import type { MsbPaths } from "../paths.js";
import { abortable, abortReason } from "../util/async.js";
import { moveIntoPlace, sweepTemp, tempName } from "../util/atomic-file.js";
import { type ComponentName, type ComponentPin, LIBRARY_VARIABLES } from "./components.js";
import { loadNpmConfig } from "./npm-config.js";
import { sha512Of, writeRecord } from "./verified-file.js";

/** One report a chunk; `receivedBytes` starts anew when a download is tried again. */
export interface FetchProgress {
  readonly component: ComponentName;
  readonly receivedBytes: number;
  readonly totalBytes: number | null;
}

export interface FetchOpts {
  readonly paths: MsbPaths;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly onProgress?: (progress: FetchProgress) => void;
  readonly signal?: AbortSignal;
  /** Take it from npm's cache or fail. */
  readonly isOffline?: boolean;
}

/**
 * Brings the file of `pin` to `folder`: complete and verified, or not at all. Throws
 * MSB_ERR_COMPONENT_DOWNLOAD, MSB_ERR_COMPONENT_INTEGRITY, MSB_ERR_NO_SPACE, MSB_ERR_ABORTED.
 */
export async function fetchComponent(
  pin: ComponentPin,
  folder: string,
  opts: FetchOpts,
): Promise<string> {
  const { paths, signal } = opts;
  if (signal?.aborted) throw abortReason(signal, `Fetching ${pin.name}`);
  await mkdir(paths.tempDir, { recursive: true });
  await sweepTemp(paths.tempDir);
  const tempDir = join(paths.tempDir, tempName(`fetch-${pin.name}`));
  await mkdir(tempDir, { mode: 0o700 });
  try {
    const fetched = await abortable(download(pin, tempDir, opts), signal, `Fetching ${pin.name}`);
    await verify(fetched, pin);
    await chmod(fetched, 0o644);
    await syncFile(fetched);
    await mkdir(folder, { recursive: true });
    const path = join(folder, pin.fileName);
    await moveIntoPlace(fetched, path);
    await writeRecord(path, pin.memberSha512);
    return path;
  } catch (error) {
    throw translate(error, pin, paths);
  } finally {
    await rm(tempDir, { recursive: true, force: true });
  }
}

async function download(pin: ComponentPin, tempDir: string, opts: FetchOpts): Promise<string> {
  const npm = await loadNpmConfig(opts.env);
  const spec = `${pin.package}@${pin.packageVersion}`;
  const take = (stream: NodeJS.ReadableStream): Promise<string> =>
    extractMember(stream, pin, tempDir, opts);
  const fromCache = { ...npm, integrity: pin.integrity, preferOnline: false, offline: true };
  try {
    // Anything but null makes pacote look its cache up by integrity first; offline keeps it from more.
    return await pacote.tarball.stream(spec, take, { ...fromCache, resolved: "cache-only" });
  } catch (error) {
    if (isIntegrityError(error) || opts.signal?.aborted) throw error;
    if (opts.isOffline === true || npm["offline"] === true) throw error;
  }
  // Without a cache folder the tarball is not kept: npm's cache would hold it for nobody.
  const { cache: _, ...online } = npm;
  return pacote.tarball.stream(spec, take, {
    ...online,
    integrity: pin.integrity,
    ...(opts.signal ? { signal: opts.signal } : {}),
  });
}

/** Reads the tarball and keeps one file of it; ends early on anything larger than pinned. */
function extractMember(
  stream: NodeJS.ReadableStream,
  pin: ComponentPin,
  tempDir: string,
  opts: FetchOpts,
): Promise<string> {
  return new Promise((resolve, reject) => {
    let receivedBytes = 0;
    const unpack = new Unpack({
      cwd: tempDir,
      strict: true,
      strip: pin.member.split("/").length - 1,
      preserveOwner: false,
      filter: (path, entry) =>
        path === pin.member &&
        "type" in entry &&
        entry.type === "File" &&
        entry.size === pin.memberBytes,
    });
    const fail = (error: unknown): void => {
      stream.removeListener("data", onData);
      // Nobody reads on: lets the sockets and the cache file go.
      (stream as { destroy?: () => void }).destroy?.();
      unpack.abort(error instanceof Error ? error : new Error(String(error)));
      reject(error instanceof Error ? error : new Error(String(error)));
    };
    const onAbort = (): void => fail(abortReason(opts.signal!, `Fetching ${pin.name}`));
    const onData = (chunk: Buffer): void => {
      receivedBytes += chunk.length;
      if (receivedBytes > pin.tarballBytes) {
        fail(integrityError(pin, `the tarball is larger than ${pin.tarballBytes} bytes`));
        return;
      }
      opts.onProgress?.({
        component: pin.name,
        receivedBytes,
        totalBytes: pin.tarballBytes,
      });
      if (!unpack.write(chunk)) {
        stream.pause();
        unpack.once("drain", () => stream.resume());
      }
    };
    opts.signal?.addEventListener("abort", onAbort, { once: true });
    unpack.on("error", fail);
    unpack.on("close", () => {
      opts.signal?.removeEventListener("abort", onAbort);
      resolve(join(tempDir, basename(pin.member)));
    });
    stream.on("error", fail);
    stream.on("end", () => unpack.end());
    stream.on("data", onData);
  });
}

async function verify(path: string, pin: ComponentPin): Promise<void> {
  const found = await sha512Of(path).catch((error: NodeJS.ErrnoException) => {
    if (error.code !== "ENOENT") throw error;
    throw integrityError(pin, `there is no ${pin.member} of ${pin.memberBytes} bytes in it`);
  });
  if (found !== pin.memberSha512) {
    throw integrityError(pin, `${pin.member} has sha512 ${found}, pinned is ${pin.memberSha512}`);
  }
}

async function syncFile(path: string): Promise<void> {
  const file = await open(path, "r");
  try {
    await file.sync();
  } finally {
    await file.close();
  }
}

function translate(error: unknown, pin: ComponentPin, paths: MsbPaths): unknown {
  if (isMsbError(error)) return error;
  const code = (error as { code?: unknown } | null)?.code;
  if (isIntegrityError(error)) return integrityError(pin, messageOf(error), error);
  if (code === "ENOSPC" || code === "EDQUOT") {
    return new MsbError(
      "MSB_ERR_NO_SPACE",
      `There is no space for ${pin.name} (${pin.memberBytes} bytes) in ${paths.home}: free some, ` +
        "or set MSB_HOME to a folder with more.",
      { cause: error, details: { component: pin.name, path: paths.home } },
    );
  }
  const variable = LIBRARY_VARIABLES[pin.name];
  return new MsbError(
    "MSB_ERR_COMPONENT_DOWNLOAD",
    `${pin.name} could not be fetched (npm package ${pin.package}@${pin.packageVersion}): ${messageOf(error)}. ` +
      "The registry, proxy and certificates of your npm settings are used (`npm config list`): check them and " +
      `the network and try again, or set ${variable} to a copy of the library.`,
    {
      cause: error,
      details: { component: pin.name, package: pin.package, version: pin.packageVersion, variable },
    },
  );
}

/** A wrong digest, or bytes that are no tarball at all. */
function isIntegrityError(error: unknown): boolean {
  if (isMsbError(error, "MSB_ERR_COMPONENT_INTEGRITY")) return true;
  const code = String((error as { code?: unknown } | null)?.code ?? "");
  return code === "EINTEGRITY" || code.startsWith("TAR_") || code.startsWith("Z_");
}

function integrityError(pin: ComponentPin, why: string, cause?: unknown): MsbError {
  return new MsbError(
    "MSB_ERR_COMPONENT_INTEGRITY",
    `${pin.name} (npm package ${pin.package}@${pin.packageVersion}) is not what is pinned and was not kept: ${why}. ` +
      "The registry or a proxy changed it; use the public registry, or set " +
      `${LIBRARY_VARIABLES[pin.name]} to a copy you trust.`,
    { cause, details: { component: pin.name, package: pin.package, version: pin.packageVersion } },
  );
}
