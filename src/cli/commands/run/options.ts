/** What `run` is told besides its words. */
import type { HypervisorChoice, PullPolicy } from "../../../config.js";
import type { JsonOpts } from "../../command.js";

export interface RunOpts extends JsonOpts {
  readonly memory?: number;
  readonly cpus?: number;
  readonly disk?: number;
  readonly env?: readonly string[];
  readonly workdir?: string;
  readonly user?: string;
  readonly entrypoint?: string;
  /** Milliseconds. */
  readonly timeout?: number;
  readonly interactive?: true;
  readonly tty?: true;
  readonly hypervisor?: HypervisorChoice;
  readonly pull?: PullPolicy;
  readonly stages?: true;
  readonly quiet?: true;
}
