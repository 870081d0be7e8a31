# Runs in the account's login shell, whichever that is: the last line alone is sent, inside single quotes, so it must
# hold neither a single quote nor an exclamation mark. It becomes root, then reads the bootstrap from its input; dd
# reads byte by byte, as whatever a buffered reader took too much would be missing from the agent's input. SUDO is
# sudo with its options; sudo reads a password byte by byte too. After one, BEGUN says that the input is the script's.
s="BEGUNeval \"\$(dd bs=1 count=LENGTH 2>/dev/null)\""; if [ "$(id -u)" = 0 ]; then exec sh -c "$s"; fi; command -v sudo >/dev/null 2>&1 || { echo barque-bootstrap: no-sudo; exit 1; }; LC_ALL=C; export LC_ALL; echo barque-bootstrap: sudo; exec SUDO -- sh -c "$s"
