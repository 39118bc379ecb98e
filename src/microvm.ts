/** The entry `msb-ts/microvm`: microVMs and images without a server; re-exports only. */
/// <reference lib="esnext.disposable" preserve="true" />
export type { CollectedOutput, ExecSession } from "./agent/exec-session.js";
export { AgentClient, type AgentConnectOpts, type ExecOpts } from "./agent/agent-client.js";
export type { DirectoryEntry, GuestFiles, WriteFileOpts } from "./agent/guest-files.js";
export { decodeGuestString, encodeGuestString } from "./agent/guest-string.js";
export type {
  ExecExit,
  ExecInfo,
  FileInfo,
  FileKind,
  GuestMetrics,
  PtySize,
  ResourceLimit,
} from "./agent/messages.js";
export { Channel } from "./agent/frame.js";
export type { OutputChunk } from "./agent/stream-flow.js";
export type { HypervisorChoice, HypervisorConfig } from "./config.js";
export { createUpperDisk } from "./disk/upper-disk.js";
export { ERROR_CODES, type ErrorCode, isMsbError, MsbError } from "./errors.js";
export { AutoDriver } from "./hypervisor/auto-driver.js";
export type {
  AdoptedVm,
  BootStage,
  DriverName,
  DriverProbe,
  HypervisorDriver,
  MicroVm,
  SavableVm,
  SavedVm,
  VmConfig,
  VmExit,
  VmSaving,
} from "./hypervisor/driver.js";
export { type Hypervisor, openHypervisor, type OpenHypervisorOpts } from "./hypervisor/open.js";
export type {
  ImageDiskInfo,
  ImageInfo,
  PrunedImages,
  RemovedImages,
  RunConfig,
} from "./oci/image.js";
export { type BootableImage, Images, type OpenImagesOpts } from "./oci/images.js";
export { type MsbPaths, msbPaths } from "./paths.js";
export { setup, type SetupOpts, type SetupResult } from "./runtime/setup.js";
export {
  type AdoptGuestOpts,
  type BootGuestOpts,
  type BootTimings,
  Guest,
} from "./sandbox/guest.js";
export type { OnProgress, Progress } from "./util/progress.js";
