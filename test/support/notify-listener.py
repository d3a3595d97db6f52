"""A service manager's end of sd_notify: prints each message on a line, newlines as spaces, and lets barriers pass."""

import os
import socket
import sys

listener = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
listener.bind(sys.argv[1])
print("listening", flush=True)
while True:
    message, descriptors, _, _ = socket.recv_fds(listener, 4096, 4)
    for descriptor in descriptors:
        os.close(descriptor)
    print(message.decode().strip().replace("\n", " "), flush=True)
