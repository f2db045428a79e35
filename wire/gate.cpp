#include "wire/gate.h"

#include <cstring>
#include <utility>

#include "wire/transport.h"

namespace tomogrid::wire {

namespace {

std::string text_frame(const zmq::message_t& frame) { return std::string(frame.data<char>(), frame.size()); }

}  // namespace

Gate::Gate(zmq::context_t& context, Judge judge) : judge_(std::move(judge)), socket_(context, zmq::socket_type::rep) {
  socket_.set(zmq::sockopt::linger, 0);
  socket_.bind("inproc://zeromq.zap.01");
}

// Frames: version, request id, domain, address, identity, mechanism, 32 bytes of key (ZeroMQ RFC 27).
void Gate::serve() {
  while (auto request = receive(socket_, 8)) {
    const Frames& in = request->frames;
    const std::string id = in.size() > 1 ? text_frame(in[1]) : std::string();
    Knock knock;
    std::string refusal = "not CURVE";
    if (in.size() == 7 && text_frame(in[0]) == "1.0" && text_frame(in[5]) == "CURVE" && in[6].size() == knock.key.bytes.size()) {
      knock.door = text_frame(in[2]);
      knock.address = text_frame(in[3]);
      std::memcpy(knock.key.bytes.data(), in[6].data(), knock.key.bytes.size());
      refusal = judge_(knock);
    }
    Frames out;
    for (const std::string& part : {std::string("1.0"), id, std::string(refusal.empty() ? "200" : "400"), std::string(refusal.empty() ? "OK" : "refused"),
                                    refusal.empty() ? certs::z85(knock.key) : std::string(), std::string()}) {
      out.push_back(message_of(bytes_of(part)));
    }
    (void)send(socket_, out);
  }
}

}  // namespace tomogrid::wire
