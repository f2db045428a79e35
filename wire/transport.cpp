#include "wire/transport.h"

#include <arpa/inet.h>
#include <linux/sockios.h>
#include <linux/tcp.h>          // glibc's tcp_info ends before tcpi_bytes_received
#include <netinet/in.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <zmq.h>

#include <atomic>
#include <cstring>

#include "wire/messages.h"

namespace tomogrid::wire {

namespace {

void set_common(zmq::socket_t& socket, const certs::Identity& identity, const SocketPlan& plan) {
  const ByteView secret = identity.transport_secret();
  if (zmq_setsockopt(socket.handle(), ZMQ_CURVE_SECRETKEY, secret.data(), secret.size()) != 0) throw zmq::error_t();
  socket.set(zmq::sockopt::linger, 0);
  socket.set(zmq::sockopt::handshake_ivl, static_cast<int>(plan.handshake_timeout.count()));
  const bool control = plan.lane == Lane::Control;
  socket.set(zmq::sockopt::affinity, control ? std::uint64_t{1} : std::uint64_t{2});
  // What CURVE and framing add is well under the margin; the exact limit is checked on what arrives, where a reason can be given.
  socket.set(zmq::sockopt::maxmsgsize, static_cast<std::int64_t>(control ? 2 * kControlMessageLimit : kChunkLimit + 4096));
  socket.set(zmq::sockopt::sndhwm, control ? 256 : 4);
  socket.set(zmq::sockopt::rcvhwm, control ? 32 : 2);
  if (control) {
    socket.set(zmq::sockopt::heartbeat_ivl, static_cast<int>(plan.heartbeat.count()));
    socket.set(zmq::sockopt::heartbeat_timeout, static_cast<int>(plan.heartbeat_timeout.count()));
    socket.set(zmq::sockopt::heartbeat_ttl, static_cast<int>(plan.heartbeat_timeout.count()));
  }
}

}  // namespace

zmq::socket_t make_router(zmq::context_t& context, const certs::Identity& identity, const SocketPlan& plan) {
  zmq::socket_t socket(context, zmq::socket_type::router);
  socket.set(zmq::sockopt::curve_server, 1);
  set_common(socket, identity, plan);
  socket.set(zmq::sockopt::router_mandatory, 1);
  socket.set(zmq::sockopt::backlog, 1024);
  socket.set(zmq::sockopt::zap_domain, plan.lane == Lane::Control ? "control" : "bulk");
  return socket;
}

zmq::socket_t make_dealer(zmq::context_t& context, const certs::Identity& identity, const certs::TransportPublicKey& server,
                          const SocketPlan& plan) {
  zmq::socket_t socket(context, zmq::socket_type::dealer);
  const auto own = identity.transport_key();
  if (zmq_setsockopt(socket.handle(), ZMQ_CURVE_SERVERKEY, server.bytes.data(), server.bytes.size()) != 0 ||
      zmq_setsockopt(socket.handle(), ZMQ_CURVE_PUBLICKEY, own.bytes.data(), own.bytes.size()) != 0) {
    throw zmq::error_t();
  }
  set_common(socket, identity, plan);
  socket.set(zmq::sockopt::reconnect_ivl, -1);
  socket.set(zmq::sockopt::connect_timeout, static_cast<int>(plan.handshake_timeout.count()));
  return socket;
}

Monitor::Monitor(zmq::context_t& context, zmq::socket_t& watched) : watched_(watched), reader_(context, zmq::socket_type::pair) {
  static std::atomic<std::uint64_t> counter{0};
  const std::string address = "inproc://monitor-" + std::to_string(++counter);
  if (zmq_socket_monitor(watched.handle(), address.c_str(), ZMQ_EVENT_ALL) != 0) throw zmq::error_t();
  reader_.set(zmq::sockopt::linger, 0);
  reader_.set(zmq::sockopt::rcvhwm, 0);
  reader_.connect(address);
}

Monitor::~Monitor() { zmq_socket_monitor(watched_.handle(), nullptr, 0); }

std::optional<Monitor::Happened> Monitor::next() {
  zmq::message_t what, where;
  if (!reader_.recv(what, zmq::recv_flags::dontwait)) return std::nullopt;
  if (what.more()) (void)reader_.recv(where);
  if (what.size() < 6) return Happened{};
  Happened happened;
  std::int32_t value = 0;
  std::memcpy(&happened.event, what.data<char>(), 2);
  std::memcpy(&value, what.data<char>() + 2, 4);
  happened.value = value;
  return happened;
}

std::optional<Incoming> receive(zmq::socket_t& socket, std::size_t most) {
  constexpr std::uint64_t kFraming = 96;               // ZMTP and CURVE around each frame, generously
  Incoming message;
  for (;;) {
    zmq::message_t frame;
    if (!socket.recv(frame, zmq::recv_flags::dontwait)) return std::nullopt;   // only before the first: parts come together
    message.whole_size += frame.size() + kFraming;
    const bool more = frame.more();
    if (message.frames.size() < most) {
      message.frames.push_back(std::move(frame));
    } else {
      message.too_many = true;
    }
    if (!more) return message;
  }
}

Sent send(zmq::socket_t& socket, Frames& frames) {
  for (std::size_t i = 0; i < frames.size(); ++i) {
    const auto flags = i + 1 < frames.size() ? zmq::send_flags::sndmore | zmq::send_flags::dontwait : zmq::send_flags::dontwait;
    try {
      if (!socket.send(frames[i], flags)) return Sent::Full;   // only at the first: a whole message fits or does not
    } catch (const zmq::error_t& error) {
      if (error.num() == EHOSTUNREACH || error.num() == EAGAIN) return Sent::Gone;
      throw;
    }
  }
  return Sent::Yes;
}

int source_of(zmq::message_t& frame) { return zmq_msg_get(frame.handle(), ZMQ_SRCFD); }

std::optional<certs::TransportPublicKey> key_of(const zmq::message_t& frame) {
  const char* text = zmq_msg_gets(const_cast<zmq::message_t&>(frame).handle(), "User-Id");
  if (text == nullptr) return std::nullopt;
  return certs::parse_z85(text);
}

zmq::message_t message_of(ByteView bytes) { return zmq::message_t(bytes.data(), bytes.size()); }

std::optional<Endpoint> peer_of(int descriptor) {
  sockaddr_storage storage{};
  socklen_t length = sizeof storage;
  if (getpeername(descriptor, reinterpret_cast<sockaddr*>(&storage), &length) != 0) return std::nullopt;
  char text[INET6_ADDRSTRLEN] = {};
  if (storage.ss_family == AF_INET) {
    const auto& address = reinterpret_cast<const sockaddr_in&>(storage);
    inet_ntop(AF_INET, &address.sin_addr, text, sizeof text);
    return Endpoint{text, ntohs(address.sin_port)};
  }
  if (storage.ss_family == AF_INET6) {
    const auto& address = reinterpret_cast<const sockaddr_in6&>(storage);
    inet_ntop(AF_INET6, &address.sin6_addr, text, sizeof text);
    return Endpoint{text, ntohs(address.sin6_port)};
  }
  return std::nullopt;
}

std::optional<std::uint64_t> bytes_read(int descriptor, const Endpoint& peer) {
  tcp_info info{};
  socklen_t length = sizeof info;
  int waiting = 0;
  if (getsockopt(descriptor, IPPROTO_TCP, TCP_INFO, &info, &length) != 0 || ioctl(descriptor, SIOCINQ, &waiting) != 0) return std::nullopt;
  if (peer_of(descriptor) != peer) return std::nullopt;
  const std::uint64_t received = info.tcpi_bytes_received;
  const std::uint64_t unread = static_cast<std::uint64_t>(waiting < 0 ? 0 : waiting);
  return received - std::min(unread, received);
}

void end_connection(int descriptor, const Endpoint& peer) {
  if (peer_of(descriptor) == peer) ::shutdown(descriptor, SHUT_RDWR);
}

void raise_descriptor_limit() {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur >= limit.rlim_max) return;
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
}

}  // namespace tomogrid::wire
