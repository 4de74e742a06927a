# SPDX-License-Identifier: MIT
# pbay_room(NAME [SOURCES file...] [ROOMS room...] [LIBS lib...])
#
# One room of host/: the static library pb_NAME (an interface library while it has no sources). ROOMS are the rooms it
# uses and must stand above it; LIBS are names of PatchbayDeps (uv, openssl, ...) or anything the linker knows.
# Both reach whoever links the room. The include root is host/, and sdk/include for what crosses the ABI.

set(PB_ROOM_ORDER base loop data net guard script store plugin flow endpoints app)
# Rooms that do not see each other, though one stands above another in the list.
set(PB_ROOM_PEERS net guard script store)

function(pbay_room name)
  cmake_parse_arguments(PARSE_ARGV 1 arg "" "" "SOURCES;ROOMS;LIBS")
  if(arg_UNPARSED_ARGUMENTS)
    message(FATAL_ERROR "pbay_room(${name}): what is ${arg_UNPARSED_ARGUMENTS}?")
  endif()
  list(FIND PB_ROOM_ORDER ${name} at)
  if(at LESS 0)
    message(FATAL_ERROR "pbay_room(${name}): not in PB_ROOM_ORDER")
  endif()

  set(links)
  foreach(room IN LISTS arg_ROOMS)
    list(FIND PB_ROOM_ORDER ${room} other)
    if(other LESS 0 OR NOT other LESS at)
      message(FATAL_ERROR "pbay_room(${name}): ${room} is not above it")
    endif()
    if(name IN_LIST PB_ROOM_PEERS AND room IN_LIST PB_ROOM_PEERS)
      message(FATAL_ERROR "pbay_room(${name}): ${name} and ${room} do not see each other")
    endif()
    list(APPEND links pb_${room})
  endforeach()
  foreach(lib IN LISTS arg_LIBS)
    pbay_dep(target ${lib})
    list(APPEND links ${target})
  endforeach()

  set(root ${PROJECT_SOURCE_DIR}/host)
  if(arg_SOURCES)
    add_library(pb_${name} STATIC ${arg_SOURCES})
    # Rooms end in executables only; PIE code spares them the indirections of a shared library.
    set_target_properties(pb_${name} PROPERTIES POSITION_INDEPENDENT_CODE OFF)
    target_compile_options(pb_${name} PRIVATE -fPIE)
    target_include_directories(pb_${name} PUBLIC ${root} PRIVATE ${CMAKE_CURRENT_BINARY_DIR})
    target_link_libraries(pb_${name} PRIVATE pb_flags PUBLIC pbay_sdk ${links})
  else()
    add_library(pb_${name} INTERFACE)
    target_include_directories(pb_${name} INTERFACE ${root})
    target_link_libraries(pb_${name} INTERFACE pbay_sdk ${links})
  endif()
endfunction()
