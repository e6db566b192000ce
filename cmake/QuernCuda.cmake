# CUDA: which compiler, which GPUs, which arithmetic.
#
# Sets QUERN_CUDA (whether libquern is built) and, where it is not, QUERN_CUDA_ABSENT: one line that says why.

if(QUERN_SANITIZE)
  set(QUERN_CUDA OFF)
  set(QUERN_CUDA_ABSENT "built without CUDA: sanitizers watch the emulation alone")
  return()
endif()

# A compiler counts if CUDACXX names it or PATH leads to it, nothing else: whoever takes it off the PATH wants a build
# without it, in an existing build tree too.
find_program(quern_nvcc NAMES nvcc NO_CACHE NO_DEFAULT_PATH PATHS ENV PATH)
if(DEFINED ENV{CUDACXX})
  find_program(quern_cudacxx NAMES "$ENV{CUDACXX}" NO_CACHE NO_DEFAULT_PATH PATHS ENV PATH)
  set(quern_nvcc "${quern_cudacxx}")
endif()

if(NOT quern_nvcc)
  set(QUERN_CUDA OFF)
  set(QUERN_CUDA_ABSENT "built without CUDA: no nvcc on PATH (install the CUDA toolkit 13, or name nvcc in CUDACXX)")
  return()
endif()

# One binary per major architecture (it runs on every later minor one) from Ampere to Blackwell, and PTX of the newest
# virtual architecture that is not above any GPU without a binary: compute_100 serves 11.x and whatever follows 12.x.
set(QUERN_CUDA_ARCHITECTURES 80-real 90-real 100 120-real)

set(CMAKE_CUDA_COMPILER "${quern_nvcc}")
set(CMAKE_CUDA_ARCHITECTURES ${QUERN_CUDA_ARCHITECTURES})
enable_language(CUDA)
find_package(CUDAToolkit 13 REQUIRED)
set(QUERN_CUDA ON)

# The runtime that is shipped beside libquern: the file that libcudart.so's soname stands for.
get_target_property(quern_cudart CUDA::cudart IMPORTED_LOCATION)
get_filename_component(QUERN_CUDART "${quern_cudart}" REALPATH)
set(QUERN_CUDART_SONAME "libcudart.so.${CUDAToolkit_VERSION_MAJOR}")

# Canonical arithmetic: an operation is what the source says. No contraction, no flush to zero, IEEE division and root.
set(QUERN_CUDA_ARITHMETIC -fmad=false -ftz=false -prec-div=true -prec-sqrt=true)

# Keeps the PTX and ptxas's words on every CUDA source of the target in `dir`, where tests and readers find them.
function(quern_report_kernels target dir)
  set_target_properties(${target} PROPERTIES
    CUDA_COMPILER_LAUNCHER "sh;${CMAKE_CURRENT_FUNCTION_LIST_DIR}/nvcc_report.sh;${dir}")
endfunction()
