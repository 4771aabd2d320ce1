"""Programs that answer a line of JSON for each line that they are given, within a time limit."""
import json
import os
import selectors
import subprocess
import time


class Failed(Exception):
    """What the program said, or why it says nothing more. It is gone where `ended`."""

    def __init__(self, message, ended):
        super().__init__(message)
        self.ended = ended


class Program:
    def __init__(self, command, environment=None):
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**os.environ, **(environment or {})},
        )
        self.buffer = b""
        self.complaints = b""

    def ask(self, line, seconds):
        try:
            self.process.stdin.write(line.encode() + b"\n")
            self.process.stdin.flush()
        except OSError:
            pass  # the missing answer says so
        reply = json.loads(self._line(seconds))
        if "error" in reply:
            raise Failed(reply["error"], ended=False)
        return reply

    def close(self):
        self.process.kill()
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout, self.process.stderr):
            try:
                pipe.close()
            except OSError:
                pass

    def _line(self, seconds):
        """Reads both pipes, so that a program that complains at length is not held up by that."""
        end = time.monotonic() + seconds
        with selectors.DefaultSelector() as both:
            both.register(self.process.stdout, selectors.EVENT_READ)
            both.register(self.process.stderr, selectors.EVENT_READ)
            while b"\n" not in self.buffer:
                ready = both.select(max(0.0, end - time.monotonic()))
                if not ready:
                    self.close()
                    raise Failed(f"it did not finish within {seconds:.0f} s", ended=True)
                for key, _events in ready:
                    data = os.read(key.fd, 1 << 16)
                    if key.fileobj is self.process.stderr:
                        self.complaints = (self.complaints + data)[-2000:]
                        if not data:
                            both.unregister(self.process.stderr)
                    elif data:
                        self.buffer += data
                    else:
                        self._ended()
        line, self.buffer = self.buffer.split(b"\n", 1)
        return line

    def _ended(self):
        self.complaints += self.process.stderr.read() or b""
        self.close()
        lines = self.complaints.decode(errors="replace").strip().splitlines()
        raise Failed(f"it ended: {lines[-1] if lines else 'without a word'}", ended=True)
