#!/bin/sh
# Managed by deploy-vfio: do not edit, `deploy-vfio undo` takes it away.
#
# dracut reads this file in a shell that goes on: what binds gets its own.
sh /scripts/init-top/deploy-vfio </dev/null >/dev/null 2>&1 || :
