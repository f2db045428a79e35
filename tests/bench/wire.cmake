add_executable(wire_stream_bench ${CMAKE_CURRENT_LIST_DIR}/wire_stream_bench.cpp ${CMAKE_SOURCE_DIR}/tests/federation/wire_party.cpp)
target_link_libraries(wire_stream_bench PRIVATE tomogrid_wire Threads::Threads)
target_include_directories(wire_stream_bench PRIVATE ${CMAKE_SOURCE_DIR}/tests)
