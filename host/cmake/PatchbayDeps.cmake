# SPDX-License-Identifier: MIT
# Libraries from the system, found when a room first asks for one: pbay_dep(VAR name) sets VAR to the target to link.
find_package(PkgConfig)
if(NOT PKG_CONFIG_FOUND)
  message(FATAL_ERROR "pkg-config is missing (apt: pkg-config)")
endif()

#   name        pkg-config     Debian package
set(PB_DEPS
    "uv         libuv          libuv1-dev"
    "nghttp2    libnghttp2     libnghttp2-dev"
    "protobuf-c libprotobuf-c  libprotobuf-c-dev"
    "curl       libcurl        libcurl4-openssl-dev"
    "jansson    jansson        libjansson-dev"
    "lua        lua5.4         liblua5.4-dev"
    "openssl    openssl        libssl-dev"
    "sqlite     sqlite3        libsqlite3-dev"
    "zlib       zlib           zlib1g-dev"
    "mimalloc   -              libmimalloc-dev"
    "wslay      -              libwslay-dev"
    "cmocka     cmocka         libcmocka-dev"
    "http-parser -             libhttp-parser-dev")

# Some packages ship no .pc file: a header and a library name stand in for it.
set(PB_DEP_mimalloc_FILES mimalloc.h mimalloc)
set(PB_DEP_wslay_FILES wslay/wslay.h wslay)
set(PB_DEP_http-parser_FILES http_parser.h http_parser)

# Rows make a dozen short calls into Lua each; through the shared library's tables they cost a tenth more.
function(pb_dep_archive name target)
  if(NOT name STREQUAL "lua" OR NOT PATCHBAY_STATIC_LUA)
    return()
  endif()
  find_library(PB_LUA_ARCHIVE liblua5.4.a)
  mark_as_advanced(PB_LUA_ARCHIVE)
  if(PB_LUA_ARCHIVE)
    set_target_properties(${target} PROPERTIES INTERFACE_LINK_LIBRARIES "${PB_LUA_ARCHIVE};m;${CMAKE_DL_LIBS}")
  endif()
endfunction()

# Unknown names come back as they are: `m`, `dl`, or a target.
function(pbay_dep var name)
  foreach(row IN LISTS PB_DEPS)
    string(REGEX REPLACE " +" ";" row "${row}")
    list(GET row 0 key)
    if(NOT key STREQUAL name)
      continue()
    endif()
    list(GET row 1 pc)
    list(GET row 2 package)
    if(pc STREQUAL "-")
      if(NOT TARGET pb_dep_${name})
        list(GET PB_DEP_${name}_FILES 0 header)
        list(GET PB_DEP_${name}_FILES 1 lib)
        find_path(PB_${name}_INCLUDE ${header})
        find_library(PB_${name}_LIBRARY ${lib})
        mark_as_advanced(PB_${name}_INCLUDE PB_${name}_LIBRARY)
        if(NOT PB_${name}_INCLUDE OR NOT PB_${name}_LIBRARY)
          message(FATAL_ERROR "${name} is missing: install the package ${package} (apt install ${package})")
        endif()
        add_library(pb_dep_${name} INTERFACE IMPORTED GLOBAL)
        target_link_libraries(pb_dep_${name} INTERFACE ${PB_${name}_LIBRARY})
        target_include_directories(pb_dep_${name} INTERFACE ${PB_${name}_INCLUDE})
      endif()
      set(${var} pb_dep_${name} PARENT_SCOPE)
      return()
    endif()
    string(MAKE_C_IDENTIFIER "PBDEP_${name}" prefix)
    if(NOT TARGET PkgConfig::${prefix})
      pkg_check_modules(${prefix} QUIET IMPORTED_TARGET GLOBAL ${pc})
      if(NOT ${prefix}_FOUND)
        message(FATAL_ERROR "${name} is missing: install the package ${package} (apt install ${package})")
      endif()
      pb_dep_archive(${name} PkgConfig::${prefix})
    endif()
    set(${var} PkgConfig::${prefix} PARENT_SCOPE)
    return()
  endforeach()
  set(${var} ${name} PARENT_SCOPE)
endfunction()

# pbay_proto_c(VAR file.proto): protobuf-c sources generated into the build directory; VAR is set to the .c files.
# Add them to a room's SOURCES; generated code is not held to our warnings. Headers: "<name>.pb-c.h".
function(pbay_proto_c var)
  find_program(PB_PROTOC_C protoc-c)
  if(NOT PB_PROTOC_C)
    message(FATAL_ERROR "protoc-c is missing: install the package protobuf-c-compiler (apt install protobuf-c-compiler)")
  endif()
  set(out)
  foreach(proto IN LISTS ARGN)
    cmake_path(ABSOLUTE_PATH proto BASE_DIRECTORY ${CMAKE_CURRENT_SOURCE_DIR} OUTPUT_VARIABLE path)
    cmake_path(GET path STEM LAST_ONLY stem)
    cmake_path(GET path PARENT_PATH dir)
    set(base ${CMAKE_CURRENT_BINARY_DIR}/${stem}.pb-c)
    add_custom_command(OUTPUT ${base}.c ${base}.h
      COMMAND ${PB_PROTOC_C} --c_out=${CMAKE_CURRENT_BINARY_DIR} -I ${dir} ${path}
      DEPENDS ${path} VERBATIM)
    set_source_files_properties(${base}.c PROPERTIES COMPILE_OPTIONS "-w")
    list(APPEND out ${base}.c)
  endforeach()
  set(${var} ${out} PARENT_SCOPE)
endfunction()
