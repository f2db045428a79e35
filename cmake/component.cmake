# tomogrid_component(NAME SOURCES ... [USES room ...] [LIBRARIES lib ...] [PRIVATE_LIBRARIES lib ...] [CAPNP file ...])
#
# One static library tomogrid_NAME per folder. A room's headers are reached as "NAME/header.h" through a folder that
# holds one link, to that room only: a header of a room that is not in USES (or below it) is not found.
function(tomogrid_component name)
  cmake_parse_arguments(ARG "" "" "SOURCES;USES;LIBRARIES;PRIVATE_LIBRARIES;CAPNP" ${ARGN})
  set(door ${CMAKE_BINARY_DIR}/doors/${name})
  file(MAKE_DIRECTORY ${door})
  if(NOT EXISTS ${door}/${name})
    file(CREATE_LINK ${CMAKE_SOURCE_DIR}/${name} ${door}/${name} SYMBOLIC)
  endif()
  set(target tomogrid_${name})
  add_library(${target} STATIC ${ARG_SOURCES})
  target_include_directories(${target} PUBLIC ${door})
  list(TRANSFORM ARG_USES PREPEND tomogrid_)
  target_link_libraries(${target} PUBLIC ${ARG_USES} ${ARG_LIBRARIES} PRIVATE ${ARG_PRIVATE_LIBRARIES})
  foreach(schema IN LISTS ARG_CAPNP)
    tomogrid_capnp(${target} ${schema})
  endforeach()
endfunction()

# Generates C++ from SCHEMA (relative to the calling folder); included as "NAME.capnp.h" by that target's sources only.
function(tomogrid_capnp target schema)
  get_filename_component(base ${schema} NAME)
  set(out ${CMAKE_CURRENT_BINARY_DIR}/capnp)
  file(MAKE_DIRECTORY ${out})
  get_filename_component(source ${schema} ABSOLUTE)
  get_filename_component(source_dir ${source} DIRECTORY)
  add_custom_command(
    OUTPUT ${out}/${base}.h ${out}/${base}.c++
    COMMAND ${CAPNP_EXECUTABLE} compile -o${CAPNPC_CXX_EXECUTABLE}:${out} --src-prefix=${source_dir}
            -I${CAPNP_INCLUDE_DIRECTORY} ${source}
    DEPENDS ${source} COMMENT "Cap'n Proto ${base}" VERBATIM)
  target_sources(${target} PRIVATE ${out}/${base}.c++)
  set_source_files_properties(${out}/${base}.c++ PROPERTIES COMPILE_OPTIONS "-w")
  target_include_directories(${target} SYSTEM PRIVATE ${out})
endfunction()
