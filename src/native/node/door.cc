#include "node/door.h"

#include <cerrno>

#include "node/convert.h"

namespace rackboot {
namespace {

ConnectionId connectionOf(const Napi::CallbackInfo& info) {
  return static_cast<ConnectionId>(info[0].ToNumber().Int64Value());
}
VolumeId volumeOf(const Napi::CallbackInfo& info) {
  return info[0].ToNumber().Uint32Value();
}

/// A PDU that TypeScript composed: at least a basic header, in whole words.
bool isHeader(Napi::Env env, const std::vector<uint8_t>& header) {
  if (header.size() >= kBhsBytes && header.size() <= kBhsBytes + kLongestAhs && header.size() % 4 == 0) return true;
  Napi::RangeError::New(env, "a PDU header has 48 octets and additional header segments of whole words").ThrowAsJavaScriptException();
  return false;
}

/// What the buffers of the data path can take; login must not agree to more.
bool isAcceptable(Napi::Env env, const SessionParameters& p) {
  constexpr uint32_t kLeastSegment = 512;  // RFC 7143, 13.12 to 13.14
  if (p.firstBurstLength <= kLargestBlock && p.firstBurstLength >= kLeastSegment && p.maxBurstLength >= kLeastSegment &&
      p.maxSendDataSegmentLength >= kLeastSegment && p.maxRecvDataSegmentLength >= kLeastSegment && p.maxOutstandingR2T >= 1) {
    return true;
  }
  Napi::RangeError::New(
      env, "session parameters: FirstBurstLength is 512 to 1048576, the other lengths at least 512, MaxOutstandingR2T at least 1")
      .ThrowAsJavaScriptException();
  return false;
}

}  // namespace

Napi::Function Door::define(Napi::Env env) {
  return DefineClass(env, "DataPlane",
                     {
                         InstanceMethod<&Door::listen>("listen"),
                         InstanceMethod<&Door::unlisten>("unlisten"),
                         InstanceMethod<&Door::openVolume>("openVolume"),
                         InstanceMethod<&Door::closeVolume>("closeVolume"),
                         InstanceMethod<&Door::updateVolume>("updateVolume"),
                         InstanceMethod<&Door::freeze>("freeze"),
                         InstanceMethod<&Door::thaw>("thaw"),
                         InstanceMethod<&Door::withdrawOrigin>("withdrawOrigin"),
                         InstanceMethod<&Door::sendLoginPdu>("sendLoginPdu"),
                         InstanceMethod<&Door::enterFullFeature>("enterFullFeature"),
                         InstanceMethod<&Door::setLuns>("setLuns"),
                         InstanceMethod<&Door::sendPdu>("sendPdu"),
                         InstanceMethod<&Door::completeCommand>("completeCommand"),
                         InstanceMethod<&Door::setAccess>("setAccess"),
                         InstanceMethod<&Door::abortTasks>("abortTasks"),
                         InstanceMethod<&Door::workRange>("workRange"),
                         InstanceMethod<&Door::flush>("flush"),
                         InstanceMethod<&Door::raiseUnitAttention>("raiseUnitAttention"),
                         InstanceMethod<&Door::drop>("drop"),
                         InstanceMethod<&Door::counters>("counters"),
                         InstanceMethod<&Door::close>("close"),
                     });
}

Door::Door(const Napi::CallbackInfo& info) : Napi::ObjectWrap<Door>(info), env_(info.Env()) {
  const Napi::Env env = info.Env();
  const Napi::Object options = info[0].As<Napi::Object>();
  const auto callback = options.Get("onEvents").As<Napi::Function>();
  onEvents_ = Napi::Persistent(callback);
  wake_ = Napi::ThreadSafeFunction::New(env, callback, "rackboot data plane", 0, 1);
  plane_ = std::make_unique<Plane>(*this);
  const uint32_t threads = options.Get("threads").ToNumber().Uint32Value();
  const auto memory = static_cast<uint64_t>(options.Get("memoryBytes").ToNumber().Int64Value());
  const Napi::Value spin = options.Get("spinMicroseconds");
  const uint64_t spinNs = spin.IsNumber() ? spin.ToNumber().Uint32Value() * uint64_t{1000} : kUsualSpinNs;
  PingLimits pings;
  const Napi::Value pingAfter = options.Get("pingAfterMilliseconds");
  if (pingAfter.IsNumber()) pings.idleNs = pingAfter.ToNumber().Uint32Value() * uint64_t{1'000'000};
  const Napi::Value pingAnswer = options.Get("pingAnswerMilliseconds");
  if (pingAnswer.IsNumber()) pings.answerNs = pingAnswer.ToNumber().Uint32Value() * uint64_t{1'000'000};
  std::string message;
  const int error = plane_->start(threads, memory, spinNs, pings, message);
  if (error != 0) {
    plane_.reset();
    wake_.Abort();
    systemError(env, error, message).ThrowAsJavaScriptException();
    return;
  }
  running_ = plane_->workers().size();
  info.This().As<Napi::Object>().Set("capabilities", fromCapabilities(env, plane_->capabilities()));
  Ref();  // stays while its threads run
  napi_add_env_cleanup_hook(env_, abandoned, this);
}

Door::~Door() = default;

void Door::deliver(std::vector<Event>&& events) {
  const std::lock_guard lock(mutex_);
  if (detached_) return;
  for (Event& event : events) pending_.push_back(std::move(event));
  if (scheduled_) return;
  scheduled_ = true;
  wake_.NonBlockingCall([this](Napi::Env env, Napi::Function) { drain(env); });
}

/// On the JavaScript thread: one call with everything that has happened.
void Door::drain(Napi::Env env) {
  std::vector<Event> events;
  {
    const std::lock_guard lock(mutex_);
    events.swap(pending_);
    scheduled_ = false;
  }
  const Napi::HandleScope scope(env);
  Napi::Array array = Napi::Array::New(env);
  uint32_t count = 0;
  for (Event& event : events) {
    if (event.type != EventType::settled && event.type != EventType::stopped) array.Set(count++, fromEvent(env, event));
  }
  if (count > 0) onEvents_.Call({array});
  // It must not throw; if it does, that is an uncaught exception and not something to go on from.
  if (env.IsExceptionPending()) napi_fatal_exception(env, env.GetAndClearPendingException().Value());
  for (const Event& event : events) {
    if (event.type == EventType::settled) settle(env, event);
    if (event.type == EventType::stopped && --running_ == 0) return closed(env);
  }
}

void Door::settle(Napi::Env env, const Event& event) {
  const auto found = promises_.find(event.request);
  if (found == promises_.end()) return;
  if (event.error == 0) {
    found->second.Resolve(env.Undefined());
  } else {
    found->second.Reject(systemError(env, event.error, event.detail).Value());
  }
  promises_.erase(found);
}

void Door::closed(Napi::Env env) {
  plane_->join();
  plane_.reset();
  napi_remove_env_cleanup_hook(env_, abandoned, this);
  for (auto& [request, promise] : promises_) promise.Reject(systemError(env, ECANCELED, "the data plane was closed").Value());
  promises_.clear();
  for (auto& promise : closing_) promise.Resolve(env.Undefined());
  closing_.clear();
  wake_.Release();
  Unref();
}

/// The environment ends without close(): the threads must not outlive it.
void Door::abandoned(void* self) {
  auto* door = static_cast<Door*>(self);
  {
    const std::lock_guard lock(door->mutex_);
    door->detached_ = true;
  }
  door->plane_->stop(true);
  door->plane_->join();
  door->plane_.reset();
}

bool Door::isOpen(Napi::Env env) {
  if (plane_ != nullptr && closing_.empty()) return true;
  systemError(env, EBADF, "the data plane is closed").ThrowAsJavaScriptException();
  return false;
}

uint64_t Door::promise(Napi::Env env, Napi::Value& out) {
  auto deferred = Napi::Promise::Deferred::New(env);
  out = deferred.Promise();
  const uint64_t request = nextPromise_++;
  promises_.emplace(request, deferred);
  return request;
}

Napi::Value Door::listen(const Napi::CallbackInfo& info) {
  if (!isOpen(info.Env())) return {};
  std::string message;
  const uint32_t portal = info[0].ToNumber().Uint32Value();
  const auto port = static_cast<uint16_t>(info[2].ToNumber().Uint32Value());
  const int result = plane_->listen(portal, info[1].ToString().Utf8Value(), port, message);
  if (result >= 0) return Napi::Number::New(info.Env(), result);
  systemError(info.Env(), -result, message).ThrowAsJavaScriptException();
  return {};
}

void Door::unlisten(const Napi::CallbackInfo& info) {
  if (plane_) plane_->unlisten(info[0].ToNumber().Uint32Value());
}

Napi::Value Door::openVolume(const Napi::CallbackInfo& info) {
  if (!isOpen(info.Env())) return {};
  int error = 0;
  std::string message;
  const VolumeId id = plane_->openVolume(toVolumeSpec(info[0].As<Napi::Object>()), error, message);
  if (id != 0) return Napi::Number::New(info.Env(), id);
  systemError(info.Env(), error, message).ThrowAsJavaScriptException();
  return {};
}

Napi::Value Door::closeVolume(const Napi::CallbackInfo& info) {
  if (!isOpen(info.Env())) return {};
  Napi::Value out;
  const uint64_t request = promise(info.Env(), out);
  plane_->closeVolume(volumeOf(info), request);
  return out;
}

Napi::Value Door::updateVolume(const Napi::CallbackInfo& info) {
  if (!isOpen(info.Env())) return {};
  const Napi::Object change = info[1].As<Napi::Object>();
  VolumeChange parsed;
  if (!change.Get("sizeBytes").IsUndefined()) parsed.sizeBytes = static_cast<uint64_t>(change.Get("sizeBytes").ToNumber().Int64Value());
  if (change.Has("notReady")) parsed.notReady = toNotReady(change.Get("notReady"));
  parsed.readOnly = toOptionalFlag(change, "readOnly");
  parsed.writeCache = toOptionalFlag(change, "writeCache");
  parsed.descriptorSense = toOptionalFlag(change, "descriptorSense");
  Napi::Value out;
  const uint64_t request = promise(info.Env(), out);
  plane_->updateVolume(volumeOf(info), parsed, request);
  return out;
}

Napi::Value Door::freeze(const Napi::CallbackInfo& info) {
  if (!isOpen(info.Env())) return {};
  Napi::Value out;
  const uint64_t request = promise(info.Env(), out);
  plane_->freeze(volumeOf(info), request);
  return out;
}

void Door::thaw(const Napi::CallbackInfo& info) {
  if (plane_) plane_->thaw(volumeOf(info));
}

void Door::withdrawOrigin(const Napi::CallbackInfo& info) {
  if (plane_) plane_->withdrawOrigin(info[0].ToString().Utf8Value());
}

void Door::sendLoginPdu(const Napi::CallbackInfo& info) {
  if (!plane_) return;
  std::vector<uint8_t> header = toBytes(info[1]);
  if (!isHeader(info.Env(), header)) return;
  plane_->withConnection(connectionOf(info),
                         [header, data = toBytes(info[2])](Connection& connection) { connection.sendLoginPdu(header, data); });
}

void Door::enterFullFeature(const Napi::CallbackInfo& info) {
  if (!plane_) return;
  std::vector<uint8_t> header = toBytes(info[1]);
  const SessionParameters parameters = toSessionParameters(info[3].As<Napi::Object>());
  if (!isHeader(info.Env(), header) || !isAcceptable(info.Env(), parameters)) return;
  const std::shared_ptr<Account> account = plane_->account(info[5].ToString().Utf8Value());
  plane_->withConnection(connectionOf(info),
                         [header, data = toBytes(info[2]), parameters, luns = toLunMappings(info[4]), account](Connection& connection) {
                           connection.enterFullFeature(header, data, parameters, luns, account);
                         });
}

void Door::setLuns(const Napi::CallbackInfo& info) {
  if (!plane_) return;
  plane_->withConnection(connectionOf(info), [luns = toLunMappings(info[1])](Connection& connection) {
    if (connection.session() != nullptr) connection.session()->setLuns(luns);
  });
}

void Door::sendPdu(const Napi::CallbackInfo& info) {
  if (!plane_) return;
  std::vector<uint8_t> header = toBytes(info[1]);
  if (!isHeader(info.Env(), header)) return;
  plane_->withConnection(connectionOf(info), [header, data = toBytes(info[2])](Connection& connection) {
    if (connection.session() != nullptr) connection.session()->sendUp(header, data);
  });
}

void Door::completeCommand(const Napi::CallbackInfo& info) {
  if (!plane_) return;
  const auto task = static_cast<TaskId>(info[1].ToNumber().Int64Value());
  auto result = std::make_shared<CommandResult>(toCommandResult(info[2].As<Napi::Object>()));
  plane_->withConnection(connectionOf(info), [task, result](Connection& connection) {
    if (connection.session() != nullptr) connection.session()->completeCommand(task, std::move(*result));
  });
}

Napi::Value Door::setAccess(const Napi::CallbackInfo& info) {
  if (!isOpen(info.Env())) return {};
  Napi::Value out;
  const uint64_t request = promise(info.Env(), out);
  plane_->setAccess(volumeOf(info), toVolumeAccess(info[1].As<Napi::Object>()), request);
  return out;
}

Napi::Value Door::abortTasks(const Napi::CallbackInfo& info) {
  if (!isOpen(info.Env())) return {};
  Napi::Value out;
  const uint64_t request = promise(info.Env(), out);
  plane_->abortTasks(volumeOf(info), toConnections(info[1]), request);
  return out;
}

Napi::Value Door::workRange(const Napi::CallbackInfo& info) {
  if (!isOpen(info.Env())) return {};
  Napi::Value out;
  const uint64_t request = promise(info.Env(), out);
  plane_->work(toRangeJob(volumeOf(info), info[1].As<Napi::Object>()), request);
  return out;
}

Napi::Value Door::flush(const Napi::CallbackInfo& info) {
  if (!isOpen(info.Env())) return {};
  Napi::Value out;
  const uint64_t request = promise(info.Env(), out);
  plane_->flush(volumeOf(info), request);
  return out;
}

void Door::raiseUnitAttention(const Napi::CallbackInfo& info) {
  if (!plane_) return;
  Audience audience;
  if (info[3].IsObject()) audience = toAudience(info[3].As<Napi::Object>());
  plane_->raiseAttention(volumeOf(info), static_cast<uint8_t>(info[1].ToNumber().Uint32Value()),
                         static_cast<uint8_t>(info[2].ToNumber().Uint32Value()), audience);
}

void Door::drop(const Napi::CallbackInfo& info) {
  if (!plane_) return;
  plane_->withConnection(connectionOf(info),
                         [detail = info[1].ToString().Utf8Value()](Connection& connection) { connection.drop(detail); });
}

Napi::Value Door::counters(const Napi::CallbackInfo& info) {
  return fromCount(info.Env(), plane_ ? plane_->count() : PlaneCount{});
}

Napi::Value Door::close(const Napi::CallbackInfo& info) {
  auto deferred = Napi::Promise::Deferred::New(info.Env());
  if (!plane_) {
    deferred.Resolve(info.Env().Undefined());
    return deferred.Promise();
  }
  if (closing_.empty()) plane_->stop(false);
  closing_.push_back(deferred);
  return deferred.Promise();
}

}  // namespace rackboot
