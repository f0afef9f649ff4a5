// The door of system/extents.h; see src/native/extents.ts.
#pragma once

#include <napi.h>

namespace rackboot {

void exportExtents(Napi::Env env, Napi::Object exports);

}  // namespace rackboot
