#ifndef MSB_ADDON_BACKGROUND_THREAD_H_
#define MSB_ADDON_BACKGROUND_THREAD_H_

#include <functional>

#include "base/status.h"

namespace msb::addon {

// Runs `work` on a thread of its own that nobody joins: it gets no signals, keeps its code when
// Node unloads the addon, and does not keep the process from ending. For waits that may last;
// libuv's few threads are for short work.
Status StartBackgroundThread(std::function<void()> work);

}  // namespace msb::addon

#endif  // MSB_ADDON_BACKGROUND_THREAD_H_
