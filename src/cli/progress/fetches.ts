/** Runtime components on their way, as progress. */
import type { FetchProgress } from "../../runtime/resolve.js";
import type { OnProgress } from "../../util/progress.js";

/** For whoever fetches: tells `onProgress` of each component. */
export function fetchProgress(onProgress: OnProgress): (progress: FetchProgress) => void {
  return ({ component, receivedBytes, totalBytes }) =>
    onProgress({
      id: component,
      label: component === "libkrunfw" ? "guest kernel" : component,
      state: receivedBytes === totalBytes ? "done" : "running",
      doneBytes: receivedBytes,
      totalBytes,
    });
}
