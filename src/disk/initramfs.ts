/** The initramfs: the archive in which the kernel finds the agent, and the folders that it mounts on. */
import { createHash } from "node:crypto";
import { mkdir, readFile, stat } from "node:fs/promises";
import { dirname } from "node:path";
import { MsbError } from "../errors.js";
import type { MsbPaths } from "../paths.js";
import { SingleFlight } from "../util/async.js";
import { replaceFile } from "../util/atomic-file.js";
import { identityOf } from "../util/file-identity.js";
import { encodeCpio } from "./cpio.js";
import { spaceError } from "./disk-error.js";

/** Changes whenever the content below does, so that old files in the cache are not taken for new ones. */
const LAYOUT_VERSION = 1;
/** The agent is at most 1.5 MB by design; far above that the path names something else. */
const MAX_AGENT_BYTES = 16 * 1024 ** 2;
const AGENT_NAME = "msb-agent";
/** The kernel brings /dev/console, whatever archive it is given (its usr/default_cpio_list). */
const MOUNT_POINTS = ["dev", "mnt", "proc", "sys"];

const flights = new SingleFlight<string>();
const digests = new Map<string, string>();

/**
 * The path of the initramfs for the agent at `agentPath`, made if the cache does not have it.
 * Throws MSB_ERR_DISK_NOT_FOUND when there is no agent, MSB_ERR_NO_SPACE.
 */
export async function ensureInitramfs(agentPath: string, paths: MsbPaths): Promise<string> {
  return flights.run(`${agentPath}\n${paths.home}`, () => findOrMake(agentPath, paths));
}

async function findOrMake(agentPath: string, paths: MsbPaths): Promise<string> {
  const info = await stat(agentPath).catch((error: unknown) => {
    throw agentError(agentPath, "it cannot be read", error);
  });
  if (!info.isFile() || info.size === 0 || info.size > MAX_AGENT_BYTES) {
    throw agentError(agentPath, `it is not a file of 1 to ${MAX_AGENT_BYTES} bytes`);
  }
  const key = identityOf(agentPath, info);
  let agent: Buffer | undefined;
  let digest = digests.get(key);
  if (digest === undefined) {
    agent = await readFile(agentPath);
    digest = digestOf(agent);
    digests.set(key, digest);
  }
  const path = paths.initramfs(digest);
  const found = await stat(path).catch(() => undefined);
  if (found?.isFile() && found.size > 0) return path;
  const archive = encodeInitramfs(agent ?? (await readFile(agentPath)));
  try {
    await mkdir(dirname(path), { recursive: true });
    await replaceFile(path, (file) => file.writeFile(archive), { mode: 0o444 });
  } catch (error) {
    throw spaceError(error, path, archive.length);
  }
  return path;
}

/** The whole archive; the same bytes for the same agent. */
export function encodeInitramfs(agent: Uint8Array): Buffer {
  return encodeCpio([
    ...MOUNT_POINTS.map((name) => ({ name, mode: 0o040755 })),
    { name: AGENT_NAME, mode: 0o100755, data: agent },
  ]);
}

function digestOf(agent: Uint8Array): string {
  return createHash("sha256").update(`initramfs ${LAYOUT_VERSION}\n`).update(agent).digest("hex");
}

function agentError(path: string, why: string, cause?: unknown): MsbError {
  return new MsbError(
    "MSB_ERR_DISK_NOT_FOUND",
    `There is no initramfs without the guest agent, and ${path} is not one: ${why}. ` +
      "Build it with `npm rebuild msb-ts` or, in a checkout, `npm run build:native`.",
    { cause, details: { path } },
  );
}
