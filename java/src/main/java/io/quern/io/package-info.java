/**
 * Reading and writing files: tensors in the <a
 * href="https://huggingface.co/docs/safetensors">safetensors</a> format, memory mapped, and named
 * draft trees as JSON. Files are taken as hostile: whatever is in them, reading ends in what they
 * hold or in a {@link io.quern.io.SafeTensorsException} or {@link
 * io.quern.io.TreeTopologiesException} that names the file, the tensor or tree, and the reason.
 */
package io.quern.io;
