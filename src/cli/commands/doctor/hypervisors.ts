/** Doctor's looks at what runs microVMs, and its verdict. Fetches nothing. */
import { hypervisorConfig } from "../../../config.js";
import { AutoDriver } from "../../../hypervisor/auto-driver.js";
import { judgeHost } from "../../../hypervisor/libkrun-driver.js";
import { type Hypervisor, openHypervisor } from "../../../hypervisor/open.js";
import { loadNative } from "../../../native/binding.js";
import { type ComponentName, PINNED_PLATFORMS } from "../../../runtime/components.js";
import { findQemu } from "../../../runtime/qemu.js";
import { findComponent, type LibraryInfo } from "../../../runtime/resolve.js";
import {
  type Check,
  check,
  type DoctorScope,
  ok,
  problem,
  type Verdict,
  warning,
} from "./check.js";

const SOURCES = { env: "of a variable", setup: "of setup", system: "of the system" } as const;

export async function hypervisorChecks(scope: DoctorScope): Promise<Check[]> {
  return [
    await check(scope, { id: "kvm", title: "Virtualisation" }, () => lookAtKvm(scope), warning),
    await check(
      scope,
      { id: "libkrun", title: "libkrun" },
      () => component("libkrun", scope),
      warning,
    ),
    await check(scope, { id: "kernel", title: "Guest kernel" }, () =>
      component("libkrunfw", scope),
    ),
    await check(scope, { id: "driver", title: "Driver" }, () => judgeDrivers(scope)),
  ];
}

async function lookAtKvm(scope: DoctorScope): Promise<Verdict> {
  const library = await findComponent("libkrun", scope).catch(() => undefined);
  const host = await loadNative().probeHost({ libkrunPath: library?.path ?? null });
  // What is wrong with the library is said of the library.
  const verdict = judgeHost({ ...host, libkrun: { ...GOOD_LIBRARY, maxVcpus: null } });
  if (!verdict.usable) return warning(verdict.reason);
  return ok(host.platform === "darwin" ? "Hypervisor.framework" : "/dev/kvm opens, the CPU can");
}

const GOOD_LIBRARY = { path: "", ok: true, netFeature: false, blkFeature: true } as const;

async function component(name: ComponentName, scope: DoctorScope): Promise<Verdict> {
  const found = await findComponent(name, scope);
  if (found === undefined) return notYet(name);
  const text = `${versionOf(name, found)}${SOURCES[found.source]}, ${found.path}`;
  if (name !== "libkrun") return ok(text);
  const { libkrun } = await loadNative().probeHost({ libkrunPath: found.path });
  return libkrun?.ok === true
    ? ok(text)
    : warning(`${text}: ${libkrun?.error ?? "cannot be loaded"}`);
}

function pinOf(name: ComponentName) {
  return PINNED_PLATFORMS[`${process.platform}-${process.arch}`]?.[name];
}

function versionOf(name: ComponentName, { source }: LibraryInfo): string {
  return source === "setup" ? `${pinOf(name)?.version ?? ""} ` : "";
}

function notYet(name: ComponentName): Verdict {
  const pin = pinOf(name);
  if (pin != null) {
    return warning(
      `not here yet; ${pin.version} is fetched when it is needed`,
      "Run: msb-ts setup",
    );
  }
  const judge = name === "libkrun" ? warning : problem;
  return judge("not here, and nobody publishes it for this platform");
}

/** What `auto`, or what was chosen in its place, would take. */
async function judgeDrivers(scope: DoctorScope): Promise<Verdict> {
  const isComplete = (await findComponent("libkrunfw", scope)) !== undefined;
  const libkrun = await findComponent("libkrun", scope).catch(() => undefined);
  if (!isComplete || libkrun === undefined) return guessDriver(scope);
  const { driver, reason } = await chosenDriver(await openHypervisor(scope));
  return ok(`${driver}: ${reason}`);
}

/** Throws with the reason when there is none. */
export async function chosenDriver({
  driver,
}: Pick<Hypervisor, "driver">): Promise<{ driver: string; reason: string }> {
  if (driver instanceof AutoDriver) return driver.choose();
  const probe = await driver.probe();
  if (!probe.usable) throw new Error(probe.reason);
  return { driver: driver.name, reason: "MSB_HYPERVISOR asks for it" };
}

/** While there is no library to ask. */
async function guessDriver(scope: DoctorScope): Promise<Verdict> {
  const { hypervisor } = hypervisorConfig({}, scope.env);
  const kvm = await lookAtKvm(scope);
  if (kvm.status === "ok" && hypervisor !== "qemu" && pinOf("libkrun") != null) {
    return ok("libkrun, once it is fetched");
  }
  if (hypervisor === "libkrun") return problem(kvm.message);
  return findQemu({ env: scope.env }).then(
    () => ok(`qemu: ${hypervisor === "qemu" ? "MSB_HYPERVISOR asks for it" : kvm.message}`),
    (error: Error) =>
      problem(`No microVM can run here. libkrun: ${kvm.message} QEMU: ${error.message}`),
  );
}
