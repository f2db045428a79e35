# Flags that hold for every target.
find_program(CCACHE ccache)
if(CCACHE)
  set(CMAKE_CXX_COMPILER_LAUNCHER ${CCACHE})
  set(CMAKE_C_COMPILER_LAUNCHER ${CCACHE})
endif()

# x86-64-v3 is the baseline everywhere, and contraction is off: results must not depend on what a compiler fuses.
add_compile_options(-march=x86-64-v3 -ffp-contract=off -Wall -Wextra -Wpedantic -Wconversion -Wshadow
  $<$<BOOL:${TOMOGRID_WERROR}>:-Werror>)
if(CMAKE_CXX_COMPILER_ID STREQUAL "Clang")
  add_compile_options(-Wno-sign-conversion)   # g++ leaves it out of -Wconversion for C++; keep the two alike
endif()
set(TOMOGRID_OPTIMISE "-O2 -g1" CACHE STRING "Flags of the Release configuration")
set(CMAKE_CXX_FLAGS_RELEASE "${TOMOGRID_OPTIMISE}")
set(CMAKE_CXX_FLAGS_DEBUG "-O0 -g")

find_program(MOLD mold)
if(MOLD AND NOT TOMOGRID_SANITIZE)
  add_link_options(-fuse-ld=mold)
endif()

if(TOMOGRID_SANITIZE)
  add_compile_options(-fsanitize=${TOMOGRID_SANITIZE} -fno-omit-frame-pointer)
  add_link_options(-fsanitize=${TOMOGRID_SANITIZE})
  if(TOMOGRID_SANITIZE MATCHES undefined)
    add_compile_options(-fno-sanitize-recover=undefined)
    # Checks of every pointer for null and alignment double the time to compile (38 s to 19 s, wire/loop.cpp). A null pointer
    # ends under AddressSanitizer anyhow; what decodes bytes is checked for both by the fuzz preset.
    if(NOT TOMOGRID_FUZZ)
      add_compile_options(-fno-sanitize=null,alignment)
    endif()
  endif()
endif()
if(TOMOGRID_FUZZ)
  add_compile_options(-fsanitize=fuzzer-no-link)
endif()
