#ifndef MSB_ADDON_DISK_CLONE_H_
#define MSB_ADDON_DISK_CLONE_H_

#include <napi.h>

namespace msb {

// cloneSparse(source, target): Promise<{ sizeBytes, dataBytes }>: a copy that shares the source's
// blocks where the filesystem can, and else copies its data extents and leaves its holes. `target`
// must not exist.
Napi::Value CloneSparse(const Napi::CallbackInfo& info);

}  // namespace msb

#endif  // MSB_ADDON_DISK_CLONE_H_
