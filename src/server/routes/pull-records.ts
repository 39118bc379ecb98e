/** A pull as records, for a client that may read slower than the work tells. */
import type { ImageView, PullRecord } from "../../api/images.js";
import { deferred } from "../../util/async.js";
import type { OnProgress, Progress } from "../../util/progress.js";
import type { StreamRecord } from "../streams/format.js";

/** Of each task the newest progress; older that nobody took in time is left out, so nothing piles up. */
export async function* pullRecords(
  pull: (onProgress: OnProgress) => Promise<ImageView>,
): AsyncGenerator<StreamRecord> {
  const news = new Map<string, Progress>();
  let wake = deferred<"news">();
  const work = pull((progress) => {
    news.set(progress.id, progress);
    wake.resolve("news");
  });
  const settled = work.then(
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
  yield record({ type: "done", image: await work });
}

function record(data: PullRecord): StreamRecord {
  return { event: data.type, data };
}
