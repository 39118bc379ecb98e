/** The addon `msb.node`: loads it and types it. Nobody else loads native code. */
import { existsSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { messageOf, MsbError } from "../errors.js";
import { nativeFolders } from "./folders.js";

export interface LibkrunFacts {
  readonly path: string;
  /** The library loads and has every function that is needed. */
  readonly ok: boolean;
  /** Why it is not ok; names the missing dependency or functions. */
  readonly error?: string;
  readonly missingFunctions?: readonly string[];
  readonly netFeature: boolean;
  readonly blkFeature: boolean;
  /** What libkrun allows for one VM; null when it cannot tell, as without /dev/kvm. */
  readonly maxVcpus: number | null;
}

/** What can be known of a host's ability to run microVMs without running one. */
export interface HostProbe {
  readonly platform: "linux" | "darwin";
  readonly arch: "x64" | "arm64" | "other";
  /** Null when no library was asked about. */
  readonly libkrun: LibkrunFacts | null;
  readonly kvm: {
    readonly devicePresent: boolean;
    /** Null when /dev/kvm could be opened. */
    readonly openErrno: number | null;
    readonly apiVersion: number | null;
    /** Null when a VM could be created, or was not tried. */
    readonly createVmErrno: number | null;
  };
  /** x86 only. `hypervisor`: this host is itself a guest. */
  readonly cpuFlags: { readonly vmx: boolean; readonly svm: boolean; readonly hypervisor: boolean };
  readonly cpuCount: number;
  readonly memoryMiB: number;
  /** Hypervisor.framework; null on other systems than macOS. */
  readonly hvf: boolean | null;
}

export interface BootRequest {
  /** Absolute path of msb-vmm. */
  readonly vmmPath: string;
  /** The JSON of native/README.md. */
  readonly config: string;
  /** Where each channel of the config listens, in the config's order; the files must not exist. */
  readonly channels: readonly { readonly name: string; readonly socketPath: string }[];
  /** Open files that the VM process inherits behind its channels, as many as the config's `fileCount`. */
  readonly files?: readonly number[];
  /** The same as in the config. */
  readonly detached: boolean;
  /** Absolute path of a new file in which the supervisor keeps its report, 256 KiB at most. */
  readonly reportPath?: string;
}

export type VmmSignal = "SIGTERM" | "SIGKILL" | "SIGINT" | "SIGHUP" | "SIGSTOP" | "SIGCONT";

/** A supervisor, msb-vmm, and with it one microVM. */
export interface MicroVmHandle {
  readonly pid: number;
  /**
   * How the supervisor ended, after its last report line. Both null when another reaped it, as for one that
   * was not started here. Never rejects.
   */
  readonly exited: Promise<{ readonly exitCode: number | null; readonly signal: number | null }>;
  /** Signals the supervisor, never another process that has got its number. False when it is gone. */
  kill(signal: VmmSignal | number): boolean;
  /** Keeps the event loop running until the VM ends, as it does at first. */
  ref(): void;
  unref(): void;
  /** The same as `unref`: events still come as long as the event loop runs. */
  release(): void;
}

export type LockMode = "shared" | "exclusive";

/** An flock(2) lock that is held. Dropped by `release`, by garbage collection, and by the kernel with the process. */
export interface NativeFileLock {
  /** The second call does nothing. */
  release(): void;
}

/** A lock that is being waited for, on a thread of its own, until there is nobody in the way. */
export interface NativeLockWait {
  readonly acquired: Promise<NativeFileLock>;
  /** Keeps the event loop running until the lock is there, as it does at first. */
  ref(): void;
  unref(): void;
}

/** What rejected promises and thrown errors of the addon look like. */
export interface NativeError extends Error {
  readonly code: "MSB_NATIVE" | "MSB_NATIVE_ARGUMENT";
  /** The failed system call or libkrun function, or the field of the config. */
  readonly operation?: string;
  readonly errno?: number;
}

export interface NativeBinding {
  probeHost(opts?: { libkrunPath?: string | null }): Promise<HostProbe>;
  /** Checks a config and, for libkrun, tries it on the library without booting. */
  checkVmConfig(config: string): Promise<void>;
  /**
   * Starts msb-vmm; its channels accept connections when this returns. The VM ends with this process
   * or Worker unless it is detached. `onEvent` gets each line of the report.
   */
  bootMicroVm(request: BootRequest, onEvent: (line: string) => void): MicroVmHandle;
  /**
   * The supervisor that another process has started; null when it is gone, whoever has its number now. Needs
   * Linux 5.3 or macOS.
   */
  watchMicroVm(pid: number, startTime: string): MicroVmHandle | null;
  /**
   * One word that tells a process from all that had or will have its number, over reboots, too; null when
   * there is none, or only its zombie.
   */
  processStartTime(pid: number): string | null;
  /**
   * Copies a disk file to a new file of mode 0600, sharing blocks where the filesystem can and keeping
   * holes where it cannot.
   */
  cloneSparse(from: string, to: string): Promise<{ sizeBytes: number; dataBytes: number }>;
  /**
   * The descriptor of a file without a name that lives in memory; the caller closes it. Throws with ENOSYS where there
   * are none that can be sealed (macOS).
   */
  createMemoryFile(sizeBytes: number): number;
  /**
   * Nobody can change the file any more, through whatever descriptor; private mappings of it can be written to. Throws
   * with EBUSY while somebody has it mapped to write.
   */
  sealMemoryFile(fd: number): void;
  /**
   * Locks the file that `path` names; null when another holds it in the way of `mode`, or when the file
   * is to be an `existing` one and is not there. `any` makes it, empty.
   */
  tryLockFile(
    path: string,
    mode: LockMode,
    target: "any" | "existing",
  ): Promise<NativeFileLock | null>;
  waitForFileLock(path: string, mode: LockMode): NativeLockWait;
  /** The rate of the CPU's time-stamp counter; null where there is none. The first call takes 20 ms. */
  tscKhz(): number | null;
}

const EXPORTS = [
  "probeHost",
  "checkVmConfig",
  "bootMicroVm",
  "watchMicroVm",
  "processStartTime",
  "cloneSparse",
  "createMemoryFile",
  "sealMemoryFile",
  "tryLockFile",
  "waitForFileLock",
  "tscKhz",
] as const;

/** The end of an error's message; what follows it is up to the caller. */
export const HOW_TO_BUILD =
  "Build it with `npm rebuild msb-ts` or, in a checkout, `npm run build:native` " +
  "(needs a C++20 compiler, make and python3)";

interface LoadedBinding {
  readonly binding: NativeBinding;
  readonly folder: string;
}

let loaded: LoadedBinding | undefined;

/** Throws MSB_ERR_ADDON_MISSING. */
export function loadNative(): NativeBinding {
  loaded ??= loadFrom(nativeFolders());
  return loaded.binding;
}

/** Where the addon came from. Throws MSB_ERR_ADDON_MISSING. */
export function nativeFolder(): string {
  loadNative();
  return loaded!.folder;
}

/** The addon of the first of the folders that has one which loads. Throws MSB_ERR_ADDON_MISSING. */
export function loadFrom(folders: readonly string[]): LoadedBinding {
  const paths = folders.map((folder) => join(folder, "msb.node"));
  const failures: string[] = [];
  for (const [index, path] of paths.entries()) {
    const found = tryLoad(path);
    if (typeof found !== "string") return { binding: found, folder: folders[index]! };
    failures.push(`${path}: ${found}`);
  }
  throw new MsbError(
    "MSB_ERR_ADDON_MISSING",
    `The native addon cannot be loaded. ${failures.join("; ")}. ${HOW_TO_BUILD}.`,
    { details: { paths } },
  );
}

/** The addon, or why it is none. */
function tryLoad(path: string): NativeBinding | string {
  if (!existsSync(path)) return "it is not there";
  let addon: unknown;
  try {
    addon = createRequire(import.meta.url)(path);
  } catch (error) {
    return firstLine(messageOf(error));
  }
  const missing = EXPORTS.filter(
    (name) => typeof (addon as Record<string, unknown>)[name] !== "function",
  );
  if (missing.length === 0) return addon as NativeBinding;
  return `it is of another version and lacks ${missing.join(", ")}`;
}

/** Node appends its require stack, which helps nobody here. */
function firstLine(text: string): string {
  return text.split("\n", 1)[0] ?? text;
}
