// The DataPlane object of src/native/data-plane.ts.
#pragma once

#include <napi.h>

#include <map>
#include <memory>
#include <mutex>
#include <vector>

#include "plane/plane.h"

namespace rackboot {

class Door final : public Napi::ObjectWrap<Door>, public EventSink {
 public:
  static Napi::Function define(Napi::Env env);
  explicit Door(const Napi::CallbackInfo& info);
  ~Door();

  /// From the data threads.
  void deliver(std::vector<Event>&& events) override;

 private:
  Napi::Value listen(const Napi::CallbackInfo& info);
  void unlisten(const Napi::CallbackInfo& info);
  Napi::Value openVolume(const Napi::CallbackInfo& info);
  Napi::Value closeVolume(const Napi::CallbackInfo& info);
  Napi::Value updateVolume(const Napi::CallbackInfo& info);
  Napi::Value freeze(const Napi::CallbackInfo& info);
  void thaw(const Napi::CallbackInfo& info);
  void withdrawOrigin(const Napi::CallbackInfo& info);
  void sendLoginPdu(const Napi::CallbackInfo& info);
  void enterFullFeature(const Napi::CallbackInfo& info);
  void setLuns(const Napi::CallbackInfo& info);
  void sendPdu(const Napi::CallbackInfo& info);
  void completeCommand(const Napi::CallbackInfo& info);
  Napi::Value setAccess(const Napi::CallbackInfo& info);
  Napi::Value abortTasks(const Napi::CallbackInfo& info);
  Napi::Value flush(const Napi::CallbackInfo& info);
  Napi::Value workRange(const Napi::CallbackInfo& info);
  void raiseUnitAttention(const Napi::CallbackInfo& info);
  void drop(const Napi::CallbackInfo& info);
  Napi::Value counters(const Napi::CallbackInfo& info);
  Napi::Value close(const Napi::CallbackInfo& info);

  bool isOpen(Napi::Env env);
  uint64_t promise(Napi::Env env, Napi::Value& out);
  void drain(Napi::Env env);
  void settle(Napi::Env env, const Event& event);
  void closed(Napi::Env env);
  static void abandoned(void* self);

  std::unique_ptr<Plane> plane_;
  Napi::FunctionReference onEvents_;
  Napi::ThreadSafeFunction wake_;
  std::mutex mutex_;
  std::vector<Event> pending_;  // guarded, as the two below
  bool scheduled_ = false;
  bool detached_ = false;  // JavaScript is going away
  std::map<uint64_t, Napi::Promise::Deferred> promises_;
  std::vector<Napi::Promise::Deferred> closing_;
  uint64_t nextPromise_ = 1;
  size_t running_ = 0;  // threads
  napi_env env_;
};

}  // namespace rackboot
