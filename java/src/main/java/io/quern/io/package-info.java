/**
 * Reading and writing tensors: the <a
 * href="https://huggingface.co/docs/safetensors">safetensors</a> format, memory mapped. Files are
 * taken as hostile: whatever is in them, reading ends in tensors or in a {@link
 * io.quern.io.SafeTensorsException} that names the file, the tensor and the reason.
 */
package io.quern.io;
