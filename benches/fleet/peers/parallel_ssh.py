"""Runs `true` so many times on every host, all hosts at once."""

import sys

from pssh.clients import ParallelSSHClient

addresses, count, port, key, commands = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4], int(sys.argv[5])
with open(addresses) as lines:
    hosts = [line.strip() for line in lines][:count]
client = ParallelSSHClient(hosts, user="root", port=port, pkey=key, pool_size=count, num_retries=1, timeout=120)
for _ in range(commands):
    answers = client.run_command("true")
    client.join(answers)
    failed = [answer.host for answer in answers if answer.exit_code != 0]
    if len(answers) != count or failed:
        sys.exit(f"{len(answers)} of {count} hosts answered; failed: {failed[:5]}")
