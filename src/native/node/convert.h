// Values between JavaScript and C++. Shapes are those of src/native/data-plane.ts, which the compiler has checked there.
#pragma once

#include <napi.h>

#include <optional>
#include <string>
#include <vector>

#include "events.h"
#include "plane/plane.h"
#include "plane/range-work.h"

namespace rackboot {

/// An Error with the system's `code` (EADDRINUSE, ...).
Napi::Error systemError(Napi::Env env, int error, const std::string& message);

std::vector<uint8_t> toBytes(const Napi::Value& value);
VolumeSpec toVolumeSpec(const Napi::Object& value);
SessionParameters toSessionParameters(const Napi::Object& value);
std::vector<LunMapping> toLunMappings(const Napi::Value& value);
std::optional<bool> toOptionalFlag(const Napi::Object& object, const char* key);
std::vector<ConnectionId> toConnections(const Napi::Value& value);
VolumeAccess toVolumeAccess(const Napi::Object& value);
RangeJob toRangeJob(VolumeId volume, const Napi::Object& value);
std::optional<Outcome> toNotReady(const Napi::Value& value);
Audience toAudience(const Napi::Object& value);
CommandResult toCommandResult(const Napi::Object& value);

Napi::Object fromEvent(Napi::Env env, Event& event);
Napi::Object fromCapabilities(Napi::Env env, const Capabilities& capabilities);
Napi::Object fromCount(Napi::Env env, const PlaneCount& count);

}  // namespace rackboot
