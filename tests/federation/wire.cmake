# Two loops in one process over 127.0.0.1; hostile peers are raw sockets or bare ZeroMQ.
tomogrid_test(wire_federation_test
  SOURCES ${CMAKE_CURRENT_LIST_DIR}/wire_party.cpp ${CMAKE_CURRENT_LIST_DIR}/wire_hostile_test.cpp ${CMAKE_CURRENT_LIST_DIR}/wire_session_test.cpp
          ${CMAKE_CURRENT_LIST_DIR}/wire_stream_test.cpp
  USES wire LIBRARIES cppzmq Threads::Threads LABELS federation threads TIMEOUT 120)
