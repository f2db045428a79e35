tomogrid_fuzz(wire_messages_fuzz SOURCE fuzz/wire_messages.cpp USES wire)
tomogrid_fuzz(wire_session_fuzz SOURCE fuzz/wire_session.cpp USES wire)
tomogrid_fuzz(wire_stream_fuzz SOURCE fuzz/wire_stream.cpp USES wire)
