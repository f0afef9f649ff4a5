// What rackboot.node exports; see src/native/addon.ts.
#include <napi.h>

#include <cerrno>
#include <cstring>

#include "node/arp.h"
#include "node/convert.h"
#include "node/datagrams.h"
#include "node/door.h"
#include "node/extents.h"
#include "node/files.h"
#include "system/process.h"

namespace rackboot {
namespace {

Napi::Value openDataPlane(const Napi::CallbackInfo& info) {
  auto* constructor = info.Env().GetInstanceData<Napi::FunctionReference>();
  return constructor->New({info[0]});
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

void trimMemoryValue(const Napi::CallbackInfo&) {
  trimMemory();
}

Napi::Object initialize(Napi::Env env, Napi::Object exports) {
  env.SetInstanceData(new Napi::FunctionReference(Napi::Persistent(Door::define(env))));
  exports.Set("openDataPlane", Napi::Function::New(env, openDataPlane));
  exports.Set("replaceProcess", Napi::Function::New(env, replaceProcessValue));
  exportArp(env, exports);
  exportDatagrams(env, exports);
  exports.Set("trimMemory", Napi::Function::New(env, trimMemoryValue));
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
