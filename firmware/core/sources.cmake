# Every source of the portable core, for CMake here and for the Zephyr module.
set(PROPLET_CORE_SOURCES
  base64.c
  cbor.c
  emit.c
  frame.c
  json.c
  pieces.c
  tables.c
  topics.c
  wire.c
)
list(TRANSFORM PROPLET_CORE_SOURCES PREPEND ${CMAKE_CURRENT_LIST_DIR}/)
