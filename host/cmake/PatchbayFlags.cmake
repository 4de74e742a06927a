# SPDX-License-Identifier: MIT
# Compiler and linker flags, as two interface targets:
#   pb_flags     everything of ours: warnings, C11, prefix map, sanitizers
#   pb_warnings  the warnings alone, for code that wants nothing else
# Hardening goes to the directory scope, so that no target can forget it.
include(CheckCCompilerFlag)
include(CheckPIESupported)
check_pie_supported(LANGUAGES C)

set(CMAKE_C_STANDARD 11)
set(CMAKE_C_STANDARD_REQUIRED ON)
set(CMAKE_C_EXTENSIONS OFF)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
set(CMAKE_C_VISIBILITY_PRESET hidden)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
# -O2 keeps assertions in every build type: a broken invariant must end a worker, not corrupt a batch.
set(CMAKE_C_FLAGS_RELWITHDEBINFO "-O2 -g")
set(CMAKE_C_FLAGS_RELEASE "-O2")

add_library(pb_warnings INTERFACE)
target_compile_options(pb_warnings INTERFACE
  -Wall -Wextra -Wpedantic -Wconversion -Wshadow -Wwrite-strings -Wformat=2 -Wvla -Wundef
  $<$<COMPILE_LANGUAGE:C>:-Wstrict-prototypes;-Wmissing-prototypes>
  $<$<BOOL:${PATCHBAY_WERROR}>:-Werror>)

add_library(pb_flags INTERFACE)
target_link_libraries(pb_flags INTERFACE pb_warnings)
target_compile_definitions(pb_flags INTERFACE
  _GNU_SOURCE
  PB_VERSION="${PROJECT_VERSION}"
  $<$<BOOL:${PATCHBAY_FLATTEN}>:PB_FLATTEN=1>)

add_compile_options(
  -fno-semantic-interposition
  -ffile-prefix-map=${PROJECT_SOURCE_DIR}/=
  -ffile-prefix-map=${PROJECT_BINARY_DIR}/=build/)

set(instrumented OFF)
if(PATCHBAY_FUZZ)
  if(NOT CMAKE_C_COMPILER_ID MATCHES "Clang")
    message(FATAL_ERROR "PATCHBAY_FUZZ needs clang: cmake --preset fuzz, or CC=clang (apt: clang)")
  endif()
  set(instrumented ON)
  add_compile_options(-fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=all)
  add_link_options(-fsanitize=address,undefined)
elseif(PATCHBAY_SANITIZE)
  set(instrumented ON)
  add_compile_options(-fsanitize=address,undefined -fno-sanitize-recover=all)
  add_link_options(-fsanitize=address,undefined)
endif()
if(instrumented)
  add_compile_options(-O1 -g -fno-omit-frame-pointer -fno-optimize-sibling-calls)
endif()
if(PATCHBAY_COVERAGE)
  add_compile_options(--coverage -O0)
  add_link_options(--coverage)
endif()

# Hardening. The compiler warns when fortify meets -O0, and the sanitizers' own checks are better than it.
foreach(flag -fstack-protector-strong -fstack-clash-protection -fcf-protection)
  string(MAKE_C_IDENTIFIER "PB_HAS${flag}" has)
  check_c_compiler_flag(${flag} ${has})
  if(${has})
    add_compile_options(${flag})
  endif()
endforeach()
if(NOT instrumented AND NOT PATCHBAY_COVERAGE)
  add_compile_options("$<$<NOT:$<CONFIG:Debug>>:-U_FORTIFY_SOURCE;-D_FORTIFY_SOURCE=3>")
endif()
add_link_options(-Wl,-z,relro,-z,now,-z,noexecstack,--as-needed)
