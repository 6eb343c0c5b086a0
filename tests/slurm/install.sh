#!/usr/bin/env bash
# Install what tests/slurm needs on Debian or Ubuntu, as root. No service is started, now or at the next boot.
set -euo pipefail

policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
  # A package's installation asks this file whether its service may be started; 101 says no.
  printf '#!/bin/sh\nexit 101\n' > "$policy"
  chmod +x "$policy"
  trap 'rm -f "$policy"' EXIT
fi
export DEBIAN_FRONTEND=noninteractive
present() { dpkg-query -W -f '${db:Status-Status}\n' "$1" 2> /dev/null | grep -qx installed; }
wanted=()
for package in slurm-wlm slurmdbd munge mariadb-server; do
  present "$package" || wanted+=("$package")
done
[ "${#wanted[@]}" -eq 0 ] && exit 0
apt-get update -qq
apt-get install -y -qq --no-install-recommends "${wanted[@]}" > /dev/null
# Only what this installed: a cluster or database that was here stays as it is.
for service in munge slurmd slurmctld slurmdbd mariadb; do
  if command -v systemctl > /dev/null && printf '%s\n' "${wanted[@]}" | grep -q "${service:0:5}"; then
    systemctl disable "$service" > /dev/null 2>&1 || true
  fi
done
