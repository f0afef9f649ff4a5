// The door of system/datagrams.h; see src/native/datagrams.ts.
#pragma once

#include <napi.h>

namespace rackboot {

void exportDatagrams(Napi::Env env, Napi::Object exports);

}  // namespace rackboot
