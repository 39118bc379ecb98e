/** Loads the addon (native/addon) and gives it types. */
import { createRequire } from "node:module";
import { arch, cpus, platform, totalmem } from "node:os";
import { MsbError } from "../errors.js";

/** What the addon throws and rejects with; always wrapped before it leaves its caller's folder. */
export interface NativeError extends Error {
  readonly code: "MSB_NATIVE";
  /** The system call or krun_* function that failed, or the config field that was wrong. */
  readonly operation: string;
  readonly errno: number;
}

/** What can be known about this host without booting. */
export interface HostProbe {
  readonly platform: string;
  readonly arch: string;
  readonly libkrun: {
    readonly path: string;
    readonly ok: boolean;
    /** The loader's words when `ok` is false. */
    readonly error?: string;
    readonly netFeature: boolean;
    readonly blkFeature: boolean;
    readonly maxVcpus: number;
  } | null;
  readonly kvm: {
    readonly devicePresent: boolean;
    readonly openErrno: number | null;
    readonly apiVersion: number;
    readonly createVmErrno: number | null;
  };
  /** x86 only. */
  readonly cpuFlags: { readonly vmx: boolean; readonly svm: boolean; readonly hypervisor: boolean };
  readonly cpuCount: number;
  readonly memoryMiB: number;
  /** macOS: Hypervisor.framework works here. */
  readonly hvf: boolean | null;
}

export interface MicroVmHandle {
  /** Of the supervisor. */
  readonly pid: number;
  /** Resolves after the last event when the supervisor has ended; it is reaped then. */
  readonly exited: Promise<{ readonly exitCode: number | null; readonly signal: number | null }>;
  /** False when the supervisor is gone. */
  kill(signal: "SIGTERM" | "SIGKILL" | "SIGSTOP" | "SIGCONT"): boolean;
  /** A handle keeps the event loop alive until `exited`, unless it was unref'ed. */
  ref(): void;
  unref(): void;
}

export interface BootMicroVmOpts {
  readonly vmmPath: string;
  /** The config of native/README.md as JSON, at most 60 KiB. */
  readonly config: string;
  /** As the config's `channels`; each socket is made with mode 0600 and listens when this returns. */
  readonly channels: ReadonlyArray<{ readonly name: string; readonly socketPath: string }>;
  readonly detached: boolean;
}

export interface NativeBinding {
  probeHost(opts: { libkrunPath?: string | null }): Promise<HostProbe>;
  /** Checks a config's fields and, for libkrun, tries it on a context that is freed again. */
  checkVmConfig(config: string): Promise<void>;
  /**
   * Starts msb-vmm; `onEvent` gets each line of its report. Throws NativeError, and leaves nothing
   * behind then. The VM ends with this process or Worker unless it is detached.
   */
  bootMicroVm(opts: BootMicroVmOpts, onEvent: (line: string) => void): MicroVmHandle;
  /** Copies a sparse file; `target` must not exist, and does not after a failure. */
  cloneSparse(source: string, target: string): Promise<{ sizeBytes: number; dataBytes: number }>;
  /** The rate of this host's time stamp counter; null where there is none. */
  tscKhz(): number | null;
}

const ADDON = "../../build/Release/msb.node";
let loaded: NativeBinding | undefined;

/** The addon. Throws MSB_ERR_ADDON_MISSING with what to run. */
export function loadNative(): NativeBinding {
  loaded ??= load();
  return loaded;
}

function load(): NativeBinding {
  const require = createRequire(import.meta.url);
  let addon: NativeBinding;
  try {
    addon = require(ADDON) as NativeBinding;
  } catch (cause) {
    throw new MsbError(
      "MSB_ERR_ADDON_MISSING",
      `The native addon cannot be loaded on ${platform()}-${arch()} with Node ${process.version}. ` +
        "Run `npm rebuild msb-ts`; it needs python3, make and a C++20 compiler.",
      { cause },
    );
  }
  const facts = {
    platform: platform(),
    arch: arch(),
    cpuCount: cpus().length,
    memoryMiB: Math.floor(totalmem() / 1024 ** 2),
  };
  return {
    probeHost: async (opts) => ({ ...facts, ...(await addon.probeHost(opts)) }),
    checkVmConfig: addon.checkVmConfig,
    bootMicroVm: addon.bootMicroVm,
    cloneSparse: addon.cloneSparse,
    tscKhz: addon.tscKhz,
  };
}
