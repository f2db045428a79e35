# Registry, manager, node and client machines in one process over 127.0.0.1.
tomogrid_test(registry_federation_test
  SOURCES ${CMAKE_CURRENT_LIST_DIR}/registry_loop_test.cpp
  USES manager registry LIBRARIES tomogrid_test_sim Threads::Threads LABELS federation TIMEOUT 120)
