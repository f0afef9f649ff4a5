#include "node/files.h"

#include <array>
#include <cerrno>

#include "node/convert.h"

namespace rackboot {
namespace {

constexpr std::array<const char*, 6> kKinds = {"began", "progressed", "finished", "probed", "failed", "malformed"};

uint64_t number(const Napi::Object& object, const char* key) {
  return static_cast<uint64_t>(object.Get(key).ToNumber().Int64Value());
}

TransferPlan toPlan(const Napi::Object& object) {
  TransferPlan plan;
  plan.sizeBytes = number(object, "sizeBytes");
  plan.blksize = object.Get("blksize").ToNumber().Uint32Value();
  plan.windowsize = object.Get("windowsize").ToNumber().Uint32Value();
  plan.maxWaitMs = object.Get("maxWaitMs").ToNumber().DoubleValue();
  return plan;
}

/// What the machine orders, as the actions of src/tftp/transfer.ts.
class Recorder final : public TransferOrders {
 public:
  Recorder(Napi::Env env, Napi::Array& out) : env_(env), out_(out) {}
  void sendOack() override { action("send-oack"); }
  void sendBlocks(uint64_t first, uint64_t count) override {
    Napi::Object object = action("send-blocks");
    object.Set("first", static_cast<double>(first));
    object.Set("count", static_cast<double>(count));
  }
  void setTimer(double afterMs) override { action("set-timer").Set("afterMs", afterMs); }
  void ended(TransferEnd outcome, const std::string& reason, bool tellClient) override {
    Napi::Object object = action(outcome == TransferEnd::finished ? "finished" : outcome == TransferEnd::probed ? "probed" : "failed");
    if (outcome != TransferEnd::failed) return;
    object.Set("reason", reason);
    object.Set("tellClient", tellClient);
  }

 private:
  Napi::Object action(const char* kind) {
    Napi::Object object = Napi::Object::New(env_);
    object.Set("kind", kind);
    out_.Set(out_.Length(), object);
    return object;
  }

  Napi::Env env_;
  Napi::Array& out_;
};

/// For the test that holds both machines together: all actions that a list of inputs leads to.
Napi::Value decideTransfer(const Napi::CallbackInfo& info) {
  Napi::Array out = Napi::Array::New(info.Env());
  Recorder recorder(info.Env(), out);
  TftpTransfer transfer(toPlan(info[0].As<Napi::Object>()), recorder);
  transfer.begin(info[1].ToBoolean().Value(), 0);
  const auto inputs = info[2].As<Napi::Array>();
  for (uint32_t i = 0; i < inputs.Length(); ++i) {
    const auto input = inputs.Get(i).As<Napi::Object>();
    const std::string kind = input.Get("kind").ToString().Utf8Value();
    const auto code = static_cast<uint16_t>(input.Get(kind == "ack" ? "block" : "code").ToNumber().Uint32Value());
    if (kind == "ack") transfer.acknowledged(code, input.Get("atMs").ToNumber().DoubleValue());
    if (kind == "error") transfer.clientError(code, input.Get("message").ToString().Utf8Value());
    if (kind == "timeout") transfer.timedOut();
  }
  return out;
}

Napi::Object fromEvent(Napi::Env env, const DeliveryEvent& event) {
  Napi::Object object = Napi::Object::New(env);
  object.Set("kind", kKinds[static_cast<size_t>(event.kind)]);
  object.Set("delivery", event.delivery);
  object.Set("sentBytes", static_cast<double>(event.sentBytes));
  object.Set("reason", event.reason);
  object.Set("peer", event.peer);
  return object;
}

}  // namespace

FileDoor::FileDoor(const Napi::CallbackInfo& info) : Napi::ObjectWrap<FileDoor>(info), env_(info.Env()) {
  const Napi::Env env = info.Env();
  const auto callback = info[0].As<Napi::Function>();
  onEvents_ = Napi::Persistent(callback);
  wake_ = Napi::ThreadSafeFunction::New(env, callback, "rackboot file sender", 0, 1);
  // Whoever listens on a socket keeps the process alive, and not this.
  wake_.Unref(env);
  sender_ = std::make_unique<FileSender>(*this);
  std::string message;
  const int error = sender_->start(message);
  if (error != 0) {
    sender_.reset();
    wake_.Abort();
    systemError(env, error, message).ThrowAsJavaScriptException();
    return;
  }
  Ref();  // stays while its thread runs
  napi_add_env_cleanup_hook(env_, abandoned, this);
}

FileDoor::~FileDoor() = default;

void FileDoor::deliver(std::vector<DeliveryEvent>&& events) {
  const std::lock_guard lock(mutex_);
  for (DeliveryEvent& event : events) pending_.push_back(std::move(event));
  if (scheduled_) return;
  scheduled_ = true;
  wake_.NonBlockingCall([this](Napi::Env env, Napi::Function) { drain(env); });
}

/// On the JavaScript thread: one call with everything that has happened.
void FileDoor::drain(Napi::Env env) {
  std::vector<DeliveryEvent> events;
  {
    const std::lock_guard lock(mutex_);
    events.swap(pending_);
    scheduled_ = false;
  }
  if (sender_ == nullptr) return;
  const Napi::HandleScope scope(env);
  Napi::Array array = Napi::Array::New(env, events.size());
  for (uint32_t i = 0; i < events.size(); ++i) array.Set(i, fromEvent(env, events[i]));
  onEvents_.Call({array});
  // It must not throw; if it does, that is an uncaught exception and not something to go on from.
  if (env.IsExceptionPending()) napi_fatal_exception(env, env.GetAndClearPendingException().Value());
}

Napi::Value FileDoor::tftp(const Napi::CallbackInfo& info) {
  const auto value = info[0].As<Napi::Object>();
  TftpSpec spec;
  spec.address = value.Get("address").ToString().Utf8Value();
  spec.peerAddress = value.Get("peerAddress").ToString().Utf8Value();
  spec.peerPort = static_cast<uint16_t>(value.Get("peerPort").ToNumber().Uint32Value());
  spec.file = value.Get("file").ToNumber().Int32Value();
  spec.offsetBytes = number(value, "offsetBytes");
  spec.plan = toPlan(value.Get("plan").As<Napi::Object>());
  if (value.Get("oack").IsTypedArray()) spec.oack = toBytes(value.Get("oack"));
  std::string message;
  const int error = sender_ == nullptr ? EBADF : sender_->tftp(++lastId_, spec, message);
  if (error == 0) return Napi::Number::New(info.Env(), lastId_);
  systemError(info.Env(), error, message.empty() ? "the file sender is closed" : message).ThrowAsJavaScriptException();
  return {};
}

Napi::Value FileDoor::stream(const Napi::CallbackInfo& info) {
  const auto value = info[0].As<Napi::Object>();
  StreamSpec spec;
  spec.socket = value.Get("socket").ToNumber().Int32Value();
  spec.file = value.Get("file").ToNumber().Int32Value();
  spec.offsetBytes = number(value, "offsetBytes");
  spec.lengthBytes = number(value, "lengthBytes");
  spec.idleMs = value.Get("idleMs").ToNumber().DoubleValue();
  std::string message;
  const int error = sender_ == nullptr ? EBADF : sender_->stream(++lastId_, spec, message);
  if (error == 0) return Napi::Number::New(info.Env(), lastId_);
  systemError(info.Env(), error, message.empty() ? "the file sender is closed" : message).ThrowAsJavaScriptException();
  return {};
}

void FileDoor::abort(const Napi::CallbackInfo& info) {
  if (sender_ != nullptr) sender_->abort(info[0].ToNumber().Uint32Value(), info[1].ToString().Utf8Value());
}

void FileDoor::close(const Napi::CallbackInfo&) {
  if (sender_ == nullptr) return;
  end();
  napi_remove_env_cleanup_hook(env_, abandoned, this);
  wake_.Release();
  Unref();
}

void FileDoor::end() {
  sender_->stop();
  sender_.reset();
}

/// The environment ends without close(): the thread must not outlive it.
void FileDoor::abandoned(void* self) {
  static_cast<FileDoor*>(self)->end();
}

void exportFiles(Napi::Env env, Napi::Object exports) {
  exports.Set("FileSender", FileDoor::DefineClass(env, "FileSender",
                                                  {
                                                      FileDoor::InstanceMethod<&FileDoor::tftp>("tftp"),
                                                      FileDoor::InstanceMethod<&FileDoor::stream>("stream"),
                                                      FileDoor::InstanceMethod<&FileDoor::abort>("abort"),
                                                      FileDoor::InstanceMethod<&FileDoor::close>("close"),
                                                  }));
  exports.Set("decideTransfer", Napi::Function::New(env, decideTransfer));
}

}  // namespace rackboot
