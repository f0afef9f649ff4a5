#include "node/convert.h"

#include <algorithm>
#include <cstring>

namespace rackboot {
namespace {

uint32_t number(const Napi::Object& object, const char* key) {
  return object.Get(key).ToNumber().Uint32Value();
}
bool flag(const Napi::Object& object, const char* key) {
  return object.Get(key).ToBoolean().Value();
}

Napi::Value fromBytes(Napi::Env env, const std::vector<uint8_t>& bytes) {
  Napi::Uint8Array array = Napi::Uint8Array::New(env, bytes.size());
  if (!bytes.empty()) memcpy(array.Data(), bytes.data(), bytes.size());
  return array;
}

Napi::Value fromCounter(Napi::Env env, uint64_t value) {
  return Napi::Number::New(env, static_cast<double>(value));
}

const char* name(CloseReason reason) {
  switch (reason) {
    case CloseReason::peerClosed: return "peer-closed";
    case CloseReason::logout: return "logout";
    case CloseReason::dropped: return "dropped";
    case CloseReason::ioError: return "io-error";
    case CloseReason::protocolError: return "protocol-error";
    case CloseReason::digestError: return "digest-error";
    case CloseReason::loginTimeout: return "login-timeout";
    case CloseReason::keepalive: return "keepalive";
    case CloseReason::shutdown: return "shutdown";
  }
  return "io-error";
}

Napi::Object fromLatency(Napi::Env env, const LatencyCount& count) {
  Napi::Array buckets = Napi::Array::New(env, count.buckets.size());
  for (uint32_t i = 0; i < count.buckets.size(); ++i) buckets.Set(i, fromCounter(env, count.buckets[i]));
  Napi::Object out = Napi::Object::New(env);
  out.Set("buckets", buckets);
  out.Set("totalSeconds", static_cast<double>(count.totalNs) / 1e9);
  return out;
}

Napi::Object fromIo(Napi::Env env, const IoCount& count) {
  Napi::Object row = Napi::Object::New(env);
  row.Set("readOps", fromCounter(env, count.readOps));
  row.Set("readBytes", fromCounter(env, count.readBytes));
  row.Set("borrowedBytes", fromCounter(env, count.borrowedBytes));
  row.Set("writeOps", fromCounter(env, count.writeOps));
  row.Set("writeBytes", fromCounter(env, count.writeBytes));
  row.Set("flushOps", fromCounter(env, count.flushOps));
  row.Set("errors", fromCounter(env, count.errors));
  row.Set("readErrors", fromCounter(env, count.readErrors));
  row.Set("queueDepth", fromCounter(env, count.queueDepth));
  // Arrays are the dear part, and most disks never get a flush: only what happened is told of.
  constexpr const char* kNames[kBooked] = {"readLatency", "writeLatency", "flushLatency"};
  const uint64_t happened[kBooked] = {count.readOps, count.writeOps, count.flushOps};
  for (size_t i = 0; i < kBooked; ++i) {
    if (happened[i] > 0) row.Set(kNames[i], fromLatency(env, count.latencies[i]));
  }
  return row;
}

Napi::Array fromNames(Napi::Env env, const std::vector<std::string>& names) {
  Napi::Array array = Napi::Array::New(env, names.size());
  for (uint32_t i = 0; i < names.size(); ++i) array.Set(i, Napi::String::New(env, names[i]));
  return array;
}

}  // namespace

Napi::Error systemError(Napi::Env env, int error, const std::string& message) {
  Napi::Error out = Napi::Error::New(env, message);
  const char* code = strerrorname_np(error);
  out.Set("code", Napi::String::New(env, code != nullptr ? code : "EIO"));
  return out;
}

std::vector<uint8_t> toBytes(const Napi::Value& value) {
  if (!value.IsTypedArray()) return {};
  const Napi::Uint8Array array = value.As<Napi::Uint8Array>();
  return {array.Data(), array.Data() + array.ByteLength()};
}

VolumeSpec toVolumeSpec(const Napi::Object& value) {
  VolumeSpec spec;
  spec.path = value.Get("path").ToString().Utf8Value();
  spec.sizeBytes = static_cast<uint64_t>(value.Get("sizeBytes").ToNumber().Int64Value());
  spec.blockSize = number(value, "blockSize");
  spec.readOnly = flag(value, "readOnly");
  spec.writeCache = flag(value, "writeCache");
  spec.thin = flag(value, "thin");
  const Napi::Value origins = value.Get("origins");
  for (uint32_t i = 0; origins.IsArray() && i < origins.As<Napi::Array>().Length(); ++i) {
    spec.origins.push_back(origins.As<Napi::Array>().Get(i).ToString().Utf8Value());
  }
  return spec;
}

SessionParameters toSessionParameters(const Napi::Object& value) {
  SessionParameters out;
  out.discovery = flag(value, "discovery");
  out.maxSendDataSegmentLength = number(value, "maxSendDataSegmentLength");
  out.maxRecvDataSegmentLength = number(value, "maxRecvDataSegmentLength");
  out.maxBurstLength = number(value, "maxBurstLength");
  out.firstBurstLength = number(value, "firstBurstLength");
  out.maxOutstandingR2T = number(value, "maxOutstandingR2T");
  out.initialR2T = flag(value, "initialR2T");
  out.immediateData = flag(value, "immediateData");
  out.headerDigest = flag(value, "headerDigest");
  out.dataDigest = flag(value, "dataDigest");
  out.statSn = number(value, "statSN");
  out.expCmdSn = number(value, "expCmdSN");
  return out;
}

std::vector<LunMapping> toLunMappings(const Napi::Value& value) {
  const Napi::Array array = value.As<Napi::Array>();
  std::vector<LunMapping> out;
  for (uint32_t i = 0; i < array.Length(); ++i) {
    const Napi::Object mapping = array.Get(i).As<Napi::Object>();
    out.push_back({number(mapping, "lun"), number(mapping, "volume"), flag(mapping, "readOnly")});
  }
  return out;
}

std::optional<bool> toOptionalFlag(const Napi::Object& object, const char* key) {
  if (object.Get(key).IsUndefined()) return std::nullopt;
  return flag(object, key);
}

std::vector<ConnectionId> toConnections(const Napi::Value& value) {
  if (!value.IsArray()) return {};
  const Napi::Array array = value.As<Napi::Array>();
  std::vector<ConnectionId> out;
  for (uint32_t i = 0; i < array.Length(); ++i) out.push_back(static_cast<ConnectionId>(array.Get(i).ToNumber().Int64Value()));
  return out;
}

VolumeAccess toVolumeAccess(const Napi::Object& value) {
  const std::string denied = value.Get("denied").ToString().Utf8Value();
  VolumeAccess out;
  out.denied = denied == "unit"     ? Denied::unit
               : denied == "medium" ? Denied::medium
               : denied == "writes" ? Denied::writes
                                    : Denied::nothing;
  out.exempt = toConnections(value.Get("exempt"));
  return out;
}

Audience toAudience(const Napi::Object& value) {
  Audience out;
  if (value.Get("except").IsNumber()) out.except = static_cast<ConnectionId>(value.Get("except").ToNumber().Int64Value());
  out.only = toConnections(value.Get("only"));
  return out;
}

RangeJob toRangeJob(VolumeId volume, const Napi::Object& value) {
  const auto octets = [&](const char* key) { return static_cast<uint64_t>(value.Get(key).ToNumber().Int64Value()); };
  RangeJob out;
  out.volume = volume;
  out.offset = octets("offset");
  out.length = octets("length");
  out.pattern = toBytes(value.Get("pattern"));
  if (value.Get("source").IsUndefined()) return out;
  out.source = number(value, "source");
  out.sourceOffset = octets("sourceOffset");
  return out;
}

std::optional<Outcome> toNotReady(const Napi::Value& value) {
  if (!value.IsObject()) return std::nullopt;
  const Napi::Object sense = value.As<Napi::Object>();
  Outcome out = check(static_cast<uint8_t>(number(sense, "key")), static_cast<uint8_t>(number(sense, "asc")),
                      static_cast<uint8_t>(number(sense, "ascq")));
  if (!sense.Has("progress")) return out;
  out.progresses = true;
  out.progress = static_cast<uint16_t>(std::clamp(sense.Get("progress").ToNumber().DoubleValue(), 0.0, 1.0) * UINT16_MAX);
  return out;
}

CommandResult toCommandResult(const Napi::Object& value) {
  CommandResult out;
  out.status = static_cast<uint8_t>(number(value, "status"));
  out.data = toBytes(value.Get("data"));
  out.sense = toBytes(value.Get("sense"));
  return out;
}

Napi::Object fromEvent(Napi::Env env, Event& event) {
  Napi::Object out = Napi::Object::New(env);
  const auto type = [&](const char* text) { out.Set("type", text); };
  if (event.connection != 0) out.Set("connection", fromCounter(env, event.connection));
  switch (event.type) {
    case EventType::accepted:
      type("accepted");
      out.Set("portal", event.portal);
      out.Set("peerAddress", event.address);
      out.Set("peerPort", static_cast<uint32_t>(event.port));
      out.Set("localAddress", event.localAddress);
      out.Set("localPort", static_cast<uint32_t>(event.localPort));
      break;
    case EventType::pdu:
      type("pdu");
      out.Set("header", fromBytes(env, event.header));
      out.Set("data", fromBytes(env, event.data));
      break;
    case EventType::command:
      type("command");
      out.Set("task", fromCounter(env, event.task));
      out.Set("lun", event.lun);
      out.Set("volume", event.hasVolume ? Napi::Number::New(env, event.volume) : env.Undefined());
      out.Set("cdb", fromBytes(env, event.header));
      out.Set("dataOut", fromBytes(env, event.data));
      out.Set("expectedDataLength", event.expectedDataLength);
      break;
    case EventType::firstRead:
      type("first-read");
      out.Set("lun", event.lun);
      break;
    case EventType::closed:
      type("closed");
      out.Set("reason", name(event.reason));
      out.Set("detail", event.detail);
      break;
    case EventType::volumeFailed:
      type("volume-failed");
      out.Set("volume", event.volume);
      out.Set("reason", event.detail);
      break;
    case EventType::volumeFull:
      type("volume-full");
      out.Set("volume", event.volume);
      break;
    case EventType::volumeReset:
      type("volume-reset");
      out.Set("volume", event.volume);
      break;
    case EventType::volumeMapped:
      type("volume-mapped");
      out.Set("volume", event.volume);
      out.Set("sharedBytes", fromCounter(env, event.sharedBytes));
      out.Set("elapsedMs", static_cast<double>(event.elapsedNs) / 1e6);
      break;
    case EventType::taskManagement:
      type("task-management");
      out.Set("function", static_cast<uint32_t>(event.function));
      out.Set("response", static_cast<uint32_t>(event.response));
      break;
    case EventType::settled:
    case EventType::stopped: break;  // the door's own
  }
  return out;
}

Napi::Object fromCapabilities(Napi::Env env, const Capabilities& capabilities) {
  Napi::Object out = Napi::Object::New(env);
  out.Set("kernel", capabilities.kernel);
  out.Set("features", fromNames(env, capabilities.features));
  out.Set("missing", fromNames(env, capabilities.missing));
  return out;
}

Napi::Object fromCount(Napi::Env env, const PlaneCount& count) {
  Napi::Object out = Napi::Object::New(env);
  out.Set("connections", fromCounter(env, count.connections));
  out.Set("bytesReceived", fromCounter(env, count.bytesReceived));
  out.Set("bytesSent", fromCounter(env, count.bytesSent));
  out.Set("commandsPassedUp", fromCounter(env, count.commandsPassedUp));
  out.Set("protocolErrors", fromCounter(env, count.protocolErrors));
  out.Set("bufferBytes", fromCounter(env, count.bufferBytes));
  out.Set("payloadBytesCopied", fromCounter(env, count.payloadBytesCopied));
  Napi::Object ring = Napi::Object::New(env);
  ring.Set("entries", fromCounter(env, count.ringEntries));
  ring.Set("completions", fromCounter(env, count.ringCompletions));
  ring.Set("spins", fromCounter(env, count.ringSpins));
  ring.Set("sleeps", fromCounter(env, count.ringSleeps));
  out.Set("ring", ring);
  Napi::Array volumes = Napi::Array::New(env, count.volumes.size());
  for (uint32_t i = 0; i < count.volumes.size(); ++i) {
    Napi::Object row = fromIo(env, count.volumes[i].io);
    row.Set("volume", count.volumes[i].volume);
    volumes.Set(i, row);
  }
  out.Set("volumes", volumes);
  Napi::Array accounts = Napi::Array::New(env, count.accounts.size());
  for (uint32_t i = 0; i < count.accounts.size(); ++i) {
    Napi::Object row = fromIo(env, count.accounts[i].io);
    row.Set("account", count.accounts[i].name);
    accounts.Set(i, row);
  }
  out.Set("accounts", accounts);
  return out;
}

}  // namespace rackboot
