"""A kernel that refuses io_uring, for a child process."""

import ctypes
import os
import struct


def refuse_io_uring():
    """In the child: io_uring_setup(2) fails with EPERM, as under a container's seccomp profile."""
    libc = ctypes.CDLL(None, use_errno=True)
    setup = 425
    load_number, is_equal, give = 0x20, 0x15, 0x06
    errno_eperm, allow = 0x00050000 | 1, 0x7fff0000
    code = b"".join(struct.pack("=HBBI", *i) for i in (
        (load_number, 0, 0, 0), (is_equal, 0, 1, setup), (give, 0, 0, errno_eperm),
        (give, 0, 0, allow)))
    filters = ctypes.create_string_buffer(code)
    program = struct.pack("@HP", len(code) // 8, ctypes.addressof(filters))
    set_no_new_privs, set_seccomp, mode_filter = 38, 22, 2
    if libc.prctl(set_no_new_privs, 1, 0, 0, 0) != 0:
        os._exit(99)
    if libc.prctl(set_seccomp, mode_filter, ctypes.create_string_buffer(program), 0, 0) != 0:
        os._exit(98)
