# The phantom's sources, apart from the files' (included by CMakeLists.txt).
target_sources(tomogrid_image PRIVATE phantom/phantom.cpp phantom/rays.cpp phantom/projector.cpp phantom/noise.cpp
  phantom/truth.cpp phantom/presets.cpp phantom/command.cpp)
target_link_libraries(tomogrid_image PUBLIC OpenMP::OpenMP_CXX)
