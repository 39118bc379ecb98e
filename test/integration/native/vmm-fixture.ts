/** Starts msb-vmm through the addon with cheap VM processes, and cleans up after itself. */
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { connect, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { onTestFinished } from "vitest";
import type { ReportLine } from "../../../src/hypervisor/vmm-report.js";
import { vmmPath } from "../../../src/native/binaries.js";
import { loadNative, type MicroVmHandle } from "../../../src/native/binding.js";

export const native = loadNative();

/** A folder that is gone after the test. */
export function tempFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), "msb-native-"));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

/** A config whose VM process is a shell script: fd 3 is its agent channel, fd 4 its console. */
export function shellConfig(script: string, more: object = {}): Record<string, unknown> {
  return {
    driver: "qemu",
    detached: false,
    leaseMs: 0,
    vcpuCount: 1,
    memoryMiB: 64,
    channels: ["agent", "console"],
    disks: [],
    qemuPath: "/bin/sh",
    qemuArgs: ["-c", script],
    ...more,
  };
}

export class TestVm {
  readonly lines: ReportLine[] = [];
  readonly folder: string;
  readonly handle: MicroVmHandle;

  constructor(config: Record<string, unknown>, files?: readonly number[]) {
    this.folder = tempFolder();
    this.handle = native.bootMicroVm(
      {
        vmmPath: vmmPath(),
        config: JSON.stringify(config),
        channels: (config["channels"] as string[]).map((name) => ({
          name,
          socketPath: this.socketPath(name),
        })),
        ...(files === undefined ? {} : { files }),
        detached: config["detached"] === true,
      },
      (line) => this.lines.push(JSON.parse(line) as ReportLine),
    );
    onTestFinished(async () => {
      this.handle.kill("SIGTERM");
      await this.handle.exited;
    });
  }

  socketPath(name: string): string {
    return join(this.folder, `${name}.sock`);
  }

  stage(name: string): Promise<ReportLine> {
    return until(() => this.lines.find((line) => line.stage === name));
  }

  /** The last line of the report, once the supervisor is gone. */
  async end(): Promise<ReportLine> {
    await this.handle.exited;
    const last = this.lines.at(-1);
    if (last === undefined) throw new Error("the supervisor reported nothing");
    return last;
  }

  connect(name: string): Promise<TestHost> {
    return TestHost.connect(this.socketPath(name));
  }
}

/** A host program at a channel. */
export class TestHost {
  readonly chunks: Buffer[] = [];
  isClosed = false;

  private constructor(readonly socket: Socket) {
    socket.on("data", (chunk: Buffer) => this.chunks.push(chunk));
    socket.on("error", () => {});
    socket.on("close", () => (this.isClosed = true));
  }

  static async connect(path: string): Promise<TestHost> {
    const socket = connect({ path });
    const host = new TestHost(socket);
    onTestFinished(() => void socket.destroy());
    await new Promise<void>((resolve, reject) => {
      socket.once("connect", resolve);
      socket.once("error", reject);
    });
    return host;
  }

  get bytes(): Buffer {
    return Buffer.concat(this.chunks);
  }

  get text(): string {
    return this.bytes.toString("latin1");
  }
}

/** The first value of `look` that is neither undefined nor false. */
export async function until<T>(look: () => T | undefined | false, limitMs = 10_000): Promise<T> {
  const deadline = performance.now() + limitMs;
  for (;;) {
    const value = look();
    if (value !== undefined && value !== false) return value;
    if (performance.now() > deadline)
      throw new Error(`not within ${limitMs} ms: ${look.toString()}`);
    await sleep(5);
  }
}

/** True when there is no such process; one that waits to be reaped is gone, too. */
export function isGone(pid: number): boolean {
  try {
    return / [ZX] /.test(readFileSync(`/proc/${pid}/stat`, "latin1").replace(/^.*\)/s, ""));
  } catch {
    return true;
  }
}
