// The FileSender object of src/native/file-sender.ts.
#pragma once

#include <napi.h>

#include <memory>
#include <mutex>
#include <vector>

#include "files/file-sender.h"

namespace rackboot {

class FileDoor final : public Napi::ObjectWrap<FileDoor>, public DeliveryEventSink {
 public:
  explicit FileDoor(const Napi::CallbackInfo& info);
  ~FileDoor();

  /// From the sending thread.
  void deliver(std::vector<DeliveryEvent>&& events) override;

  Napi::Value tftp(const Napi::CallbackInfo& info);
  Napi::Value stream(const Napi::CallbackInfo& info);
  void abort(const Napi::CallbackInfo& info);
  void close(const Napi::CallbackInfo& info);

 private:
  void drain(Napi::Env env);
  void end();
  static void abandoned(void* self);

  std::unique_ptr<FileSender> sender_;
  Napi::FunctionReference onEvents_;
  Napi::ThreadSafeFunction wake_;
  std::mutex mutex_;
  std::vector<DeliveryEvent> pending_;  // guarded, as the one below
  bool scheduled_ = false;
  uint32_t lastId_ = 0;
  napi_env env_;
};

/// Sets `FileSender` and `decideTransfer` among what the addon exports.
void exportFiles(Napi::Env env, Napi::Object exports);

}  // namespace rackboot
