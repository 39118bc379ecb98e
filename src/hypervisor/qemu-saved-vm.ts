/** A VM of QEMU that stands still: the files of its memory, its private disk and the state of its devices. */
import * as fs from "node:fs";
import { spaceError } from "../disk/disk-error.js";
import { MsbError } from "../errors.js";
import type { NativeBinding } from "../native/binding.js";
import type { SavedVm, VmConfig } from "./driver.js";

/** The open files of a saved VM: memory, private disk, state. */
export class SavedFiles implements Disposable {
  readonly #fds: number[] = [];
  isSaved = false;

  constructor(readonly native: NativeBinding) {}

  add(fd: number): number {
    this.#fds.push(fd);
    return fd;
  }

  get memory(): number {
    return this.#fds[0]!;
  }

  get disk(): number {
    return this.#fds[1]!;
  }

  get state(): number {
    return this.#fds[2]!;
  }

  [Symbol.dispose](): void {
    for (const fd of this.#fds.splice(0)) fs.closeSync(fd);
  }
}

export class SavedQemuVm implements SavedVm {
  readonly memoryBytes: number;
  #isDisposed = false;

  constructor(
    readonly config: VmConfig,
    private readonly files: SavedFiles,
  ) {
    // Empty pages take nothing.
    this.memoryBytes = fs.fstatSync(files.memory).blocks * 512;
  }

  get memory(): number {
    return this.files.memory;
  }

  /** With a position of its own. The caller closes it. */
  openState(): number {
    this.#check();
    return fs.openSync(`/proc/self/fd/${this.files.state}`, "r");
  }

  async copyUpperDisk(path: string): Promise<void> {
    this.#check();
    try {
      await this.files.native.cloneSparse(`/proc/self/fd/${this.files.disk}`, path);
    } catch (error) {
      throw spaceError(error, path, fs.fstatSync(this.files.disk).size);
    }
  }

  [Symbol.dispose](): void {
    this.#isDisposed = true;
    this.files[Symbol.dispose]();
  }

  #check(): void {
    if (this.#isDisposed) throw different("saved", "it was disposed of");
  }
}

export function different(option: string, why: string): MsbError {
  return new MsbError(
    "MSB_ERR_INVALID_ARGUMENT",
    `${option} cannot be this for a saved microVM: ${why}.`,
    { details: { option } },
  );
}
