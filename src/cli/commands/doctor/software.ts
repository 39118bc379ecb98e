/** Doctor's looks at this program, its native parts, and the tools of the system. */
import { agentPath, vmmPath } from "../../../native/binaries.js";
import { loadNative } from "../../../native/binding.js";
import { PINNED_PLATFORMS } from "../../../runtime/components.js";
import { findQemu } from "../../../runtime/qemu.js";
import { installCommand } from "../../../runtime/system-packages.js";
import { findExecutable, runTool } from "../../../util/process.js";
import {
  type Check,
  check,
  type DoctorScope,
  ok,
  problem,
  type Verdict,
  warning,
} from "./check.js";

const MIN_NODE = [20, 19] as const;
const VERSION_TIMEOUT_MS = 5_000;

export async function softwareChecks(scope: DoctorScope): Promise<Check[]> {
  return Promise.all([
    check(scope, { id: "node", title: "Node.js" }, () => judgeNode(process.versions.node)),
    check(scope, { id: "platform", title: "Platform" }, () =>
      judgePlatform(`${process.platform}-${process.arch}`),
    ),
    check(scope, { id: "addon", title: "Native addon" }, () => {
      loadNative();
      return ok("loads");
    }),
    check(scope, { id: "msb-vmm", title: "msb-vmm" }, () => ok(vmmPath())),
    check(scope, { id: "msb-agent", title: "msb-agent" }, () => ok(agentPath())),
    check(
      scope,
      { id: "qemu", title: "QEMU" },
      async () => {
        const { path, version } = await findQemu({ env: scope.env });
        return ok(`${version}, ${path}`);
      },
      warning,
    ),
    check(scope, { id: "mkfs.ext4", title: "e2fsprogs" }, lookForMkfs),
  ]);
}

export function judgeNode(version: string): Verdict {
  const [major = 0, minor = 0] = version.split(".").map(Number);
  const isGood = major > MIN_NODE[0] || (major === MIN_NODE[0] && minor >= MIN_NODE[1]);
  return isGood ? ok(version) : problem(version, `Install Node.js ${MIN_NODE.join(".")} or later.`);
}

export function judgePlatform(platform: string): Verdict {
  const pins = PINNED_PLATFORMS[platform];
  if (pins === undefined) {
    return warning(
      `${platform}: nobody publishes libkrun and the guest kernel for it`,
      "Build them and set MSB_LIBKRUN_PATH and MSB_LIBKRUNFW_PATH.",
    );
  }
  return ok(pins.libkrun === null ? `${platform}, QEMU only unless you bring libkrun` : platform);
}

async function lookForMkfs(): Promise<Verdict> {
  const path = await findExecutable("mkfs.ext4");
  if (path === undefined) {
    return problem("mkfs.ext4 is not installed", `Run: ${installCommand(["mkfs.ext4"])}`);
  }
  // It tells its version on standard error.
  const { stderr } = await runTool(path, ["-V"], { timeoutMs: VERSION_TIMEOUT_MS });
  const version = /mke2fs (\d[\w.]*)/.exec(stderr)?.[1];
  return ok(version === undefined ? path : `${version}, ${path}`);
}
