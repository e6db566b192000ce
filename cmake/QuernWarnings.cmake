# Warnings for Quern's own C and C++ code; nvcc passes them to the host compiler.

function(quern_warnings target)
  set(host -Wall -Wextra -Wpointer-arith)
  target_compile_options(${target} PRIVATE
    $<$<COMPILE_LANGUAGE:C,CXX>:${host};-Wpedantic>
    # No -Wpedantic under nvcc: its own generated host code is not pedantic.
    "$<$<COMPILE_LANGUAGE:CUDA>:--Werror=all-warnings;-Xcompiler=$<JOIN:${host},$<COMMA>>>")
endfunction()
