# tomogrid_test(NAME SOURCES ... USES room ... [LIBRARIES ...] [LABELS ...] [TIMEOUT s] [SERIAL])
#
# One GoogleTest program; every TEST is a ctest entry. Labels say which sanitizer builds run it: "pure" (TSan),
# "unit" (ASan/UBSan); "federation" and "cli" start real processes. TOMOGRID_DATA names the shared data folder.
find_package(GTest REQUIRED)
include(GoogleTest)
set(TOMOGRID_DATA ${CMAKE_SOURCE_DIR}/../shared/data CACHE PATH "Outside test data (see docs/testing.md)")
function(tomogrid_test name)
  cmake_parse_arguments(ARG "SERIAL" "TIMEOUT" "SOURCES;USES;LIBRARIES;LABELS" ${ARGN})
  if(NOT ARG_TIMEOUT)
    set(ARG_TIMEOUT 120)
  endif()
  add_executable(${name} ${ARG_SOURCES})
  list(TRANSFORM ARG_USES PREPEND tomogrid_)
  target_link_libraries(${name} PRIVATE ${ARG_USES} ${ARG_LIBRARIES} GTest::gmock GTest::gtest GTest::gtest_main)
  target_include_directories(${name} PRIVATE ${CMAKE_SOURCE_DIR}/tests)
  target_compile_definitions(${name} PRIVATE TOMOGRID_DATA="${TOMOGRID_DATA}" TOMOGRID_BIN="${CMAKE_BINARY_DIR}/bin"
    TOMOGRID_SOURCE="${CMAKE_SOURCE_DIR}")
  gtest_discover_tests(${name} DISCOVERY_MODE PRE_TEST
    PROPERTIES LABELS "${ARG_LABELS}" TIMEOUT ${ARG_TIMEOUT} RUN_SERIAL ${ARG_SERIAL})
endfunction()

# tomogrid_fuzz(NAME SOURCE file USES room ...): a libFuzzer target; ./check runs each for 10 s. Corpus seeds, if any, in
# tests/fuzz/seeds/NAME.
function(tomogrid_fuzz name)
  cmake_parse_arguments(ARG "" "SOURCE" "USES" ${ARGN})
  add_executable(${name} ${ARG_SOURCE})
  list(TRANSFORM ARG_USES PREPEND tomogrid_)
  target_link_libraries(${name} PRIVATE ${ARG_USES})
  target_link_options(${name} PRIVATE -fsanitize=fuzzer)
  set_target_properties(${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/fuzz)
endfunction()
