"""Who wants to know what."""


class Bus:
    """Listeners by event."""

    def __init__(self):
        self.listeners = {}

    def listen(self, event, listener):
        """Call a listener from now on; gives what ends it."""
        listeners = self.listeners.setdefault(event, [])
        listeners.append(listener)

        def stop():
            if listener in listeners:
                listeners.remove(listener)

        return stop

    def once(self, event, listener):
        """Call a listener once; gives what ends it before."""
        def first(*values):
            stop()
            return listener(*values)

        stop = self.listen(event, first)
        return stop

    def emit(self, event, *values):
        """Tell everybody; gives what they say."""
        return [listener(*values) for listener in self.listeners.get(event, [])]
