"""How much room everything takes, and what is removed by itself, in words. Knows the lab."""

from __future__ import annotations

from svdlab.lab.lab import Lab
from svdlab.words import size


def said(lab: Lab) -> str:
    """What takes how much of the data folder's disk."""
    use = lab.disk_use()
    parts = {
        "videos": use.videos,
        "lossless frames": use.frames,
        "latents": use.latents,
        "pictures": use.pictures,
        "the bin": use.bin,
        "the database": use.database + use.backups,
        "the rest": use.other + use.leftovers,
    }
    line = ", ".join(f"{size(count)} {name}" for name, count in parts.items() if count)
    said = [f"{size(use.total)} in {lab.history.folder}: {line}. {size(use.free)} are free on that disk."]
    bin_days, keep_days = lab.retention.bin_days, lab.retention.keep_days
    if bin_days is not None:
        said.append(f"What has been in the bin for {bin_days:g} days is removed for good (SVDLAB_BIN_DAYS).")
    if keep_days is not None:
        said.append(f"Clips that nobody marked go to the bin after {keep_days:g} days (SVDLAB_KEEP_DAYS).")
    return " ".join(said)
