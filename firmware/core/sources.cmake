# Every source of the portable core, for CMake here and for the Zephyr module.
set(PROPLET_CORE_SOURCES
)
list(TRANSFORM PROPLET_CORE_SOURCES PREPEND ${CMAKE_CURRENT_LIST_DIR}/)
