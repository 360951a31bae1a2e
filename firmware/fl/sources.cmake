# Federated learning on the device: what is built beside the core and the engine with PROPLET_FL.
set(PROPLET_FL_SOURCES chance.c encode.c imports.c lesson.c model.c update.c)
list(TRANSFORM PROPLET_FL_SOURCES PREPEND ${CMAKE_CURRENT_LIST_DIR}/)
