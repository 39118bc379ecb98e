#ifndef MSB_AGENT_METRICS_H_
#define MSB_AGENT_METRICS_H_

#include "base/json.h"
#include "base/status.h"

namespace msb::agent {

// The fields of the reply to core.metrics. `upper` is a directory on the upper disk.
StatusOr<Json::Object> ReadMetrics(int upper);

}  // namespace msb::agent

#endif  // MSB_AGENT_METRICS_H_
