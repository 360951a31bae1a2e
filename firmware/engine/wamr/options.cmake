# The options of WAMR that this firmware relies on, for every platform.
set(WAMR_BUILD_INTERP 1)
if(NOT DEFINED WAMR_BUILD_FAST_INTERP)
  set(WAMR_BUILD_FAST_INTERP 0)
endif()
if(NOT DEFINED WAMR_BUILD_AOT)
  set(WAMR_BUILD_AOT 0)
endif()
if(WAMR_BUILD_AOT)
  # What native code is made for, as proplet/port.h spells it. An architecture is the name that WAMR's
  # loader compares, in small letters.
  file(STRINGS ${WAMR_ROOT}/core/config.h line REGEX "define AOT_CURRENT_VERSION")
  string(REGEX REPLACE "[^0-9]" "" line "${line}")
  string(TOLOWER "${WAMR_BUILD_TARGET}" PROPLET_WAMR_AOT)
  if(PROPLET_WAMR_AOT STREQUAL "x86_32")
    set(PROPLET_WAMR_AOT i386)
  endif()
  string(APPEND PROPLET_WAMR_AOT "/wamr-${line}")
endif()
set(WAMR_BUILD_JIT 0)
set(WAMR_BUILD_FAST_JIT 0)
set(WAMR_BUILD_LIBC_BUILTIN 0)
set(WAMR_BUILD_LIBC_WASI 0)
set(WAMR_BUILD_INSTRUCTION_METERING 1) # fuel
set(WAMR_BUILD_THREAD_MGR 1)           # stop from another thread
set(WAMR_BUILD_BULK_MEMORY 1)
if(NOT DEFINED WAMR_BUILD_REF_TYPES)
  set(WAMR_BUILD_REF_TYPES 1)
endif()
set(WAMR_BUILD_SIMD 0)
# Native code looks up now and then whether it is to stop only where its memory is shared.
if(WAMR_BUILD_AOT)
  set(WAMR_BUILD_SHARED_MEMORY 1)
else()
  set(WAMR_BUILD_SHARED_MEMORY 0)
endif()
set(WAMR_BUILD_LIB_PTHREAD 0)
set(WAMR_BUILD_MULTI_MODULE 0)
set(WAMR_BUILD_MINI_LOADER 0) # the loader that validates
set(WAMR_DISABLE_HW_BOUND_CHECK 1) # bounds checked in code: memory comes from the pool
set(WAMR_DISABLE_STACK_HW_BOUND_CHECK 1)
set(WAMR_BUILD_GLOBAL_HEAP_POOL 0) # we hand it one
