# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False
"""The fast lane compiled: the functions of ``frames.py``, which says what they promise.

Nothing of a peer's bytes is read before it was compared with their end: ``left`` says how many
there are from ``at`` on.  Sizes are compared as unsigned 64-bit numbers, by subtraction from what is left, so
that no sum overflows.  Arguments that are no ``bytes`` are refused: all pointers are into such.

The module state, the masking keys, is guarded by the GIL.  So the module does not say that it can
do without, and where there is none its import brings it back.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.stdint cimport INT64_MAX, int64_t, uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy

import os

cdef extern from "Python.h":
    long long PyLong_AsLongLongAndOverflow(object number, int *overflow) except? -1
    str PyUnicode_New(Py_ssize_t size, Py_UCS4 maxchar)
    void *PyUnicode_DATA(object text)
    str PyUnicode_DecodeUTF8(const char *data, Py_ssize_t size, const char *errors)

cdef enum:
    FIN_TEXT = 0x81
    FIN_BINARY = 0x82
    MASKED = 0x80
    COMPRESSED = 0x40
    DRAWN_AT_ONCE = 4096  # bytes of random

cdef bytes _keys = b""
cdef Py_ssize_t _keys_used = 0  # in bytes


def _forget_keys():
    """Draw anew next time: a child process must not use what its parent has."""
    global _keys, _keys_used
    _keys = b""
    _keys_used = 0


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_keys)


cdef int _fresh_key(uint8_t *key) except -1:
    """Write a masking key that was never used."""
    global _keys, _keys_used
    cdef bytes drawn
    if PyBytes_GET_SIZE(_keys) - _keys_used < 4:
        # Other threads run meanwhile, and may draw too: what comes last is used from its start.
        drawn = os.urandom(DRAWN_AT_ONCE)
        if drawn is None or PyBytes_GET_SIZE(drawn) < 4:
            raise OSError("the operating system gave no random bytes")
        _keys = drawn
        _keys_used = 0
    memcpy(key, PyBytes_AS_STRING(_keys) + _keys_used, 4)
    _keys_used += 4
    return 0


cdef uint8_t _mask(
    uint8_t *target, const uint8_t *source, Py_ssize_t size, const uint8_t *key
) noexcept nogil:
    """XOR ``source`` with the key into ``target``; return all bytes of the result or-ed."""
    cdef uint32_t key32 = 0
    cdef uint64_t key64, word = 0, seen = 0
    cdef uint8_t byte, seen8 = 0
    cdef Py_ssize_t i = 0
    memcpy(&key32, key, 4)
    key64 = (<uint64_t> key32 << 32) | key32
    while size - i >= 8:
        memcpy(&word, source + i, 8)
        word ^= key64
        seen |= word
        memcpy(target + i, &word, 8)
        i += 8
    while i < size:
        byte = source[i] ^ key[i & 3]
        seen8 |= byte
        target[i] = byte
        i += 1
    seen |= seen >> 32
    seen |= seen >> 16
    seen |= seen >> 8
    return seen8 | <uint8_t> (seen & 0xFF)


cdef str _unmasked_text(const uint8_t *payload, Py_ssize_t size, const uint8_t *key):
    """Return the text, or raise UnicodeDecodeError."""
    cdef str text
    cdef uint8_t *characters
    if size == 0:
        return ""  # nothing may be written to it: there is only one
    # Most text is ASCII, whose characters are the bytes.
    text = PyUnicode_New(size, 127)
    characters = <uint8_t *> PyUnicode_DATA(text)
    if _mask(characters, payload, size, key) < 0x80:
        return text
    # This one is not: it has served as memory for the bytes, and goes before anyone has seen it.
    return PyUnicode_DecodeUTF8(<const char *> characters, size, NULL)


cdef bytes _unmasked_bytes(const uint8_t *payload, Py_ssize_t size, const uint8_t *key):
    cdef bytes data = PyBytes_FromStringAndSize(NULL, size)
    # Without a payload this is the one empty object, but then nothing is written either.
    _mask(<uint8_t *> PyBytes_AS_STRING(data), payload, size, key)
    return data


cdef inline Py_ssize_t _header_size(
    const uint8_t *at, Py_ssize_t left, bint masked, uint64_t *size
) noexcept nogil:
    """Measure a data frame that is entirely there; return 0 for one that is not, or is unsound.

    Its first byte is not judged.  ``size`` becomes that of its payload.
    """
    cdef Py_ssize_t header = 2
    cdef Py_ssize_t i
    if left < header or ((at[1] & MASKED) != 0) != masked:
        return 0
    size[0] = at[1] & 0x7F
    if size[0] == 126:
        header = 4
        if left < header:
            return 0
        size[0] = (<uint64_t> at[2] << 8) | at[3]
        if size[0] < 126:
            return 0
    elif size[0] == 127:
        header = 10
        if left < header:
            return 0
        size[0] = 0
        for i in range(2, 10):
            size[0] = (size[0] << 8) | at[i]
        if size[0] < 65536:
            return 0
    if masked:
        header += 4
    if left < header or size[0] > <uint64_t> (left - header):
        return 0
    return header


def decode_frames(
    bytes data not None, Py_ssize_t position, bint masked, max_size, list messages not None
):
    cdef const uint8_t *start = <const uint8_t *> PyBytes_AS_STRING(data)
    cdef Py_ssize_t end = PyBytes_GET_SIZE(data)
    cdef int overflow = 0
    cdef int64_t limit = PyLong_AsLongLongAndOverflow(max_size, &overflow)
    cdef uint64_t size = 0
    cdef const uint8_t *at
    cdef const uint8_t *payload
    cdef Py_ssize_t header
    if overflow > 0:
        limit = INT64_MAX  # nothing in memory is larger
    if position < 0:
        raise ValueError("position must not be negative")
    if limit < 0:
        return position
    while end - position >= 2:
        at = start + position
        if at[0] != FIN_TEXT and at[0] != FIN_BINARY:
            break
        header = _header_size(at, end - position, masked, &size)
        if header == 0 or size > <uint64_t> limit:
            break
        payload = at + header
        if at[0] == FIN_BINARY:
            if masked:
                messages.append(_unmasked_bytes(payload, <Py_ssize_t> size, payload - 4))
            else:
                messages.append(
                    PyBytes_FromStringAndSize(<const char *> payload, <Py_ssize_t> size)
                )
        else:
            try:
                if masked:
                    messages.append(_unmasked_text(payload, <Py_ssize_t> size, payload - 4))
                else:
                    messages.append(
                        PyUnicode_DecodeUTF8(<const char *> payload, <Py_ssize_t> size, NULL)
                    )
            except UnicodeDecodeError:
                break
        position += header + <Py_ssize_t> size
    return position


def compressed_payload(bytes data not None, Py_ssize_t position, bint masked):
    cdef const uint8_t *at
    cdef Py_ssize_t end = PyBytes_GET_SIZE(data)
    cdef Py_ssize_t header
    cdef uint64_t size = 0
    cdef bytes payload
    if position < 0:
        raise ValueError("position must not be negative")
    if end - position < 2:
        return None
    at = <const uint8_t *> PyBytes_AS_STRING(data) + position
    if at[0] != (FIN_TEXT | COMPRESSED) and at[0] != (FIN_BINARY | COMPRESSED):
        return None
    header = _header_size(at, end - position, masked, &size)
    if header == 0:
        return None
    if masked:
        payload = _unmasked_bytes(at + header, <Py_ssize_t> size, at + header - 4)
    else:
        payload = PyBytes_FromStringAndSize(<const char *> (at + header), <Py_ssize_t> size)
    return payload, position + header + <Py_ssize_t> size


def encode_frame(payload not None, bint text, bint masked, bint compressed=False):
    # Those of a subclass too (numpy.bytes_ is one); its methods are not asked.
    if not isinstance(payload, bytes):
        raise TypeError(f"a payload is bytes, not {type(payload).__name__}")
    cdef Py_ssize_t size = PyBytes_GET_SIZE(payload)
    cdef Py_ssize_t header = 2
    cdef uint8_t mask_bit = MASKED if masked else 0
    cdef bytes frame
    cdef uint8_t *at
    cdef int i
    if size > 0xFFFF:
        header = 10
    elif size > 125:
        header = 4
    # No overflow: that the payload is an object leaves room for more than these 14 bytes.
    frame = PyBytes_FromStringAndSize(NULL, header + (4 if masked else 0) + size)
    at = <uint8_t *> PyBytes_AS_STRING(frame)
    at[0] = (FIN_TEXT if text else FIN_BINARY) | (COMPRESSED if compressed else 0)
    if header == 2:
        at[1] = mask_bit | <uint8_t> size
    elif header == 4:
        at[1] = mask_bit | 126
        at[2] = <uint8_t> (size >> 8)
        at[3] = <uint8_t> (size & 0xFF)
    else:
        at[1] = mask_bit | 127
        for i in range(8):
            at[2 + i] = <uint8_t> ((<uint64_t> size >> (56 - 8 * i)) & 0xFF)
    if masked:
        _fresh_key(at + header)
        _mask(at + header + 4, <const uint8_t *> PyBytes_AS_STRING(payload), size, at + header)
    else:
        memcpy(at + header, PyBytes_AS_STRING(payload), size)
    return frame


cdef class Gathered:
    cdef bytes _data  # nobody else has it, so that it may be written to
    cdef Py_ssize_t _filled
    cdef Py_ssize_t _size

    def __cinit__(self, Py_ssize_t size):
        if size < 0:
            raise ValueError("size must not be negative")
        self._data = b""
        self._filled = 0
        self._size = size

    def add(self, bytes data not None, bytes key not None):
        cdef Py_ssize_t count = PyBytes_GET_SIZE(data)
        cdef Py_ssize_t key_size = PyBytes_GET_SIZE(key)
        cdef uint8_t *target
        if key_size != 0 and key_size != 4:
            raise ValueError("a masking key has 4 bytes")
        if count > self._size - self._filled:
            raise ValueError("more than was announced")
        self._reserve(self._filled + count)
        target = <uint8_t *> PyBytes_AS_STRING(self._data) + self._filled
        if key_size:
            _mask(
                target,
                <const uint8_t *> PyBytes_AS_STRING(data),
                count,
                <const uint8_t *> PyBytes_AS_STRING(key),
            )
        else:
            memcpy(target, PyBytes_AS_STRING(data), count)
        self._filled += count

    cdef int _reserve(self, Py_ssize_t needed) except -1:
        cdef Py_ssize_t room = self._size
        cdef bytes larger
        if needed <= PyBytes_GET_SIZE(self._data):
            return 0
        if needed < room // 16:
            room = 16 * needed
        larger = PyBytes_FromStringAndSize(NULL, room)
        memcpy(PyBytes_AS_STRING(larger), PyBytes_AS_STRING(self._data), self._filled)
        self._data = larger
        return 0

    def take(self):
        cdef bytes data = self._data
        cdef Py_ssize_t filled = self._filled
        self._data = b""
        self._filled = self._size = 0
        if filled < PyBytes_GET_SIZE(data):
            return PyBytes_FromStringAndSize(PyBytes_AS_STRING(data), filled)
        return data


def mask(bytes payload not None, bytes key not None):
    if PyBytes_GET_SIZE(key) != 4:
        raise ValueError("a masking key has 4 bytes")
    return _unmasked_bytes(
        <const uint8_t *> PyBytes_AS_STRING(payload),
        PyBytes_GET_SIZE(payload),
        <const uint8_t *> PyBytes_AS_STRING(key),
    )
