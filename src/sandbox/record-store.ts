/** The folders of all sandboxes: records read and written, sandboxes removed, what is broken set aside. */
import { lstat, mkdir, readdir, rename, rm } from "node:fs/promises";
import { messageOf } from "../errors.js";
import type { MsbPaths, SandboxPaths } from "../paths.js";
import { replaceFile, sweepTemp, tempName } from "../util/atomic-file.js";
import { errnoOf, fileError } from "../util/file-error.js";
import { printable } from "../util/printable.js";
import { readSmallFile } from "../util/small-file.js";
import { formatRecord, parseRecord, type SandboxRecord } from "./record.js";
import { folderOf, keyText, nameOfFolder } from "./sandbox-name.js";
import type { SandboxKey } from "./service.js";

const MAX_RECORD_BYTES = 4 * 1024 ** 2;
/** Only for their owner: a record holds the user's environment and the nonce of the guest's agent. */
const RECORD_MODE = 0o600;
const FOLDER_MODE = 0o700;

/** A record that is no use, and where its folder is now, disk and all. */
export interface BrokenRecord extends SandboxKey {
  readonly problem: string;
  /** null: it could not be moved. */
  readonly setAside: string | null;
}

export interface LoadedRecords {
  readonly records: readonly SandboxRecord[];
  readonly broken: readonly BrokenRecord[];
}

/** Methods throw MSB_ERR_HOME_UNUSABLE and MSB_ERR_NO_SPACE. */
export class RecordStore {
  constructor(private readonly paths: MsbPaths) {}

  pathsOf(key: SandboxKey): SandboxPaths {
    return this.paths.sandbox(folderOf(key.namespace), folderOf(key.name));
  }

  /** All records. The folder of a broken one gets another name, so that its name is free and its disk is kept. */
  async load(): Promise<LoadedRecords> {
    const records: SandboxRecord[] = [];
    const broken: BrokenRecord[] = [];
    for await (const key of this.folders()) {
      const read = await this.#read(key);
      if (read === undefined) continue;
      if (!("problem" in read)) records.push(read);
      else broken.push({ ...key, ...read, setAside: await this.#setAside(key) });
    }
    return { records, broken };
  }

  /** The good ones, and nothing is moved: for whoever is not the server. */
  async *read(): AsyncGenerator<SandboxRecord, void, undefined> {
    for await (const key of this.folders()) {
      const read = await this.#read(key);
      if (read !== undefined && !("problem" in read)) yield read;
    }
  }

  async write(record: SandboxRecord): Promise<void> {
    const { dir, record: path } = this.pathsOf(record);
    try {
      await mkdir(dir, { recursive: true, mode: FOLDER_MODE });
      await replaceFile(path, (file) => file.writeFile(formatRecord(record)), {
        mode: RECORD_MODE,
      });
    } catch (error) {
      throw fileError(error, path, "written");
    }
  }

  /** Deletes the sandbox's folder. What is half deleted when the process ends is swept by the next. */
  async remove(key: SandboxKey): Promise<void> {
    const { dir } = this.pathsOf(key);
    const grave = this.paths.tempFile(tempName("sandbox"));
    try {
      await mkdir(this.paths.tempDir, { recursive: true, mode: FOLDER_MODE });
      await rename(dir, grave);
    } catch (error) {
      if (errnoOf(error) === "ENOENT") return;
      throw fileError(error, dir, "removed");
    }
    await rm(grave, { recursive: true, force: true }).catch(() => {});
  }

  /** Folders that are named as a sandbox's would be, with a record or without. */
  async *folders(): AsyncGenerator<SandboxKey, void, undefined> {
    for (const namespaceFolder of await foldersIn(this.paths.sandboxRoot)) {
      const namespace = nameOfFolder(namespaceFolder);
      if (namespace === undefined) continue;
      for (const folder of await foldersIn(this.paths.sandboxNamespaceDir(namespaceFolder))) {
        const name = nameOfFolder(folder);
        if (name !== undefined) yield { namespace, name };
      }
    }
  }

  /** Is there any file where the record would be? */
  async hasRecord(key: SandboxKey): Promise<boolean> {
    const found = await lstat(this.pathsOf(key).record).catch((error: unknown) => error);
    // Whatever else went wrong, it does not say that there is none.
    return errnoOf(found) !== "ENOENT";
  }

  /** Half-made files of processes that are gone. */
  async sweepTemp(): Promise<void> {
    await sweepTemp(this.paths.tempDir);
    for await (const key of this.folders()) await sweepTemp(this.pathsOf(key).dir);
  }

  async #read(key: SandboxKey): Promise<SandboxRecord | { problem: string } | undefined> {
    try {
      const file = await readSmallFile(this.pathsOf(key).record, MAX_RECORD_BYTES);
      return file === undefined ? undefined : parseRecord(file.bytes.toString("utf8"), key);
    } catch (error) {
      return { problem: printable(messageOf(error)) };
    }
  }

  async #setAside(key: SandboxKey): Promise<string | null> {
    const { dir } = this.pathsOf(key);
    // A dot is in no sandbox's folder name.
    const to = `${dir}.broken-${Date.now()}`;
    return rename(dir, to).then(
      () => to,
      () => null,
    );
  }
}

export function describeBroken({ problem, setAside, ...key }: BrokenRecord): string {
  const where = setAside === null ? "It could not be moved away" : `Its folder is now ${setAside}`;
  return `The record of the sandbox ${keyText(key)} cannot be used: ${problem}. ${where}; nothing was deleted.`;
}

async function foldersIn(path: string): Promise<string[]> {
  const entries = await readdir(path, { withFileTypes: true }).catch((error: unknown) => {
    if (errnoOf(error) === "ENOENT" || errnoOf(error) === "ENOTDIR") return [];
    throw fileError(error, path, "read");
  });
  return entries.flatMap((entry) => (entry.isDirectory() ? [entry.name] : []));
}
