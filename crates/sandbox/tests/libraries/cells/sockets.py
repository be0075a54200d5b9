import array, select, selectors, socket, ssl
ours, theirs = socket.socketpair()
ours.sendall(b"hello")
assert select.select([theirs], [], [], 10)[0] == [theirs]
assert theirs.recv(10) == b"hello"
with open("sent", "w+") as file:
    file.write("by descriptor")
    file.flush()
    socket.send_fds(ours, [b"x"], [file.fileno()])
_, descriptors, _, _ = socket.recv_fds(theirs, 1, 1)
with open(descriptors[0]) as file:
    file.seek(0)
    assert file.read() == "by descriptor"
# --- next cell
selector = selectors.DefaultSelector()
selector.register(theirs, selectors.EVENT_READ)
ours.sendall(b"again")
assert selector.select(10) and theirs.recv(10) == b"again"
context = ssl.create_default_context()
assert ssl.OPENSSL_VERSION and context.verify_mode == ssl.CERT_REQUIRED
print("ok")
