find_package(benchmark REQUIRED)
add_executable(placement_bench ${CMAKE_CURRENT_LIST_DIR}/placement_bench.cpp)
target_link_libraries(placement_bench PRIVATE tomogrid_manager tomogrid_test_sim benchmark::benchmark)
