"""Methods as plug-ins: one file each in `plugins/`, found by scanning the folder."""
