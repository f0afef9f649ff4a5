// What rackboot.node exports; see src/native/addon.ts.
#include <napi.h>

#include <cerrno>
#include <cstring>

#include "node/convert.h"
#include "node/door.h"
#include "node/extents.h"
#include "node/files.h"
#include "system/datagrams.h"
#include "system/process.h"

namespace rackboot {
namespace {

constexpr size_t kMacBytes = 6;

Napi::Value openDataPlane(const Napi::CallbackInfo& info) {
  auto* constructor = info.Env().GetInstanceData<Napi::FunctionReference>();
  return constructor->New({info[0]});
}

Napi::Value openDatagramSocketValue(const Napi::CallbackInfo& info) {
  const Napi::Object value = info[0].As<Napi::Object>();
  DatagramSocketOptions options;
  if (value.Get("device").IsString()) options.device = value.Get("device").ToString().Utf8Value();
  options.address = value.Get("address").ToString().Utf8Value();
  options.port = static_cast<uint16_t>(value.Get("port").ToNumber().Uint32Value());
  options.broadcast = value.Get("broadcast").ToBoolean().Value();
  std::string message;
  const int fd = openDatagramSocket(options, message);
  if (fd >= 0) return Napi::Number::New(info.Env(), fd);
  systemError(info.Env(), -fd, message).ThrowAsJavaScriptException();
  return {};
}

Napi::Value setNeighbourValue(const Napi::CallbackInfo& info) {
  const std::vector<uint8_t> mac = toBytes(info[2]);
  const bool done =
      mac.size() == kMacBytes && setNeighbour(info[0].ToString().Utf8Value(), info[1].ToString().Utf8Value(), mac.data()) == 0;
  return Napi::Boolean::New(info.Env(), done);
}

Napi::Value replaceProcessValue(const Napi::CallbackInfo& info) {
  const std::string file = info[0].ToString().Utf8Value();
  const Napi::Array values = info[1].As<Napi::Array>();
  std::vector<std::string> arguments;
  for (uint32_t i = 0; i < values.Length(); ++i) arguments.push_back(values.Get(i).ToString().Utf8Value());
  const int error = replaceProcess(file, arguments);
  systemError(info.Env(), error, file + " cannot be executed: " + strerror(error)).ThrowAsJavaScriptException();
  return {};
}

Napi::Object initialize(Napi::Env env, Napi::Object exports) {
  env.SetInstanceData(new Napi::FunctionReference(Napi::Persistent(Door::define(env))));
  exports.Set("openDataPlane", Napi::Function::New(env, openDataPlane));
  exports.Set("openDatagramSocket", Napi::Function::New(env, openDatagramSocketValue));
  exports.Set("setNeighbour", Napi::Function::New(env, setNeighbourValue));
  exports.Set("replaceProcess", Napi::Function::New(env, replaceProcessValue));
  exportExtents(env, exports);
  exportFiles(env, exports);
  return exports;
}

}  // namespace
}  // namespace rackboot

static Napi::Object Init(Napi::Env env, Napi::Object exports) {
  return rackboot::initialize(env, exports);
}
NODE_API_MODULE(rackboot, Init)
