# Every source of the portable core, for CMake here and for the Zephyr module.
set(PROPLET_CORE_SOURCES
  agent.c
  base64.c
  cbor.c
  documents.c
  downloads.c
  emit.c
  frame.c
  json.c
  lives.c
  modules.c
  operations.c
  pieces.c
  plan.c
  record.c
  reporting.c
  runs.c
  tables.c
  topics.c
  trust.c
  uploads.c
  wire.c
  words.c
)
list(TRANSFORM PROPLET_CORE_SOURCES PREPEND ${CMAKE_CURRENT_LIST_DIR}/)
