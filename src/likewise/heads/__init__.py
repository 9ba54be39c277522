"""What stands between a tower and a loss."""

from likewise.heads.projector import TanhProjection

__all__ = ["TanhProjection"]
