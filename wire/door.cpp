#include "wire/door.h"

#include <zmq.h>

#include <algorithm>
#include <utility>

#include "base/result.h"

namespace tomogrid::wire {

Door::Door(zmq::context_t& context, const certs::Identity& identity, const SocketPlan& plan, GuardLimits limits)
    : router_(make_router(context, identity, plan)), monitor_(context, router_), guard_(limits) {}

std::uint16_t Door::listen(const std::string& host, std::uint16_t port) {
  const std::string address = "tcp://" + host + ":" + (port == 0 ? "*" : std::to_string(port));
  try {
    router_.bind(address);
  } catch (const zmq::error_t& error) {
    throw Failure(ErrorCode::Unreachable, "cannot listen on " + address + ": " + error.what() + "; is another role using it?");
  }
  const std::string bound = router_.get(zmq::sockopt::last_endpoint);
  return static_cast<std::uint16_t>(std::stoul(bound.substr(bound.rfind(':') + 1)));
}

void Door::see(Instant now, const Monitor::Happened& happened) {
  if (happened.event == ZMQ_EVENT_ACCEPTED) {
    if (const auto peer = peer_of(happened.value)) guard_.accepted(now, happened.value, *peer);
    return;                                           // gone already otherwise, and its DISCONNECTED follows
  }
  if (happened.event != ZMQ_EVENT_DISCONNECTED) return;
  Gone gone;
  if (const Endpoint* peer = guard_.find(happened.value)) gone.peer = *peer;
  guard_.gone(happened.value);
  if (const auto route = route_of_.find(happened.value); route != route_of_.end()) {
    gone.route = route->second;
    routes_[route->second].gone = true;
    route_of_.erase(route);
  }
  gone_.push_back(std::move(gone));
}

void Door::look(Instant now) {
  while (const auto happened = monitor_.next()) see(now, *happened);
}

std::vector<Door::Gone> Door::gone() {
  for (const Gone& gone : gone_) routes_.erase(gone.route);
  return std::exchange(gone_, {});
}

bool Door::belongs(const Arrival& arrival, int descriptor) {
  if (const auto bound = routes_.find(arrival.route); bound != routes_.end()) {
    return bound->second.key == arrival.key && (bound->second.gone || bound->second.descriptor == descriptor);
  }
  const Endpoint* peer = guard_.find(descriptor);
  if (peer == nullptr || peer_of(descriptor) != *peer) return false;
  // One connection, one routing id: an older one on this descriptor is gone.
  if (const auto older = route_of_.find(descriptor); older != route_of_.end()) {
    gone_.push_back({older->second, *peer});
    routes_[older->second].gone = true;
  }
  routes_[arrival.route] = {descriptor, arrival.key};
  route_of_[descriptor] = arrival.route;
  return true;
}

std::optional<Door::Arrival> Door::receive(Instant now, std::size_t most) {
  while (auto message = wire::receive(router_, most + 1)) {
    look(now);                                        // ACCEPTED came before any message of its connection
    if (message->frames.size() < 2) continue;
    Arrival arrival;
    arrival.route = message->frames[0].to_string();
    const int descriptor = source_of(message->frames[1]);
    const auto key = key_of(message->frames[1]);
    if (!key) continue;
    arrival.key = *key;
    if (!belongs(arrival, descriptor)) continue;
    guard_.delivered(descriptor, message->whole_size);
    arrival.whole_size = message->whole_size;
    arrival.malformed = message->too_many;
    message->frames.erase(message->frames.begin());
    arrival.frames = std::move(message->frames);
    return arrival;
  }
  return std::nullopt;
}

Sent Door::send(const std::string& route, Frames frames) {
  frames.insert(frames.begin(), message_of(bytes_of(route)));
  return wire::send(router_, frames);
}

void Door::admitted(const std::string& route) {
  if (const auto bound = routes_.find(route); bound != routes_.end()) guard_.admitted(bound->second.descriptor);
}

void Door::condemn(const std::string& route, Instant when, const std::string& reason) {
  if (const auto bound = routes_.find(route); bound != routes_.end()) guard_.condemn(bound->second.descriptor, when, reason);
}

std::vector<Guard::Verdict> Door::enforce(Instant now) {
  std::vector<Guard::Verdict> verdicts = guard_.judge(now, bytes_read);
  for (const Guard::Verdict& verdict : verdicts) end_connection(verdict.descriptor, verdict.peer);
  return verdicts;
}

std::optional<Instant> Door::next_deadline() const { return guard_.next_deadline(); }

std::string Door::address_of(const std::string& route) const {
  const auto bound = routes_.find(route);
  if (bound == routes_.end()) return "gone";
  const Endpoint* peer = guard_.find(bound->second.descriptor);
  return peer == nullptr ? "gone" : peer->address;
}

}  // namespace tomogrid::wire
