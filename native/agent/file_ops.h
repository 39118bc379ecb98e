#ifndef MSB_AGENT_FILE_OPS_H_
#define MSB_AGENT_FILE_OPS_H_

#include <sys/types.h>

#include <string>

#include "base/json.h"
#include "base/status.h"

namespace msb::agent {

// The fields of the reply to file.stat. `name` is relative to `directory`, which may be AT_FDCWD.
StatusOr<Json::Object> DescribeFile(int directory, const std::string& name, bool follow);

// With `recursive`, makes the missing directories above, and an existing directory is no error.
Status MakeDirectory(const std::string& path, mode_t mode, bool recursive);

// With `recursive`, removes a directory and all in it; never follows a symlink and never leaves the
// filesystem.
Status RemovePath(const std::string& path, bool recursive);

Status RenamePath(const std::string& from, const std::string& to);

}  // namespace msb::agent

#endif  // MSB_AGENT_FILE_OPS_H_
