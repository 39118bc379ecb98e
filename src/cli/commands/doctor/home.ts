/** Doctor's looks at MSB_HOME, at its server, and at what confines microVMs. */
import { access, constants, readFile, stat, statfs } from "node:fs/promises";
import { dirname } from "node:path";
import { vmFiles } from "../../../hypervisor/vm-folder.js";
import { findServer } from "../../../server/process/server-lock.js";
import { size } from "../../format.js";
import {
  type Check,
  check,
  type DoctorScope,
  ok,
  problem,
  type Verdict,
  warning,
} from "./check.js";

/** A Python image, its disk, and what a few sandboxes write. */
const MIN_FREE_BYTES = 2 * 1024 ** 3;
/** What the address of a unix socket holds, without its end. */
const MAX_SOCKET_PATH = process.platform === "darwin" ? 103 : 107;
const LONGEST_VM_ID = "run-0123456789ab";

export async function homeChecks(scope: DoctorScope): Promise<Check[]> {
  const { home } = scope.paths;
  return Promise.all([
    check(scope, { id: "home", title: "MSB_HOME" }, () => lookAtHome(home)),
    check(scope, { id: "space", title: "Free space" }, () => lookAtSpace(home)),
    check(scope, { id: "sockets", title: "Socket paths" }, () =>
      judgeSocketPath(vmFiles(scope.paths.vmDir(LONGEST_VM_ID)).consoleSocket),
    ),
    check(scope, { id: "confinement", title: "Landlock" }, lookAtLandlock, warning),
    check(scope, { id: "server", title: "Server" }, () => lookForServer(scope), warning),
  ]);
}

async function lookAtHome(home: string): Promise<Verdict> {
  const present = await nearest(home);
  try {
    await access(present, constants.R_OK | constants.W_OK | constants.X_OK);
  } catch {
    return problem(
      `${present} cannot be written`,
      "Make it writable, or set MSB_HOME to a folder.",
    );
  }
  return ok(present === home ? home : `${home}, which is made when it is needed`);
}

async function lookAtSpace(home: string): Promise<Verdict> {
  const { bavail, bsize } = await statfs(await nearest(home));
  const free = bavail * bsize;
  if (free >= MIN_FREE_BYTES) return ok(size(free));
  return warning(size(free), "Free some, or set MSB_HOME to a folder with more.");
}

/** The folder itself, or the first one above it that is there. */
async function nearest(path: string): Promise<string> {
  const isThere = await stat(path).then(
    () => true,
    () => false,
  );
  return isThere || dirname(path) === path ? path : nearest(dirname(path));
}

export function judgeSocketPath(path: string): Verdict {
  const bytes = Buffer.byteLength(path);
  if (bytes <= MAX_SOCKET_PATH) return ok(`${bytes} of ${MAX_SOCKET_PATH} bytes`);
  return problem(
    `${bytes} bytes, ${MAX_SOCKET_PATH} are allowed`,
    "Set MSB_HOME to a folder with a shorter path.",
  );
}

async function lookAtLandlock(): Promise<Verdict> {
  if (process.platform !== "linux") return ok("not on this system");
  const modules = await readFile("/sys/kernel/security/lsm", "utf8").catch(() => undefined);
  if (modules === undefined) return ok("this kernel does not say; doctor --boot does");
  if (modules.split(",").some((name) => name.trim() === "landlock")) return ok("active");
  return warning(
    "the kernel does not have it: the processes of microVMs are not kept from this user's files",
    "Add landlock to the kernel's lsm= parameter.",
  );
}

async function lookForServer({ paths }: DoctorScope): Promise<Verdict> {
  const found = await findServer(paths);
  if (found.state === "none") return ok("not running");
  if (found.state === "unknown") return ok("runs where it cannot be seen, such as in a container");
  return ok(`${found.state}, process ${found.process.pid}, ${found.process.url ?? "no URL yet"}`);
}
