/** Work on an image as records, for a client that may read slower than the work tells. */
import type { PullRecord } from "../../api/images.js";
import type { StartRecord } from "../../api/sandboxes.js";
import type { WarmRecord } from "../../api/warm.js";
import { deferred } from "../../util/async.js";
import type { OnProgress, Progress } from "../../util/progress.js";
import type { StreamRecord } from "../streams/format.js";

type WorkRecord = PullRecord | StartRecord | WarmRecord;

/**
 * The last one is what `work` gives. Of each task the newest progress; older that nobody took in time is left out, so
 * nothing piles up. Work that has begun goes on when nobody reads any more, unless a signal of its own ends it.
 */
export async function* progressRecords(
  work: (onProgress: OnProgress) => Promise<WorkRecord>,
): AsyncGenerator<StreamRecord> {
  const news = new Map<string, Progress>();
  let wake = deferred<"news">();
  const done = work((progress) => {
    news.set(progress.id, progress);
    wake.resolve("news");
  });
  const settled = done.then(
    () => "settled" as const,
    () => "settled" as const,
  );
  for (let why: "news" | "settled" = "news"; why !== "settled";) {
    why = await Promise.race([settled, wake.promise]);
    wake = deferred();
    const batch = [...news.values()];
    news.clear();
    for (const progress of batch) yield record({ type: "progress", progress });
  }
  yield record(await done);
}

function record(data: WorkRecord): StreamRecord {
  return { event: data.type, data };
}
