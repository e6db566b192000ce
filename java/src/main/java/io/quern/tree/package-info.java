/**
 * Draft trees of speculative decoding, on the host: one canonical form, what the published formats
 * make of it, and the algorithms that decide which nodes a tree has. All of it is host code that
 * every back end shares; what runs on a device is in {@link io.quern.op}.
 */
package io.quern.tree;
