package io.quern;
public enum Backend { SCALAR }
