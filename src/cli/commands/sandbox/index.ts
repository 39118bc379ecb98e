/** The commands of sandboxes. They talk to a server. */
import { codeCommand } from "./code.js";
import { createCommand } from "./create.js";
import { execCommand } from "./exec.js";
import { logsCommand } from "./logs.js";
import { metricsCommand } from "./metrics.js";
import { psCommand } from "./ps.js";
import { rmCommand } from "./rm.js";
import { startCommand } from "./start.js";
import { stopCommand } from "./stop.js";
import { topCommand } from "./top.js";

export const SANDBOX_COMMANDS = [
  createCommand,
  startCommand,
  stopCommand,
  rmCommand,
  psCommand,
  execCommand,
  codeCommand,
  logsCommand,
  metricsCommand,
  topCommand,
] as const;
