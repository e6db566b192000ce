/*
 * Control of the emulated device: what tests ask of libquern_emulated.so beyond Quern's ABI and the CUDA
 * runtime's. All calls may be made from any thread.
 */
#ifndef QUERN_EMULATION_EMULATION_H_
#define QUERN_EMULATION_EMULATION_H_

#include "quern/quern.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Order of blocks and threads: 0 ascending, any other seed its own random order. First value:
 * QUERN_EMULATION_SEED. */
QUERN_API void quern_emulation_set_seed(uint64_t seed);

/*
 * The call number `nth` from now (1: the next) of `function` does nothing but return `status`, a cudaError_t.
 * function: the name of a CUDA runtime function, "allocation" (any function that allocates memory), "launch"
 * (any kernel), or a function of libquern_emulated_cublas.so, whose statuses are cuBLAS's. With sticky not 0
 * the device is lost with that status, as after a fault in a kernel.
 */
QUERN_API quern_status quern_emulation_inject(const char* function, int64_t nth, int32_t status,
                                              int32_t sticky);

/* Forgets injected faults, the lost device and the message; the number of injected faults that never
 * happened. */
QUERN_API int64_t quern_emulation_reset(void);

/* Why the last kernel or memory check failed; empty if none did since the last reset. Static storage. */
QUERN_API const char* quern_emulation_message(void);

/* What is alive now, and what has happened since the library was loaded. */
enum {
  QUERN_EMULATION_DEVICE_BYTES = 0,
  QUERN_EMULATION_DEVICE_ALLOCATIONS = 1,
  QUERN_EMULATION_HOST_BYTES = 2, /* page-locked: allocated or registered */
  QUERN_EMULATION_HOST_ALLOCATIONS = 3,
  QUERN_EMULATION_STREAMS = 4,
  QUERN_EMULATION_EVENTS = 5,
  QUERN_EMULATION_GRAPHS = 6,          /* templates and executables */
  QUERN_EMULATION_LAUNCHES = 7,        /* kernels executed so far */
  QUERN_EMULATION_SYNCHRONIZATIONS = 8 /* of the device, a stream or an event so far */
};
/* One of the numbers above; -1 for another `what`. */
QUERN_API int64_t quern_emulation_count(int32_t what);

/* For libraries that work on this device (cublas.cpp). */

/* The status that was injected for this call of `function`; 0 if none was. */
QUERN_API int32_t quern_emulation_fault(const char* function);

/* Whether the device may access these bytes: memory that is alive. */
QUERN_API int32_t quern_emulation_is_accessible(const void* address, int64_t bytes);

/*
 * Queues a kernel that is a host function, with a copy of its arguments: it runs when the stream's turn
 * comes. A status that is not 0, of this function or of the kernel, is a cudaError_t; the kernel's loses the
 * device.
 */
QUERN_API int32_t quern_emulation_queue(void* stream, int32_t (*kernel)(const void* arguments),
                                        const void* arguments, int64_t bytes);

#ifdef __cplusplus
}
#endif

#endif /* QUERN_EMULATION_EMULATION_H_ */
