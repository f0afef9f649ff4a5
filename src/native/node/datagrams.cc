#include "node/datagrams.h"

#include <algorithm>

#include "node/convert.h"
#include "system/datagrams.h"

namespace rackboot {
namespace {

Napi::Value openSocket(const Napi::CallbackInfo& info) {
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

/// (descriptor, [{ bytes, address, port }]) -> [errno or 0]
Napi::Value send(const Napi::CallbackInfo& info) {
  const Napi::Array values = info[1].As<Napi::Array>();
  std::vector<Datagram> datagrams(values.Length());
  for (uint32_t i = 0; i < values.Length(); ++i) {
    const Napi::Object value = values.Get(i).As<Napi::Object>();
    const Napi::Uint8Array bytes = value.Get("bytes").As<Napi::Uint8Array>();
    datagrams[i] = {bytes.Data(), bytes.ByteLength(), value.Get("address").ToNumber().Uint32Value(),
                    static_cast<uint16_t>(value.Get("port").ToNumber().Uint32Value())};
  }
  const std::vector<int> errors = sendDatagrams(info[0].ToNumber().Int32Value(), datagrams);
  Napi::Array results = Napi::Array::New(info.Env(), errors.size());
  for (uint32_t i = 0; i < errors.size(); ++i) results.Set(i, Napi::Number::New(info.Env(), errors[i]));
  return results;
}

/// (descriptor) -> undefined where nothing waits, or [octets of all, [size, address, port of each]]
Napi::Value receive(const Napi::CallbackInfo& info) {
  static std::vector<uint8_t> slots(kDatagramsAtOnce * kDatagramSlotBytes);
  const std::vector<ReceivedDatagram> received = receiveDatagrams(info[0].ToNumber().Int32Value(), slots.data());
  if (received.empty()) return info.Env().Undefined();
  size_t total = 0;
  for (const ReceivedDatagram& datagram : received) total += datagram.size;
  Napi::Uint8Array bytes = Napi::Uint8Array::New(info.Env(), total);
  Napi::Uint32Array about = Napi::Uint32Array::New(info.Env(), 3 * received.size());
  size_t at = 0;
  for (size_t i = 0; i < received.size(); ++i) {
    std::copy_n(&slots[kDatagramSlotBytes * i], received[i].size, bytes.Data() + at);
    at += received[i].size;
    about[3 * i] = static_cast<uint32_t>(received[i].size);
    about[3 * i + 1] = received[i].address;
    about[3 * i + 2] = received[i].port;
  }
  Napi::Array result = Napi::Array::New(info.Env(), 2);
  result.Set(0U, bytes);
  result.Set(1U, about);
  return result;
}

Napi::Value setOne(const Napi::CallbackInfo& info) {
  const std::vector<uint8_t> mac = toBytes(info[2]);
  const bool done =
      mac.size() == kMacBytes && setNeighbour(info[0].ToString().Utf8Value(), info[1].ToString().Utf8Value(), mac.data()) == 0;
  return Napi::Boolean::New(info.Env(), done);
}

Napi::Value getOne(const Napi::CallbackInfo& info) {
  uint8_t mac[kMacBytes];
  if (getNeighbour(info[0].ToString().Utf8Value(), info[1].ToString().Utf8Value(), mac) != 0) return info.Env().Undefined();
  return Napi::Buffer<uint8_t>::Copy(info.Env(), mac, sizeof mac);
}

Napi::Value forgetOne(const Napi::CallbackInfo& info) {
  const bool done = forgetNeighbour(info[0].ToString().Utf8Value(), info[1].ToString().Utf8Value()) == 0;
  return Napi::Boolean::New(info.Env(), done);
}

}  // namespace

void exportDatagrams(Napi::Env env, Napi::Object exports) {
  exports.Set("openDatagramSocket", Napi::Function::New(env, openSocket));
  exports.Set("receiveDatagrams", Napi::Function::New(env, receive));
  exports.Set("sendDatagrams", Napi::Function::New(env, send));
  exports.Set("setNeighbour", Napi::Function::New(env, setOne));
  exports.Set("getNeighbour", Napi::Function::New(env, getOne));
  exports.Set("forgetNeighbour", Napi::Function::New(env, forgetOne));
}

}  // namespace rackboot
