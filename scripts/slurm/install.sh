#!/usr/bin/env bash
# Installs what a private one-machine SLURM needs (scripts/slurm/cluster.py), from Debian or Ubuntu. Called by make.
set -euo pipefail

packages=(slurmctld slurmd slurm-client slurmdbd munge mariadb-server)
programs=(slurmctld slurmd slurmdbd sbatch mariadbd mariadb mariadb-install-db setpriv)

missing() {
    local program
    for program in "${programs[@]}"; do
        PATH="$PATH:/usr/sbin:/sbin" command -v "$program" >/dev/null || echo "$program"
    done
}

[ -z "$(missing)" ] && exit 0

command -v apt-get >/dev/null || {
    echo "error: the tests against SLURM need $(missing | xargs); install SLURM (with slurmdbd) and MariaDB" >&2
    exit 2
}
sudo=()
if [ "$(id -u)" != 0 ]; then
    sudo=(sudo)
    sudo -n true 2>/dev/null || {
        echo "error: SLURM is not installed; as root: apt-get install --no-install-recommends ${packages[*]}" >&2
        exit 2
    }
fi

echo "Installing SLURM and MariaDB for the tests: ${packages[*]}" >&2
# Nothing is started: the tests run daemons of their own, without root, on ports of their own.
policy=/usr/sbin/policy-rc.d
made=
if [ ! -e "$policy" ]; then
    printf '#!/bin/sh\nexit 101\n' | "${sudo[@]}" tee "$policy" >/dev/null
    "${sudo[@]}" chmod 755 "$policy"
    made=yes
fi
trap '[ -z "$made" ] || "${sudo[@]}" rm -f "$policy"' EXIT
"${sudo[@]}" apt-get update -qq
"${sudo[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${packages[@]}" >/dev/null
[ -z "$(missing)" ] || { echo "error: still missing: $(missing | xargs)" >&2; exit 2; }
