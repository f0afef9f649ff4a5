#include "node/arp.h"

#include <unistd.h>

#include "node/convert.h"
#include "system/arp.h"

namespace rackboot {
namespace {

Napi::Value open(const Napi::CallbackInfo& info) {
  std::string message;
  const int fd = openArpWatch(info[0].ToString().Utf8Value(), info[1].ToNumber().Uint32Value(), message);
  if (fd >= 0) return Napi::Number::New(info.Env(), fd);
  systemError(info.Env(), -fd, message).ThrowAsJavaScriptException();
  return {};
}

/// (descriptor, address, mac)
Napi::Value probe(const Napi::CallbackInfo& info) {
  const std::vector<uint8_t> mac = toBytes(info[2]);
  const bool sent =
      mac.size() == kMacBytes && sendArpProbe(info[0].ToNumber().Int32Value(), info[1].ToNumber().Uint32Value(), mac.data()) == 0;
  return Napi::Boolean::New(info.Env(), sent);
}

/// (descriptor, mac) -> mac or undefined
Napi::Value heard(const Napi::CallbackInfo& info) {
  const std::vector<uint8_t> mac = toBytes(info[1]);
  uint8_t other[kMacBytes];
  if (mac.size() != kMacBytes || !heardArp(info[0].ToNumber().Int32Value(), mac.data(), other)) return info.Env().Undefined();
  return Napi::Buffer<uint8_t>::Copy(info.Env(), other, sizeof other);
}

void shut(const Napi::CallbackInfo& info) {
  close(info[0].ToNumber().Int32Value());
}

}  // namespace

void exportArp(Napi::Env env, Napi::Object exports) {
  exports.Set("openArpWatch", Napi::Function::New(env, open));
  exports.Set("sendArpProbe", Napi::Function::New(env, probe));
  exports.Set("heardArp", Napi::Function::New(env, heard));
  exports.Set("closeArpWatch", Napi::Function::New(env, shut));
}

}  // namespace rackboot
