/**
 * A recipe becomes an image in the store: mmdebstrap installs its packages and writes them as a tar stream, which
 * is packed on the way. The same recipe and the same packages give the same bytes, so the same digest.
 */
import { createHash } from "node:crypto";
import { pipeline } from "node:stream/promises";
import { createGzip } from "node:zlib";
import { type Env, recipeConfig } from "../../config.js";
import { MsbError } from "../../errors.js";
import { throwIfAborted } from "../../util/async.js";
import { printable } from "../../util/printable.js";
import { findExecutable, streamTool, type ToolResult } from "../../util/process.js";
import type { OnProgress } from "../../util/progress.js";
import type { Digest } from "../digest.js";
import { type Descriptor, type ImageConfig, MediaType, type Platform } from "../manifest.js";
import { formatPlatform, hostPlatform } from "../platform.js";
import type { BlobStore } from "../store/blob-store.js";
import { BuildProgress } from "./build-progress.js";
import { filesLayer } from "./files-layer.js";
import { hostMirrors, mirrorsOf } from "./mirrors.js";
import { mmdebstrapCall } from "./mmdebstrap.js";
import { ownedTool } from "./owned-tool.js";
import { type Recipe, readRecipe } from "./recipe.js";
import { sweepRecipeFolders } from "./stale-folders.js";

export const MMDEBSTRAP_HINT =
  "install the packages mmdebstrap and debian-archive-keyring (as a user who is not root: uidmap, too)";
const GZIP_LEVEL = 6;
/** It unmounts what it mounted and removes a tree of some GiB. */
const CLEANUP_GRACE_MS = 30_000;
/** How much of its last words goes into an error. */
const SHOWN_LINES = 12;
const PROGRESS_STEP_BYTES = 4 * 1024 ** 2;

/** Debian's names of architectures, by OCI's. */
const DEBIAN_ARCHITECTURES: Readonly<Record<string, string>> = {
  amd64: "amd64",
  arm64: "arm64",
};

export interface BuildRecipeOpts {
  readonly store: Pick<BlobStore, "add" | "putBytes">;
  /** Another one than the host's needs qemu-user's binfmt handlers. */
  readonly platform?: Platform;
  /** Where packages come from; default MSB_DEBIAN_MIRROR, then what the host's apt uses. */
  readonly debianMirror?: string;
  readonly env?: Env;
  readonly onProgress?: OnProgress;
  readonly signal?: AbortSignal;
}

/**
 * Builds the recipe in `folder` and answers with its manifest, which is in the store with all it names. Throws
 * MSB_ERR_INVALID_ARGUMENT for a wrong recipe, MSB_ERR_TOOL_MISSING, MSB_ERR_PLATFORM_UNSUPPORTED,
 * MSB_ERR_ABORTED, MSB_ERR_RECIPE_FAILED with the last lines of mmdebstrap, and what the store throws.
 */
export async function buildRecipe(folder: string, opts: BuildRecipeOpts): Promise<Descriptor> {
  const recipe = await readRecipe(folder);
  const platform = opts.platform ?? hostPlatform();
  throwIfAborted(opts.signal, `Building ${recipe.name}`);
  const packages = await packagesLayer(recipe, platform, opts);
  const files = await addLayer(filesLayer(recipe, folder), "files", opts);
  return await putImage(recipe, platform, [packages, files], opts.store);
}

interface BuiltLayer {
  readonly descriptor: Descriptor;
  readonly diffId: Digest;
}

async function packagesLayer(
  recipe: Recipe,
  platform: Platform,
  opts: BuildRecipeOpts,
): Promise<BuiltLayer> {
  const env = opts.env ?? process.env;
  const debianArchitecture = debianArchitectureOf(platform);
  const tool = await findMmdebstrap();
  const { debianMirror } = recipeConfig(opts, env);
  const mirrors =
    debianMirror === null
      ? await hostMirrors(recipe.suite, opts.signal)
      : mirrorsOf(debianMirror, recipe.suite);
  const isRoot = process.getuid?.() === 0;
  const call = mmdebstrapCall(recipe, { debianArchitecture, mirrors, isRoot, env });
  await sweepRecipeFolders(call.env["TMPDIR"] || "/tmp", {
    ...(isRoot ? {} : { unshareHelper: [tool, "--unshare-helper"] as const }),
  });
  const progress = new BuildProgress(opts.onProgress ?? (() => {}));
  const unwanted = new AbortController();
  const signals = [unwanted.signal, ...(opts.signal === undefined ? [] : [opts.signal])];
  const [path, args] = ownedTool(tool, call.args);
  const tar = streamTool(path, args, {
    env: call.env,
    installHint: MMDEBSTRAP_HINT,
    graceMs: CLEANUP_GRACE_MS,
    onStderr: (chunk) => progress.push(chunk),
    failed: (result) => recipeFailed(recipe, result),
    signal: AbortSignal.any(signals),
  });
  try {
    return await addLayer(tar, "layer", opts);
  } finally {
    // Whoever gave up first, mmdebstrap has put away its files when this is over.
    unwanted.abort();
    await tar.return().catch(() => {});
  }
}

function debianArchitectureOf(platform: Platform): string {
  if (process.platform !== "linux") {
    throw new MsbError(
      "MSB_ERR_PLATFORM_UNSUPPORTED",
      `Recipes are built on Linux, and this is ${process.platform}: build on a Linux machine, save the image ` +
        "there and load it here, or pull one from a registry.",
    );
  }
  const name = platform.os === "linux" ? DEBIAN_ARCHITECTURES[platform.architecture] : undefined;
  if (name !== undefined) return name;
  throw new MsbError(
    "MSB_ERR_PLATFORM_UNSUPPORTED",
    `Recipes are not built for ${printable(formatPlatform(platform).slice(0, 100))}: ` +
      `platform can be ${Object.keys(DEBIAN_ARCHITECTURES)
        .map((arch) => `linux/${arch}`)
        .join(" or ")}.`,
  );
}

async function findMmdebstrap(): Promise<string> {
  const path = await findExecutable("mmdebstrap");
  if (path !== undefined) return path;
  throw new MsbError(
    "MSB_ERR_TOOL_MISSING",
    `Recipes are built by mmdebstrap, which is not there: ${MMDEBSTRAP_HINT}.`,
    { details: { tool: "mmdebstrap" } },
  );
}

/** Packs a tar stream into the store; `id` is for the progress. */
async function addLayer(
  tar: AsyncIterable<Buffer>,
  id: string,
  { store, onProgress, signal }: BuildRecipeOpts,
): Promise<BuiltLayer> {
  const diffId = createHash("sha256");
  let doneBytes = 0;
  let reportedBytes = 0;
  const report = (state: "running" | "done"): void =>
    onProgress?.({ id, label: id, state, doneBytes, totalBytes: null });
  let descriptor: Descriptor | undefined;
  await pipeline(
    tar,
    async function* (source: AsyncIterable<Buffer>) {
      for await (const chunk of source) {
        diffId.update(chunk);
        doneBytes += chunk.length;
        if (doneBytes - reportedBytes >= PROGRESS_STEP_BYTES) {
          reportedBytes = doneBytes;
          report("running");
        }
        yield chunk;
      }
    },
    // zlib writes neither a name nor a time into the header.
    createGzip({ level: GZIP_LEVEL }),
    async function (source: AsyncIterable<Buffer>) {
      descriptor = await store.add(source, MediaType.ociLayerGzip, signal && { signal });
    },
  );
  report("done");
  return { descriptor: descriptor!, diffId: `sha256:${diffId.digest("hex")}` };
}

async function putImage(
  recipe: Recipe,
  { os, architecture, variant }: Platform,
  [packages, files]: readonly [BuiltLayer, BuiltLayer],
  store: BuildRecipeOpts["store"],
): Promise<Descriptor> {
  const { created } = recipe;
  const labels = {
    "org.opencontainers.image.title": recipe.name,
    "org.opencontainers.image.description": recipe.description,
    ...recipe.config.Labels,
  };
  const config = {
    created,
    architecture,
    os,
    ...(variant !== undefined && { variant }),
    config: { ...recipe.config, Labels: labels },
    rootfs: { type: "layers", diff_ids: [packages.diffId, files.diffId] },
    history: [
      { created, created_by: `mmdebstrap ${recipe.suite}`, comment: `packages of ${recipe.name}` },
      { created, created_by: "msb-ts", comment: `files of ${recipe.name}` },
    ],
  } satisfies ImageConfig;
  const manifest = {
    schemaVersion: 2,
    mediaType: MediaType.ociManifest,
    config: await store.putBytes(jsonBytes(config), MediaType.ociConfig),
    layers: [packages.descriptor, files.descriptor],
  };
  return await store.putBytes(jsonBytes(manifest), MediaType.ociManifest);
}

function jsonBytes(value: unknown): Buffer {
  return Buffer.from(JSON.stringify(value));
}

function recipeFailed(recipe: Recipe, { exitCode, signal, stderr }: ToolResult): MsbError {
  const lines = printable(stderr).trimEnd().split("\n").slice(-SHOWN_LINES);
  const how = signal === null ? `exit ${exitCode}` : signal;
  return new MsbError(
    "MSB_ERR_RECIPE_FAILED",
    `The recipe ${recipe.name} could not be built (mmdebstrap: ${how}). Its last words:\n` +
      `${lines.map((line) => `  ${line.slice(0, 500)}`).join("\n")}\n` +
      "Correct the recipe, or set MSB_DEBIAN_MIRROR to a mirror that can be reached.",
    { details: { recipe: recipe.name, exitCode, signal, lines } },
  );
}
