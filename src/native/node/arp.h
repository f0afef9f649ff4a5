// The door of system/arp.h; see src/native/arp.ts.
#pragma once

#include <napi.h>

namespace rackboot {

void exportArp(Napi::Env env, Napi::Object exports);

}  // namespace rackboot
