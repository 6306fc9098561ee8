"""Build output as it is stored in BUILDLOGS, on `deis.buildlog.<app>.<build>`.

A message is raw output bytes; headers tell whose it is. The last message of an attempt
carries `END`. A reader drops what carries another appuuid, and what is of an older attempt
once a newer one has begun.
"""

APPUUID = "appuuid"
ATTEMPT = "attempt"
END = "end"
"""Header of the last message: `done` or `failed`."""
