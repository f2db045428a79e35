# tomogrid_test(NAME SOURCES ... USES room ... [LIBRARIES ...] [LABELS ...] [TIMEOUT s] [SERIAL])
#
# One GoogleTest program; every TEST is a ctest entry. Labels say which builds run it besides release: "pure" and "threads"
# (TSan), "unit" and "cli" (ASan/UBSan), "heavy" none; "federation" and "cli" start real processes. TOMOGRID_DATA names the outside data.
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
  # What is tested is built as its preset says; the tests' own code, long functions of assertions, would take a third of the
  # whole build if it were optimised and checked alike.
  if(NOT TOMOGRID_SANITIZE AND CMAKE_BUILD_TYPE STREQUAL "Release")
    target_compile_options(${name} PRIVATE -O1 -g0)
  elseif(TOMOGRID_SANITIZE)
    target_compile_options(${name} PRIVATE -O0)
    if(TOMOGRID_SANITIZE MATCHES "undefined")
      target_compile_options(${name} PRIVATE -fno-sanitize=undefined)
    endif()
  endif()
  if("heavy" IN_LIST ARG_LABELS AND TOMOGRID_SANITIZE)   # minutes of plain arithmetic: release only
    return()
  endif()
  foreach(label IN LISTS ARG_LABELS)   # cmake --build ... --target tests_LABEL builds what a sanitizer run needs, no more
    if(NOT TARGET tests_${label})
      add_custom_target(tests_${label})
    endif()
    add_dependencies(tests_${label} ${name})
  endforeach()
  list(JOIN ARG_LABELS "+" label)   # one word: a list does not survive gtest_discover_tests; ctest -L takes a pattern
  gtest_discover_tests(${name} DISCOVERY_MODE PRE_TEST
    PROPERTIES LABELS "${label}" TIMEOUT ${ARG_TIMEOUT} RUN_SERIAL ${ARG_SERIAL})
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
  if(NOT TARGET fuzzers)
    add_custom_target(fuzzers)
  endif()
  add_dependencies(fuzzers ${name})
endfunction()
