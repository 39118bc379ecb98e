/** What shows progress, whichever way. */
import type { OnProgress } from "../../util/progress.js";

/** Shows the progress of any number of tasks, until it is disposed of. */
export interface ProgressReporter extends Disposable {
  readonly report: OnProgress;
}
