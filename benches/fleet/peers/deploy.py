"""So many operations, each of which runs `true`."""

import os

from pyinfra.operations import server

for number in range(int(os.environ["COMMANDS"])):
    server.shell(name=f"command {number}", commands=["true"])
