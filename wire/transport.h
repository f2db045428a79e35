// ZeroMQ and TCP as the loop uses them: secured sockets, their monitors, and the one connection behind a message. Private to
// this folder; with door.h and gate.h all that includes zmq.hpp.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>
#include <zmq.hpp>

#include "certs/identity.h"
#include "wire/guard.h"
#include "wire/machine.h"

namespace tomogrid::wire {

struct LoopOptions;

enum class Lane { Control, Bulk };

// Sockets of one lane share an I/O thread, so that control is decrypted beside bulk and not behind it.
struct SocketPlan {
  Lane lane = Lane::Control;
  std::chrono::milliseconds heartbeat{0}, heartbeat_timeout{0};   // Control only
  std::chrono::milliseconds handshake_timeout{0};
};
// A ROUTER at whose end of CURVE this member is the server.
zmq::socket_t make_router(zmq::context_t& context, const certs::Identity& identity, const SocketPlan& plan);
// A DEALER for one connection to whoever holds `server`. Never reconnects.
zmq::socket_t make_dealer(zmq::context_t& context, const certs::Identity& identity, const certs::TransportPublicKey& server,
                          const SocketPlan& plan);

// What happens to a socket's connections. Its queue is unbounded on purpose: the library writes to it from the I/O thread and
// from close(), and would hang there if it were full. Goes before the socket that it watches.
class Monitor final {
 public:
  Monitor(zmq::context_t& context, zmq::socket_t& watched);
  ~Monitor();
  Monitor(const Monitor&) = delete;
  Monitor& operator=(const Monitor&) = delete;
  struct Happened {
    std::uint16_t event = 0;                      // ZMQ_EVENT_*
    int value = 0;                                // descriptor, or an error
  };
  std::optional<Happened> next();                 // nullopt: nothing more now
  zmq::socket_t& reader() { return reader_; }

 private:
  zmq::socket_t& watched_;
  zmq::socket_t reader_;
};

// ---- Messages ------------------------------------------------------------------------------------------------------------
using Frames = std::vector<zmq::message_t>;
// A whole message, at most `most` frames kept; nullopt: none now. `whole_size` counts every frame, with framing.
struct Incoming {
  Frames frames;
  bool too_many = false;
  std::uint64_t whole_size = 0;
};
std::optional<Incoming> receive(zmq::socket_t& socket, std::size_t most);
// All frames or none. Full: the peer does not read. Gone: no such connection.
enum class Sent { Yes, Full, Gone };
Sent send(zmq::socket_t& socket, Frames& frames);
// The descriptor of the connection that a message came by; -1 when unknown.
int source_of(zmq::message_t& frame);
// The CURVE key behind a message, as ZAP put it there.
std::optional<certs::TransportPublicKey> key_of(const zmq::message_t& frame);
zmq::message_t message_of(ByteView bytes);
inline ByteView view_of(const zmq::message_t& frame) { return {static_cast<const std::uint8_t*>(frame.data()), frame.size()}; }

// ---- The connection itself -----------------------------------------------------------------------------------------------
std::optional<Endpoint> peer_of(int descriptor);
// Bytes that this process has read from the connection; nullopt when it is not `peer`'s any more.
std::optional<std::uint64_t> bytes_read(int descriptor, const Endpoint& peer);
// Ends it if it is still `peer`'s: descriptors are reused.
void end_connection(int descriptor, const Endpoint& peer);
// As many descriptors as the hard limit allows.
void raise_descriptor_limit();

}  // namespace tomogrid::wire
