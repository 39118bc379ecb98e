/**
 * An MSB_HOME for one server of a test: its own sandboxes and VMs, with the runtime and the images of the tests' home.
 * It knows which processes belong to it, so that none is left behind and none of others is touched.
 */
import { readdirSync, readFileSync, readlinkSync } from "node:fs";
import { cp, mkdir, mkdtemp, readdir, readFile, rm, symlink } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { msbPaths } from "../../src/paths.js";
import { isRunning } from "./processes.js";
import { ensureServerImages } from "./server-images.js";
import { linkRuntime } from "./shared-runtime.js";

/** How long processes may take to be gone after what ended them. */
const END_MS = 15_000;

export interface HomeProcess {
  readonly pid: number;
  /** The kernel's short name of it. */
  readonly name: string;
  /** How it shows that it belongs to this home. */
  readonly why: "command line" | "environment" | "open file" | "socket";
}

export class ServerHome implements AsyncDisposable {
  private constructor(readonly path: string) {}

  static async make(): Promise<ServerHome> {
    const store = await ensureServerImages();
    // Short, for the paths of unix sockets in it.
    const home = new ServerHome(await mkdtemp(join(tmpdir(), "msb-srv-")));
    const images = join(home.path, "images");
    await mkdir(images);
    await linkRuntime(home.path);
    for (const name of ["blobs", "disks"]) await symlink(join(store, name), join(images, name));
    await cp(join(store, "tags"), join(images, "tags"), { recursive: true });
    return home;
  }

  /** All processes that have to do with this home, the server among them; not the caller. */
  processes(): HomeProcess[] {
    const sockets = socketsUnder(this.path);
    return readdirSync("/proc")
      .map(Number)
      .filter((pid) => Number.isInteger(pid) && pid !== process.pid)
      .flatMap((pid) => {
        const why = reasonOf(pid, this.path, sockets);
        return why === undefined ? [] : [{ pid, name: nameOf(pid), why }];
      });
  }

  /** Waits until only the processes with these ids are left of this home; says which others stay. */
  async settled(expected: readonly number[], timeoutMs = END_MS): Promise<HomeProcess[]> {
    for (const end = Date.now() + timeoutMs; ; await delay(100)) {
      const others = this.processes().filter(({ pid }) => !expected.includes(pid));
      if (others.length === 0 || Date.now() >= end) return others;
    }
  }

  /** Ends every process of this home by its id. */
  async endProcesses(): Promise<void> {
    for (const { pid } of this.processes()) {
      try {
        process.kill(pid, "SIGKILL");
      } catch {
        // It has ended.
      }
    }
    await this.settled([]);
  }

  /** Paths in this home, sorted; what it shares with others and temporary names of sockets are not looked into. */
  async tree(): Promise<string[]> {
    const names = await readdir(this.path, { recursive: true });
    return names.toSorted();
  }

  /** Mounts below it, of this process's view. */
  mounts(): string[] {
    const lines = readFileSync("/proc/self/mountinfo", "utf8").split("\n");
    return lines.filter((line) => line.includes(` ${this.path}/`));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.endProcesses();
    await rm(this.path, { recursive: true, force: true });
  }
}

/** The supervisors that the folders of VMs name, by the ids of the VMs. */
export async function supervisorsOf(home: ServerHome): Promise<Map<string, number>> {
  const paths = msbPaths(home.path);
  const found = new Map<string, number>();
  for (const id of await readdir(paths.vmRoot).catch(() => [])) {
    const text = await readFile(join(paths.vmDir(id), "vmm.pid"), "utf8").catch(() => "");
    const pid = Number(text.split(" ")[0]);
    if (pid > 0 && (await isRunning(pid))) found.set(id, pid);
  }
  return found;
}

function reasonOf(
  pid: number,
  home: string,
  sockets: ReadonlySet<string>,
): HomeProcess["why"] | undefined {
  const text = (name: string): string => {
    try {
      return readFileSync(`/proc/${pid}/${name}`, "latin1");
    } catch {
      return "";
    }
  };
  if (text("stat").replace(/^.*\)/s, "").startsWith(" Z")) return undefined;
  if (text("cmdline").includes(`${home}/`)) return "command line";
  if (text("environ").includes(`MSB_HOME=${home}\0`)) return "environment";
  for (const target of openFiles(pid)) {
    if (target.startsWith(`${home}/`)) return "open file";
    if (sockets.has(target)) return "socket";
  }
  return undefined;
}

function openFiles(pid: number): string[] {
  try {
    return readdirSync(`/proc/${pid}/fd`).flatMap((fd) => {
      try {
        return [readlinkSync(`/proc/${pid}/fd/${fd}`)];
      } catch {
        return [];
      }
    });
  } catch {
    return [];
  }
}

function nameOf(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/comm`, "utf8").trim();
  } catch {
    return "";
  }
}

/** `socket:[inode]` of every unix socket whose path is or was below `home`. */
function socketsUnder(home: string): ReadonlySet<string> {
  const lines = readFileSync("/proc/net/unix", "latin1").split("\n");
  return new Set(
    lines
      .map((line) => line.trim().split(/\s+/))
      .filter(([, , , , , , , path]) => path?.startsWith(`${home}/`))
      .map((fields) => `socket:[${fields[6]}]`),
  );
}
