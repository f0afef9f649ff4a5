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
  options.receiveBytes = value.Get("receiveBytes").ToNumber().Int32Value();
  options.sendBytes = value.Get("sendBytes").ToNumber().Int32Value();
  std::string message;
  const int fd = openDatagramSocket(options, message);
  if (fd >= 0) return Napi::Number::New(info.Env(), fd);
  systemError(info.Env(), -fd, message).ThrowAsJavaScriptException();
  return {};
}

/// (descriptor, [octets of each], [address, port of each]) -> undefined where all left, otherwise [errno or 0 of each]
Napi::Value send(const Napi::CallbackInfo& info) {
  const Napi::Array payloads = info[1].As<Napi::Array>();
  const Napi::Uint32Array targets = info[2].As<Napi::Uint32Array>();
  std::vector<Datagram> datagrams(payloads.Length());
  for (uint32_t i = 0; i < datagrams.size(); ++i) {
    const Napi::Uint8Array bytes = payloads.Get(i).As<Napi::Uint8Array>();
    datagrams[i] = {bytes.Data(), bytes.ByteLength(), targets[2 * i], static_cast<uint16_t>(targets[2 * i + 1])};
  }
  const std::vector<int> errors = sendDatagrams(info[0].ToNumber().Int32Value(), datagrams);
  if (std::all_of(errors.begin(), errors.end(), [](int error) { return error == 0; })) return info.Env().Undefined();
  Napi::Array results = Napi::Array::New(info.Env(), errors.size());
  for (uint32_t i = 0; i < errors.size(); ++i) results.Set(i, Napi::Number::New(info.Env(), errors[i]));
  return results;
}

/// (descriptor, slots, [size, address, port of each]) -> how many; `slots` are of kDatagramSlotBytes each.
Napi::Value receive(const Napi::CallbackInfo& info) {
  Napi::Uint8Array slots = info[1].As<Napi::Uint8Array>();
  Napi::Uint32Array about = info[2].As<Napi::Uint32Array>();
  if (slots.ByteLength() < kDatagramsAtOnce * kDatagramSlotBytes || about.ElementLength() < 3 * kDatagramsAtOnce)
    return info.Env().Undefined();
  const std::vector<ReceivedDatagram> received = receiveDatagrams(info[0].ToNumber().Int32Value(), slots.Data());
  for (size_t i = 0; i < received.size(); ++i) {
    about[3 * i] = static_cast<uint32_t>(received[i].size);
    about[3 * i + 1] = received[i].address;
    about[3 * i + 2] = received[i].port;
  }
  return Napi::Number::New(info.Env(), static_cast<double>(received.size()));
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
